"""A chart of a study as a value: an SVG element for a page with a strict policy, the numbers in words, and a PNG file.

The page may not use style attributes, so matplotlib's are turned into presentation attributes. A method's colour is a
class, m1 to m8, whose `color` the page sets; everything else is drawn in the colour of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from overfocus.core.files import replacing
from overfocus.diagnosis.section import Line
from overfocus.report.label import visible

HUES = ("#0072b2", "#bf5300", "#00825d", "#b05387", "#966800", "#1c77ab", "#6a51a3", "#7d5a3c")
"""Of m1 to m8 on white paper: those of Okabe and Ito, darkened until they can be read as letters, and two more."""
INK, QUIET, FAINT, PAPER = "#262626", "#737373", "#dcdcdc", "#ffffff"
SHADES = {INK: "1", QUIET: "0.66", FAINT: "0.17"}
"""Greys, each as a share of the ink, so that they turn with it on a dark page."""
WIDTH, TEXT = 440, 12
"""Of a chart and of its letters, in pixels at natural size; small, so that it can be read on a telephone."""
CLASSES = {hue: f"m{number}" for number, hue in enumerate(HUES, 1)}
FONT = re.compile(r"([\d.]+)px")


@dataclass(frozen=True)
class Drawn:
    """A chart with what it says."""

    title: str
    """What it shows, in words that follow from the numbers; plain text."""
    text: str
    """The numbers in words, for who cannot see it; plain text."""
    lines: tuple[Line, ...]
    """What is drawn."""
    figure: Callable[[], Figure] = field(repr=False, compare=False)
    """Draws it anew."""

    @cached_property
    def svg(self) -> str:
        """An <svg> element, escaped, without style attributes: an image with the title as its name. The same numbers
        give the same bytes.
        """
        with own_settings():
            written, canvas = StringIO(), self.figure()
            FigureCanvasSVG(canvas)
            canvas.savefig(written, format="svg", transparent=True, metadata={"Date": None})
        return element(written.getvalue(), self.title)


def drawn(title: str, text: str, lines: Sequence[Line], figure: Callable[[], Figure]) -> Drawn:
    """Return the chart that `figure` draws, with title and text in letters that can be seen."""
    return Drawn(visible(title), visible(text), tuple(lines), figure)


def save_png(drawn: Drawn, path: Path, *, dots: int = 300) -> None:
    """Write the chart on white paper to `path`, whole or not at all. dots: an inch; 300 is for a paper."""
    with own_settings(), replacing(path) as aside:
        figure = drawn.figure()
        FigureCanvasAgg(figure)
        figure.savefig(aside, format="png", dpi=dots, facecolor=PAPER, metadata={"Software": None})


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib's defaults and ours, whatever the user has set; that is as before afterwards."""
    own = {"svg.hashsalt": "overfocus", "svg.fonttype": "none", "font.size": TEXT, "font.family": "DejaVu Sans",
           "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
           "text.parse_math": False}  # fmt: skip
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with matplotlib.rc_context({**defaults, **own}):  # type: ignore[arg-type]
        yield


def element(text: str, title: str) -> str:
    """Turn a file of matplotlib's into an element for a page: no style, and names that no other chart has."""
    root = ElementTree.fromstring(text)
    own = "s" + sha256((title + text).encode("utf-8", "replace")).hexdigest()[:10]
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
        node.attrib = _attributes(node.attrib, own)
    _prune(root)
    width, height = root.attrib["viewBox"].split()[2:]
    for name, value in (("class", "chart"), ("role", "img"), ("width", width), ("height", height)):
        root.set(name, value)
    root.set("aria-label", title)
    root.set("fill", "currentColor")
    root.set("stroke-linejoin", "round")
    root.set("font-family", "system-ui, 'DejaVu Sans', sans-serif")
    return ElementTree.tostring(root, encoding="unicode")


def _prune(root: Element) -> None:
    """Leave out what says nothing: a style would hold for the whole page, and what has no ink is not seen."""
    for parent in list(root.iter()):
        for node in list(parent):
            blank = node.tag == "path" and node.get("fill") == "none" and node.get("stroke", "none") == "none"
            if node.tag in ("metadata", "style") or (blank and parent.tag == "g"):
                parent.remove(node)


def _attributes(given: Mapping[str, str], own: str) -> dict[str, str]:
    """Return attributes of which none is a style, and identities that begin with `own`."""
    found: dict[str, str] = {}
    for key, value in given.items():
        name = key.rpartition("}")[2]
        if name == "id":
            found["id"] = f"{own}-{value}"
        elif name == "href":
            found["href"] = value.replace("#", f"#{own}-")
        elif name == "style":
            found |= _presented(value)
        elif name not in ("version", "type"):
            found[name] = value.replace("url(#", f"url(#{own}-")
    return found


def _presented(style: str) -> dict[str, str]:
    """Return the declarations of a style as attributes, colours by class or as shares of the ink."""
    pairs = (part.partition(":")[::2] for part in style.split(";") if part.strip())
    found: dict[str, str] = {}
    for name, value in ((name.strip(), value.strip()) for name, value in pairs):
        if name == "font":
            size = FONT.search(value)
            found |= {"font-size": size[1]} if size else {}
        elif name in ("fill", "stroke"):
            found |= _coloured(name, value)
        else:
            found.setdefault(name, value)
    return found


def _coloured(name: str, value: str) -> dict[str, str]:
    if value in CLASSES:  # the colour itself is for where no page sets one
        return {"class": CLASSES[value], "color": value, name: "currentColor"}
    if value in SHADES:
        return {name: "currentColor"} | ({f"{name}-opacity": SHADES[value]} if value != INK else {})
    return {name: "var(--paper, #ffffff)" if value == PAPER else value}
