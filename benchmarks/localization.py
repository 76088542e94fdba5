"""The boxes of weakly supervised localization at every threshold, against the loop of OpenCV calls that is in use.

    python benchmarks/localization.py [--size 224] [--images 8] [--rounds 9] [--json FILE]

The loop does what the published protocol does for its two figures: 1,000 thresholds, each with threshold,
findContours(RETR_TREE), and boundingRect and contourArea of every contour. An 8-bit map can tell only 255 thresholds
apart, so the loop over these, which the published code does not do, is timed as well. Variants take turns
within a round, one thread each, in processor time; the median ratio over rounds is printed with its quartiles, after
the boxes have been found equal. A speed is a measurement, not a test.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from time import process_time

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from overfocus.metrics.contours import boxes_at_thresholds

Box = tuple[int, int, int, int]
DISTINCT = tuple(range(255))
GRID = tuple(int(share * 255) for share in np.arange(0, 1, 0.001))


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


def timed(work: Callable[[np.ndarray], object], images: list[np.ndarray]) -> float:
    started = process_time()
    for image in images:
        work(image)
    return (process_time() - started) / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    kinds = {
        "7x7, bilinear": maps(7, asked.size, asked.images, "bilinear"),
        "7x7, bicubic": maps(7, asked.size, asked.images, "bicubic"),
        "7x7, positive part": maps(7, asked.size, asked.images, "bicubic", relu=True),
        "14x14, bilinear": maps(14, asked.size, asked.images, "bilinear"),
        "14x14, bicubic": maps(14, asked.size, asked.images, "bicubic"),
        "56x56, bicubic": maps(56, asked.size, asked.images, "bicubic"),
        "noise": maps(asked.size, asked.size, 1, ""),
    }
    print(
        f"{asked.size} x {asked.size}, 1 thread of {platform.machine()}, numpy {np.__version__}, "
        f"OpenCV {cv2.__version__}, {asked.rounds} rounds of {asked.images} images"
    )
    results = {name: compared(name, images, asked.rounds) for name, images in kinds.items()}
    if asked.json:
        asked.json.write_text(json.dumps({"results": results, **vars(asked)}, default=str, indent=2))


def compared(name: str, images: list[np.ndarray], rounds: int) -> dict[str, object]:
    if not all(same(image) for image in images):
        raise SystemExit(f"{name}: the boxes differ")
    slow = name == "noise"
    ours, grid, distinct = [], [], []
    for _ in range(2 if slow else rounds):
        ours.append(timed(boxes_at_thresholds, images))
        grid.append(timed(lambda image: looped(image, GRID), images))
        distinct.append(timed(lambda image: looped(image, DISTINCT), images))
    ratios = [theirs / mine for theirs, mine in zip(grid, ours, strict=True)]
    fair = median(theirs / mine for theirs, mine in zip(distinct, ours, strict=True))
    low, _, high = quantiles(ratios, n=4)
    print(
        f"{name:20} {median(ours) * 1e3:8.1f} ms   1,000 thresholds {median(grid) * 1e3:9.1f} ms: "
        f"{median(ratios):5.1f} x ({low:.1f} to {high:.1f})   255 thresholds: {fair:.1f} x"
    )
    return {"ms": median(ours) * 1e3, "ratio": median(ratios), "quartiles": [low, high], "ratio_255": fair}


if __name__ == "__main__":
    main()
