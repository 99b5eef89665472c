"""Text from outside, such as a picture's name, where some characters would act: terminals, logs, spreadsheets,
Markdown, LaTeX. Standard library only."""

import csv
import io
import logging
import re
from collections.abc import Iterable
from typing import Any

# Control characters, line separators, and those that reverse the direction of what is read.
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LATEX = {**{sign: f"\\{sign}" for sign in "_%&#${}"}, "±": r"$\pm$", "\\": r"\textbackslash{}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def printable(text: str) -> str:
    r"""One line that shows control characters instead of doing what they say.

    >>> print(printable("a\x1b[31m\rb\u202e"))
    a\x1b[31m\rb\u202e
    """
    return _ACTING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Lines(logging.Formatter):
    """Log messages without control characters; what follows a line break is indented, and so is no message itself."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n  ".join(printable(line) for line in super().format(record).rstrip().split("\n"))


def as_csv(rows: Iterable[Iterable[Any]]) -> str:
    """A CSV file in which no spreadsheet finds a formula; None is an empty field.

    >>> print(as_csv([["=1+1", "-3.1", -3.1, None, "@x"]]), end="")
    '=1+1,-3.1,-3.1,,'@x
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_no_formula(field) for field in row] for row in rows)
    return text.getvalue()


def _no_formula(field: Any) -> Any:
    if field is None or isinstance(field, int | float):
        return "" if field is None else field
    text = printable(str(field))
    return f"'{text}" if text.lstrip().startswith(tuple("=+-@＝＋－＠")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def markdown(text: str) -> str:
    r"""A text that Markdown shows as it is: no HTML, no link or picture, no end of a table's field.

    >>> print(markdown("<b>a|b</b> ![c](d)"))
    &lt;b>a\|b&lt;/b> ![c]\(d)
    """
    for sign, shown in (("\\", "\\\\"), ("<", "&lt;"), ("|", "\\|"), ("`", "\\`"), ("](", "]\\("), ("][", "]\\[")):
        text = text.replace(sign, shown)
    return printable(text)


def latex(text: str) -> str:
    r"""A text that LaTeX prints as it is.

    >>> print(latex(r"50% \input{a}"))
    50\% \textbackslash{}input\{a\}
    """
    return "".join(_LATEX.get(sign, sign) for sign in printable(text))
