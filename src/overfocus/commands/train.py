"""A training run, followed by trackers and by callbacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from overfocus.regularizers.spec import respelled
from overfocus.training.experiment import Experiment
from overfocus.training.loop import OnData, OnStep, train
from overfocus.training.processes import Machine, first_process
from overfocus.training.run import Epoch, Run
from overfocus.training.trackers import check, tracking


def train_run(
    experiment: Experiment,
    folder: Path,
    machine: Machine | None = None,
    log: Sequence[str] = (),
    on_step: OnStep = lambda step: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_data: OnData = lambda dataset: None,
) -> Run:
    """Train `experiment` in `folder` to its end, or resume it, and return the finished run.

    log: trackers, such as "tensorboard"; of several processes the first one logs. Raises OverfocusError as `train`
    does, and for a tracker that is not installed.
    """
    check(log)
    with tracking(log if first_process() else (), experiment, folder) as track:
        for epoch in train(experiment, folder, machine, on_step, on_data=on_data):
            on_epoch(epoch)
            track(epoch)
    return Run(folder)


def default_folder(experiment: Experiment) -> Path:
    """Return runs/DATA-METHOD-seedSEED; a folder named by the old names of settings is kept where it exists."""
    data = Path(experiment.data.name).name
    old, new = (
        Path("runs", re.sub(r"[^A-Za-z0-9.=-]+", "-", f"{data}-{spec}").strip("-") + f"-seed{experiment.seed}")
        for spec in (respelled(experiment.method, old=True), experiment.method)
    )
    return old if old.exists() else new
