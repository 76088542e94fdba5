"""A process that does runs, one after the other: jobs come in as lines of JSON, outcomes go out as such.

It ends when whoever started it does, however that ends: then its input does. Started by `LocalEngine`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from overfocus.study.engines.engine import Job, Outcome


def job_as_text(job: Job) -> str:
    """Return a job as a line."""
    size, machine = job.key.size, job.machine
    return json.dumps({
        "study": str(job.study), "method": job.key.method, "per_class": size.per_class, "fraction": size.fraction,
        "seed": job.key.seed, "accelerator": machine.accelerator, "devices": machine.devices, "threads": job.threads,
        "log": job.log,
    })  # fmt: skip


def job_of(text: str) -> Job:
    """Read what `job_as_text` wrote."""
    from overfocus.study.run_key import RunKey, Size
    from overfocus.training.processes import Machine

    told: dict[str, Any] = json.loads(text)
    key = RunKey(told["method"], Size(told["per_class"], told["fraction"]), told["seed"])
    machine = Machine(told["accelerator"], told["devices"])
    return Job(Path(told["study"]), key, machine, told["threads"], tuple(told["log"]))


def _read(lines: IO[str], jobs: SimpleQueue) -> None:
    for line in lines:
        jobs.put(line)
    _end()


def _end() -> None:
    """End at once, with all that was started here; at most the epoch that is being trained is lost."""
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> None:
    """Do jobs until there is nobody left to give any."""
    # What libraries print must not end up among the outcomes.
    told = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    jobs: SimpleQueue = SimpleQueue()
    lines = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - read for as long as this process lives
    threading.Thread(target=_read, args=(lines, jobs), daemon=True).start()
    from overfocus.study.work import do

    while True:
        outcome: Outcome = do(job_of(jobs.get()))
        told.write(json.dumps({"state": outcome.state, "error": outcome.error}) + "\n")
        told.flush()


if __name__ == "__main__":
    sys.exit(main())
