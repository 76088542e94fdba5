"""What a reader used of a folder or a table, and what it did not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SHOWN = 6
"""Entries that a sentence lists."""


@dataclass(frozen=True)
class NotUsed:
    """Files or rows that were left out."""

    where: str
    """A path below the folder that was read, that of a folder with a / at its end; or which rows of a table."""
    why: str
    count: int = 1
    what: str = "pictures"

    def __str__(self) -> str:
        what = self.what[:-1] if self.count == 1 and self.what.endswith("s") else self.what
        return f"{self.count:,} {what}{f' in {self.where}' if self.where else ''} ({self.why})"


@dataclass(frozen=True)
class Inventory:
    """Where each split was read from, and what was not used."""

    parts: Mapping[str, str] = field(default_factory=dict)
    """Split -> the folder, file or value that it was read from, as it is called there."""
    held_out: float = 0.0
    """The share of each class that was held out as test images, where none came along."""
    not_used: tuple[NotUsed, ...] = ()
    warnings: tuple[str, ...] = ()
    """Sentences on what may be meant otherwise, such as class names that are all numbers or labels from a table."""

    def without(self, *more: NotUsed) -> Inventory:
        """Return the inventory with more that was not used."""
        return replace(self, not_used=(*self.not_used, *more))

    @property
    def unused_pictures(self) -> int:
        """How many pictures lie there that are in no split."""
        return sum(each.count for each in self.not_used if each.what == "pictures")

    def sentences(self) -> list[str]:
        """Return it in words; an empty list where every file was used under its usual name."""
        renamed = [f"{found} as {split}" for split, found in self.parts.items() if found.lower() != split]
        unused = [*map(str, self.not_used[:SHOWN])]
        more = len(self.not_used) - len(unused)
        return [
            *([f"Read {', '.join(renamed)}."] if renamed else []),
            *([f"Not used: {'; '.join(unused)}{f'; and {more} more' if more else ''}."] if unused else []),
            *self.warnings,
        ]

    def __str__(self) -> str:
        return " ".join(self.sentences())
