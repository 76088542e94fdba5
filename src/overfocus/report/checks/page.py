"""The page of a data check: one HTML file with the findings, the worst first, and the pictures that show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from overfocus.checks.catalogue import DataReport
from overfocus.checks.check import Example
from overfocus.checks.picture import Picture
from overfocus.core.errors import OverfocusError
from overfocus.core.files import write
from overfocus.core.key import Key
from overfocus.report.drawing.overlay import at_most, picture
from overfocus.report.html import render

SIDE, BESIDE, EACH, CLASSES, ROWS = 96, 6, 6, 60, 200
"""Pixels of a small picture; most of an example, of a class, classes, and rows of a table that the page shows."""


@dataclass(frozen=True, eq=False)
class Shown:
    """An example with its small pictures: (name, what it is, picture)."""

    caption: str
    pictures: Sequence[tuple[str, str, Image.Image]]


def write_page(report: DataReport, path: Path) -> Path:
    """Write the page of a check to `path` and return it. The same data gives the same bytes."""
    sections = [
        (check, finding, [_shown(report, example) for example in finding.examples], finding.rows[:ROWS])
        for check, finding in report.worst_first
    ]
    text = render("check.html.j2", report=report, sections=sections, classes=list(_classes(report)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, text)
    return path


def _shown(report: DataReport, example: Example) -> Shown:
    some = example.pictures[:BESIDE]
    return Shown(example.caption, list(_small(report, some)))


def _classes(report: DataReport) -> Iterable[Shown]:
    """Yield some random training pictures of each class."""
    train = report.survey.of("train")
    order = Key.seeded(0).fold_in("gallery").order(len(train)).tolist()
    for label, name in list(enumerate(report.survey.dataset.classes))[:CLASSES]:
        own = [train[row] for row in order if train[row].label == label]
        yield Shown(f"{name} ({len(own):,})", list(_small(report, own[:EACH])))


def _small(report: DataReport, pictures: Sequence[Picture]) -> Iterable[tuple[str, str, Image.Image]]:
    dataset = report.survey.dataset
    for each in pictures:
        try:
            pixels = dataset.splits[each.part].images.read_for(each.row, (SIDE, SIDE))
        except OverfocusError:
            continue
        words = f"{dataset.classes[each.label]}, {each.part}, {each.width} x {each.height} {each.format} {each.mode}"
        yield each.name, words, at_most(picture(pixels.float() / 255), SIDE)
