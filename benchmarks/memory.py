"""The peak memory of a training step with a method over that of the step without.

Every step runs in a process of its own, the variants in turn: on a processor the peak is what the kernel counts for the
process (its resident set: the allocator's slack is in it), less what stood before the step; on a GPU it is what torch's
allocator counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from ratios import Bar, Table, parser, run
from torch.nn.functional import cross_entropy

METHODS = ("plain", "sgdrop", "cutmix", "cutmix + sgdrop")


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    case = ("resnet18", 8, 32) if asked.tiny else ("resnet18", 128, 32)
    names = ["bare", *METHODS]
    peaks: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(asked.rounds):
        for name in names:
            peaks[name].append(alone(name, *case, asked.device))
    model, batch, side = case
    title = f"Peak memory of a training step, {model}, {batch} x 3 x {side} x {side}, float32"
    bars = [Bar(name, "bare", 1.03) for name in METHODS[1:]]
    yield Table(title, "bare", peaks, bars, ours=METHODS, measured=("MB", 1e3))


def alone(method: str, model: str, batch: int, side: int, device: str) -> float:
    """Return the peak in GB of steps in a fresh process."""
    command = [sys.executable, __file__, "--one", json.dumps([method, model, batch, side, device])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def one(method: str, model_name: str, batch: int, side: int, device: str) -> None:
    """Train three steps and print how many GB they took beyond the model and the batch."""
    import overfocus as of

    torch.manual_seed(0)
    model = of.create_model(model_name, 10, stem="small").to(device)
    images, labels = torch.randn(batch, 3, side, side, device=device), torch.randint(10, (batch,), device=device)
    objective = None if method == "bare" else of.Objective(model, of.parse(method))
    update = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = resident(device)
    for _ in range(3):
        loss = cross_entropy(model(images), labels) if objective is None else objective(images, labels)
        loss.backward()
        update.step()
        update.zero_grad()
    print(peak(device) - before)


def resident(device: str) -> float:
    """Return the GB in use now."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated() / 1e9
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


def peak(device: str) -> float:
    """Return the most GB that were in use."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        one(*json.loads(sys.argv[2]))
    else:
        run(parser(__doc__, rounds=5).parse_args(), tables)


if __name__ == "__main__":
    main()
