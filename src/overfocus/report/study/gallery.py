"""The same images as every method sees them: pictures once, and the heat maps of all methods to lay over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.checkpoints import split_of
from overfocus.diagnosis.diagnosis import EVIDENCE
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import Sample
from overfocus.metrics.spread import effective_area
from overfocus.report.diagnosis.gallery import pixels_of
from overfocus.report.drawing.overlay import COLOURS, at_most, evidence_at, picture
from overfocus.report.html import data_uri
from overfocus.study.results import Result, Results
from overfocus.study.run_key import DIAGNOSIS, Size

LARGEST, MAP = 192, 72
"""Pixels of the longer side, at most: of a picture, and of a heat map, which the page enlarges."""
QUALITY, LOSSLESS = 82, 72
"""Of JPEG; and pixels of a side up to which a picture is kept exactly, since every pixel of it is seen."""
LEVELS = 40
"""Steps of colour and opacity in a heat map."""


@dataclass(frozen=True)
class Pictured:
    """An image of the gallery."""

    name: str
    true: int
    """Its class."""
    address: str
    """The picture itself, as a data URI."""
    width: int
    height: int
    """In pixels of the image as the network sees it, which the boxes are given in."""
    boxes: tuple[tuple[int, int, int, int], ...]
    """(x, y, width, height)."""


@dataclass(frozen=True)
class Glance:
    """What one run makes of an image."""

    predicted: int
    confidence: float
    """The probability of `predicted`, in [0, 1]."""
    area: float
    """Effective area of the map, in (0, 1]; higher is wider, NaN where there is no map."""
    address: str
    """The map, transparent where it is 0, as a data URI; empty for a map without mass."""


@dataclass(frozen=True)
class Wall:
    """All images at one data size."""

    size: str
    methods: tuple[int, ...]
    """Places of the methods in the study."""
    seeds: tuple[int, ...]
    """Of each method, the seed of the run that is shown."""
    rows: tuple[tuple[Glance, ...], ...]
    """For each image a glance of each method."""


@dataclass(frozen=True)
class Gallery:
    """Images in rows, methods in columns, one wall for each data size."""

    pictures: tuple[Pictured, ...] = ()
    walls: tuple[Wall, ...] = ()
    why_not: str = ""
    """Why there is none."""

    @property
    def classes(self) -> list[int]:
        """The classes of its images."""
        return sorted({each.true for each in self.pictures})


def study_gallery(results: Results, count: int) -> Gallery:
    """Return `count` images, balanced over classes, with the maps of the first finished run of every method.

    The images are read anew from the data of the study. Where they are not there any more, or are others than the runs
    were examined on, the gallery is empty and says why.
    """
    shown = {size: _examined(results, size) for size in results.study.sizes}
    runs = [run for of in shown.values() for run in of]
    if count < 1 or not runs:
        return Gallery(why_not="no picture was requested" if runs else "no run was examined, so there is no heat map")
    try:
        sample = _sample(results, runs[0])
        rows = sample.some(count, results.study.examine.seed)
        pictures = tuple(_pictured(sample, row, pixels) for row, pixels in pixels_of(sample, rows.tolist()))
        walls = [_wall(results, size, of, sample, rows) for size, of in shown.items() if of]
    except (OverfocusError, OSError, ValueError) as error:
        return Gallery(why_not=f"the images could not be read again: {error}")
    return Gallery(pictures, tuple(walls))


def _examined(results: Results, size: Size) -> list[Result]:
    """Return the first run of each method whose maps were kept."""
    found = []
    for method in results.study.methods:
        runs = [run for run in results.of(method, size) if run.sections and (run.path / DIAGNOSIS / EVIDENCE).is_file()]
        found += runs[:1]
    return found


def _sample(results: Results, run: Result) -> Sample:
    """Return the images that all runs were examined on."""
    experiment = results.study.experiment(run.key)
    _, split = split_of(experiment.dataset())
    return results.study.examine.sample(split, experiment.data)


def _pictured(sample: Sample, row: int, pixels: Tensor) -> Pictured:
    small = at_most(picture(pixels, side=1), LARGEST)
    boxes = [] if sample.boxes is None else sample.boxes[row].reshape(-1, 4).tolist()
    height, width = sample.size
    return Pictured(
        str(sample.names[row]), int(sample.labels[row]), _encoded(small), width, height,
        tuple((x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes if x1 > x0 and y1 > y0),
    )  # fmt: skip


def _wall(results: Results, size: Size, runs: Sequence[Result], sample: Sample, rows: Tensor) -> Wall:
    columns = [_glances(run, sample, rows) for run in runs]
    return Wall(
        str(size), tuple(results.study.methods.index(run.key.method) for run in runs),
        tuple(run.key.seed for run in runs), tuple(zip(*columns, strict=True)),
    )  # fmt: skip


def _glances(run: Result, sample: Sample, rows: Tensor) -> list[Glance]:
    evidence = Evidence.load(run.path / DIAGNOSIS / "evidence.npz")
    if not torch.equal(evidence.labels, sample.labels):
        raise OverfocusError(f"the data has changed since {run.key} was examined; run the study anew to see its maps")
    maps, areas = evidence.tensor("maps/predicted")[rows], effective_area(evidence.tensor("maps/predicted")[rows])
    confidence, predicted = evidence.logits[rows].softmax(dim=1).max(dim=1)
    return [
        Glance(int(predicted[n]), float(confidence[n]), float(areas[n]), heat(maps[n], sample.size))
        for n in range(len(rows))
    ]


def heat(map: Tensor, size: tuple[int, int]) -> str:
    """Return the map [h, w] as a data URI of a picture with the proportions of `size` (H, W).

    Colour goes from 0 to the map's own maximum and so does opacity, as the square root, so that half the maximum can be
    seen. Empty for a map without a positive value, or with one that is not finite.
    """
    scale = min(1.0, MAP / max(size))
    amount = evidence_at(map, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))
    if not amount.any():
        return ""
    levels = Image.fromarray(np.ceil(amount * (LEVELS - 1)).astype(np.uint8), "P")
    shares = np.linspace(0, 1, LEVELS)
    levels.putpalette((COLOURS(shares)[:, :3] * 255).round().astype(np.uint8).tobytes())
    opacity = (np.sqrt(shares) * 255).round().astype(np.uint8).tobytes()
    return data_uri(levels, transparency=opacity)


def _encoded(image: Image.Image) -> str:
    """Return a picture as a data URI, without loss if it is small."""
    return data_uri(image) if max(image.size) <= LOSSLESS else data_uri(image, "JPEG", quality=QUALITY)
