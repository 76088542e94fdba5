"""A process that does runs, one after the other: a pickled job is a line of hexadecimal digits, and so is its outcome.

It ends when the process that started it does, however that ends: then its input does. Started by `LocalEngine`.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from queue import SimpleQueue
from typing import IO


def _read(lines: IO[str], jobs: SimpleQueue[str]) -> None:
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
    outcomes = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    jobs: SimpleQueue[str] = SimpleQueue()
    lines = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - read for as long as this process lives
    threading.Thread(target=_read, args=(lines, jobs), daemon=True).start()
    from overfocus.core.allocator import keep_freed_memory
    from overfocus.study.work import do

    keep_freed_memory()
    while True:
        outcomes.write(f"{pickle.dumps(do(pickle.loads(bytes.fromhex(jobs.get())))).hex()}\n")


if __name__ == "__main__":
    sys.exit(main())
