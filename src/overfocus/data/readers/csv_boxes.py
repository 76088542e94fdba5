"""Boxes in a CSV, a box a line: file,x0,y0,x1,y1 in pixels, x1 and y1 excluded."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from overfocus.core.errors import OverfocusError
from overfocus.data.boxes import BoxAnnotation, finite

COLUMNS = ("file", "x0", "y0", "x1", "y1")


def named_boxes(path: Path) -> Iterator[tuple[str, list[BoxAnnotation]]]:
    """Yield files as the CSV names them, and their boxes; OverfocusError where the CSV has another form."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise OverfocusError(
                    f"boxes: {path} has no column {missing[0]!r}; its first line must name {','.join(COLUMNS)}"
                )
            for row in table:
                corners = finite([float(row[name]) for name in COLUMNS[1:]], f"{path}, line {table.line_num}")
                yield row["file"], [BoxAnnotation(corners)]
    except (ValueError, TypeError, csv.Error) as error:
        raise OverfocusError(f"boxes: {path} cannot be read ({error}); each line needs {','.join(COLUMNS)}") from error
