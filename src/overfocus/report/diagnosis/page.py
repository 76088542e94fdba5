"""The page of a diagnosis: one HTML file that opens anywhere, with its charts and pictures inside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from overfocus.core.files import write
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Examples
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.report.diagnosis.gallery import check, gallery, thumbnails
from overfocus.report.diagnosis.lean_view import LeanView, lean_scale, lean_views
from overfocus.report.diagnosis.view import View, agreements, facts, skipped, view
from overfocus.report.drawing.overlay import MappedImage, bar, map_sheet, save_png
from overfocus.report.html import render

PAGE, PICTURES, MAPS = "diagnosis.html", "pictures", "maps.png"
IMAGES = 12
Small = Mapping[Examples, Sequence[tuple[str, Image.Image]]]


def write_page(
    folder: str | Path, comparison: SideBySide, sample: Sample | None = None, *, images: int = IMAGES
) -> Path:
    """Write `diagnosis.html` and `pictures/*.png` into `folder`; return the path of the page.

    The page requests nothing outside itself. sample: the images of the diagnosis; `images` of them, balanced over
    classes, are shown with the maps of all models, and tables of images and of places get small pictures. Without it,
    as when a diagnosis is read from its folder, these are left out and the page says so. The same evidence gives the
    same bytes. Raises OverfocusError for a sample of other images.
    """
    folder = Path(folder)
    if sample is not None:
        check(comparison, sample)
    views, leans = [view(comparison, section) for section in comparison.sections], lean_views(comparison)
    shown = [] if sample is None or images < 1 else gallery(comparison, sample, images)
    _write_pictures(folder / PICTURES, views, shown, comparison)
    write(folder / PAGE, page(comparison, leans, views, shown, _small(leans, views, sample)))
    return folder / PAGE


def page(
    comparison: SideBySide, leans: list[LeanView], views: list[View], shown: list[MappedImage], small: Small
) -> str:
    """Return the HTML text. small: names and pictures for leans and the rows of tables."""
    evidence = comparison.diagnoses[0].evidence
    agreed, disagreement = agreements(comparison)
    return render(
        "diagnosis.html.j2", names=comparison.names, about=evidence.about, count=len(evidence.labels),
        leans=leans, scale=lean_scale(leans), facts=facts(comparison), views=views, skipped=skipped(comparison),
        agreed=agreed, disagreement=disagreement, shown=shown, small=dict(small), bar=bar(),
    )  # fmt: skip


def _small(leans: list[LeanView], views: list[View], sample: Sample | None) -> Small:
    """Return small pictures of all images that a lean or a table refers to."""
    wanted = [row.seen for each in leans for row in each.rows]
    wanted += [seen for each in views for _, table in each.tables for seen in table.seen]
    return {} if sample is None else thumbnails(sample, wanted)


def _write_pictures(folder: Path, views: list[View], shown: list[MappedImage], comparison: SideBySide) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in views:
        for number, chart in enumerate(each.charts, 1):
            chart.plot.save_png(folder / f"{re.sub(r'[^a-z0-9_]+', '_', each.name.lower())}-{number}.png", dpi=144)
    if shown:
        line = "Evidence for the predicted class. Each map has its own scale, from 0 to its maximum."
        picture = map_sheet(f"Where {' and '.join(comparison.names)} look", [line], shown)
        save_png(picture, folder / MAPS)
