"""The boxes of weakly supervised localization at every threshold, against the loop of OpenCV calls that is in use.

    python benchmarks/localization.py [--rounds 5]

The loop does what the published protocol does for its two figures: 1,000 thresholds, each with threshold,
findContours(RETR_TREE), and boundingRect and contourArea of every contour. An 8-bit map can tell only 255 thresholds
apart, so the loop over these, which the published code does not do, is timed as well. The boxes are found equal first.
Here the maps of a batch are looked at together, as `overfocus diagnose` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from ratios import Bar, Table, grown, parser, run, turns

from overfocus.metrics.contours import boxes_at_thresholds, boxes_of_maps

Box = tuple[int, int, int, int]
DISTINCT = tuple(range(255))
GRID = tuple(int(share * 255) for share in np.arange(0, 1, 0.001))


KINDS = {
    "7x7, bilinear": (7, "bilinear", False),
    "7x7, bicubic": (7, "bicubic", False),
    "7x7, positive part": (7, "bicubic", True),
    "14x14, bilinear": (14, "bilinear", False),
    "14x14, bicubic": (14, "bicubic", False),
    "56x56, bicubic": (56, "bicubic", False),
}
"""Name -> cells of the map before it is brought to the size of the image, how that is done, whether only the positive
part is kept."""


def looped(map8: np.ndarray, thresholds: Sequence[int]) -> list[tuple[list[Box], int]]:
    """Return the boxes of each threshold by OpenCV, ends clipped, and the place of the largest contour's."""
    height, width = map8.shape
    found = []
    for threshold in thresholds:
        _, above = cv2.threshold(map8, threshold, 255, cv2.THRESH_BINARY)
        contours = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        rectangles = [cv2.boundingRect(contour) for contour in contours] or [(0, 0, 0, 0)]
        areas = [cv2.contourArea(contour) for contour in contours] or [0.0]
        boxes = [(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in rectangles]
        found.append((boxes, areas.index(max(areas))))
    return found


def maps(cells: int, size: int, count: int, mode: str, relu: bool = False) -> list[np.ndarray]:
    """Return `count` random maps of `cells` x `cells`, brought to `size` as 8 bits."""
    small = torch.randn(count, 1, cells, cells, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(small, (size, size), mode=mode)[:, 0] if cells != size else small[:, 0]
    large = large.relu() if relu else large
    low, high = large.amin((1, 2), keepdim=True), large.amax((1, 2), keepdim=True)
    return list(((large - low) / (high - low) * 255).to(torch.uint8).numpy())


def same(map8: np.ndarray) -> bool:
    ours = boxes_at_thresholds(map8)
    split = np.split(ours.boxes, np.flatnonzero(np.diff(ours.thresholds)) + 1)
    return all(
        sorted(map(tuple, mine.tolist())) == sorted(theirs) and tuple(ours.boxes[largest].tolist()) == theirs[place]
        for mine, largest, (theirs, place) in zip(split, ours.largest, looped(map8, DISTINCT), strict=True)
    )


OURS, GRIDDED, DISTINCTLY = "overfocus", "findContours, 1,000 thresholds", "findContours, 255 thresholds"


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    """Time on one thread throughout, as a loop over images runs; other threads are other images."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    size, count = (32, 1) if asked.tiny else (224, 16)
    for name, (cells, mode, relu) in KINDS.items():
        images = maps(cells or size, size, count, mode, relu=relu)
        if not all(same(image) for image in images):
            raise SystemExit(f"{name}: the boxes differ")
        yield table(name, images, asked)
    yield growth("image side", "side^2", {f"{side} px": (side, 4) for side in sides(asked)}, asked)
    yield growth("number of images", "images", {f"{images} images": (size // 2, images) for images in (2, 8)}, asked)


def sides(asked: argparse.Namespace) -> tuple[int, ...]:
    return (16, 32) if asked.tiny else (56, 112, 224, 448)


def growth(what: str, law: str, cases: dict[str, tuple[int, int]], asked: argparse.Namespace) -> Table:
    """Time ours over sizes (side, images); the law is that time grows no faster than pixels. Over thresholds there is
    nothing to grow: all 255 are always found.
    """
    stacks = {name: np.stack(maps(7, side, images, "bicubic")) for name, (side, images) in cases.items()}
    variants = {name: lambda stack=stack: list(boxes_of_maps(stack)) for name, stack in stacks.items()}
    pixels, law = [stack.size for stack in stacks.values()], f"linear in {law} (power 1 of the pixels)"
    return grown(f"All boxes of all thresholds, growing {what}", pixels, variants, asked, law=law)


def table(name: str, images: list[np.ndarray], asked: argparse.Namespace) -> Table:
    stack = np.stack(images)
    variants = {
        OURS: lambda: list(boxes_of_maps(stack)),
        GRIDDED: lambda: [looped(image, GRID) for image in images],
        DISTINCTLY: lambda: [looped(image, DISTINCT) for image in images],
    }
    side = images[0].shape[-1]
    return Table(f"All boxes of all thresholds, {side} x {side}, {name}", GRIDDED, turns(variants, asked.rounds),
                 [Bar(OURS, GRIDDED, 1 / 20)], ours=[OURS], per=len(images), unit="maps")  # fmt: skip


def main() -> None:
    run(parser(__doc__, rounds=5).parse_args(), tables)


if __name__ == "__main__":
    main()
