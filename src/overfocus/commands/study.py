"""A study from its settings to its report, with progress on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.checkpoints import check_outsiders
from overfocus.report.terminal.study_progress import StudyProgress
from overfocus.study.engines.backend import Backend, engine_for
from overfocus.study.results import read_results
from overfocus.study.run_study import Status, run_study
from overfocus.study.study import Study, claimed

DEMO = {
    "methods": ["plain", "dropout", "cutout", "mixup", "cutmix", "sgdrop", "cutmix + sgdrop"],
    "data.name": "totem",
    "model.settings": {"widths": [16, 32, 64]},
    "recipe.epochs": 4,
    "recipe.batch": 64,
    "recipe.warmup": 0.2,
    "recipe.channels_last": True,
    "recipe.evaluate_every": 2,
    "examine.sections": ["spread", "focus", "localization", "hiding", "confidence"],
    "examine.limit": 80,
}
"""The study of `overfocus demo`: the embedded set, small enough for two cores."""


def lesson(folder: Path) -> str:
    """Return what the demo shows, in a sentence: who reads the digit, which nobody had to."""
    results = read_results(folder)
    size = results.study.sizes[-1]
    found = results.values("digit-only.accuracy", size)
    read = {method: float(np.nanmean(values)) for method, values in found.items() if np.isfinite(values).any()}
    best, plain = max(read, key=lambda method: read[method]), results.study.baseline
    seeds = len(results.study.seeds)
    return (
        f"When only the digit is left, which none had to read, {best} names {100 * read[best]:.0f} % of the classes "
        f"and {plain} {100 * read.get(plain, np.nan):.0f} % (chance: 10 %); {seeds} seed{'s' * (seeds > 1)}, "
        f"{'a look and no proof' if seeds < 5 else 'see the intervals'}."
    )


def carry_out(
    study: Study, folder: Path, place: Backend, log: tuple[str, ...] = (), console: Console | None = None
) -> Status:
    """Do all runs of `study` below `folder` and return how it stands at the end; what failed is told there.

    Raises OverfocusError where nothing could be finished, or where what went wrong would befall every run.
    """
    folder = folder.absolute()
    check_outsiders(study.examine.ood, study.data.root)
    study = claimed(folder, study)
    with StudyProgress(folder, console) as progress, engine_for(place, study, folder) as engine:
        progress.begin(study)
        standing = None
        for standing in run_study(study, folder, engine, place.machine, log):
            progress.show(standing)
    assert standing is not None
    if not standing.finished:
        cell, error = next(iter(standing.failed.items()))
        raise OverfocusError(f"every run failed; the first, {cell}: {error}")
    return standing
