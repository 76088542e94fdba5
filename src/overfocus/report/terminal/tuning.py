"""Tuning on the terminal: a line for each trial, the best of every method at the end."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from overfocus.study.tuning import METRICS, Trial, Tuned


class TuneProgress(Progress):
    """Shows trials as they end; on standard error, so that standard output is the result alone."""

    def __init__(self, specs: Sequence[str], trials: int, console: Console | None = None) -> None:
        console = console or Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
        super().__init__(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"), TimeRemainingColumn(), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip
        self.trials, self.best = trials, dict.fromkeys(specs, float("-inf"))
        self.bars = {spec: self.add_task(spec, total=trials, best="") for spec in specs}

    def on_trial(self, spec: str, trial: Trial) -> None:
        """Print a trial that ended, and move the bar."""
        if isfinite(trial.value):
            self.best[spec] = max(self.best[spec], trial.value)
        value = f"{trial.value:.4f}" if isfinite(trial.value) else trial.state
        changes = "".join(f", {name}={each}" for name, each in trial.changes.items())
        self.console.print(
            f"{trial.number + 1}/{self.trials}  {trial.method}{changes}: {value} on held-out images", markup=False
        )
        best = f"best {self.best[spec]:.4f}" if isfinite(self.best[spec]) else ""
        self.update(self.bars[spec], completed=trial.number + 1, best=best)


def tuned_table(found: Sequence[Tuned], out: Path, console: Console | None = None, metric: str = "accuracy") -> None:
    """Print the best of every method with what it was given: trials, how many were pruned, epochs in all."""
    words = METRICS[metric]
    console = console or Console(highlight=False, emoji=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("method", "with"):
        table.add_column(head, overflow="fold")
    for head in (f"held-out {words}", "trials", "pruned", "failed", "epochs"):
        table.add_column(head, justify="right")
    for each in found:
        states = [trial.state for trial in each.trials]
        changes = ", ".join(f"{name}={value}" for name, value in each.changes.items())
        epochs = sum(trial.epochs for trial in each.trials)
        table.add_row(
            each.method, changes, f"{each.value:.4f}", str(len(states)), str(states.count("pruned")),
            str(states.count("fail")), str(epochs),
        )  # fmt: skip
    console.print(table)
    console.print(
        f"The {words} is that of the best of so many trials, on training images held out: it flatters. Test images "
        "were not looked at.",
        soft_wrap=not console.is_terminal,
    )
    console.print(f"for a study: {out / 'tuned.toml'}", markup=False, soft_wrap=True)
