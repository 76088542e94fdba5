"""Runs of a study as jobs of a SLURM cluster, through submitit.

Tested with submitit's own local executor, which starts real processes; SLURM itself was not run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.study.engine import Engine, Job, Outcome

POLL = 0.2
"""Seconds between two looks at jobs of this machine."""


@dataclass
class SlurmEngine(Engine):
    """Submits every run as a job of its own, with the time, processors, GPUs and memory that are asked for.

    A job that is killed, preempted or out of time is given as lost and submitted again; its run goes on behind its last
    whole epoch. The folder of the study must lie where all nodes see it.
    """

    folder: Path
    """Of the study; submitit's files lie in its `slurm`."""
    cluster: str = "slurm"
    """"slurm", or "local" for processes of this machine."""
    partition: str = ""
    minutes: int = 0
    """Time limit of a run; 0 is the partition's."""
    threads: int = 1
    gpus: int = 0
    memory_gb: float = 0.0
    slots: int = 1000
    _jobs: dict[str, tuple[Any, Job]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        submitit = _imported()
        try:
            self._executor = submitit.AutoExecutor(folder=self.folder / "slurm", cluster=self.cluster)
        except (RuntimeError, ValueError) as error:
            raise OverfocusError(
                f"--engine slurm: {error}; run it where `sbatch` is, or take another --engine"
            ) from error
        self._executor.update_parameters(**self._asked())

    def _asked(self) -> dict[str, Any]:
        asked: dict[str, Any] = {"name": "overfocus", "cpus_per_task": self.threads}
        asked |= {"timeout_min": self.minutes} if self.minutes else {}
        asked |= {"gpus_per_node": self.gpus} if self.gpus else {}
        asked |= {"mem_gb": self.memory_gb} if self.memory_gb else {}
        return asked | ({"slurm_partition": self.partition} if self.partition else {})

    def submit(self, job: Job) -> None:
        """Submit the job."""
        from overfocus.study.work import do

        submitted = self._executor.submit(do, job)
        self._jobs[submitted.job_id] = submitted, job

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the jobs that ended, after at most `seconds`."""
        end = time.monotonic() + seconds
        while not (ended := [key for key, (submitted, _) in self._jobs.items() if submitted.done()]):
            if time.monotonic() > end:
                return []
            time.sleep(POLL)
        return [self._outcome(*self._jobs.pop(key)) for key in ended]

    def _outcome(self, submitted: Any, job: Job) -> Outcome:
        error = submitted.exception()
        if error is None:
            return submitted.result()
        return Outcome(job, "lost", f"job {submitted.job_id} ended: {str(error).strip().partition(chr(10))[0]}")

    def close(self) -> None:
        """Cancel what runs or waits."""
        for submitted, _ in self._jobs.values():
            submitted.cancel()
        self._jobs.clear()


def _imported() -> Any:
    try:
        return import_module("submitit")
    except ImportError:
        raise OverfocusError("--engine slurm needs submitit: pip install 'overfocus[slurm]'") from None
