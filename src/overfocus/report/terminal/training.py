"""Progress of a training run: a live bar on a terminal, a line an epoch in a log."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from overfocus.data import Dataset
from overfocus.training.evaluate import follows
from overfocus.training.evaluate_labels import judged_by
from overfocus.training.experiment import Experiment
from overfocus.training.run import Epoch
from overfocus.training.steps import Step

REFRESH = 0.5
"""Seconds between two readings of the loss, each of which synchronises with the device."""


class Progress:
    """Shows steps and epochs; on standard error when `quiet`, so that standard output is the result alone. Only
    the first process of a run is not `hidden`.
    """

    def __init__(self, experiment: Experiment, folder: Path, quiet: bool = False, hidden: bool = False) -> None:
        self.console = Console(stderr=quiet, quiet=hidden, soft_wrap=True, highlight=False, emoji=False)
        self.epochs, self.recipe = experiment.recipe.epochs, experiment.recipe
        self.started = self.read = perf_counter()
        self.bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(),
            MofNCompleteColumn(), TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(), console=self.console, transient=True, disable=hidden or not self.console.is_terminal,
        )  # fmt: skip
        self.task: Any = None
        self.console.print(
            f"{experiment.method} on {experiment.data.name}, {_how(experiment)} -> {folder}", markup=False
        )

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
        sys.stdout.flush()

    def on_data(self, dataset: Dataset, check: str = "") -> None:
        """Print what is done with the data, where that could surprise, and what a check of it found."""
        if self.recipe.tune != "scratch" and "train" in dataset.splits:
            self.epochs = self.recipe.epochs_for(len(dataset.splits["train"]))
        if dataset.note:
            self.console.print(dataset.note, markup=False, style="dim")
        if check:
            self.console.print(check, markup=False, style="yellow")

    def on_step(self, step: Step) -> None:
        """Move the bar; read the loss twice a second."""
        if self.bar.disable:
            return
        if self.task is None or step.step == 1:
            self._begin(step)
        now = perf_counter()
        if now - self.read > REFRESH or step.step == step.steps:
            self.read = now
            loss, accuracy = float(step.last["loss"]), float(step.last["accuracy"].mean())
            speed = step.images / (now - self.started)
            text = f"loss {loss:.3f}  accuracy {accuracy:.3f}  {speed:,.0f} images/s"
            assert self.task is not None
            self.bar.update(self.task, completed=step.step, text=text)

    def on_epoch(self, epoch: Epoch) -> None:
        """Print an epoch as a line."""
        scores = "  ".join(f"{_shown(name, score)}" for name, score in epoch.scores.items() if not follows(score))
        train = f"loss {epoch.train['loss']:.4f}  train {epoch.train['accuracy']:.4f}"
        scores += f"  looks at {self._attention(epoch)}" if epoch.probe else ""
        line = f"epoch {epoch.number:>3}/{self.epochs}  {train}  {scores}  {epoch.images_per_second:,.0f} images/s"
        self.console.print(line, markup=False)
        for warning in epoch.warnings:
            self.console.print(f"warning: {warning}", style="yellow", markup=False)

    def _attention(self, epoch: Epoch) -> str:
        """Put the probe in words: the effective area, and the attribution on each part."""
        parts = {name.removeprefix("on_"): value for name, value in epoch.probe.items() if name.startswith("on_")}
        on = ", ".join(f"{part} {value:.2f}" for part, value in parts.items())
        return f"{100 * epoch.probe['effective_area']:.0f} % of the map" + (f" ({on})" if on else "")

    def _begin(self, step: Step) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.started = perf_counter()
        self.task = self.bar.add_task("", total=step.steps, epoch=f"{step.epoch}/{step.epochs}", text="")


def _shown(split: str, scores: Mapping[str, float]) -> str:
    """Write the score of a split; of several labels it is called by its name."""
    name, value = judged_by(scores)
    return f"{split} {value:.4f}" if name == "accuracy" else f"{split} {name} {value:.4f}"


def _how(experiment: Experiment) -> str:
    """Say how long is trained, and what is tuned at which size where the network is a pretrained one."""
    recipe, model = experiment.recipe, experiment.model
    epochs = f"{recipe.epochs} epochs" if recipe.epochs else "epochs by the number of images"
    if recipe.tune == "scratch":
        return epochs
    size = experiment.data.size
    weights = f", weights {model.pretrained}" if model.pretrained else ""
    pixels = f" at {size} px" if isinstance(size, int) else "" if size is None else f" at {size[0]} x {size[1]} px"
    return f"{recipe.tune} of {model.name}{weights}{pixels}, {epochs}"
