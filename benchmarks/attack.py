"""PGD in ten steps of 2/255 within 8/255, against the peers' on the same model and images, and with an early end.

    python benchmarks/attack.py [--rounds 9]

All but `until fooled` look at every image ten times: the same work, so the ratio is what is spent beside the model.
`until fooled` leaves an image alone once the model names another class, which makes the attack no weaker. How much that
saves hangs on the model; here it is one with random weights, which fall at once, as those of networks that were trained
without attacks do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from ratios import Bar, Table, Work, parser, peer, run, turns
from torch import Tensor, nn

import overfocus as of
from overfocus.core.key import Key
from overfocus.diagnosis.attacks.attack import PGD

EPS, STEP, STEPS = 8 / 255, 2 / 255, 10
OURS, FOOLED = "overfocus", "overfocus, until fooled"
CASES = (("resnet18", 128, 32), ("resnet18", 16, 224))


def captum(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Work]:
    if (robust := peer("captum.robust")) is None:
        return {}
    attack = robust.PGD(model, nn.CrossEntropyLoss(reduction="none"), 0.0, 1.0)
    return {"captum": lambda: attack.perturb(images, EPS, STEP, STEPS, labels, random_start=True)}


def torchattacks(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Work]:
    if (attacks := peer("torchattacks")) is None:
        return {}
    attack = attacks.PGD(model, EPS, STEP, STEPS, random_start=True)
    return {"torchattacks": lambda: attack(images, labels)}


def passes(model: nn.Module, images: Tensor, labels: Tensor) -> Work:
    """Return the limit: ten passes forward and back to the pixels, and nothing else."""

    def work() -> None:
        for _ in range(STEPS):
            leaf = images.clone().requires_grad_()
            torch.autograd.grad(nn.functional.cross_entropy(model(leaf), labels, reduction="sum"), leaf)

    return work


def table(case: tuple[str, int, int], asked: argparse.Namespace) -> Table:
    name, rows, side = (case[0], 2, 32) if asked.tiny else case
    torch.manual_seed(0)
    model = of.create_model(name, 10).to(asked.device).eval().requires_grad_(False)
    images = torch.rand(rows, 3, side, side, device=asked.device)
    labels = model(images).argmax(dim=1)
    attack, key = PGD(EPS, STEP, STEPS), Key.seeded(0, device=asked.device)
    early = replace(attack, stop=True)
    variants: dict[str, Callable[[], Any]] = {
        "ten passes": passes(model, images, labels),
        OURS: lambda: attack.attack(model, images, labels, key),
        FOOLED: lambda: early.attack(model, images, labels, key),
    }
    variants |= captum(model, images, labels) | torchattacks(model, images, labels)
    left = [
        f"{each} leaves {float((model(variants[each]()).argmax(dim=1) == labels).float().mean()):.1%} right"
        for each in variants
        if each != "ten passes"
    ]
    seconds = turns(variants, asked.rounds, device=asked.device)
    bars = [Bar(OURS, theirs, 1.0) for theirs in ("captum", "torchattacks")] + [Bar(FOOLED, OURS, 1.0)]
    title = f"PGD-{STEPS}, {name}, {rows} x 3 x {side} x {side}, float32"
    return Table(title, "ten passes", seconds, bars, left, [OURS, FOOLED], per=rows, unit="images")


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    for case in CASES[: 1 if asked.tiny else None]:
        yield table(case, asked)


def main() -> None:
    run(parser(__doc__, rounds=9).parse_args(), tables)


if __name__ == "__main__":
    main()
