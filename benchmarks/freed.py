"""Forward passes without gradients on a processor, with freed memory kept for the next layer and without.

    python benchmarks/freed.py [--rounds 5]

How the C library treats what is freed belongs to a process, so each measurement is a process of its own, by turns, at
one thread; counted is the processor's time, in which the system's clearing of pages is included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

from ratios import Bar, Table, parser, run

KEPT, GIVEN = "freed memory kept", "given back"
CODE = """
import sys, time, torch
from overfocus.core.allocator import keep_freed_memory
from overfocus.models.zoo import create_model
kept, batch, side, passes = sys.argv[1] == "kept", *map(int, sys.argv[2:])
if kept:
    assert keep_freed_memory()
torch.set_num_threads(1)
model, images = create_model("timm:tf_efficientnet_lite0", 10).eval(), torch.randn(batch, 3, side, side)
with torch.no_grad():
    model(images)
    began = time.process_time()
    for _ in range(passes):
        model(images)
print(time.process_time() - began)
"""


def alone(how: str, batch: int, side: int, passes: int) -> float:
    """Return the seconds of `passes` in a fresh process."""
    command = [sys.executable, "-c", CODE, how, str(batch), str(side), str(passes)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    """Measure both, by turns."""
    batch, side, passes = (2, 64, 1) if asked.tiny else (64, 128, 5)
    seconds: dict[str, list[float]] = {GIVEN: [], KEPT: []}
    for _ in range(asked.rounds):
        for name, how in ((GIVEN, "given"), (KEPT, "kept")):
            seconds[name].append(alone(how, batch, side, passes))
    title = f"EfficientNet-Lite0, {passes} x {batch} x 3 x {side} x {side}, float32, no gradients"
    yield Table(title, GIVEN, seconds, [Bar(KEPT, GIVEN, 1.0)], ours=[KEPT], per=passes * batch, unit="images")


def main() -> None:
    run(parser(__doc__, rounds=5).parse_args(), tables)


if __name__ == "__main__":
    main()
