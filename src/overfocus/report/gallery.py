"""Images of an examination as a person sees them: with heat maps of every model, and small ones for lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from PIL import Image
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.comparison import Comparison
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.sample import Sample
from overfocus.report.overlay import Look, Shown, outlined, overlay, picture

LARGEST, SMALL = 256, 96
"""Pixels of the longer side, at most: of a picture, and of one in a list."""


def check(comparison: Comparison, sample: Sample) -> None:
    """Raise OverfocusError where `sample` is not what the models were asked about."""
    for each in comparison.diagnoses:
        if not torch.equal(each.evidence.labels, sample.labels):
            raise OverfocusError(
                f"{each.name} was asked about {len(each.evidence.labels)} other images than the {len(sample)} given; "
                "give the sample of the diagnosis, or none"
            )


def gallery(comparison: Comparison, sample: Sample, count: int) -> list[Shown]:
    """Return `count` images, balanced over classes, each with the map of every model for the class it predicts.

    Boxes and parts are outlined where they are known.
    """
    rows = sample.some(count, comparison.diagnoses[0].evidence.seed)
    return [_shown(comparison, sample, row, pixels) for row, pixels in _pixels(sample, rows.tolist())]


def thumbnails(sample: Sample, rows: Iterable[int]) -> dict[int, Image.Image]:
    """Return small pictures of the images at `rows`."""
    found = {row: picture(pixels, side=SMALL) for row, pixels in _pixels(sample, sorted(set(rows)))}
    return {row: _at_most(image, SMALL) for row, image in found.items()}


def rows_of(names: Sequence[str], wanted: Iterable[str]) -> dict[str, int]:
    """Return where each of the `wanted` names first stands among `names`; those that do not are left out."""
    asked, found = set(wanted), {}
    for row, name in enumerate(names):
        if str(name) in asked:
            found.setdefault(str(name), row)
    return found


def _pixels(sample: Sample, rows: Sequence[int]) -> list[tuple[int, Tensor]]:
    """Return the images [C, H, W] at `rows`, ascending."""
    if not rows:
        return []
    portions = sample.batches(torch.tensor(rows))
    return [(int(row), image) for part in portions for row, image in zip(part.rows, part.pixels.cpu(), strict=True)]


def _shown(comparison: Comparison, sample: Sample, row: int, pixels: Tensor) -> Shown:
    boxes = None if sample.boxes is None else sample.boxes[row]
    parts = {part: torch.as_tensor(masks[row]) for part, masks in sample.masks.items()}
    looks = tuple(_look(each, row, pixels, boxes, parts) for each in comparison.diagnoses)
    marked = outlined(picture(pixels), sample.size, boxes, parts)
    true = sample.classes[int(sample.labels[row])]
    return Shown(str(sample.names[row]), true, _at_most(marked, LARGEST), looks)


def _look(diagnosis: Diagnosis, row: int, pixels: Tensor, boxes: Tensor | None, parts: dict[str, Tensor]) -> Look:
    evidence = diagnosis.evidence
    heat = overlay(pixels, evidence.tensor("maps/predicted")[row], boxes=boxes, parts=parts)
    confidence, predicted = evidence.logits[row].softmax(dim=0).max(dim=0)
    return Look(diagnosis.name, _at_most(heat, LARGEST), evidence.classes[int(predicted)], float(confidence))


def _at_most(image: Image.Image, side: int) -> Image.Image:
    """Return `image`, made smaller where it is longer than `side`."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small
