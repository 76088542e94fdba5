"""Transfers as a folder: the task is trained once from every start, and `transfer.json` keeps the results."""

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
from overfocus.core.preprocess import DEFAULT
from overfocus.core.provenance import provenance
from overfocus.downstream.start import SCRATCH, Start
from overfocus.downstream.task import OnEpoch, Task
from overfocus.regularizers.spec import respelled
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.paired import Paired, holm, paired

RECORD = "transfer.json"
BASELINES = ("plain", SCRATCH)
"""The methods that others are compared with: the first of these that was run."""


@dataclass(frozen=True)
class TaskResult:
    """The scores of a task that was trained from one start."""

    method: str
    seed: int
    run: str
    """Folder that the network comes from."""
    origin: str
    """SHA-256 of its weights; of its settings where it is from scratch."""
    scores: dict[str, float]
    """Measure -> number in [0, 1], higher is better, the one that is compared first; NaN where there is none."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; NaN is null."""
        return {**asdict(self), "scores": {name: finite(value) for name, value in self.scores.items()}}


@dataclass(frozen=True)
class SummaryLine:
    """A method over its seeds, and compared with the baseline on the seeds that both have."""

    method: str
    mean: Interval
    difference: Paired | None
    """None for the baseline itself."""
    p: float
    """p value of the paired t test, adjusted by Holm over all methods; NaN where there is none."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; NaN is null."""
        against = self.difference.as_dict() if self.difference else None
        return {"method": self.method, "mean": self.mean.as_dict(), "difference": against, "p_holm": finite(self.p)}


def transfer(starts: Sequence[Start], task: Task, out: Path, on_epoch: OnEpoch) -> list[TaskResult]:
    """Train the task from every start, and return the results with those that the folder `out` has already.

    A start with a result in `out` is not trained again. Raises OverfocusError where `out` holds results of other
    settings or of another run of the same method and seed, and where another process works in it.
    """
    error = f"{out} is being worked on by another process; wait for it, or give another --out"
    with held(out / ".lock", error):
        settings = json.loads(json.dumps(task.settings()))
        results = _earlier(out, settings)
        for start in starts:
            if _done(results, start, out):
                continue
            began = perf_counter()
            scores, seconds = task.score(start, on_epoch), perf_counter() - began
            results.append(TaskResult(start.method, start.seed, str(start.run.path), start.origin(), scores, seconds))
            write(out / RECORD, json.dumps(as_dict(results, settings), indent=2) + "\n")
    return results


def _filled(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return earlier settings with the defaults of how pictures are read, which older versions did not write down."""
    since = {name: value for name, value in DEFAULT.as_dict().items() if name in now}
    return since | {
        name: _filled(value, now[name]) if isinstance(value, dict) and isinstance(now.get(name), dict) else value
        for name, value in before.items()
    }


def _earlier(out: Path, settings: dict[str, Any]) -> list[TaskResult]:
    """Read the results in `out`; OverfocusError where they are of other settings."""
    path = out / RECORD
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        results, before = [_result(each) for each in content["outcomes"]], dict(content["settings"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OverfocusError(f"{path} is damaged ({type(error).__name__}: {error}); remove it") from error
    before = _filled(before, settings)
    other = sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key))
    if other:
        raise OverfocusError(f"{out} holds numbers of other settings ({', '.join(other)}); give another --out")
    return results


def _result(content: dict[str, Any]) -> TaskResult:
    scores = {name: nan if value is None else float(value) for name, value in content["scores"].items()}
    return TaskResult(**{**content, "method": respelled(content["method"]), "scores": scores})


def _done(results: Sequence[TaskResult], start: Start, out: Path) -> bool:
    """Say whether there is a result of `start`; OverfocusError where it is of another network."""
    same = [each for each in results if (each.method, each.seed) == (start.method, start.seed)]
    if same and same[0].origin != start.origin():
        raise OverfocusError(
            f"{out} holds numbers of {start.method}, seed {start.seed}, from another network ({same[0].run}) than that "
            f"of {start.run.path}; give another --out"
        )
    return bool(same)


def as_dict(results: Sequence[TaskResult], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the whole record: settings, results, their comparison, and versions."""
    return {
        "settings": settings,
        "outcomes": [each.as_dict() for each in results],
        "measure": next(iter(results[0].scores)),
        "baseline": baseline(results),
        "summary": [line.as_dict() for line in summary(results)],
        **provenance("torchmetrics", "pycocotools"),
    }


def baseline(results: Sequence[TaskResult]) -> str:
    """Return the method that the others are compared with: plain, else the control from scratch, else the first."""
    methods = [each.method for each in results]
    return next((name for name in BASELINES if name in methods), methods[0])


def summary(results: Sequence[TaskResult]) -> list[SummaryLine]:
    """Compare the methods by their first measure, seed by seed."""
    base, seeds = baseline(results), sorted({each.seed for each in results})
    values = {each.method: np.full(len(seeds), nan) for each in results}
    for each in results:
        values[each.method][seeds.index(each.seed)] = next(iter(each.scores.values()))
    against = {method: paired(row, values[base]) for method, row in values.items() if method != base}
    p = dict(zip(against, holm([each.p for each in against.values()]), strict=True))
    return [
        SummaryLine(
            method,
            mean_interval(row[np.isfinite(row)]),  # without the seeds that this method was not run with
            against.get(method),
            float(p.get(method, nan)),
        )
        for method, row in values.items()
    ]
