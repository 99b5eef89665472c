"""A table as text, in the formats that people paste: Markdown, LaTeX, the terminal. No torch."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from dip_lab.plain import latex, markdown, printable

Line = Sequence["str | Best | Code"]


@dataclass(frozen=True)
class Best:
    """A field that is the best of its kind: bold."""

    text: str


@dataclass(frozen=True)
class Code:
    """A name as it is typed, in the font of code; for Markdown only."""

    text: str


def as_markdown(header: Sequence[str], lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """The first column to the left, the others to the right, for numbers; each note is a paragraph below.

    >>> print(as_markdown(["net", "psnr"], [["skip", Best("30.1")]]), end="")
    | net | psnr |
    | --- | ---: |
    | skip | **30.1** |
    """
    rule = ["---", *["---:"] * (len(header) - 1)]
    rows = [[_in_markdown(field) for field in line] for line in (header, *lines)]
    table = "".join("| " + " | ".join(row) + " |\n" for row in (rows[0], rule, *rows[1:]))
    return table + "".join(f"\n{markdown(note)}\n" for note in notes)


def _in_markdown(field: "str | Best | Code") -> str:
    if isinstance(field, Best):
        return f"**{markdown(field.text)}**"
    if isinstance(field, Code) and not set("`|\\") & set(field.text):
        return f"`{printable(field.text)}`"
    return markdown(field.text if isinstance(field, Code) else field)


def as_latex(header: Sequence[str], lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """A tabular of the package booktabs; each note is a paragraph below."""
    rows = [[rf"\textbf{{{latex(f.text)}}}" if isinstance(f, Best) else latex(f) for f in line] for line in lines]
    body = [" & ".join(row) + r" \\" for row in rows]
    return "\n".join([r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}", r"\toprule",
                      " & ".join(map(latex, header)) + r" \\", r"\midrule", *body,
                      r"\bottomrule", r"\end{tabular}", *(rf"\par\noindent {latex(note)}" for note in notes), ""])


def as_text(header: Sequence[str], lines: Sequence[Line]) -> str:
    """For the terminal, drawn by rich; into a file or a pipe it goes without colour and as wide as it needs to be."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = Console().is_terminal
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(header):
        table.add_column(Text(printable(name)), justify="right" if number else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(printable(f.text), "bold green") if isinstance(f, Best) else Text(printable(f))
                        for f in line))
    console = Console(file=io.StringIO(), force_terminal=terminal, width=None if terminal else 1000)
    console.print(table)
    return "\n".join(text.rstrip() for text in console.file.getvalue().splitlines()) + "\n"
