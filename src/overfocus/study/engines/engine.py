"""Where the runs of a study are done: what every engine takes and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from overfocus.study.run_key import RunKey
from overfocus.training.processes import Machine


@dataclass(frozen=True)
class Job:
    """One run to do."""

    study: Path
    """The folder of the study, absolute."""
    key: RunKey
    machine: Machine = field(default_factory=Machine)
    """Device, and how many of them the run itself takes."""
    threads: int = 1
    log: tuple[str, ...] = ()
    """Trackers, such as tensorboard."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    job: Job
    state: Literal["finished", "failed", "taken", "lost", "stopped"]
    """`taken`: another process is at it. `lost`: the process died, and the run can be resumed. `stopped`: what went
    wrong, such as a full disk, would stop every other run too."""
    error: str = ""


class Engine(ABC):
    """Does jobs, several at a time; a context manager that stops what runs when it is left."""

    slots: int
    """How many jobs it wants to have at a time."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take a job; it is begun when there is room."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Outcome]:
        """Return the jobs that ended since the last call, after at most `seconds`."""

    @abstractmethod
    def close(self) -> None:
        """Stop what runs: at most the epoch that each run is in is lost."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
