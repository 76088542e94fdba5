"""A study from its settings to its runs, with progress on the way, and what it will take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.checkpoints import check_outsiders
from overfocus.report.terminal.study_progress import StudyProgress
from overfocus.statistics.sequential import planned
from overfocus.study.engines.backend import Backend, engine_for, workers_for
from overfocus.study.forecast import Forecast, forecast
from overfocus.study.run_study import Status, run_study
from overfocus.study.study import Study, claimed
from overfocus.study.work import device_of
from overfocus.training.origin import check_normalised

MOST_SEEDS = 20
"""Of a study that ends when it is settled, unless it says otherwise."""


def carry_out(
    study: Study, folder: Path, backend: Backend, log: tuple[str, ...] = (), console: Console | None = None
) -> Status:
    """Do all runs of `study` below `folder` and return its status at the end, failed runs included.

    Raises OverfocusError where no run could be finished, or for an error that every run would meet.
    """
    folder = folder.absolute()
    check_outsiders(study.examine.ood, study.data.root)
    check_normalised(study.model, study.data)
    study = claimed(folder, study)
    with StudyProgress(folder, console) as progress, engine_for(backend, study, folder) as engine:
        progress.begin(study)
        status = None
        for status in run_study(study, folder, engine, backend.machine, log):
            progress.show(status)
    assert status is not None
    if not status.finished:
        run, error = next(iter(status.failed.items()))
        raise OverfocusError(f"every run failed; the first, {run}: {error}")
    return status


def planned_seeds(until_settled: bool, seeds: int | None, most: int | None, folds: int | None = None) -> dict[str, Any]:
    """Return the settings of a study that ends when it is settled, at `most` seeds at the latest; none for another."""
    if not until_settled and most is None:
        return {}
    if folds:
        raise OverfocusError(
            "--folds and --until-settled exclude each other: a plan adds independent runs, and folds share their "
            "training images; leave one out"
        )
    if not until_settled or seeds is not None:
        raise OverfocusError("--max-seeds belongs to --until-settled, and --seeds does not: give both or --seeds alone")
    return {"seeds": most or MOST_SEEDS, "looks": list(planned(most or MOST_SEEDS))}


def forecast_study(study: Study, folder: Path, backend: Backend) -> Forecast:
    """Return the time, disk and compute that the runs of `study` still missing in `folder` will take."""
    return forecast(study, folder, workers_for(backend, study.threads), device_of(backend.machine))
