"""Paths as tables and annotations write them, compared by their ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

DEPTH = 4
"""How many parts of a path, from its end, are compared."""


def endings(file: str) -> Iterator[str]:
    """Yield the last parts of a path, the longest first, each with and without its extension."""
    parts = PurePath(file.replace("\\", "/")).parts
    for count in range(min(DEPTH, len(parts)), 0, -1):
        ending = PurePath(*parts[-count:])
        yield ending.as_posix()
        if ending.suffix:
            yield ending.with_suffix("").as_posix()
