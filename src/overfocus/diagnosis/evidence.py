"""What was collected from a model: arrays and a few words. Every number follows from them; no model is run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from overfocus.attribution.catalogue import upsampled
from overfocus.core import boxes as rectangles
from overfocus.core.errors import OverfocusError
from overfocus.core.files import replacing
from overfocus.core.key import Key

CHUNK = 256
"""Images whose maps are brought to their size at once."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Arrays by name, such as `logits` [N, K] or `hiding/salient/right` [S, N], and what they were made with."""

    arrays: Mapping[str, np.ndarray]
    about: Mapping[str, Any] = field(default_factory=dict)
    """Names of model, data and classes, the seed, and each section's settings; whatever JSON holds."""

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def tensor(self, name: str) -> Tensor:
        """Return the array `name` as a tensor that shares its memory."""
        return torch.from_numpy(self.arrays[name])

    def below(self, prefix: str) -> list[str]:
        """Return the next parts of all names below `prefix`, in the order in which they were collected."""
        start = f"{prefix}/"
        return list(dict.fromkeys(n[len(start) :].split("/")[0] for n in self.arrays if n.startswith(start)))

    def with_arrays(self, more: Mapping[str, np.ndarray], **about: Any) -> Evidence:
        """Return this evidence and `more`."""
        return Evidence({**self.arrays, **more}, {**self.about, **about})

    def predicted_maps(self, rows: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the maps of the predicted class of the images `rows` [B], upsampled to `size` (H, W): [B, H, W]."""
        return upsampled(self.tensor("maps/predicted")[rows], size)

    def boxes(self, rows: Tensor) -> list[Tensor]:
        """Return the boxes [n, 4] of each of the images `rows` [B], ascending."""
        boxes, image = self.tensor("boxes").long(), self.tensor("box_image")
        first, last = torch.searchsorted(image, rows), torch.searchsorted(image, rows, right=True)
        return [boxes[start:end] for start, end in zip(first.tolist(), last.tolist(), strict=True)]

    def masks(self, rows: Tensor) -> dict[str, Tensor]:
        """Return part -> masks [B, H, W] bool of the images `rows` [B]."""
        return {part: unpacked(self.arrays[f"masks/{part}"][rows.numpy()], self.size) for part in self.below("masks")}

    def objects(self, rows: Tensor) -> Tensor:
        """Return the pixels that any mask marks, or any box where there are no masks, of the images `rows` [B]:
        [B, H, W] bool.
        """
        if masks := self.masks(rows):
            return torch.stack(list(masks.values())).any(dim=0)
        found = torch.zeros(len(rows), *self.size, dtype=torch.bool)
        for place, boxes in enumerate(self.boxes(rows) if "boxes" in self else ()):
            if len(boxes):
                found[place] = rectangles.inside(boxes, self.size).any(dim=0)
        return found

    def key(self, name: str, rows: Tensor, device: torch.device) -> Key:
        """Return the key of the draws called `name` for the images `rows` [B]."""
        return Key.seeded(self.seed, device=device).fold_in(name).at(rows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self.about["size"]
        return height, width

    @property
    def labels(self) -> Tensor:
        """What each image is: [N] int64."""
        return self.tensor("labels")

    @property
    def logits(self) -> Tensor:
        """The model's answer to each image: [N, K] float32."""
        return self.tensor("logits")

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(self.about["classes"])

    @property
    def seed(self) -> int:
        """The seed of all draws."""
        return int(self.about.get("seed", 0))

    def save(self, path: str | Path) -> None:
        """Write an .npz file, whole or not at all."""
        text = np.frombuffer(json.dumps(dict(self.about)).encode(), dtype=np.uint8)
        with replacing(Path(path)) as aside, aside.open("wb") as file:
            np.savez_compressed(file, **{"about.json": text, **self.arrays})  # type: ignore[arg-type]

    @staticmethod
    def load(path: str | Path) -> Evidence:
        """Read what `save` wrote; never runs code from the file."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(arrays.pop("about.json").tobytes())
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise OverfocusError(f"{path} is not evidence that was saved here ({error}); run diagnose again") from error
        return Evidence(arrays, about)


def joined(parts: Iterable[Mapping[str, Tensor]], prefix: str = "", dim: int = 0) -> dict[str, np.ndarray]:
    """Return what was collected batch by batch, put together along `dim`, with names that begin with `prefix`."""
    on_processor = [{name: values.detach().cpu() for name, values in part.items()} for part in parts]
    return {
        f"{prefix}{name}": torch.cat([part[name] for part in on_processor], dim=dim).numpy() for name in on_processor[0]
    }


def packed(masks: Tensor) -> np.ndarray:
    """Return bool masks [N, H, W] as bits [N, ceil(H W / 8)] uint8."""
    return np.packbits(masks.flatten(1).cpu().numpy(), axis=1)


def unpacked(bits: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Return what `packed` took: [N, H, W] bool."""
    height, width = size
    flat = np.unpackbits(bits, axis=1, count=height * width)
    return torch.from_numpy(flat.astype(bool)).view(-1, height, width)
