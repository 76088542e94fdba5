"""Runs of a study in worker processes on this machine, its cores and GPUs shared out among them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from overfocus.core.errors import OverfocusError
from overfocus.study.engines.engine import Engine, Job, Outcome
from overfocus.study.engines.local_worker import job_as_text

PATIENCE = 5.0
"""Seconds that a worker is given to end by itself."""


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(eq=False)
class _Worker:
    number: int
    process: subprocess.Popen[str]
    log: IO[str]
    job: Job | None = None


@dataclass
class LocalEngine(Engine):
    """Keeps up to `workers` processes, each of which does one run at a time.

    They outlive a run, so that torch is loaded once. A process that dies gives its job as lost, and another one takes
    its place. None outlives this one.
    """

    workers: int
    folder: Path
    """Where what the workers print is kept."""
    threads: int = 1
    gpus: int = 0
    """How many GPUs the workers share out, one to each; 0 leaves them to see all."""
    _all: dict[int, _Worker] = field(default_factory=dict)
    _told: SimpleQueue = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise OverfocusError(f"workers = {self.workers}; give one at least")
        self.slots = self.workers

    def submit(self, job: Job) -> None:
        """Give the job to a worker that has none; there are as many as slots."""
        idle = next((each for each in self._all.values() if each.job is None), None) or self._new()
        idle.job = job
        assert idle.process.stdin is not None
        with suppress(OSError):  # it died meanwhile, which its end tells
            idle.process.stdin.write(job_as_text(job) + "\n")
            idle.process.stdin.flush()

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the jobs that ended, after at most `seconds`."""
        outcomes: list[Outcome] = []
        try:
            while True:
                worker, line = self._told.get(timeout=0 if outcomes else seconds)
                outcomes += self._outcome(worker, line)
        except Empty:
            return outcomes

    def _outcome(self, worker: _Worker, line: str) -> list[Outcome]:
        job, worker.job = worker.job, None
        if line and job:
            told = json.loads(line)
            return [Outcome(job, told["state"], told["error"])]
        if line:
            return []
        code = worker.process.wait()
        self._all.pop(worker.number, None)
        worker.log.close()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return [Outcome(job, "lost", f"its process ended ({how}); see {worker.log.name}")] if job else []

    def _new(self) -> _Worker:
        number = next(n for n in range(self.workers) if n not in self._all)
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        log = open(self.folder / "log" / f"worker{number}.txt", "a", encoding="utf-8")  # noqa: SIM115 - the worker's
        process = subprocess.Popen(
            [sys.executable, "-m", "overfocus.study.engines.local_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
            env=self._environment(number), start_new_session=True,
        )  # fmt: skip
        worker = self._all[number] = _Worker(number, process, log)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _environment(self, number: int) -> dict[str, str]:
        """Return what a worker finds: threads that do not fight with those of the others, and its own GPU."""
        count = str(self.threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(self.gpus)))).split(",")
        gpu = {"CUDA_VISIBLE_DEVICES": seen[number % self.gpus]} if self.gpus else {}
        return {**os.environ, **dict.fromkeys(names, count), **gpu}

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            self._told.put((worker, line))
        self._told.put((worker, ""))

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
            worker.log.close()
        self._all.clear()


def _signal(process: subprocess.Popen[str], number: int) -> None:
    """Signal a worker and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number) if hasattr(os, "killpg") else process.terminate()
