"""A training run, followed by trackers and by callbacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from overfocus.data.finalize import unmeasured
from overfocus.data.load import CARDS, load
from overfocus.data.resize import as_size
from overfocus.models.pretrained import DEFAULT_TAG
from overfocus.regularizers.spec import respelled
from overfocus.training.experiment import Experiment, put_together, read_toml, stored_sizes
from overfocus.training.loop import OnData, OnStep, train
from overfocus.training.processes import Machine, first_process
from overfocus.training.run import Epoch, Run
from overfocus.training.trackers import check, tracking

DEFAULT = "efficientnet_lite0"
"""The network for photographs, unless another is asked for."""
PHOTOGRAPHS = 64
"""Pixels of the shorter side from which images count as photographs."""


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


def settle_run(path: Path | None, given: dict[str, Any], changes: list[str], out: Path | None = None) -> Experiment:
    """Put settings together as `settle` does. Where neither a file nor an option says anything of the network, that of
    the run in `out` is taken, and without one photographs get a pretrained network: see `for_photographs`.
    """
    values = put_together(read_toml(path) if path is not None else {}, given, changes)
    experiment = Experiment.read(values, str(path) if path is not None else "settings")
    if path is not None or values.get("model") or "tune" in values.get("recipe", {}):
        return experiment
    folder = out or default_folder(experiment)
    begun = Run(folder).experiment().model if (folder / "experiment.toml").is_file() else None
    chosen = for_photographs(experiment) if begun is None else begun.model_dump(exclude_none=True)
    return Experiment.read({**values, "model": chosen}, "settings") if chosen else experiment


def for_photographs(experiment: Experiment) -> dict[str, Any]:
    """Return the settings of the pretrained network for data of one's own that are photographs, else none.

    Photographs: the median of their shorter sides is `PHOTOGRAPHS` or more, and so is the size that is asked for. A
    linear probe needs two training images of every class.
    """
    data = experiment.data
    asked = PHOTOGRAPHS if data.size is None else min(as_size(data.size))
    if data.name in CARDS or asked < PHOTOGRAPHS:
        return {}
    with unmeasured():
        splits = load(
            data.name, root=data.root, per_class=data.per_class, fraction=data.fraction, channels=data.channels,
            seed=experiment.seed, download=data.download, labels=data.labels,
        ).splits  # fmt: skip
    sides = sorted(min(size) for size in stored_sizes(splits["train"].images)) if "train" in splits else []
    if not sides or sides[len(sides) // 2] < PHOTOGRAPHS or int(splits["train"].counts().min()) < 2:
        return {}
    return {"name": DEFAULT, "pretrained": DEFAULT_TAG}


def default_folder(experiment: Experiment) -> Path:
    """Return runs/DATA-METHOD-seedSEED; a folder named by the old names of settings is kept where it exists."""
    data = Path(experiment.data.name).name
    old, new = (
        Path("runs", re.sub(r"[^A-Za-z0-9.=-]+", "-", f"{data}-{spec}").strip("-") + f"-seed{experiment.seed}")
        for spec in (respelled(experiment.method, old=True), experiment.method)
    )
    return old if old.exists() else new
