"""What the labels in masks mean, which masks do not say: whether 255 is an object, or the border between objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from overfocus.core.errors import OverfocusError
from overfocus.data.image_files import opened

BORDER = 255
"""The label of pixels on the border between objects in masks of VOC."""
BORDER_COLOUR = (224, 224, 192)
"""What VOC's palette makes of it, where a mask was saved in colours."""
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")
"""Formats that blur labels, so that none can be told from its value."""
LOOKED_AT = 64
"""Masks that are looked at to see of which kind all are."""


def has_border(paths: Sequence[Path]) -> bool:
    """Say whether masks mark borders by 255 beside other labels, as VOC does, by some 64 of them.

    A mask of 0 and 255 alone is an object, and one with values up to 254 has soft edges: there 255 is the object. In
    colours the border is (224, 224, 192), of VOC's palette.
    Raises OverfocusError where no mask has a background, and where borders and soft edges are mixed.
    """
    found, background = set(), False
    for path in paths[:: max(1, len(paths) // LOOKED_AT)]:
        try:
            with opened(str(path), str(path)) as picture:
                known = picture.mode in ("P", "L") and picture.format not in LOSSY
                labels = set(np.unique(np.array(picture)).tolist()) if known else {0}
                indexed = picture.mode == "P"
                if picture.mode in ("RGB", "RGBA") and picture.format not in LOSSY:
                    colours = {*map(tuple, np.unique(np.array(picture.convert("RGB")).reshape(-1, 3), axis=0).tolist())}
                    others = colours - {(0, 0, 0), BORDER_COLOUR}
                    if BORDER_COLOUR in colours and others:
                        found.add("border")
                    background |= (0, 0, 0) in colours
                    continue
        except OverfocusError:
            continue  # told when it is read
        others = labels - {0, BORDER}
        background |= 0 in labels or len(labels) < 2
        if BORDER in labels and others:
            found.add("border" if indexed or max(others) < BORDER // 2 else "soft")
    if paths and not background:
        raise OverfocusError(
            f"boxes: {paths[0]} and the other masks have no pixel of 0, which is the background; save it as 0"
        )
    if len(found) > 1:
        raise OverfocusError(
            f"boxes: in the masks of {paths[0].parent} 255 is a border of labels in some and the object in others; "
            "give masks of one kind"
        )
    return found == {"border"}
