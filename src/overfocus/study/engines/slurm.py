"""Runs of a study as jobs of a SLURM cluster, through submitit.

Tested with submitit's own local executor, which starts real processes, and with stand-ins for SLURM's commands; SLURM
itself was not run.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.study.engines.engine import Engine, Job, Outcome

MINUTES = 60
"""Time limit of a job where none is given; submitit's own are 5 minutes here and 2 there."""
POLL = 0.2
"""Seconds between two checks for the jobs' results."""
LOOK = 60.0
"""Seconds between two queries to SLURM about jobs without a result; submitit itself waits ten minutes."""
SETTLING = 15.0
"""Seconds that the result of a job that ended may take to be seen through a shared file system."""
ENDING = 5.0
"""Seconds that processes of this machine are given to end by themselves."""


@dataclass
class SlurmEngine(Engine):
    """Submits every run as a job of its own, with the requested time, processors, GPUs and memory.

    A job that is killed, preempted or out of time is lost, and submitted again; its run resumes after its last
    completed epoch, so the time limit may be shorter than a run. The folder of the study must lie where all nodes see
    it, and SLURM must keep accounts (`sacct`), which know of jobs that left no result. A command that is killed leaves
    its jobs to SLURM, and the next one finds their runs taken until they are done.
    Raises OverfocusError where submitit or SLURM is not there, and where SLURM does not take a job.
    """

    folder: Path
    """Of the study; submitit's files lie in its `slurm`."""
    cluster: str = "slurm"
    """"slurm", or "local" for processes of this machine."""
    partition: str = ""
    minutes: int = 0
    """Time limit of a job; 0 gives MINUTES."""
    threads: int = 1
    gpus: int = 0
    memory_gb: float = 0.0
    """0 leaves it to the partition."""
    options: dict[str, Any] = field(default_factory=dict)
    """More for submitit's AutoExecutor, such as slurm_account."""
    slots: int = 1000
    _jobs: dict[str, tuple[Any, Job]] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)
    """Jobs that ended, as SLURM says, and left no result until then."""
    _looked: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        submitit = _imported()
        try:
            self._executor = submitit.AutoExecutor(folder=self.folder / "slurm", cluster=self.cluster)
            self._executor.update_parameters(**self._parameters())
        except (RuntimeError, ValueError, NameError, AssertionError) as error:
            raise OverfocusError(
                f"--engine slurm: {error}; run it where `sbatch` is, or take another --engine"
            ) from error

    def _parameters(self) -> dict[str, Any]:
        given = {"gpus_per_node": self.gpus, "mem_gb": self.memory_gb, "slurm_partition": self.partition}
        wanted = {name: value for name, value in given.items() if value}
        minutes = self.minutes or MINUTES
        return {"name": "overfocus", "cpus_per_task": self.threads, "timeout_min": minutes, **wanted, **self.options}

    def submit(self, job: Job) -> None:
        """Submit the job."""
        try:
            submitted = self._executor.submit(_do, job)
        except (RuntimeError, OSError) as error:
            raise OverfocusError(
                f"SLURM took no job ({_last_line(error)}); look at --partition, --minutes and --gpus"
            ) from error
        self._jobs[submitted.job_id] = submitted, job

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the jobs that ended, after at most `seconds`."""
        end = time.monotonic() + seconds
        self._look()
        while not (ended := [key for key, (submitted, _) in self._jobs.items() if self._over(key, submitted)]):
            if time.monotonic() > end:
                return []
            time.sleep(POLL)
        return [self._outcome(*self._jobs.pop(key)) for key in ended]

    def _look(self) -> None:
        """Ask SLURM about all jobs at once, now and then."""
        if self._jobs and time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            next(iter(self._jobs.values()))[0].done(force_check=True)

    def _over(self, key: str, submitted: Any) -> bool:
        """Whether a job has ended, and its result is there or will not come."""
        if not submitted.done() and not submitted.state.startswith("PREEMPTED"):  # which submitit takes for alive
            self._ended.pop(key, None)
            return False
        now = time.monotonic()
        return submitted.paths.result_pickle.exists() or now - self._ended.setdefault(key, now) >= SETTLING

    def _outcome(self, submitted: Any, job: Job) -> Outcome:
        self._ended.pop(submitted.job_id, None)
        if not submitted.paths.result_pickle.exists():
            state = submitted.state
            submitted.cancel(check=False)  # or SLURM might begin it again beside the one that takes its place
            return Outcome(job, "lost", f"job {submitted.job_id} ended ({state}); see {submitted.paths.stderr}")
        error = submitted.exception()
        if error is None:
            return submitted.result()
        return Outcome(job, "lost", f"job {submitted.job_id} could not begin; see {submitted.paths.stderr}")

    def close(self) -> None:
        """Cancel what runs or waits."""
        cancelled = [submitted for submitted, _ in self._jobs.values()]
        self._jobs.clear()
        for submitted in cancelled:
            submitted.cancel(check=False)
        end = time.monotonic() + ENDING
        while self.cluster == "local" and time.monotonic() < end and not all(each.done() for each in cancelled):
            time.sleep(POLL)


class _JobStopped(BaseException):
    """SLURM wants the job to end; nothing that a run does about its own errors may catch it."""


def _stop(number: int, frame: Any) -> None:
    raise _JobStopped


def _do(job: Job) -> Outcome:
    """Do a run on a node, and end in good time where SLURM asks for that.

    Without this, submitit would raise an error inside the run, which would then count as failed.
    """
    from overfocus.study.work import do

    os.environ["SLURM_JOB_NAME"] = "bash"  # or Lightning would take the job's one task for all processes of a run
    wanted = getattr(signal, f"SIG{_imported().JobEnvironment.USR_SIG}")
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, wanted)}
    try:
        return do(job)
    except _JobStopped:
        return Outcome(job, "lost", "SLURM ended it: its --minutes were over, or its place was taken")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _imported() -> Any:
    try:
        return import_module("submitit")
    except ImportError:
        raise OverfocusError("--engine slurm needs submitit: pip install 'overfocus[slurm]'") from None
