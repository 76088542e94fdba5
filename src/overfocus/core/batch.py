"""What flows through the two seams of training: a batch of images, and a batch of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from overfocus.core.targets import Targets


@dataclass(frozen=True)
class Batch:
    """Values with their targets, and what the methods measured on the way.

    On the image seam the values are images [B, C, H, W], on the feature seam features [B, C, h, w], tokens [B, N, D] or
    a vector [B, D].
    """

    values: Tensor
    targets: Targets
    measured: Mapping[str, Tensor] = field(default_factory=dict)
    """Name -> [] or [B]: what happened, read off the result. Values of methods that ran on part of the batch hold NaN
    elsewhere.
    """
    views: int = 1
    """How many versions of the same images follow one another; the first is the plain one where there are several."""

    @property
    def images(self) -> Tensor:
        """The values, on the image seam: [B, C, H, W]."""
        return self.values

    def __len__(self) -> int:
        return len(self.values)

    def noting(self, **measured: Tensor) -> Batch:
        """Return the batch with more `measured`, detached; a name that is taken gets a number."""
        notes = dict(self.measured)
        for name, value in measured.items():
            key, number = name, 2
            while key in notes:
                key, number = f"{name}_{number}", number + 1
            notes[key] = value.detach()
        return replace(self, measured=notes)
