"""The embedded set `totem-scenes`: cluttered scenes with one to four totems, for detectors.

80 x 80 RGB, the 10 classes of `totem`. A totem is a stack of its three parts, 12 pixels wide and 36 high, at any place;
no two of them overlap. The clutter is that of `totem`, four scenes side by side; no writer of digits is in both train
and test. Made in memory from a seed, with integers only; a larger set begins with the smaller one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.data.images import TensorImages
from overfocus.data.scene import SIDE, below, clutter, stamp, window
from overfocus.data.totem import CLASSES, FIRST_TEST_DIGIT, ORDERS, PART, PARTS, paint_parts
from overfocus.downstream.objects import Objects, ObjectSet

EDGE = 2 * SIDE
"""Pixels of a scene's side."""
MOST = 4
"""Totems on a scene."""
TRIES = 24
"""Places that are drawn for a totem; where others stand on all of them, it is left out."""
WIDE, HIGH = PART, PART * len(PARTS)


def totem_scenes(train: int = 1000, test: int = 300, seed: int = 0) -> ObjectSet:
    """Make the set of `train` and `test` scenes."""
    key = Key.seeded(seed).fold_in("totem-scenes")
    parts = (
        _paint(key.fold_in("train"), train, slice(None, FIRST_TEST_DIGIT)),
        _paint(key.fold_in("test"), test, slice(FIRST_TEST_DIGIT, None)),
    )
    note = "Handwriting: optdigits (E. Alpaydin, C. Kaynak; CC BY 4.0) as scikit-learn ships it."
    return ObjectSet("totem-scenes", *parts, classes=CLASSES, note=note)


def background(key: Key, count: int) -> Tensor:
    """Paint `count` scenes without totems: [count, 3, 80, 80] uint8."""
    tiles = clutter(key.fold_in("scene"), 4 * count).unflatten(0, (count, 2, 2))
    return tiles.permute(0, 3, 1, 4, 2, 5).reshape(count, 3, EDGE, EDGE)


def _paint(key: Key, count: int, written: slice) -> Objects:
    scenes = background(key, count)
    corners, stands = _places(key, count)
    labels = below(key.fold_in("labels").bits(count, MOST), len(CLASSES))
    for number in range(MOST):
        rows = stands[:, number].nonzero()[:, 0]
        here = key.fold_in("totem").fold_in(number).at(rows)
        scenes[rows] = _with_totem(here, scenes[rows], labels[rows, number], corners[rows, number], written)
    boxes = torch.cat((corners, corners + torch.tensor((WIDE, HIGH))), dim=2)
    return Objects(
        TensorImages(scenes, "totem-scenes"),
        [box[there] for box, there in zip(boxes, stands, strict=True)],
        [label[there] for label, there in zip(labels, stands, strict=True)],
    )


def _with_totem(key: Key, scenes: Tensor, labels: Tensor, corner: Tensor, written: slice) -> Tensor:
    """Return copies of `scenes` [B, 3, H, W] with a totem of the class `labels` [B] at `corner` [B, 2] (x, y) each."""
    scenes, x = scenes.clone(), corner[:, 0]
    order = torch.tensor(ORDERS)[below(key.fold_in("order").bits(len(scenes))[:, 0], len(ORDERS))]
    y = corner[:, 1:] + PART * order
    patches = paint_parts(key, labels, window(scenes, PART, y[:, 2], x), written)
    for row, part in enumerate(PARTS):
        stamp(scenes, *patches[part], y[:, row], x)
    return scenes


def _places(key: Key, count: int) -> tuple[Tensor, Tensor]:
    """Draw where totems stand: their corners [count, 4, 2] int64 (x, y), and which of them there are [count, 4]."""
    wanted = 1 + below(key.fold_in("number").bits(count), MOST)
    room = torch.tensor((EDGE - WIDE + 1, EDGE - HIGH + 1))
    apart = torch.tensor((WIDE, HIGH))
    corners = torch.zeros(count, MOST, 2, dtype=torch.int64)
    stands = torch.zeros(count, MOST, dtype=torch.bool)
    for number in range(MOST):
        tried = below(key.fold_in("place").fold_in(number).bits(count, 2 * TRIES).unflatten(1, (TRIES, 2)), room)
        near = ((tried[:, :, None] - corners[:, None]).abs() < apart).all(dim=3)
        free = ~(near & stands[:, None]).any(dim=2)
        first = free.to(torch.uint8).argmax(dim=1)
        corners[:, number] = tried[torch.arange(count), first]
        stands[:, number] = free.any(dim=1) & (number < wanted[:, 0])
    return corners, stands
