"""Places in pictures that somebody or something found: a file of them is what a cure begins from."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError

FORMAT, VERSION = "overfocus places", 1


@dataclass(frozen=True, eq=False)
class FoundPlace:
    """A part of a picture, with the class whose answer changed as it was painted over."""

    mask: Tensor
    """[H, W] bool, in the picture as the network is shown it."""
    label: str
    """The class that was answered before."""
    run: str
    """The model, as it was named."""
    picture: str = ""
    """The file of the picture, or its place in a table."""
    true: str = ""
    """The class that the data gives the picture; empty where it is not known."""
    filling: tuple[str, ...] = ()
    """What was shown instead: mean, blur, noise, patch."""
    answers: Mapping[str, float] = field(default_factory=dict)
    """The probability of `label`: before, after, and with as much changed elsewhere."""
    source: str = "painted"
    """Who found it."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The rectangle that holds the mask: (x0, y0, x1, y1) as shares of width and height; 0 if empty."""
        if not bool(self.mask.any()):
            return 0.0, 0.0, 0.0, 0.0
        rows, columns = (self.mask.any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
        (height, width), last = self.mask.shape, (int(columns[-1]) + 1, int(rows[-1]) + 1)
        return int(columns[0]) / width, int(rows[0]) / height, last[0] / width, last[1] / height

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "label": self.label, "run": self.run, "picture": self.picture, "true": self.true, "source": self.source,
            "filling": list(self.filling), "answers": dict(self.answers), "box": list(self.box),
            "size": list(self.mask.shape), "mask": packed(self.mask),
        }  # fmt: skip

    @staticmethod
    def read(values: Mapping[str, Any]) -> FoundPlace:
        """Return what `as_dict` gave; KeyError, TypeError or ValueError for anything else."""
        height, width = values["size"]
        return FoundPlace(
            unpacked(values["mask"], (height, width)), str(values["label"]), str(values["run"]),
            str(values["picture"]), str(values["true"]), tuple(map(str, values["filling"])),
            {name: float(value) for name, value in values["answers"].items()}, str(values["source"]),
        )  # fmt: skip


def places_text(places: Sequence[Mapping[str, Any]]) -> str:
    """Return the file of some places, each `as_dict`."""
    return json.dumps({"format": FORMAT, "version": VERSION, "places": list(places)}, indent=1) + "\n"


def read_places(path: str | Path) -> list[FoundPlace]:
    """Return the places of a file; OverfocusError, which names it, where it is none."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        if values["format"] != FORMAT or values["version"] != VERSION:
            raise ValueError(f"format {values['format']!r} version {values['version']!r}")
        return [FoundPlace.read(each) for each in values["places"]]
    except OSError as error:
        raise OverfocusError(f"{path}: {error.strerror}; give a file of places that `overfocus open` saved") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise OverfocusError(f"{path}: no file of places ({error}); give one that `overfocus open` saved") from error


def packed(mask: Tensor) -> str:
    """Return a mask [H, W] bool as text: its bits row by row, the first the highest of its byte, in base64."""
    return b64encode(np.packbits(mask.cpu().numpy().reshape(-1)).tobytes()).decode()


def unpacked(text: str, size: tuple[int, int]) -> Tensor:
    """Return the mask [H, W] bool of `packed`; ValueError where it has another number of bits."""
    bits = np.frombuffer(b64decode(text, validate=True), dtype=np.uint8)
    count = size[0] * size[1]
    if count < 1 or len(bits) != -(-count // 8):
        raise ValueError(f"a mask of {len(bits)} bytes for {size[0]} x {size[1]} pixels")
    return torch.from_numpy(np.unpackbits(bits, count=count).astype(bool)).view(size)
