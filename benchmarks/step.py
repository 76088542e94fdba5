"""The cost of a training step against a bare hand-written loop: same model, data, optimiser and precision, one process.

    python benchmarks/step.py [--model resnet18 --size 32 --batch 128] [--rounds 15] [--json FILE]

Variants take turns within every round, so that a machine that slows down slows them all; a round's ratios are to the
bare step of that round, and the median over rounds is printed with its quartiles. A speed is a measurement, not a test.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import overfocus as of

METHODS = ("plain", "sgdrop", "cutout", "cutmix", "cutmix + sgdrop", "sgdrop(unit='element')", "sgdrop(views='both')")


def optimiser(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True, fused=True)


def bare(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    update = optimiser(model)

    def step() -> None:
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        update.step()
        update.zero_grad()

    return step


def ours(model: nn.Module, images: Tensor, labels: Tensor, method: str) -> Callable[[], None]:
    objective = of.Objective(model, of.parse(method))
    update = optimiser(model)

    def step() -> None:
        objective(images, labels).backward()
        update.step()
        update.zero_grad()

    return step


def timed(step: Callable[[], None], steps: int, device: torch.device) -> float:
    started = perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (perf_counter() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="overfocus_cnn")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=2, help="steps of one variant in a round")
    parser.add_argument("--methods", default="; ".join(METHODS))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    images = torch.randn(asked.batch, 3, asked.size, asked.size, device=device).contiguous(
        memory_format=torch.channels_last
    )
    labels = torch.randint(10, (asked.batch,), device=device)
    stem = "" if asked.model == "overfocus_cnn" else "small"

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return of.create_model(asked.model, 10, stem=stem).to(device, memory_format=torch.channels_last)

    variants = {"bare": bare(fresh(), images, labels)}
    for method in asked.methods.split(";"):
        variants[method.strip()] = ours(fresh(), images, labels, method.strip())
    for step in variants.values():
        timed(step, 2, device)
    rounds = [{name: timed(step, asked.steps, device) for name, step in variants.items()} for _ in range(asked.rounds)]
    report(asked, device, rounds)


def report(asked: argparse.Namespace, device: torch.device, rounds: list[dict[str, float]]) -> None:
    where = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{torch.get_num_threads()} threads of {platform.machine()}"
    )
    print(
        f"{asked.model} {asked.batch}x3x{asked.size}x{asked.size} float32, torch {torch.__version__}, {where}, "
        f"{asked.rounds} rounds"
    )
    bare_ms = median(each["bare"] for each in rounds) * 1e3
    print(f"{'bare loop':28} {bare_ms:9.1f} ms")
    results = {}
    for name in rounds[0]:
        if name == "bare":
            continue
        ratios = [each[name] / each["bare"] for each in rounds]
        low, _, high = quantiles(ratios, n=4)
        results[name] = {"ratio": median(ratios), "quartiles": [low, high]}
        print(f"{name:28} {median(ratios):9.3f} x   quartiles {low:.3f} to {high:.3f}")
    if asked.json:
        asked.json.write_text(json.dumps({"bare_ms": bare_ms, "ratios": results, **vars(asked)}, default=str, indent=2))


if __name__ == "__main__":
    main()
