"""A table as text, in the formats that people paste: Markdown, LaTeX, the terminal. No torch."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

Line = Sequence["str | Best"]


@dataclass(frozen=True)
class Best:
    """A field that is the best of its kind: bold."""

    text: str


def as_markdown(header: Sequence[str], lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """The first column to the left, the others to the right, for numbers; each note is a paragraph below.

    >>> print(as_markdown(["net", "psnr"], [["skip", Best("30.1")]]), end="")
    | net | psnr |
    | --- | ---: |
    | skip | **30.1** |
    """
    rule = ["---", *["---:"] * (len(header) - 1)]
    rows = [[f"**{field.text}**" if isinstance(field, Best) else field for field in line] for line in lines]
    table = "".join("| " + " | ".join(_one_field(field) for field in row) + " |\n" for row in (header, rule, *rows))
    return table + "".join(f"\n{note}\n" for note in notes)


def _one_field(text: str) -> str:
    return text.replace("|", "\\|")


def as_latex(header: Sequence[str], lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """A tabular of the package booktabs; each note is a paragraph below."""
    rows = [[rf"\textbf{{{_escaped(f.text)}}}" if isinstance(f, Best) else _escaped(f) for f in line] for line in lines]
    body = [" & ".join(row) + r" \\" for row in rows]
    return "\n".join([r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}", r"\toprule",
                      " & ".join(map(_escaped, header)) + r" \\", r"\midrule", *body,
                      r"\bottomrule", r"\end{tabular}", *(rf"\par\noindent {_escaped(note)}" for note in notes), ""])


def _escaped(text: str) -> str:
    for letter in "_%&#$":
        text = text.replace(letter, "\\" + letter)
    return text.replace("±", r"$\pm$")


def as_text(header: Sequence[str], lines: Sequence[Line]) -> str:
    """For the terminal, drawn by rich; into a file or a pipe it goes without colour and as wide as it needs to be."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = Console().is_terminal
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(header):
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(f.text, "bold green") if isinstance(f, Best) else Text(f) for f in line))
    console = Console(file=io.StringIO(), force_terminal=terminal, width=None if terminal else 1000)
    console.print(table)
    return "\n".join(text.rstrip() for text in console.file.getvalue().splitlines()) + "\n"
