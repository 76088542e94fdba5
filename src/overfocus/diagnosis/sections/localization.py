"""Do its maps show where the object is? Weakly supervised localization, beside what needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.evidence import CHUNK, Evidence
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Finding, Section, scattered
from overfocus.metrics.iou_hits import with_area
from overfocus.metrics.localization import METRICS, BoxAccuracy
from overfocus.metrics.pixels import PxAP
from overfocus.metrics.score import Metric, Score

FEWEST = 2
"""Images with a box that it takes to choose a threshold on one half for the other."""


@dataclass(frozen=True)
class Localization(Section):
    """MaxBoxAcc, MaxBoxAccV2, GT-known and top-1 localization with boxes, PxAP with masks."""

    name: ClassVar[str] = "localization"
    title: ClassVar[str] = "Localization"
    question: ClassVar[str] = "Do its maps show where the object is, better than what needs no model?"
    order: ClassVar[int] = 30
    reads_map: ClassVar[bool] = True
    passes: ClassVar[int] = 0
    headline: ClassVar[tuple[str, ...]] = (
        "max_box_acc_v2",
        "centre_box_v2",
        "whole_picture_v2",
        "top1_loc",
        "pxap",
        "pxap_even",
    )
    needs: ClassVar[str] = "boxes of two images, or masks"

    def lacking(self, sample: Sample) -> str:
        """Need boxes of two images, or masks."""
        boxed = sum(bool(len(each)) for each in sample.boxes or ())
        return "" if boxed >= FEWEST or sample.masks else "the data has no boxes or masks"

    def evaluate(self, evidence: Evidence) -> Finding:
        """Evaluate the maps of the true class: each half of the images at the threshold that is best on the other."""
        boxes, pixels = BoxAccuracy(), PxAP()
        parts, right = evidence.below("masks"), named(evidence.logits) == evidence.labels
        for rows in torch.arange(len(evidence.labels)).split(CHUNK):
            # The reference enlarges with cubic splines.
            small = evidence.tensor("maps/true")[rows][:, None]
            maps = F.interpolate(small, evidence.size, mode="bicubic", align_corners=False)[:, 0]
            if "boxes" in evidence:
                boxes.update(maps, evidence.boxes(rows), right[rows])
            if parts:
                pixels.update(maps, torch.stack(list(evidence.masks(rows).values())).any(dim=0))
        boxed = "boxes" in evidence and sum(len(part.small) for part in boxes.parts) >= FEWEST
        scores = {**boxes.crossed(seed=evidence.seed), **boxes.oracle(seed=evidence.seed)} if boxed else {}
        thresholds = scores["max_box_acc"].note if boxed else ""
        scores = {name: replace(score, note="") if score.answered else score for name, score in scores.items()}
        per_image = _per_image(evidence, boxes) if boxed else {}
        scores |= pixels.compute() if parts else {}
        notes = (
            "Maps of the true class, enlarged to the picture. Each half of the images is evaluated at the threshold "
            "that is best on the other half; `oracle` figures, as papers print them, choose it on the same images.",
            "`small` figures are of the pictures whose box covers under a third.",
            *([f"{thresholds[0].upper()}{thresholds[1:]}."] if thresholds else []),
        )
        return self.found(_sentence, per_image, evidence.seed, scores, notes=notes)


def _per_image(evidence: Evidence, boxes: BoxAccuracy) -> dict[str, tuple[Metric, Tensor]]:
    """Return the hits [N] behind the figures, NaN for images without a box."""
    count = len(evidence.labels)
    given = evidence.boxes(torch.arange(count))
    rows = torch.tensor([row for row in range(count) if len(with_area(given[row], evidence.size))])
    values, _ = boxes.crossed_values(seed=evidence.seed)
    return {name: (METRICS[name], scattered(torch.from_numpy(of), rows, count)) for name, of in values.items()}


def _sentence(scores: Mapping[str, Score]) -> str:
    if "max_box_acc_v2" not in scores:
        area, even = scores["pxap"], scores["pxap_even"]
        return f"PxAP is {area}, where an even map has {even} (n = {area.n:,})."
    v2, half, small = scores["max_box_acc_v2"], scores["max_box_acc"], scores["max_box_acc_small"]
    centre, whole = scores["centre_box"], scores["whole_picture"]
    best = max(centre.value, whole.value)
    verdict = "better than" if half.low > best else "no better than" if half.high < best else "not shown to differ from"
    on_small = (
        f" On pictures with a small object it is {small:.2f}, the centred box "
        f"{scores['centre_box_small'].value:.2f} (n = {small.n:,})."
    )
    return (
        f"MaxBoxAccV2 is {v2}. At IoU 0.5 a box around the map is right for {half:.2f} of the pictures, a "
        f"centred box for {centre.value:.2f} and the whole picture for {whole.value:.2f}: {verdict} what needs no "
        f"model (n = {half.n:,}).{on_small if small.answered else ' No picture has a small object.'}"
    )
