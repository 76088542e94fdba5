"""Trained networks on a downstream task, from its settings to the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.downstream.detect import DetectSettings
from overfocus.downstream.start import starts
from overfocus.downstream.task import Classification, Detection, OnEpoch
from overfocus.downstream.transfer import TaskResult, transfer
from overfocus.training.experiment import Experiment, put_together, settle
from overfocus.training.processes import Machine

TASKS = ("detect", "classify")


def transfer_runs(  # noqa: PLR0913
    runs: Sequence[Path],
    task: str,
    out: Path,
    settings: Mapping[str, Any],
    changes: Sequence[str] = (),
    *,
    seed: int | None = None,
    scratch: bool = True,
    best: bool = False,
    accelerator: str = "auto",
    on_epoch: OnEpoch = lambda start, epoch, epochs: None,
) -> list[TaskResult]:
    """Transfer the networks of `runs` to a task, `detect` or `classify`, and return what is in the folder `out`.

    settings: any of data, root, size, epochs, batch and lr. changes: `key=value`, settings of the task.
    seed: of new layers, order and draws; None takes that of each run. scratch: also train the same networks from
    scratch. Raises OverfocusError for settings, runs and folders that do not fit.
    """
    if task not in TASKS:
        raise UnknownName("task", task, TASKS)
    found = starts(runs, best=best, scratch=scratch)
    machine = Machine(accelerator)
    if task == "detect":
        how = DetectSettings.read(put_together({}, dict(settings), list(changes)), "settings")
        chosen = Detection(how, found[0].run.manifest()["channels"], seed, machine)
    else:
        chosen = Classification(_experiment(settings, changes), out, seed, machine)
    return transfer(found, chosen, out, on_epoch)


def _experiment(settings: Mapping[str, Any], changes: Sequence[str]) -> Experiment:
    if "data" not in settings:
        raise OverfocusError("--task classify needs --data: a second set of images, as `overfocus train` takes it")
    keys = {"data": "data.name", "root": "data.root", "size": "data.size"}
    given = {keys.get(name, f"recipe.{name}"): value for name, value in settings.items()}
    return settle(None, given, list(changes))
