"""A study from its settings to its report, with progress on the way."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from overfocus.core.errors import OverfocusError
from overfocus.report.study_progress import StudyProgress
from overfocus.study.conduct import Standing, conduct
from overfocus.study.engines import Place, engine_for
from overfocus.study.study import Study, claimed

DEMO = {
    "methods": ["plain", "dropout", "cutout", "mixup", "cutmix", "sgdrop(share=0.75)", "cutmix + sgdrop(share=0.75)"],
    "data.name": "totem",
    "per_class": [200],
    "model.settings": {"widths": [16, 32, 64]},
    "recipe.epochs": 4,
    "recipe.batch": 64,
    "recipe.warmup": 0.2,
    "recipe.channels_last": True,
    "recipe.evaluate_every": 2,
    "examine.sections": ["spread", "focus", "localization", "hiding", "robustness", "confidence"],
    "examine.limit": 60,
}
"""The study of `overfocus demo`: the embedded set, small enough for two cores."""


def carry_out(study: Study, folder: Path, place: Place, log: tuple[str, ...] = (), console: Console | None = None) -> Standing:  # fmt: skip  # noqa: E501
    """Do all runs of `study` below `folder` and return how it stands at the end; what failed is told there.

    Raises OverfocusError where nothing could be finished, or where what went wrong would befall every run.
    """
    folder = folder.absolute()
    claimed(folder, study)
    with StudyProgress(folder, console) as progress, engine_for(place, study, folder) as engine:
        standing = None
        for standing in conduct(study, folder, engine, place.machine, log):
            progress.show(standing)
    assert standing is not None
    if not standing.finished:
        cell, error = next(iter(standing.failed.items()))
        raise OverfocusError(f"every run failed; the first, {cell}: {error}")
    return standing
