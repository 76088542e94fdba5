"""The page of a diagnosis: one HTML file that opens anywhere, with its charts and pictures inside."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from overfocus.core.files import replacing, write
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Examples
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.diagnosis.wording import percent
from overfocus.report.diagnosis.gallery import check, gallery, thumbnails
from overfocus.report.diagnosis.view import View, agreements, facts, skipped, view
from overfocus.report.drawing.charts import png
from overfocus.report.drawing.overlay import Shown, bar, sheet

PAGE, PICTURES, MAPS = "diagnosis.html", "pictures", "maps.png"
IMAGES = 12
Small = Mapping[Examples, Sequence[tuple[str, Image.Image]]]


def write_page(
    folder: str | Path, comparison: SideBySide, sample: Sample | None = None, *, images: int = IMAGES
) -> Path:
    """Write `diagnosis.html` and `pictures/*.png` into `folder`; return the path of the page.

    The page asks for nothing outside itself. sample: the images that the models were asked about; `images` of them,
    balanced over classes, are shown with the maps of all models, and tables of images and of places get small pictures.
    Without it, as when a diagnosis is read from its folder, these are left out and the page says so. The same evidence
    gives the same bytes. Raises OverfocusError for a sample of other images.
    """
    folder = Path(folder)
    if sample is not None:
        check(comparison, sample)
    views = [view(comparison, section) for section in comparison.sections]
    shown = [] if sample is None or images < 1 else gallery(comparison, sample, images)
    _write_pictures(folder / PICTURES, views, shown, comparison)
    write(folder / PAGE, page(comparison, views, shown, _small(views, sample)))
    return folder / PAGE


def page(comparison: SideBySide, views: list[View], shown: list[Shown], small: Small) -> str:
    """Return the HTML text. small: names and pictures for the rows of tables."""
    agreed, disagreement = agreements(comparison)
    text = _environment().get_template("diagnosis.html.j2").render(
        names=comparison.names, about=comparison.diagnoses[0].evidence.about, facts=facts(comparison), views=views,
        skipped=skipped(comparison), agreed=agreed, disagreement=disagreement, shown=shown,
        small=dict(small), bar=bar(), count=len(comparison.diagnoses[0].evidence.labels),
    )  # fmt: skip
    # A lone surrogate, as in the name of a file that is no text, cannot be written.
    return text.encode("utf-8", "replace").decode("utf-8")


def _environment() -> Environment:
    """Everything is escaped: names of files, classes and models are anybody's."""
    environment = Environment(
        loader=PackageLoader("overfocus", "report/templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["uri"] = uri
    environment.filters["percent"] = percent
    return environment


def uri(image: Image.Image) -> str:
    """Return a picture as an address that holds it."""
    memory = BytesIO()
    image.save(memory, format="PNG", optimize=True)
    return "data:image/png;base64," + b64encode(memory.getvalue()).decode()


def _small(views: list[View], sample: Sample | None) -> Small:
    """Return small pictures of all images that a table speaks of."""
    wanted = [seen for each in views for _, table in each.tables for seen in table.seen]
    return {} if sample is None else thumbnails(sample, wanted)


def _write_pictures(folder: Path, views: list[View], shown: list[Shown], comparison: SideBySide) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in views:
        for number, drawn in enumerate(each.charts, 1):
            png(drawn.chart, folder / f"{re.sub(r'[^a-z0-9_]+', '_', each.name.lower())}-{number}.png")
    if shown:
        line = "Evidence for the predicted class. Each map has its own scale, from 0 to its maximum."
        picture = sheet(f"Where {' and '.join(comparison.names)} look", [line], shown)
        with replacing(folder / MAPS) as aside:
            picture.save(aside, format="PNG")
