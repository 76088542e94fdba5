"""A run is a folder. It is finished when its manifest is there, which is written last; every file is written aside and
moved into place.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.core.files import held, write
from overfocus.training.experiment import Experiment, read_experiment

KNOWN = ("experiment.toml", "tensorboard", "wandb", "mlflow.db", "mlflow")
"""What may lie in a folder before it is a run: trackers start before training does."""
ASIDE = re.compile(r"\..+\.\d+(\.unfinished)?|\.tmp\w{6}")
"""Files that a process killed while writing leaves: ours, and those of safetensors."""


@dataclass(frozen=True)
class Epoch:
    """The results of one pass over the training images."""

    number: int
    """Counted from 1."""
    seconds: float
    """Training alone, without evaluation."""
    images_per_second: float
    lr: float
    """Share-of-peak-weighed rate of the first group at the end of the epoch."""
    train: dict[str, float]
    """Means over the epoch: loss, accuracy weighed by label shares, and what the method measured."""
    scores: dict[str, dict[str, float]]
    """Split -> accuracy, loss (nats), images; empty where the epoch was not evaluated."""
    warnings: tuple[str, ...] = ()
    probe: dict[str, float] = field(default_factory=dict)
    """Where the network looks on a few fixed images: see `training.probe`; empty in epochs that are not probed."""

    def flat(self) -> dict[str, Any]:
        """Return one row for a table."""
        row: dict[str, Any] = {
            "epoch": self.number,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
        }
        row |= {"lr": self.lr} | {f"train_{name}": value for name, value in self.train.items()}
        row |= {f"probe_{name}": value for name, value in self.probe.items()}
        return row | {f"{split}_{k}": v for split, score in self.scores.items() for k, v in score.items()}


@dataclass(frozen=True)
class Run:
    """A folder with the files of one experiment."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """State after the last completed epoch, for resuming."""
        return self.path / "checkpoint" / "last.ckpt"

    @property
    def weights(self) -> Path:
        """Weights after the last epoch."""
        return self.path / "weights.safetensors"

    @property
    def best_weights(self) -> Path:
        """Weights of the best epoch, which is not the last one by default."""
        return self.path / "best.safetensors"

    @property
    def best_so_far(self) -> Path:
        """Weights of the best epoch of a run that may stop early; in the end they are both of the above."""
        return self.checkpoint.parent / "best.safetensors"

    @property
    def finished(self) -> bool:
        """Whether the run is finished."""
        return (self.path / "manifest.json").is_file()

    def manifest(self) -> dict[str, Any]:
        """Read the manifest; OverfocusError where the run is not finished."""
        path = self.path / "manifest.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise OverfocusError(f"{path} is damaged ({error}); remove it, and run the train command again") from None
        except FileNotFoundError:
            hint = (
                "it was stopped before its end; run its train command again"
                if self.checkpoint.exists()
                else "no run is there"
            )
            raise OverfocusError(f"{self.path} has no manifest.json, so it is not a finished run: {hint}") from None

    def experiment(self) -> Experiment:
        """Read the experiment that the run is of."""
        path = self.path / "experiment.toml"
        if not path.is_file():
            raise OverfocusError(
                f"{self.path} is not a run: it has no experiment.toml; give the folder that `train --out` wrote"
            )
        return read_experiment(path)

    def claim(self, experiment: Experiment) -> None:
        """Make the folder this experiment's, or check that it already is, and clear what killed processes left."""
        self._sweep()
        if not (self.path / "experiment.toml").exists():
            self._check_empty()
            write(self.path / "experiment.toml", experiment.toml())
        elif self._never_trained():  # a command that failed, for a mistyped name of the data say, and was corrected
            write(self.path / "experiment.toml", experiment.toml())
        elif (there := self.experiment()) != experiment:
            changed = ", ".join(_differences(there.model_dump(), experiment.model_dump()))
            raise OverfocusError(
                f"{self.path} holds a run with other settings ({changed}); give another --out, or remove that folder"
            )

    def _never_trained(self) -> bool:
        """Whether all that lies here is an experiment as `claim` wrote it."""
        text = (self.path / "experiment.toml").read_text(encoding="utf-8")
        return not self.checkpoint.exists() and not self.finished and text == self.experiment().toml()

    def give_up(self) -> None:
        """Take away what `claim` wrote into a folder in which nothing was trained, and the folder if nothing else lies
        there.
        """
        settings, lock = self.path / "experiment.toml", self.path / ".lock"
        if settings.is_file() and self._never_trained():
            settings.unlink()
        if self.path.is_dir() and {each.name for each in self.path.iterdir()} <= {lock.name}:
            with suppress(OSError):  # Windows does not let go of a lock that is held
                lock.unlink(missing_ok=True)
                self.path.rmdir()

    def _check_empty(self) -> None:
        others = sorted(each.name for each in self.path.iterdir() if each.name not in KNOWN and each.name[0] != ".")
        if others:
            raise OverfocusError(
                f"{self.path} is not empty and not a run (it holds {', '.join(others[:3])}); give a new folder as --out"
            )

    def _sweep(self) -> None:
        for folder in (self.path, self.checkpoint.parent):
            for file in folder.glob(".*"):
                if file.is_file() and ASIDE.fullmatch(file.name):
                    file.unlink()

    def log(self, epochs: Sequence[Epoch]) -> None:
        """Write all epochs so far as JSONL and CSV."""
        write(self.path / "epochs.jsonl", "".join(json.dumps(asdict(epoch)) + "\n" for epoch in epochs))
        rows = [epoch.flat() for epoch in epochs]
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write(self.path / "epochs.csv", text.getvalue())

    def epochs(self) -> list[Epoch]:
        """Read the epochs so far."""
        path = self.path / "epochs.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [Epoch(**{**json.loads(line), "warnings": tuple(json.loads(line)["warnings"])}) for line in lines]

    def finish(self, content: dict[str, Any]) -> None:
        """Write the manifest, which makes the run a finished one."""
        write(self.path / "manifest.json", json.dumps(content, indent=2) + "\n")

    def taken(self) -> AbstractContextManager[None]:
        """Hold the run for this process; another one that wants it gets an error. A killed process holds nothing."""
        error = f"{self.path} is being trained by another process; wait for it, or give another --out"
        return held(self.path / ".lock", error)


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, after in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}: there {before!r}, now {after!r}"
