"""Weakly supervised localization: does the box around a map meet the object's? (Choe et al., 2001.07437, 2007.04178)

A map becomes a box only through a threshold, and the images that are evaluated must not choose it: it comes from other
images, by `best_threshold` of another accumulator or by `crossed`, where each half chooses for the other. Published
figures take the best threshold on the images that they report; that is here called `oracle` and is no estimate. There
is no best threshold of a single image at all.

Read a figure beside its baselines, a centred box and the whole picture, and beside its value on small objects: in that
study no method that was made to look wider beat the plain one on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.contours import boxes_of_maps
from overfocus.metrics.iou_hits import IOUS, Array, Hits, hits, scaled, with_area
from overfocus.metrics.score import Metric, Score, mean_score

FIXED = int(0.15 * 255)
"""The threshold that the CutMix paper (1905.04899) used for every model: 15 % of the maximum."""
_HALF = IOUS.index(0.5)
_AT_HALF, _MEAN = "IoU >= 0.5", "mean over IoU 0.3, 0.5, 0.7"


def _metric(title: str, formula: str) -> Metric:
    return Metric(title, f"share of images: {formula}", "higher", "of images")


METRICS = {
    "max_box_acc": _metric("MaxBoxAcc", f"box of the largest contour, {_AT_HALF}"),
    "max_box_acc_v2": _metric("MaxBoxAccV2", f"box of any contour, {_MEAN}"),
    "top1_loc": _metric("top-1 localization", f"class right and box of the largest contour, {_AT_HALF}"),
    "gt_known_fixed": _metric("GT-known localization, threshold 15 %", f"box of the largest contour, {_AT_HALF}"),
    "top1_loc_fixed": _metric("top-1 localization, threshold 15 %", f"class right and the same box, {_AT_HALF}"),
    "centre_box": _metric("centre box", f"centred box of half the area, {_AT_HALF}"),
    "centre_box_v2": _metric("centre box, V2", f"centred box of half the area, {_MEAN}"),
    "whole_picture": _metric("whole picture", f"box of the whole picture, {_AT_HALF}"),
    "whole_picture_v2": _metric("whole picture, V2", f"box of the whole picture, {_MEAN}"),
}
"""Name -> what it means. Each comes a second time with `_small`, on the images whose boxes cover under a third."""


@dataclass(frozen=True)
class Thresholds:
    """Where to cut a map scaled to 0..255; above lies the object."""

    largest: int
    """In 0..254: for the largest contour, at IoU 0.5."""
    every: tuple[int, int, int]
    """For all contours, at IoU 0.3, 0.5 and 0.7; each has its own, as in the published figure."""

    def __post_init__(self) -> None:
        if any(not 0 <= each <= 254 for each in (self.largest, *self.every)) or len(self.every) != len(IOUS):
            raise OverfocusError(f"localization: {self}; thresholds lie in 0..254, and `every` has one for each IoU")


@dataclass
class BoxAccuracy:
    """An accumulator of hits: about 230 bytes an image, whatever its size."""

    parts: list[Hits] = field(default_factory=list)
    without_box: int = 0
    """Images without a box that has an area; they are left out."""

    def update(self, maps: Tensor, boxes: Sequence[Tensor], right: Tensor | None = None) -> None:
        """Add images: `maps` [B, H, W] at the size of the image, of the true class; for each its `boxes` [n, 4] (x0,
        y0, x1, y1; x1, y1 excluded), and whether its class was predicted `right` [B].

        A map that is constant or has a value that is not finite has no box: it counts as a miss, and a note says how
        many there were. Raises where the lengths differ.
        """
        if maps.ndim != 3 or len(maps) != len(boxes) or (right is not None and right.shape != maps.shape[:1]):
            raise OverfocusError(
                f"localization: maps of shape {tuple(maps.shape)} for the boxes of {len(boxes)} images; give maps "
                "[B, H, W], one [n, 4] of boxes for each, and `right` as [B]"
            )
        size = (maps.shape[1], maps.shape[2])
        shares, usable = scaled(maps)
        known = [nan] * len(maps) if right is None else right.double().tolist()
        given = [with_area(each, size) for each in boxes]
        answered = [one and len(true) > 0 for one, true in zip(usable.tolist(), given, strict=True)]
        drawn = boxes_of_maps((shares[answered] * 255).to(torch.uint8).cpu().numpy())
        found = [
            hits(next(drawn) if one else None, true, size, called)
            for one, true, called in zip(answered, given, known, strict=True)
            if len(true)
        ]
        self.parts.append(Hits.joined(found))
        self.without_box += len(maps) - len(found)

    def best_threshold(self) -> Thresholds:
        """Return the thresholds that are best on these images, of equal ones the lowest: for judging *other* images.
        Raises where there is no image.
        """
        return _best(Hits.joined(self.parts))

    def compute(self, threshold: Thresholds, *, seed: int = 0) -> dict[str, Score]:
        """Return every figure of `METRICS`, all in [0, 1] and better higher, at a `threshold` that other images chose;
        intervals are over images.
        """
        found = Hits.joined(self.parts)
        return self._scores(found, _evaluated(found, threshold), f"threshold {threshold.largest}/255 given", seed)

    def crossed(self, *, seed: int = 0) -> dict[str, Score]:
        """Return the same figures where each half of the images, split by `seed`, is evaluated at the threshold that is
        best on the other half. Raises for fewer than two images.
        """
        values, note = self.crossed_values(seed=seed)
        return self._scores(Hits.joined(self.parts), values, note, seed)

    def crossed_values(self, *, seed: int = 0) -> tuple[dict[str, Array], str]:
        """Return the value of every figure of `crossed` for every image with a box, in the order in which they were
        added: name -> [N] float64; and which thresholds were taken.
        """
        found = Hits.joined(self.parts)
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(found.small))
        places = np.array_split(order, 2)
        halves = [found.take(rows) for rows in places]
        chosen = [_best(half) for half in reversed(halves)]
        evaluated = [_evaluated(half, thresholds) for half, thresholds in zip(halves, chosen, strict=True)]
        back = np.argsort(order)
        values = {name: np.concatenate([each[name] for each in evaluated])[back] for name in METRICS}
        used = " and ".join(str(each.largest) for each in chosen)
        return values, f"thresholds {used} of 255, from the other half"

    def oracle(self, *, seed: int = 0) -> dict[str, Score]:
        """Return MaxBoxAcc and MaxBoxAccV2 as published: at the threshold that is best on these very images.

        Too high as an estimate for other images, and so is its interval, which does not choose anew.
        """
        found = Hits.joined(self.parts)
        values = _evaluated(found, _best(found))
        names = ("max_box_acc", "max_box_acc_v2")
        scores = self._scores(found, {name: values[name] for name in names}, "threshold from the same images", seed)
        return {f"{name}_oracle": score for name, score in scores.items()}

    def _scores(self, found: Hits, values: dict[str, Array], note: str, seed: int) -> dict[str, Score]:
        missing = int((~found.answered.astype(bool)).sum())
        counted = {f"{self.without_box} images without a box left out": self.without_box,
                   f"{missing} maps without an answer counted as misses": missing}  # fmt: skip
        said = "; ".join([note, *(sentence for sentence, count in counted.items() if count)])
        rows = {"": np.ones(len(found.small), bool), "_small": found.small}
        return {
            f"{name}{suffix}": mean_score(METRICS[name], torch.from_numpy(value[kept]), seed=seed, note=said)
            for suffix, kept in rows.items()
            for name, value in values.items()
        }


def _best(found: Hits) -> Thresholds:
    if not len(found.small):
        raise OverfocusError("localization: no image with a box to choose a threshold on; update with some first")
    first, second, third = (int(found.at("every", bound).mean(axis=0).argmax()) for bound in range(len(IOUS)))
    return Thresholds(int(found.at("largest", _HALF).mean(axis=0).argmax()), (first, second, third))


def _evaluated(found: Hits, threshold: Thresholds) -> dict[str, Array]:
    """Return the value of every figure for every image: name -> [N] float64."""
    largest = found.at("largest", _HALF).astype(np.float64)
    every = [found.at("every", bound)[:, each] for bound, each in enumerate(threshold.every)]
    centre, whole = found.baselines.astype(np.float64).swapaxes(0, 1)
    right = found.right.astype(np.float64)
    return {
        "max_box_acc": largest[:, threshold.largest], "max_box_acc_v2": np.mean(every, axis=0),
        "top1_loc": right * largest[:, threshold.largest],
        "gt_known_fixed": largest[:, FIXED], "top1_loc_fixed": right * largest[:, FIXED],
        "centre_box": centre[:, _HALF], "centre_box_v2": centre.mean(axis=1),
        "whole_picture": whole[:, _HALF], "whole_picture_v2": whole.mean(axis=1),
    }  # fmt: skip
