"""Images of an examination as a person sees them: with heat maps of every model, and small ones for lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Examples
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.report.drawing.overlay import MapPanel, Shown, outlined, overlay, picture

LARGEST, SMALL = 256, 96
"""Pixels of the longer side, at most: of a picture, and of one in a list."""
LINE = 3
"""Pixels that an outline takes."""


def check(comparison: SideBySide, sample: Sample) -> None:
    """Raise OverfocusError where `sample` is not what the models were asked about."""
    for each in comparison.diagnoses:
        if not torch.equal(each.evidence.labels, sample.labels):
            raise OverfocusError(
                f"{each.name} was asked about {len(each.evidence.labels)} other images than the {len(sample)} given; "
                "give the sample of the diagnosis, or none"
            )


def gallery(comparison: SideBySide, sample: Sample, count: int) -> list[Shown]:
    """Return `count` images, balanced over classes, each with the map of every model for the class it predicts.

    Boxes and parts are outlined where they are known.
    """
    rows = sample.some(count, comparison.diagnoses[0].evidence.seed)
    return [_shown(comparison, sample, row, pixels) for row, pixels in _pixels(sample, rows.tolist())]


def thumbnails(sample: Sample, wanted: Iterable[Examples]) -> dict[Examples, list[tuple[str, Image.Image]]]:
    """Return small pictures, with their names, of the images that are `wanted`; the boxes are outlined."""
    wanted = set(wanted)
    rows = sorted({row for each in wanted for row in each.rows})
    small = {row: _at_most(picture(pixels, side=SMALL), SMALL) for row, pixels in _pixels(sample, rows)}
    return {each: [(str(sample.names[row]), _boxed(small[row], each.box)) for row in each.rows] for each in wanted}


def _boxed(image: Image.Image, box: tuple[float, float, float, float] | None) -> Image.Image:
    """Return a copy with a line around `box`, outside of it where the image goes on: what is within is to be seen."""
    if box is None:
        return image
    size = torch.tensor([image.width, image.height, image.width, image.height])
    around = torch.tensor(box) * size + torch.tensor([-LINE, -LINE, LINE, LINE])
    return outlined(image, (image.height, image.width), around.clamp(min=torch.zeros(4), max=size))


def _pixels(sample: Sample, rows: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield the images [C, H, W] at `rows`, ascending."""
    for part in sample.batches(torch.tensor(rows)) if rows else ():
        yield from zip(part.rows.tolist(), part.pixels.cpu(), strict=True)


def _shown(comparison: SideBySide, sample: Sample, row: int, pixels: Tensor) -> Shown:
    boxes = None if sample.boxes is None else sample.boxes[row]
    parts = {part: torch.as_tensor(masks[row]) for part, masks in sample.masks.items()}
    looks = tuple(_look(each, row, pixels, boxes, parts) for each in comparison.diagnoses)
    marked = outlined(picture(pixels), sample.size, boxes, parts)
    true = sample.classes[int(sample.labels[row])]
    return Shown(str(sample.names[row]), true, _at_most(marked, LARGEST), looks)


def _look(diagnosis: Diagnosis, row: int, pixels: Tensor, boxes: Tensor | None, parts: dict[str, Tensor]) -> MapPanel:
    evidence = diagnosis.evidence
    heat = overlay(pixels, evidence.tensor("maps/predicted")[row], boxes=boxes, parts=parts)
    confidence, predicted = evidence.logits[row].softmax(dim=0).max(dim=0)
    return MapPanel(diagnosis.name, _at_most(heat, LARGEST), evidence.classes[int(predicted)], float(confidence))


def _at_most(image: Image.Image, side: int) -> Image.Image:
    """Return `image`, made smaller where it is longer than `side`."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small
