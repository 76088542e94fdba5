"""Runs of a study on a Ray cluster: one that is there, or one that is started on this machine."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.study.engines.engine import Engine, Job, Outcome
from overfocus.study.engines.ray_address import reach, recorded
from overfocus.study.study import STUDY
from overfocus.version import __version__

LOOK = 120.0
"""Seconds in which a node has to answer whether it can do runs; one that is too busy counts as able."""
QUEUED = 10_000
"""Jobs that the cluster has at a time: it queues them itself, and grows by them where it can."""


@dataclass
class RayEngine(Engine):
    """Gives every job to Ray as a task of its own, with the processors and GPUs that a run takes.

    A task whose process or node dies is started again by Ray, `retries` times, on what is left of the cluster, and is
    then lost; the run resumes after its last completed epoch. The folder of the study must lie on a file system
    that all nodes see. A cluster that was there before is left alone at the end.
    Raises OverfocusError where Ray is not installed, where no cluster answers, where no node of it has the room, and
    where a node does not see the folder or has another version of overfocus.
    """

    address: str | None = None
    """Of a cluster: "auto", "HOST:PORT", "ray://HOST:PORT". None takes the one that RAY_ADDRESS names, as inside a job
    of Ray's, and else starts one here."""
    cpus_per_run: float = 1
    gpus_per_run: float = 0
    """May be a part of one, which several runs then share."""
    retries: int = 3
    options: dict[str, Any] = field(default_factory=dict)
    """More for `ray.init`, such as num_cpus for a cluster that is started here."""
    slots: int = QUEUED
    _jobs: dict[Any, Job] = field(default_factory=dict)
    _checked: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._ray = _imported(self.retries)
        self._mine = not self._ray.is_initialized()
        if self._mine:
            self._connect()
        self._check_room()
        needs = {"num_cpus": self.cpus_per_run, "num_gpus": self.gpus_per_run, "max_retries": self.retries}
        self._remote = self._ray.remote(**needs)(_do)
        self._look = self._ray.remote(num_cpus=0, max_retries=0)(_fault)

    def submit(self, job: Job) -> None:
        """Queue the job; before the first one of a study, every node with room for it is checked."""
        if job.study not in self._checked:
            self._check_nodes(job.study)
            self._checked.add(job.study)
        self._jobs[self._remote.remote(job, __version__)] = job

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the jobs that ended, after at most `seconds`."""
        if not self._jobs:
            time.sleep(seconds)
            return []
        ended, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        more, _ = self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=0)
        return [self._outcome(each) for each in dict.fromkeys([*ended, *more])]

    def _outcome(self, reference: Any) -> Outcome:
        job = self._jobs.pop(reference)
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:  # the worker or its node died more often than it was retried
            return Outcome(job, "lost", f"Ray lost it: {self._reason(error)}")

    def _reason(self, error: Exception) -> str:
        """Return the line of an error of Ray's that says something: the last one where Python raised it."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        return lines[-1 if isinstance(error, self._ray.exceptions.RayTaskError) else 0]

    def close(self) -> None:
        """Stop what runs, and the cluster where it was started here."""
        for reference in self._jobs:
            with suppress(self._ray.exceptions.RayError, ValueError):  # it ended meanwhile, or its node did
                self._ray.cancel(reference, force=True)
        self._jobs.clear()
        if self._mine:
            self._ray.shutdown()

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics are sent
        named = os.environ.get("RAY_ADDRESS") if self.address in (None, "", "auto") else None
        address = named or self.address or "local"
        reach(recorded() if address == "auto" else address)
        local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        try:
            self._init(address, **{**local, **self.options})
        except (OSError, RuntimeError, ValueError, self._ray.exceptions.RayError) as error:
            raise OverfocusError(
                f"no Ray cluster at {'this machine' if address == 'local' else address} ({self._reason(error)}); give "
                "the --address that `ray start` printed, and set RAY_AUTH_MODE=token where the cluster wants a token"
            ) from error

    def _init(self, address: str, **options: Any) -> None:
        """Connect, again where the server of a ray:// address began to, and aborted: it does so now and then."""
        for tries_left in (2, 1, 0):
            try:
                self._ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
                return
            except ConnectionAbortedError:
                if not tries_left:
                    raise

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _short(self, node: dict[str, Any]) -> list[str]:
        """Return what a node has too little of for a run, as words."""
        needed = {"CPU": self.cpus_per_run, "GPU": self.gpus_per_run}
        return [name for name, count in needed.items() if node["Resources"].get(name, 0.0) < count]

    def _check_room(self) -> None:
        """Refuse what no node has. Ray itself would wait for such a node without end."""
        nodes = self._nodes()
        if any(not self._short(node) for node in nodes):
            return
        have = max(nodes, key=lambda node: (-len(self._short(node)), node["Resources"].get("CPU", 0.0)), default={})
        room = have.get("Resources", {})
        self.close()
        raise OverfocusError(
            f"a run asks for {self.cpus_per_run:g} CPUs and {self.gpus_per_run:g} GPUs on one node, and the largest "
            f"node of the Ray cluster has {room.get('CPU', 0):g} and {room.get('GPU', 0):g}; ask for less (threads in "
            "the study, --gpus), or add a node"
        )

    def _check_nodes(self, study: Path) -> None:
        """Refuse a cluster where a run could come to a node that does not see its folder, or reads it otherwise."""
        on = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        checks = {}
        for node in self._nodes():
            if not self._short(node):
                there = self._look.options(scheduling_strategy=on(node["NodeID"], soft=False))
                checks[there.remote(str(study), __version__)] = node["NodeManagerHostname"]
        answered, _ = self._ray.wait(list(checks), num_returns=len(checks), timeout=LOOK) if checks else ([], [])
        for reference in answered:
            if fault := self._answer(reference):
                raise OverfocusError(f"node {checks[reference]} of the Ray cluster {fault}")

    def _answer(self, reference: Any) -> str:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            return f"cannot do runs ({self._reason(error)}); install there what is installed here"
        except self._ray.exceptions.RayError:  # it has gone meanwhile
            return ""


def _imported(retries: int) -> Any:
    # Ray would start a run that takes too much memory again without end; it reads this when it is first imported.
    os.environ.setdefault("RAY_task_oom_retries", str(retries))
    try:
        return import_module("ray")
    except ImportError:
        raise OverfocusError("--engine ray needs Ray, which is not installed: pip install 'overfocus[ray]'") from None


def _do(job: Job, version: str) -> Outcome:
    """Do a run on a node; one that joined the cluster later has not been checked before."""
    from overfocus.study.work import do

    fault = _fault(str(job.study), version)
    return Outcome(job, "stopped", f"node {socket.gethostname()} of the Ray cluster {fault}") if fault else do(job)


def _fault(study: str, version: str) -> str:
    """Return what keeps this node from doing runs of the study in folder `study`; empty where nothing does."""
    if version != __version__:
        return f"has overfocus {__version__}, and here is {version}; install the same on all"
    if not (Path(study) / STUDY).is_file():
        return f"does not see {study}; give an --out on a file system that all nodes share"
    return ""
