"""Tables as values, and written down: CSV with the numbers as they are, Markdown and LaTeX for people.

Names in them are anybody's. In CSV a text that a spreadsheet would run as a formula gets an apostrophe before it; in
Markdown and LaTeX no letter of a name is a command, and what LaTeX's plain fonts lack is named by its code point.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import dataclass
from io import StringIO
from math import isfinite

from overfocus.core.interval import Interval
from overfocus.report.label import label, visible

FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes a cell for a formula by, also in letters of full width."""
MARKDOWN = re.compile(r"([\\`*_{}\[\]|~])")
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "`": r"\textasciigrave{}", "-": "{-}", "\u2212": "$-$", "\u00b1": r"$\pm$",
    "\u00d7": r"$\times$", "\u2026": r"\ldots{}", "\u2013": "--", "\u00a0": "~",
}  # fmt: skip
"""A hyphen is kept from its neighbour, since two of them are a dash."""
LATIN = frozenset(map(chr, range(0xC0, 0x100))) - set("\u00d0\u00f0\u00de\u00fe\u00d7\u00f7")
"""Letters beyond ASCII that every LaTeX sets without a package."""

Cell = str | int | float | Interval | None
"""None, NaN and an interval without an answer are an empty cell."""
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Column:
    """A column."""

    key: str
    """Its name in CSV, where numbers are as they are; an interval has two more, `KEY_low` and `KEY_high`."""
    title: str
    """Its name for people, with the unit."""
    factor: float = 1.0
    """What a number is multiplied by for people: 100 for a share in per cent."""
    digits: int = 3
    """Decimals for people."""
    signed: bool = False
    """Whether a number above 0 has a plus."""


@dataclass(frozen=True)
class StudyTable:
    """Rows of cells below heads."""

    name: str
    """Of its file."""
    title: str
    heads: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    """What a reader must know of the numbers."""

    def intervals(self) -> tuple[bool, ...]:
        """Return for each column whether it holds intervals."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.heads)
        return tuple(any(isinstance(cell, Interval) for cell in column) for column in columns)


def as_csv(table: StudyTable) -> str:
    """Return the table as CSV (RFC 4180, line ends of one letter): shares stay shares, intervals take three columns,
    nothing is rounded, and what is not known is empty.
    """
    wide = table.intervals()
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = zip(table.heads, wide, strict=True)
    writer.writerow([name for head, of in heads for name in _columns(head, of)])
    for row in table.rows:
        writer.writerow([part for cell, of in zip(row, wide, strict=True) for part in _parts(cell, of)])
    return text.getvalue()


def csv_cells(row: Row) -> list[str]:
    """Return a row for a CSV writer: numbers as they are, what is not known empty, and no text a formula."""
    return [part for cell in row for part in _parts(cell, False)]


def _columns(head: Column, wide: bool) -> list[str]:
    names = [head.key, f"{head.key}_low", f"{head.key}_high"] if wide else [head.key]
    return [_guarded(name) for name in names]


def _parts(cell: Cell, wide: bool) -> list[str]:
    if isinstance(cell, Interval):
        return [_plain(cell.value), _plain(cell.low), _plain(cell.high)]
    return [_plain(cell)] + ["", ""] * wide


def _plain(cell: str | int | float | None) -> str:
    if cell is None or (isinstance(cell, float) and not isfinite(cell)):
        return ""
    return _guarded(visible(cell)) if isinstance(cell, str) else repr(float(cell) if isinstance(cell, float) else cell)


def _guarded(text: str) -> str:
    """Return text that no spreadsheet runs."""
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def as_markdown(table: StudyTable) -> str:
    """Return the table in the Markdown of GitHub, with its title and note."""
    lines = [_row([_marked(head.title) for head in table.heads])]
    lines.append(_row(["---:" if number else "---" for number in _numeric(table)]))
    lines += [_row([_marked(_shown(cell, head)) for cell, head in _cells(table, row)]) for row in table.rows]
    note = f"\n{_marked(table.note)}\n" if table.note else ""
    return f"**{_marked(table.title)}**\n\n" + "\n".join(lines) + f"\n{note}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _marked(text: str) -> str:
    """Return text of which Markdown and HTML leave every letter as it is."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKDOWN.sub(r"\\\1", plain)


def as_latex(table: StudyTable) -> str:
    """Return the table for a document with `\\usepackage{booktabs}`: caption, rules and note."""
    columns = "".join("r" if number else "l" for number in _numeric(table))
    lines = [
        r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering", f"\\caption{{{_latex(table.title)}}}",
        f"\\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row([_latex(head.title) for head in table.heads]),
        r"\midrule",
    ]  # fmt: skip
    lines += [_latex_row([_latex(_shown(cell, head)) for cell, head in _cells(table, row)]) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.note:
        lines += ["", r"\smallskip", f"{{\\footnotesize {_latex(table.note)}\\par}}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_row(cells: list[str]) -> str:
    # A bracket or a star at the start would be taken for an argument of the line break before it.
    start = "{}" if cells[0].startswith(("[", "*")) else ""
    return f"{start}{' & '.join(cells)} \\\\"


def _latex(text: str) -> str:
    return "".join(map(_latex_letter, unicodedata.normalize("NFC", text)))


def _latex_letter(letter: str) -> str:
    if letter in LATEX:
        return LATEX[letter]
    if letter.isascii() or letter in LATIN:
        return letter
    plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    if plain and plain != letter and plain.isascii() and plain.isprintable():
        return "".join(LATEX.get(part, part) for part in plain)
    return f"[U+{ord(letter):04X}]"


def _cells(table: StudyTable, row: tuple[Cell, ...]) -> list[tuple[Cell, Column]]:
    return list(zip(row, table.heads, strict=True))


def _numeric(table: StudyTable) -> list[bool]:
    """Return for each column whether it holds numbers."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.heads)
    return [any(cell is not None for cell in c) and not any(isinstance(cell, str) for cell in c) for c in columns]


def _shown(cell: Cell, head: Column) -> str:
    """Return a cell for people: rounded, in its unit, an interval with its half width."""
    if isinstance(cell, str):
        return label(cell).short
    if isinstance(cell, Interval):
        return _interval(cell, head)
    if isinstance(cell, bool) or cell is None or not isfinite(cell):
        return ""
    return str(cell) if isinstance(cell, int) else _rounded(cell, head)


def _interval(cell: Interval, head: Column) -> str:
    if not cell.answered:
        return ""
    value = _rounded(cell.value, head)
    if not cell.bounded:
        return value
    half, middle = (cell.high - cell.low) / 2, (cell.high + cell.low) / 2
    if abs(middle - cell.value) > 1e-9 * max(1.0, abs(half)):  # not even on both sides
        return f"{value} [{_rounded(cell.low, head)}, {_rounded(cell.high, head)}]"
    return f"{value} ± {abs(head.factor) * half:.{head.digits}f}"


def _rounded(number: float, head: Column) -> str:
    scaled = round(head.factor * number, head.digits) + 0.0  # no "-0.00"
    if number > 0 and scaled == 0 and head.key.startswith("p"):
        return f"< {10**-head.digits:.{head.digits}f}"
    return f"{scaled:{'+' if head.signed else ''}.{head.digits}f}".replace("-", "\u2212")
