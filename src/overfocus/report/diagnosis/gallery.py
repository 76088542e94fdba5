"""Images of a diagnosis: with the heat maps of every model, and small ones for tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Examples
from overfocus.diagnosis.side_by_side import SideBySide, same_images
from overfocus.report.drawing.overlay import MappedImage, MapPicture, at_most, outlined, overlay, picture

LARGEST, SMALL = 256, 96
"""Pixels of the longer side, at most: of a picture, and of one in a list."""
LINE = 3
"""Pixels that an outline takes."""


def check(comparison: SideBySide, sample: Sample) -> None:
    """Raise OverfocusError if the diagnoses are not of the images of `sample`."""
    for each in comparison.diagnoses:
        if not same_images(each.evidence.labels.numpy(), sample.labels.numpy()):
            raise OverfocusError(
                f"the diagnosis of {each.name} is of {len(each.evidence.labels)} other images than the {len(sample)} "
                "given; give its sample, or none"
            )


def gallery(comparison: SideBySide, sample: Sample, count: int) -> list[MappedImage]:
    """Return `count` images, balanced over classes, each with the map of every model for the class it predicts.

    Known boxes and parts are outlined.
    """
    rows = sample.some(count, comparison.diagnoses[0].evidence.seed)
    return [_shown(comparison, sample, row, pixels) for row, pixels in pixels_of(sample, rows.tolist())]


def thumbnails(sample: Sample, wanted: Iterable[Examples]) -> dict[Examples, list[tuple[str, Image.Image]]]:
    """Return small pictures, with their names, of the images that are `wanted`, with their boxes outlined."""
    wanted = set(wanted)
    rows = sorted({row for each in wanted for row in each.rows})
    small = {row: at_most(picture(pixels, side=SMALL), SMALL) for row, pixels in pixels_of(sample, rows)}
    return {each: [(str(sample.names[row]), _boxed(small[row], each.box)) for row in each.rows] for each in wanted}


def _boxed(image: Image.Image, box: tuple[float, float, float, float] | None) -> Image.Image:
    """Return a copy with a line around `box`: outside, except at the border of the image."""
    if box is None:
        return image
    size = torch.tensor([image.width, image.height, image.width, image.height])
    around = torch.tensor(box) * size + torch.tensor([-LINE, -LINE, LINE, LINE])
    return outlined(image, (image.height, image.width), around.clamp(min=torch.zeros(4), max=size))


def pixels_of(sample: Sample, rows: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield the images [C, H, W] at `rows`, ascending."""
    for part in sample.batches(torch.tensor(rows)) if rows else ():
        yield from zip(part.rows.tolist(), part.pixels.cpu(), strict=True)


def _shown(comparison: SideBySide, sample: Sample, row: int, pixels: Tensor) -> MappedImage:
    boxes = None if sample.boxes is None else sample.boxes[row]
    parts = {part: torch.as_tensor(masks[row]) for part, masks in sample.masks.items()}
    maps = tuple(_map(each, row, pixels, boxes, parts) for each in comparison.diagnoses)
    marked = outlined(picture(pixels), sample.size, boxes, parts)
    true = sample.classes[int(sample.labels[row])]
    return MappedImage(str(sample.names[row]), true, at_most(marked, LARGEST), maps)


def _map(diagnosis: Diagnosis, row: int, pixels: Tensor, boxes: Tensor | None, parts: dict[str, Tensor]) -> MapPicture:
    evidence = diagnosis.evidence
    heat = overlay(pixels, evidence.tensor("maps/predicted")[row], boxes=boxes, parts=parts)
    confidence, predicted = evidence.logits[row].softmax(dim=0).max(dim=0)
    return MapPicture(diagnosis.name, at_most(heat, LARGEST), evidence.classes[int(predicted)], float(confidence))
