"""The processes of a training run: how they start, what they exchange, and how they fail together."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import TorchCheckpointIO

from overfocus.core.errors import OverfocusError
from overfocus.training.recipe import precision_for

T = TypeVar("T")
LAUNCHED = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""Environment variables that give a process its rank; not set for a single process, or before the others start."""
PATIENCE = 3.0
"""Seconds that the other processes have to end by themselves."""


@dataclass(frozen=True)
class Machine:
    """Where to train; not part of the experiment, since it must not change what comes out."""

    accelerator: str = "auto"
    devices: int | str = 1
    nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.devices, str) and self.devices.isdigit():
            object.__setattr__(self, "devices", int(self.devices))


class CheckpointFile(TorchCheckpointIO):
    """Writes straight to the path. Fabric's own goes through the system's folder for temporary files, which may be
    full or slow, and where a killed process leaves the whole checkpoint behind.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` to the file `path`."""
        with open(path, "wb") as file:  # given a path, torch hides why a write failed
            torch.save(checkpoint, file)


def started(precision: str, machine: Machine) -> Fabric:
    """Start the processes; in each, the random state and the devices are its own."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it reports the precision, as the manifest does
    many = machine.devices != 1 or machine.nodes > 1
    strategy = "ddp" if machine.strategy == "auto" and many else machine.strategy
    try:
        probe = Fabric(accelerator=machine.accelerator, devices=1) if precision == "auto" else None
        chosen: Any = precision_for(precision, probe.device if probe else torch.device("cpu"))
        fabric = Fabric(
            accelerator=machine.accelerator,
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy=strategy,
            precision=chosen,
            plugins=[CheckpointFile()],
        )
        fabric.launch()
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise OverfocusError(
            f"cannot start training with {machine} and recipe.precision={precision!r}: {error}"
        ) from error
    return fabric


def first_process() -> bool:
    """Return whether this process has rank 0, by the environment: training, which would know, has not begun."""
    return all(os.environ.get(name, "0") == "0" for name in LAUNCHED)


def together(fabric: Fabric, work: Callable[[], T]) -> T:
    """Do `work` in every process; where it fails in one, it fails in all, so that none waits for one that has ended."""
    if fabric.world_size == 1:
        return work()
    try:
        result, error = work(), None
    except Exception as caught:
        result, error = None, caught
    errors = [text for text in gathered(fabric, str(error) if error else "") if text]
    if error is not None:
        raise error
    if errors:
        raise OverfocusError(errors[0])
    return result  # type: ignore[return-value]


def gathered(fabric: Fabric, value: Any) -> list[Any]:
    """Return the values of all processes."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def averaged(fabric: Fabric, means: Mapping[str, float]) -> dict[str, float]:
    """Return the means over the processes; what one did not measure is the mean of the others."""
    every = gathered(fabric, dict(means))
    names = dict.fromkeys(name for each in every for name in each)
    known = {name: [each[name] for each in every if name in each] for name in names}
    return {name: sum(values) / len(values) for name, values in known.items()}


@contextmanager
def one_fate(fabric: Fabric) -> Iterator[None]:
    """End the other processes with this one, and say so where one of them ended first."""
    try:
        yield
    except GeneratorExit:  # the caller stops early, in every process
        raise
    except BaseException as error:
        _end(getattr(fabric.strategy.launcher, "procs", []))
        if fabric.world_size > 1 and _connection_lost(error):
            raise OverfocusError(
                "another process of this run stopped, and this one with it; see the message of the other"
            ) from error
        raise


def _end(processes: list[subprocess.Popen]) -> None:
    """End the processes that this one started, which may be about to end by themselves for the same reason."""
    until = monotonic() + PATIENCE
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - monotonic()))
        process.terminate()


def _connection_lost(error: BaseException) -> bool:
    # gloo raises plain RuntimeErrors, NCCL and the store have kinds of their own
    return isinstance(error, torch.distributed.DistError) or "onnection" in str(error) or "gloo" in str(error)
