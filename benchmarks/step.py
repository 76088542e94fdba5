"""The cost of a training step against a bare hand-written one: same model, data, optimiser and precision, one process.

    python benchmarks/step.py [--models resnet18,resnet50] [--rounds 15]

`bare` has no objective at all. `autograd SGDrop` is what one writes from the paper in ten lines: the gradient by
`torch.autograd.grad`, the threshold by `torch.quantile`. Batch norm, dropout and the like train as they do.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from ratios import Bar, Table, Work, parser, run, turns
from torch import Tensor, nn

import overfocus as of
from overfocus.models.split import FEATURES, split

PLAIN = "overfocus plain"


@dataclass(frozen=True)
class Case:
    """A model and its batch; `most` is the share that SGDrop may add to a step."""

    model: str
    size: int
    batch: int
    most: float
    stem: str = ""
    methods: tuple[str, ...] = ("plain", "sgdrop", "cutmix + sgdrop")


CASES = (
    Case("overfocus_cnn", 32, 128, 1.02, methods=("plain", "cutout", "cutmix", "mixup", "sgdrop", "cutmix + sgdrop",
                                                  "sgdrop(unit='element')", "sgdrop(views='both')")),
    Case("resnet18", 32, 128, 1.02, "small"),
    Case("resnet50", 224, 8, 1.02),
    Case("vgg16", 224, 8, 1.05),
    Case("convnext_tiny", 224, 8, 1.05),
)  # fmt: skip


def optimiser(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True, fused=True)


def bare(model: nn.Module, images: Tensor, labels: Tensor) -> Work:
    update = optimiser(model)

    def step() -> None:
        F.cross_entropy(model(images), labels).backward()
        update.step()
        update.zero_grad()

    return step


def by_autograd(model: nn.Module, images: Tensor, labels: Tensor) -> Work:
    """SGDrop by position, half of the images, as it is first written down."""
    update = optimiser(model)
    encoder, head = split(model, [FEATURES]).pieces(model)

    def step() -> None:
        features = encoder(model, images)
        leaf = features.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(head(model, leaf).gather(1, labels[:, None]).sum(), leaf)
        salience = (gradient * leaf.detach()).relu().sum(1, keepdim=True)
        threshold = torch.quantile(salience.flatten(1), 0.5, dim=1)[:, None, None, None]
        kept = (salience <= threshold) | (torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5)
        F.cross_entropy(head(model, features * kept), labels).backward()
        update.step()
        update.zero_grad()

    return step


def ours(model: nn.Module, images: Tensor, labels: Tensor, method: str) -> Work:
    objective = of.Objective(model, of.parse(method))
    update = optimiser(model)

    def step() -> None:
        objective(images, labels).backward()
        update.step()
        update.zero_grad()

    return step


def table(case: Case, asked: argparse.Namespace) -> Table:
    size, batch = (32 if case.stem or case.size == 32 else 64, 2) if asked.tiny else (case.size, case.batch)
    torch.manual_seed(0)
    images = torch.randn(batch, 3, size, size, device=asked.device)
    labels = torch.randint(10, (batch,), device=asked.device)

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return of.create_model(case.model, 10, stem=case.stem).to(asked.device)

    variants = {"bare": bare(fresh(), images, labels)}
    variants |= {f"overfocus {method}": ours(fresh(), images, labels, method) for method in case.methods}
    variants["autograd SGDrop"] = by_autograd(fresh(), images, labels)
    seconds = turns(variants, asked.rounds, 1 if asked.tiny else 2, asked.device)
    bars = [Bar(PLAIN, "bare", 1 / 0.98), Bar("overfocus sgdrop", PLAIN, case.most)]
    bars += [Bar("overfocus sgdrop", "autograd SGDrop", 1.0)]
    title = f"A training step of {case.model}, {batch} x 3 x {size} x {size}, float32"
    mine = [name for name in variants if name.startswith("overfocus")]
    return Table(title, "bare", seconds, bars, ours=mine, per=batch, unit="images")


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    for case in CASES:
        if not asked.models or case.model in asked.models.split(","):
            yield table(case, asked)


def main() -> None:
    arguments = parser(__doc__, rounds=9)
    arguments.add_argument("--models", default="", help="of " + ", ".join(case.model for case in CASES))
    run(arguments.parse_args(), tables)


if __name__ == "__main__":
    main()
