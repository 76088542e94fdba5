"""A plot as a value: an SVG element for a page with a strict policy, the numbers in words, and a PNG file.

The page may not use style attributes, so matplotlib's are turned into presentation attributes. The colour of a series
is a class, m1 to m8, whose `color` the style sheet sets; everything else is drawn in the colour of the text. Nothing
but the numbers decides what is drawn: no style of the machine's matplotlib, no date, no random name.
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
from markupsafe import Markup
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
"""Greys, each as an opacity of the ink, so that they invert with it on a dark page."""
WIDTH, TEXT, FONT = 440, 12, "DejaVu Sans"
"""Width and letters of a plot in pixels at natural size, small enough for a telephone; and the font of PNG files."""
CLASSES = {hue: f"m{number}" for number, hue in enumerate(HUES, 1)}
FONT_SIZE = re.compile(r"([\d.]+)px")


@dataclass(frozen=True)
class Plot:
    """A figure with its title and its numbers in words, both plain text without invisible letters."""

    title: str
    text: str
    """The numbers in words, for readers who cannot see the figure."""
    lines: Sequence[Line]
    """What is drawn."""
    figure: Callable[[], Figure] = field(repr=False, compare=False)
    """Draws a new figure."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", visible(self.title))
        object.__setattr__(self, "text", visible(self.text))

    @cached_property
    def svg(self) -> Markup:
        """An <svg> element without style attributes: an image with the title as its name and the text as its
        description. The same numbers give the same bytes.
        """
        with default_settings():
            written, figure = StringIO(), self.figure()
            FigureCanvasSVG(figure)
            figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
        return _element(written.getvalue(), self.title, self.text)

    def save_png(self, path: Path, *, dpi: int = 300) -> None:
        """Write the figure on white paper to `path`, whole or not at all; 300 dpi suits a paper."""
        with default_settings(), replacing(path) as aside:
            figure = self.figure()
            FigureCanvasAgg(figure)
            figure.savefig(aside, format="png", dpi=dpi, facecolor=PAPER, metadata={"Software": None})


@contextmanager
def default_settings() -> Iterator[None]:
    """Draw with matplotlib's defaults and ours in place of the user's settings, which are restored afterwards."""
    own = {"svg.hashsalt": "overfocus", "svg.fonttype": "none", "font.size": TEXT, "font.family": FONT,
           "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
           "text.parse_math": False}  # fmt: skip
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with matplotlib.rc_context({**defaults, **own}):  # type: ignore[arg-type]
        yield


def _element(written: str, title: str, text: str) -> Markup:
    """Turn a file of matplotlib's into an element for a page: no styles, and ids that no other plot has."""
    root = ElementTree.fromstring(written)
    own = "s" + sha256((title + written).encode("utf-8", "replace")).hexdigest()[:10]
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
    description = Element("desc")
    description.text = text
    root.insert(0, description)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # ElementTree escapes title and text


def _prune(root: Element) -> None:
    """Remove metadata, styles, which would apply to the whole page, and paths without ink."""
    for parent in list(root.iter()):
        for node in list(parent):
            blank = node.tag == "path" and node.get("fill") == "none" and node.get("stroke", "none") == "none"
            if node.tag in ("metadata", "style") or (blank and parent.tag == "g"):
                parent.remove(node)


def _attributes(given: Mapping[str, str], own: str) -> dict[str, str]:
    """Return the attributes without styles, with ids that begin with `own`."""
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
    """Return the declarations of a style as attributes: colours are classes or opacities of the ink."""
    pairs = (part.partition(":")[::2] for part in style.split(";") if part.strip())
    found: dict[str, str] = {}
    for name, value in ((name.strip(), value.strip()) for name, value in pairs):
        if name == "font":
            size = FONT_SIZE.search(value)
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
