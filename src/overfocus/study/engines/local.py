"""Runs of a study in worker processes on this machine, its cores and GPUs shared out among them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from overfocus.core.errors import OverfocusError
from overfocus.study.engines.engine import Engine, Job, Outcome

PATIENCE = 5.0
"""Seconds that a worker has to end by itself."""


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[str]
    log: Path
    jobs: IO[str]
    outcomes: IO[str]
    job: Job | None = None


@dataclass
class LocalEngine(Engine):
    """Keeps up to `workers` processes, each of which does one run at a time.

    A worker outlives a run, so that torch is loaded once, and never outlives this process. The job of one that dies is
    lost, and the next job starts another one in its place.
    """

    workers: int
    folder: Path
    """Its `log` keeps what the workers print."""
    threads: int = 1
    gpus: int = 0
    """How many GPUs the workers share out, one to each; 0 leaves them to see all."""
    _all: dict[int, _Worker] = field(default_factory=dict)
    _running: dict[Future[str], _Worker] = field(default_factory=dict)
    """The line that each busy worker will answer with."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise OverfocusError(f"workers = {self.workers}; give one at least")
        self.slots = self.workers
        self._readers = ThreadPoolExecutor(self.workers)

    def submit(self, job: Job) -> None:
        """Give the job to an idle worker; there are as many as slots."""
        number = next(n for n in range(self.workers) if n not in self._all or self._all[n].job is None)
        worker = self._all.get(number)
        if worker is None or worker.process.poll() is not None:
            worker = self._all[number] = self._start(number)
        worker.job = job
        with suppress(OSError):  # it has just died, and will answer nothing
            worker.jobs.write(f"{pickle.dumps(job).hex()}\n")
            worker.jobs.flush()
        self._running[self._readers.submit(worker.outcomes.readline)] = worker

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the jobs that ended, after at most `seconds`."""
        if not self._running:
            time.sleep(seconds)
        ended, _ = wait(self._running, seconds, FIRST_COMPLETED)
        return [self._outcome(self._running.pop(answer), answer.result()) for answer in ended]

    def _outcome(self, worker: _Worker, answer: str) -> Outcome:
        job, worker.job = worker.job, None
        assert job is not None
        if answer:
            return pickle.loads(bytes.fromhex(answer))
        code = worker.process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Outcome(job, "lost", f"its process ended ({how}); see {worker.log}")

    def _start(self, number: int) -> _Worker:
        path = self.folder / "log" / f"worker{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "overfocus.study.engines.local_worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
                env=self._environment(number), start_new_session=True,
            )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        return _Worker(process, path, process.stdin, process.stdout)

    def _environment(self, number: int) -> dict[str, str]:
        """Return the environment of a worker: threads that do not compete with those of the others, and its own GPU."""
        count = str(self.threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(self.gpus)))).split(",")
        gpu = {"CUDA_VISIBLE_DEVICES": visible[number % self.gpus]} if self.gpus else {}
        return {**os.environ, **dict.fromkeys(names, count), **gpu}

    def close(self) -> None:
        """Stop the workers: at most the epoch that each run is in is lost."""
        for worker in self._all.values():
            _signal(worker.process, signal.SIGTERM)
        for worker in self._all.values():
            try:
                worker.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                _signal(worker.process, getattr(signal, "SIGKILL", signal.SIGTERM))
                worker.process.wait()
        self._readers.shutdown()
        self._all.clear()
        self._running.clear()


def _signal(process: subprocess.Popen[str], number: int) -> None:
    """Signal a worker and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number) if hasattr(os, "killpg") else process.terminate()
