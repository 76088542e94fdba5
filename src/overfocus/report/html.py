"""Pages of one HTML file that open anywhere and request nothing: templates, data URIs and the security policy."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from overfocus.diagnosis.wording import percent
from overfocus.report.label import file_name, label
from overfocus.report.number import (
    difference_in_words,
    in_own_unit,
    in_percent,
    in_points,
    p_value,
    score_in_words,
)

POLICY = (
    "default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"
)
"""What a page may do: show what it holds and run its own script. Nothing that a name brings in is run or fetched."""


def render(template: str, script: str = "", **values: Any) -> str:
    """Return the page that `template` makes of `values`, in the one style sheet, with the file `script` if it has one.

    Everything is escaped but Markup: names of files, classes, methods and models can be anything.
    """
    css, code = _asset("style.css"), _asset(script) if script else ""
    policy = POLICY.format(style=_source(css), script=_source(code) if code else "'none'")
    text = _environment().get_template(template).render(css=Markup(css), script=Markup(code), policy=policy, **values)
    # A lone surrogate, as in the name of a file that is no text, cannot be written.
    return text.encode("utf-8", "replace").decode("utf-8")


def data_uri(image: Image.Image, kind: str = "PNG", **settings: Any) -> str:
    """Return a picture as an address that holds it. settings: of Pillow's writer of `kind`."""
    memory = BytesIO()
    image.save(memory, format=kind, optimize=True, **settings)
    return f"data:image/{kind.lower()};base64," + b64encode(memory.getvalue()).decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("overfocus", "report/templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"uri": data_uri, "percent": percent, "file": file_name, "label": label}
    words = (in_percent, in_points, in_own_unit, p_value, score_in_words, difference_in_words)
    environment.filters |= {each.__name__: each for each in words}
    return environment


def _asset(name: str) -> str:
    return (files("overfocus.report") / "templates" / name).read_text(encoding="utf-8")


def _source(block: str) -> str:
    """Return the name of an inline block in a policy, https://www.w3.org/TR/CSP3/#match-element-to-source-list."""
    return f"'sha256-{b64encode(sha256(block.encode()).digest()).decode()}'"
