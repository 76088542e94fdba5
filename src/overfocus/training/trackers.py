"""Copies of the epochs for dashboards. CSV and JSONL are always written; these are requested by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.training.experiment import Experiment
from overfocus.training.run import Epoch


class Tracker(Protocol):
    """Takes epochs and is closed at the end."""

    def log(self, epoch: Epoch) -> None:
        """Write one epoch; one that was written before is written over or repeated, as the dashboard has it."""
        ...

    def close(self) -> None:
        """Flush what is left."""
        ...


class TensorBoard:
    """Event files in `run/tensorboard`."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"))
        self.writer.add_text("experiment", f"```toml\n{experiment.toml()}\n```")

    def log(self, epoch: Epoch) -> None:
        """Write every number as a scalar under the epoch's number."""
        for name, value in _numbers(epoch).items():
            self.writer.add_scalar(name.replace("_", "/", 1), value, epoch.number)

    def close(self) -> None:
        """Flush and close the event file."""
        self.writer.close()


class WeightsAndBiases:
    """A run of the project `overfocus`; online, offline or disabled as WANDB_MODE says."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        import wandb

        config = experiment.model_dump(mode="json")
        self.run = wandb.init(project="overfocus", name=folder.name, dir=str(folder), config=config)

    def log(self, epoch: Epoch) -> None:
        """Log every number at the step of the epoch's number."""
        self.run.log(_numbers(epoch), step=epoch.number)

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()


class MLflow:
    """A run of the experiment `overfocus` where MLFLOW_TRACKING_URI points; else a database in `run/mlflow.db`."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        import os

        import mlflow

        if "MLFLOW_TRACKING_URI" not in os.environ:
            if find_spec("sqlalchemy") is None:  # the small mlflow comes without, and does not say that it needs it
                raise ImportError("No module named 'sqlalchemy'")
            mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
            if mlflow.get_experiment_by_name("overfocus") is None:  # left to itself, it writes where one stands
                mlflow.create_experiment("overfocus", artifact_location=(folder / "mlflow").resolve().as_uri())
        mlflow.set_experiment("overfocus")
        self.mlflow = mlflow
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params(dict(_settings(experiment.model_dump(mode="json"))))
        mlflow.log_text(experiment.toml(), "experiment.toml")

    def log(self, epoch: Epoch) -> None:
        """Log every number at the step of the epoch's number."""
        self.mlflow.log_metrics(_numbers(epoch), step=epoch.number)

    def close(self) -> None:
        """End the run."""
        self.mlflow.end_run()


TRACKERS: dict[str, Callable[[Experiment, Path], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}
"""Name, which is also that of the library and of the extra that installs it -> what logs there."""


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
        trackers = [stack.enter_context(closing(_opened(name, experiment, folder))) for name in names]

        def log(epoch: Epoch) -> None:
            for tracker in trackers:
                tracker.log(epoch)

        yield log


def _opened(name: str, experiment: Experiment, folder: Path) -> Tracker:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return TRACKERS[name](experiment, folder)
    except ImportError as error:
        raise OverfocusError(f"{name} is not installed ({error}); pip install 'overfocus[{name}]'") from None
    except OSError as error:
        raise OverfocusError(f"{name} cannot write to {folder} ({error.strerror}); give another --out") from error


def _settings(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting by its dotted key."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _numbers(epoch: Epoch) -> dict[str, Any]:
    return {name: value for name, value in epoch.flat().items() if name != "epoch"}
