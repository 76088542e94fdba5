"""Images with the boxes and the classes of the objects on them, which detectors are trained and measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data.images import Images
from overfocus.data.split import Dataset, Split


@dataclass(frozen=True, eq=False)
class Objects:
    """Images with the boxes and classes of their objects."""

    images: Images
    boxes: Sequence[Tensor]
    """For each image [n, 4] int64 (x0, y0, x1, y1) in its pixels, x1 and y1 excluded; n may be 0."""
    labels: Sequence[Tensor]
    """For each image [n] int64, the classes of its boxes, from 0."""

    def __post_init__(self) -> None:
        counts = [[len(each) for each in rows] for rows in (self.boxes, self.labels)]
        if len(self.images) != len(self.boxes) or counts[0] != counts[1]:
            raise OverfocusError(
                f"objects: {len(self.images)} images, boxes of {len(counts[0])} and labels of {len(counts[1])}; give "
                "boxes for each image, and a label for each box"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def pick(self, rows: Tensor) -> Objects:
        """Return the images at `rows` [n] with their objects, in that order."""
        chosen = rows.tolist()
        return Objects(
            self.images.pick(rows), [self.boxes[row] for row in chosen], [self.labels[row] for row in chosen]
        )

    def at_most(self, count: int | None, seed: int) -> Objects:
        """Return `count` of the images, drawn by `seed`, or all; fewer are among those that are drawn for more."""
        if count is None or count >= len(self):
            return self
        return self.pick(Key.seeded(seed).fold_in("objects").order(len(self))[:count])


@dataclass(frozen=True, eq=False)
class ObjectSet:
    """What a detector is trained and measured on."""

    name: str
    train: Objects
    test: Objects
    classes: tuple[str, ...]
    note: str = ""
    """What matters for its figures: what is left out, licence."""

    def __post_init__(self) -> None:
        for part, objects in (("train", self.train), ("test", self.test)):
            if not any(map(len, objects.boxes)):
                raise OverfocusError(
                    f"{self.name}: no box on any of its {len(objects)} {part} images; a detector needs some"
                )

    def thinned(self, train: int | None, test: int | None, seed: int) -> ObjectSet:
        """Return the set with at most so many images: those for training by `seed`, those for testing always alike."""
        return replace(self, train=self.train.at_most(train, seed), test=self.test.at_most(test, 0))

    def fingerprint(self) -> str:
        """Return the SHA-256 of image stamps, boxes and labels of both parts."""
        digest = sha256("\0".join(self.classes).encode())
        for objects in (self.train, self.test):
            digest.update(f"\0{len(objects)}\0".encode())
            for row, (boxes, labels) in enumerate(zip(objects.boxes, objects.labels, strict=True)):
                digest.update(objects.images.stamp(row))
                digest.update(torch.cat((boxes, labels[:, None]), dim=1).numpy().tobytes())
        return digest.hexdigest()


def objects_of(dataset: Dataset) -> ObjectSet:
    """Return a set of classified images as objects: every box on an image is of the image's class.

    Raises OverfocusError where the set has no boxes.
    """
    if dataset.splits["train"].boxes is None or dataset.splits["test"].boxes is None:
        raise OverfocusError(
            f"{dataset.name} does not say where its objects are; give totem-scenes, a folder of COCO or VOC, or a set "
            "with boxes such as Tiny-ImageNet"
        )
    parts = (_boxed(dataset.splits[name]) for name in ("train", "test"))
    return ObjectSet(dataset.name, *parts, classes=dataset.classes, note=dataset.note)


def _boxed(split: Split) -> Objects:
    boxes = list(split.boxes or ())
    labels = [label.expand(len(box)) for label, box in zip(split.labels, boxes, strict=True)]
    return Objects(split.images, boxes, labels)
