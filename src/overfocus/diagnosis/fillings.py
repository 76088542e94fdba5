"""What hidden pixels show instead: the mean colour, a blur, noise, or another picture."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.corruptions.blur import smooth
from overfocus.diagnosis.pixels import uniform

FILLINGS = {"mean": "the mean colour", "blur": "blur", "noise": "noise", "patch": "another picture"}
"""Name -> what it is."""
BLUR = 1 / 8
"""Sigma of the blur as a share of the shorter side: what is smaller is gone, the colour of large parts stays."""


def in_words(names: Collection[str], link: str = "or") -> str:
    """Return fillings by their names as "the mean colour, blur or noise", in the order of `FILLINGS`."""
    words = [text for name, text in FILLINGS.items() if name in names]
    return f" {link} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def fillings(pixels: Tensor, mean: Tensor, key: Key, donors: Tensor | None = None) -> dict[str, Tensor]:
    """Return by name what may stand for hidden pixels of `pixels` [B, C, H, W] in [0, 1]: each of the same shape.

    mean: the colour [C, 1, 1] that the model was normalised with. key: that of the pictures' places in the sample; the
    noise of each value is even in [0, 1]. donors: another picture for each [B, C, H, W]; without them "patch" is left
    out.
    """
    found = {
        "mean": mean.to(pixels).expand_as(pixels),
        "blur": coarse(pixels),
        "noise": uniform(key.fold_in("noise"), pixels),
    }
    return found if donors is None else {**found, "patch": donors}


def coarse(pixels: Tensor) -> Tensor:
    """Return what is left of `pixels` [B, C, H, W] without anything small: light and colour of large parts."""
    return smooth(pixels, BLUR * min(pixels.shape[-2:]), border="reflect")
