"""How long the command line and the import keep a person waiting, whole processes in turn.

The bar of 0.4 s for `overfocus --help` is of the clock, so it holds on this machine or does not; the ratio to
`import torch` travels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from ratios import Bar, Table, Work, parser, run, turns

HELP = "overfocus --help"
LIMIT = 0.4


def process(*command: str) -> Work:
    return lambda: subprocess.run(command, check=True, capture_output=True)


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    python, command = sys.executable, str(Path(sys.executable).with_name("overfocus"))
    variants = {
        "import torch": process(python, "-c", "import torch"),
        HELP: process(command, "--help"),
        "overfocus train --help": process(command, "train", "--help"),
        "import overfocus": process(python, "-c", "import overfocus"),
        "python -c pass": process(python, "-c", "pass"),
    }
    seconds = turns(variants, asked.rounds)
    yield Table("Until an answer stands there", "import torch", seconds, [Bar(HELP, "import torch", 0.5)],
                [waited(seconds[HELP])], ours=[name for name in variants if "overfocus" in name])  # fmt: skip


def waited(seconds: Sequence[float]) -> str:
    held = "held" if median(seconds) <= LIMIT else "MISSED"
    return f"{held}: {HELP} {median(seconds):.2f} s, bar {LIMIT:g} s"


def main() -> None:
    run(parser(__doc__, rounds=9).parse_args(), tables)


if __name__ == "__main__":
    main()
