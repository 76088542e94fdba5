"""The demo: a study of the embedded data, small enough for two cores, and what it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from overfocus.commands.study import carry_out
from overfocus.study.engines.backend import Backend
from overfocus.study.results import Results, read_results
from overfocus.study.run_study import Status
from overfocus.study.study import settle_study

DEMO = {
    "methods": ["plain", "dropout", "cutout", "mixup", "cutmix", "sgdrop", "cutmix + sgdrop"],
    "data.name": "totem",
    "model.settings": {"widths": [16, 32, 64]},
    "recipe.epochs": 4,
    "recipe.batch": 64,
    "recipe.warmup": 0.2,
    "recipe.channels_last": True,
    "recipe.evaluate_every": 2,
    "examine.sections": ["halves", "spread", "focus", "localization", "hiding", "confidence"],
    "examine.limit": 80,
}


def run_demo(folder: Path, seeds: int = 1, workers: int = 0) -> Status:
    """Do the runs of the demo below `folder`; 0 workers takes as many as there are cores."""
    return carry_out(settle_study(None, {**DEMO, "seeds": seeds}, []), folder, Backend(workers=workers))


def conclusion(folder: Path) -> str:
    """Return what the demo shows: who names the class by the digit alone, and who follows it against the disc."""
    results = read_results(folder)
    values = results.values("digit-only.accuracy", results.study.sizes[-1])
    means = {method: float(np.nanmean(row)) for method, row in values.items() if np.isfinite(row).any()}
    best, plain = max(means, key=lambda method: means[method]), results.study.baseline
    seeds = len(results.study.seeds)
    named = [method for method in dict.fromkeys((best, plain)) if method in means]
    known = results.measure("disc-vs-digit.follows_disc") is not None  # runs of an older version lack it
    followed = "; ".join(f"{method} {_followed(results, method)}" for method in named if known)
    conflict = f" Where disc and digit name different classes, the answers follow: {followed}." if known else ""
    many = f"{seeds} seed{'s' * (seeds > 1)}, {'too few to conclude from' if seeds < 5 else 'see the intervals'}."
    return (
        f"When only the digit is left, which none had to read, {best} names {100 * means[best]:.0f} % of the classes "
        f"and {plain} {100 * means.get(plain, np.nan):.0f} % (chance: 10 %).{conflict} {many}"
    )


def _followed(results: Results, method: str) -> str:
    """Return which cue the answers of a method follow where disc and digit name different classes, in words."""
    size = results.study.sizes[-1]
    shares = {
        cue: np.nanmean(results.values(f"disc-vs-digit.follows_{cue}", size)[method]) for cue in ("disc", "digit")
    }
    return f"the disc in {100 * shares['disc']:.0f} %, the digit in {100 * shares['digit']:.0f} %"
