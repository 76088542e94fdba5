"""Engines by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.data.decode import processors
from overfocus.study.engines.engine import Engine
from overfocus.study.engines.local import LocalEngine
from overfocus.study.study import Study
from overfocus.training.processes import Machine

ENGINES = ("local", "ray", "slurm")


@dataclass(frozen=True)
class Backend:
    """Where the runs of a study are computed; no number depends on it."""

    engine: str = "local"
    workers: int = 0
    """Runs at a time; 0 takes as many as the cores, GPUs or cluster have room for."""
    address: str = ""
    """Of a Ray cluster; empty starts one on this machine."""
    gpus: float = 0.0
    """GPUs of each run on a cluster; may be a part of one."""
    partition: str = ""
    minutes: int = 0
    """SLURM's partition and time limit."""
    machine: Machine = field(default_factory=Machine)

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UnknownName("engine", self.engine, ENGINES)
        if self.workers < 0:
            raise OverfocusError(f"--workers {self.workers}: give 1 or more, or 0 for as many as there is room for")


def workers_for(backend: Backend, threads: int) -> int:
    """Return how many runs are done at a time on this machine."""
    if backend.workers:
        return backend.workers
    each = max(1, int(backend.machine.devices)) if str(backend.machine.devices).isdigit() else 1
    gpus = _gpus(backend.machine)
    return max(1, gpus // each) if gpus else max(1, processors() // (threads * each))


def engine_for(backend: Backend, study: Study, folder: Path) -> Engine:
    """Return the engine that `backend` names. Raises OverfocusError where what it needs is not installed."""
    if backend.engine == "ray":
        from overfocus.study.engines.ray import RayEngine

        return RayEngine(backend.address or None, cpus_per_run=study.threads, gpus_per_run=backend.gpus)
    if backend.engine == "slurm":
        from overfocus.study.engines.slurm import SlurmEngine

        return SlurmEngine(
            folder,
            partition=backend.partition,
            minutes=backend.minutes,
            threads=study.threads,
            gpus=round(backend.gpus),
        )
    gpus = _gpus(backend.machine) if backend.machine.devices in (1, "1") else 0
    return LocalEngine(workers_for(backend, study.threads), folder, study.threads, gpus)


def _gpus(machine: Machine) -> int:
    """Return how many GPUs of this machine are to be used."""
    import torch

    return torch.cuda.device_count() if machine.accelerator in ("auto", "cuda", "gpu") else 0
