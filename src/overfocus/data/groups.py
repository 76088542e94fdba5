"""What images have in common besides their class, such as site, scanner or background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageGroups:
    """The group of each of N images."""

    column: str
    """What the groups are: the column that they are read from."""
    names: tuple[str, ...]
    """Of all groups of the set; a part of it may have none of some."""
    places: Tensor
    """[N] int64: the place of each image's group in `names`."""

    def __len__(self) -> int:
        return len(self.places)

    def pick(self, rows: Tensor) -> ImageGroups:
        """Return those of the images `rows` [n], in that order."""
        return replace(self, places=self.places[rows])


def joined_groups(parts: Sequence[ImageGroups | None]) -> ImageGroups | None:
    """Return the groups of the parts of one set, one part after the other; None where a part has none."""
    known = [each for each in parts if each is not None]
    if not known or len(known) < len(parts):
        return None
    return replace(known[0], places=torch.cat([each.places for each in known]))
