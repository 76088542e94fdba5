"""Runs of a study on a Ray cluster: one that is there, or one that is started on this machine."""

from __future__ import annotations

import logging
import os
import re
import socket
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.study.engine import Engine, Job, Outcome
from overfocus.study.study import STUDY

PATIENCE = 15.0
"""Seconds in which a cluster has to answer."""
QUEUED = 10_000
"""Jobs that the cluster has at a time: it queues them itself, and grows by them where it can."""


@dataclass
class RayEngine(Engine):
    """Gives every job to Ray as a task of its own, with the processors and GPUs that a run takes.

    A task whose process or node dies is started again by Ray, `retries` times, on what is left of the cluster; the run
    goes on behind its last whole epoch. The folder of the study must lie on a file system that all nodes see.
    Raises OverfocusError where Ray is not installed, where no cluster is found, and where it can never have the room.
    """

    address: str | None = None
    """Of a cluster: "auto", "HOST:PORT", "ray://HOST:PORT"; None starts one here."""
    cpus_per_run: float = 1
    gpus_per_run: float = 0
    retries: int = 3
    options: dict[str, Any] = field(default_factory=dict)
    """More for `ray.init`, such as num_cpus for a cluster that is started here."""
    slots: int = QUEUED
    _jobs: dict[Any, Job] = field(default_factory=dict)
    _checked: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._ray = _imported()
        self._mine = not self._ray.is_initialized()
        if self._mine:
            self._connect()
        self._check_room()
        needs = {"num_cpus": self.cpus_per_run, "num_gpus": self.gpus_per_run, "max_retries": self.retries}
        self._remote = self._ray.remote(**needs)(_do)
        self._look = self._ray.remote(num_cpus=0)(_sees)

    def submit(self, job: Job) -> None:
        """Queue the job; the first one of a study checks that the nodes see its folder."""
        if job.study not in self._checked:
            self._checked.add(job.study)
            if not self._ray.get(self._look.remote(str(job.study / STUDY))):
                raise OverfocusError(
                    f"the nodes of the Ray cluster do not see {job.study}; give an --out on a file system that all "
                    "of them share"
                )
        self._jobs[self._remote.remote(job)] = job

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the jobs that ended, after at most `seconds`."""
        if not self._jobs:
            return []
        ended, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        more, _ = self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=0)
        return [self._outcome(each) for each in dict.fromkeys([*ended, *more])]

    def _outcome(self, reference: Any) -> Outcome:
        job = self._jobs.pop(reference)
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:  # the worker or its node died more often than it was retried
            return Outcome(job, "lost", f"Ray lost it: {str(error).partition(chr(10))[0]}")

    def close(self) -> None:
        """Stop what runs, and the cluster where it was started here."""
        for reference in self._jobs:
            self._ray.cancel(reference, force=True)
        self._jobs.clear()
        if self._mine:
            self._ray.shutdown()

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        if self.address == "auto" and "RAY_ADDRESS" not in os.environ and not _running():
            raise OverfocusError("--address auto: no Ray cluster runs here; start one with `ray start --head`")
        _reach(self.address)
        local = {} if self.address else {"include_dashboard": False}
        try:
            self._ray.init(
                self.address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True,
                **{**local, **self.options},
            )  # fmt: skip
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise OverfocusError(
                f"no Ray cluster at {self.address or 'this machine'} ({str(error).partition(chr(10))[0]}); give the "
                "--address that `ray start` printed"
            ) from error

    def _check_room(self) -> None:
        """Refuse what the largest node can never give; a cluster that grows by itself is given the benefit."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for name, asked in (("CPU", self.cpus_per_run), ("GPU", self.gpus_per_run)):
            most = max((node.get(name, 0.0) for node in nodes), default=0.0)
            if asked > most:
                self.close()
                raise OverfocusError(
                    f"a run asks for {asked:g} {name}s and the largest node of the Ray cluster has {most:g}; ask for "
                    "less (threads in the study, --gpus), or add a node"
                )


def _imported() -> Any:
    try:
        return import_module("ray")
    except ImportError:
        raise OverfocusError("--engine ray needs Ray, which is not installed: pip install 'overfocus[ray]'") from None


def _reach(address: str | None) -> None:
    """Refuse an address where nobody listens at once; Ray itself would try for minutes and then end the process."""
    found = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address or "")
    if not found:
        return
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise OverfocusError(
            f"no Ray cluster at {address} ({error}); give the --address that `ray start` printed"
        ) from None


def _running() -> bool:
    """Whether a cluster's own file says that one runs here."""
    return Path("/tmp/ray/ray_current_cluster").exists() or os.name == "nt"


def _do(job: Job) -> Outcome:
    from overfocus.study.work import do

    return do(job)


def _sees(path: str) -> bool:
    return Path(path).is_file()
