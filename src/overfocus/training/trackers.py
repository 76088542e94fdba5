"""Copies of the epochs for dashboards. CSV and JSONL are always written; these are requested by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.training.experiment import Experiment
from overfocus.training.run import Epoch

Numbers = dict[str, Any]
Tracker = tuple[Callable[[Numbers, int], object], Callable[[], object]]
"""What writes the numbers of an epoch, by their names, under the epoch's number, and what flushes and closes. An epoch
that was written before is written over or repeated, as the dashboard has it.
"""


def tensorboard(experiment: Experiment, folder: Path) -> Tracker:
    """Open event files in `folder/tensorboard`, with a scalar for every number."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))
    writer.add_text("experiment", f"```toml\n{experiment.toml()}\n```")

    def log(numbers: Numbers, epoch: int) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name.replace("_", "/", 1), value, epoch)

    return log, writer.close


def wandb(experiment: Experiment, folder: Path) -> Tracker:
    """Open a run of the project `overfocus`; online, offline or disabled as WANDB_MODE says."""
    import wandb

    config = experiment.model_dump(mode="json")
    run = wandb.init(project="overfocus", name=folder.name, dir=str(folder), config=config)
    return run.log, run.finish


def mlflow(experiment: Experiment, folder: Path) -> Tracker:
    """Open a run of the experiment `overfocus` where MLFLOW_TRACKING_URI points; else in `folder/mlflow.db`."""
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        if find_spec("sqlalchemy") is None:  # the small mlflow comes without, and does not say that it needs it
            raise ImportError("No module named 'sqlalchemy'")
        mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        if mlflow.get_experiment_by_name("overfocus") is None:  # left to itself, it writes where one stands
            mlflow.create_experiment("overfocus", artifact_location=(folder / "mlflow").resolve().as_uri())
    mlflow.set_experiment("overfocus")
    mlflow.start_run(run_name=folder.name)
    mlflow.log_params(dict(_settings(experiment.model_dump(mode="json"))))
    mlflow.log_text(experiment.toml(), "experiment.toml")
    return mlflow.log_metrics, mlflow.end_run


TRACKERS = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow}
"""Name, which is also that of the library and of the extra that installs it -> what opens it."""


def check(names: Sequence[str]) -> None:
    """Check that the libraries of the trackers `names` are installed; OverfocusError names the extra to install.

    Every process of a run checks, though only the first opens them: if it alone stopped, the others would wait for it.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS)
        if find_spec(name) is None:
            raise OverfocusError(f"{name} is not installed; pip install 'overfocus[{name}]'")


@contextmanager
def tracking(names: Sequence[str], experiment: Experiment, folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """Open the trackers `names` for the run in `folder`, yield what logs an epoch to all of them, and close them.

    Raises OverfocusError as `check` does, and where a tracker cannot write to `folder`.
    """
    check(names)
    with ExitStack() as stack:
        trackers = [_opened(name, experiment, folder, stack) for name in names]

        def log(epoch: Epoch) -> None:
            numbers = {name: value for name, value in epoch.flat().items() if name != "epoch"}
            for write in trackers:
                write(numbers, epoch.number)

        yield log


def _opened(name: str, experiment: Experiment, folder: Path, stack: ExitStack) -> Callable[[Numbers, int], object]:
    """Open a tracker, which closes with `stack`, and return what writes to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log, close = TRACKERS[name](experiment, folder)
    except ImportError as error:
        raise OverfocusError(f"{name} is not installed ({error}); pip install 'overfocus[{name}]'") from None
    except OSError as error:
        raise OverfocusError(f"{name} cannot write to {folder} ({error.strerror}); give another --out") from error
    stack.callback(close)
    return log


def _settings(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting by its dotted key."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
