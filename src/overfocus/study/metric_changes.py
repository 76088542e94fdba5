"""By which metric a study was judged, from when on, and whether results were there by then.

A metric that is chosen after the results of several are seen makes false verdicts more frequent than the level says, as
seeds do that are added (`study.growth`), so what was asked for first is kept.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

from overfocus.core.files import write
from overfocus.study.growth import trained_seeds

METRICS = "metrics.json"
"""In the folder of a study: a list of what `AskedMetric` holds."""


@dataclass(frozen=True)
class AskedMetric:
    """A metric that a command asked for."""

    metric: str
    seen: tuple[int, ...] = ()
    """Seeds of which a run was trained by then."""
    date: str = ""
    """In UTC; empty where it was before dates were kept."""


@dataclass(frozen=True)
class MetricChange:
    """A metric that took the place of another when results were there."""

    before: str
    after: str
    seen: tuple[int, ...]
    date: str


def note_metric(folder: Path, metric: str, before: str | None) -> None:
    """Write down that the study is judged by `metric`, unless it was already. before: the metric of a study that was
    there, for one that was begun before this was kept.
    """
    judged = read_metrics(folder) or ([] if before is None else [AskedMetric(before)])
    if judged and judged[-1].metric == metric:
        return
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    judged.append(AskedMetric(metric, trained_seeds(folder), date))
    write(folder / METRICS, json.dumps([asdict(each) for each in judged], indent=2) + "\n")


def read_metrics(folder: Path) -> list[AskedMetric]:
    """Return by what the study in `folder` was judged, the first first; empty where that was not kept."""
    try:
        found = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        return [AskedMetric(str(each["metric"]), tuple(each["seen"]), str(each["date"])) for each in found]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def metric_changes(folder: Path) -> list[MetricChange]:
    """Return the changes of the metric that were made when results were there."""
    return [
        MetricChange(before.metric, after.metric, after.seen, after.date)
        for before, after in pairwise(read_metrics(folder))
        if after.seen
    ]
