"""Transfers as a folder: every start is carried to the task once, and its numbers are kept in `transfer.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from overfocus.core.errors import OverfocusError
from overfocus.core.files import held, write
from overfocus.core.interval import Interval, finite
from overfocus.core.provenance import provenance
from overfocus.downstream.start import SCRATCH, Start
from overfocus.downstream.task import Task, Tell
from overfocus.regularizers.spec import respelled
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.paired import Paired, holm, paired

RECORD = "transfer.json"
BASELINES = ("plain", SCRATCH)
"""What the others are compared with: the first of these that is there."""


@dataclass(frozen=True)
class TaskResult:
    """What one start gave."""

    method: str
    seed: int
    run: str
    """Folder that the network comes from."""
    origin: str
    """SHA-256 of its weights; of its settings where it is from scratch."""
    scores: dict[str, float]
    """Measure -> number in [0, 1], higher is better, the one that counts first; NaN where there is no answer."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; no answer is null."""
        return {**asdict(self), "scores": {name: finite(value) for name, value in self.scores.items()}}


@dataclass(frozen=True)
class SummaryLine:
    """A method over its seeds, and against the baseline on the seeds that both have."""

    method: str
    mean: Interval
    difference: Paired | None
    """None for the baseline itself."""
    p: float
    """Of the paired t test, after Holm over all methods; NaN where there is no answer."""

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        against = self.difference.as_dict() if self.difference else None
        return {"method": self.method, "mean": self.mean.as_dict(), "difference": against, "p_holm": finite(self.p)}


def transfer(starts: Sequence[Start], task: Task, out: Path, tell: Tell) -> list[TaskResult]:
    """Carry every start to the task, and return what they and earlier ones in the folder `out` gave.

    What is in `out` already is not done again. Raises OverfocusError where `out` holds numbers of other settings or of
    another run of the same method and seed, and where another process is at work there.
    """
    error = f"{out} is being worked on by another process; wait for it, or give another --out"
    with held(out / ".lock", error):
        settings = json.loads(json.dumps(task.settings()))
        outcomes = _earlier(out, settings)
        for start in starts:
            if _there(outcomes, start, out):
                continue
            began = perf_counter()
            scores, seconds = task.score(start, tell), perf_counter() - began
            origin, folder = start.origin(), str(start.run.path)
            outcomes.append(TaskResult(start.method, start.seed, folder, origin, scores, seconds))
            write(out / RECORD, json.dumps(as_dict(outcomes, settings), indent=2) + "\n")
    return outcomes


def _earlier(out: Path, settings: dict[str, Any]) -> list[TaskResult]:
    """Read what is there of the same settings."""
    path = out / RECORD
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found, before = [_outcome(each) for each in content["outcomes"]], dict(content["settings"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OverfocusError(f"{path} is damaged ({type(error).__name__}: {error}); remove it") from error
    other = sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key))
    if other:
        raise OverfocusError(f"{out} holds numbers of other settings ({', '.join(other)}); give another --out")
    return found


def _outcome(each: dict[str, Any]) -> TaskResult:
    scores = {name: nan if value is None else float(value) for name, value in each["scores"].items()}
    return TaskResult(**{**each, "method": respelled(each["method"]), "scores": scores})


def _there(outcomes: Sequence[TaskResult], start: Start, out: Path) -> bool:
    """Tell whether the numbers of a start are there."""
    same = [each for each in outcomes if (each.method, each.seed) == (start.method, start.seed)]
    if same and same[0].origin != start.origin():
        raise OverfocusError(
            f"{out} holds numbers of {start.method}, seed {start.seed}, from another network ({same[0].run}) than that "
            f"of {start.run.path}; give another --out"
        )
    return bool(same)


def as_dict(outcomes: Sequence[TaskResult], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the whole record: settings, outcomes, what they say together, and versions."""
    return {
        "settings": settings,
        "outcomes": [each.as_dict() for each in outcomes],
        "measure": next(iter(outcomes[0].scores)),
        "baseline": baseline(outcomes),
        "summary": [line.as_dict() for line in summary(outcomes)],
        **provenance("torchmetrics", "pycocotools"),
    }


def baseline(outcomes: Sequence[TaskResult]) -> str:
    """Return the method that the others are compared with: plain, else the control from scratch, else the first."""
    methods = [each.method for each in outcomes]
    return next((name for name in BASELINES if name in methods), methods[0])


def summary(outcomes: Sequence[TaskResult]) -> list[SummaryLine]:
    """Compare the methods by their first measure, seed by seed."""
    base, seeds = baseline(outcomes), sorted({each.seed for each in outcomes})
    values = {each.method: np.full(len(seeds), nan) for each in outcomes}
    for each in outcomes:
        values[each.method][seeds.index(each.seed)] = next(iter(each.scores.values()))
    against = {method: paired(row, values[base]) for method, row in values.items() if method != base}
    p = dict(zip(against, holm([each.p for each in against.values()]), strict=True))
    return [
        SummaryLine(method, mean_interval(_own(row)), against.get(method), float(p.get(method, nan)))
        for method, row in values.items()
    ]


def _own(row: np.ndarray) -> np.ndarray:
    """Leave out the seeds that a method was not run with."""
    return row[np.isfinite(row)]
