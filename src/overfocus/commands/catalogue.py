"""Lists of models and metrics, short enough to read."""

from __future__ import annotations

import re
from importlib import import_module
from itertools import groupby
from math import isinf
from pkgutil import iter_modules

import overfocus.diagnosis.sections
import overfocus.metrics
from overfocus.core.errors import UnknownName
from overfocus.metrics.score import Metric
from overfocus.models.zoo import closest, model_names, timm_names

Names = list[tuple[str, str]]
"""(name, description of one line)."""


def models(part: str | None = None) -> Names:
    """Return every model but timm's, or all whose name contains `part`; an UnknownName says which is nearest."""
    if part is None:
        return model_names()
    rows = [*model_names(), *((name, "of timm") for name in timm_names())]
    found = [(name, text) for name, text in rows if part.lower() in name.lower()]
    if not found:
        raise UnknownName("model with", part, closest(part, [name for name, _ in rows]))
    return found


def families(rows: Names) -> Names:
    """Put the names that begin with the same word on one line: `resnet` with resnet18, resnet34, and so on."""
    grouped = [(word, list(members)) for word, members in groupby(rows, lambda row: _first_word(row[0]))]
    return [(word, _joined(group)) if len(group) > 1 else group[0] for word, group in grouped]


def _joined(group: Names) -> str:
    return ", ".join(sorted((name for name, _ in group), key=_natural))


def _natural(name: str) -> list[int | str]:
    """Order by the numbers in a name: resnet18 before resnet101."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _first_word(name: str) -> str:
    letters = re.match(r"[a-z]+(?![a-z.:])", name)
    return letters[0] if letters else name


def metrics() -> list[tuple[str, Metric]]:
    """Return every metric of a diagnosis with the module that computes it, each title once."""
    found: dict[str, tuple[str, Metric]] = {}
    for package in (overfocus.metrics, overfocus.diagnosis.sections):
        for each in iter_modules(package.__path__):
            for value in vars(import_module(f"{package.__name__}.{each.name}")).values():
                for metric in value.values() if isinstance(value, dict) else (value,):
                    if isinstance(metric, Metric):
                        found.setdefault(metric.title, (each.name, metric))
    return list(found.values())


def metrics_page() -> str:
    """Return the table of docs/metrics.md."""
    heads = "| metric | better | unit | range | formula | computed in |\n|---|---|---|---|---|---|"
    return "\n".join([heads, *(_metric_row(place, metric) for place, metric in metrics())]) + "\n"


def _metric_row(place: str, metric: Metric) -> str:
    ends = f"{metric.low:g} to {'no end' if isinf(metric.high) else f'{metric.high:g}'}"
    cells = (metric.title, metric.better, metric.unit or "-", ends, f"`{metric.formula}`", f"`{place}`")
    # A bar inside a cell would end it.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
