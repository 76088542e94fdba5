"""What hiding costs, curve by curve, against Quantus' pixel flipping and torch-cam's metric.

    python benchmarks/hiding.py [--rounds 5]

Pixel flipping: the maps are given, and both take away a 24th of the pixels 24 times in their order and follow the
probability of one class. The forwards are the same in number and size, so a ratio cannot fall below `24 forwards`.
Average drop: torch-cam's metric makes a map and asks the model once with the image under it. For a curve of ten shares
it has to be asked ten times, and makes the maps ten times; here they are made once. Its mask is the map itself and ours
the pixels first in its order, which costs the model the same.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from functools import partial

import torch
from ratios import Bar, Table, Work, parser, peer, run, turns
from torch import Tensor, nn

import overfocus as of
from overfocus.attribution.catalogue import attribute, upsampled
from overfocus.attribution.features import features_layer
from overfocus.diagnosis.hiding_orders import hidden, ranks

STEPS, SHARES = 24, 10
"""Quantus wants a step that divides the positions, and takes it from all channels; the examination has 28."""
CASES = (("resnet18", 8, 224), ("resnet18", 64, 64), ("overfocuscnn", 64, 32))
Case = tuple[str, int, int]


def made(case: Case, device: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    name, rows, side = case
    return of.create_model(name, 10).to(device).eval(), torch.rand(rows, 3, side, side, device=device)


def order_of(maps: Tensor) -> Tensor:
    return ranks(-maps.flatten(1), torch.zeros_like(maps).flatten(1))


def flipped(model: nn.Module, images: Tensor, maps: Tensor, labels: Tensor) -> list[Tensor]:
    """Follow the probability of `labels` while pixels are taken away, as an examination does."""
    with torch.no_grad():
        order, rows = order_of(maps), torch.arange(len(images), device=images.device)
        black = torch.zeros(3, 1, 1, device=images.device)
        return [
            model(hidden(images, order, (step + 1) / STEPS, black)).softmax(dim=1)[rows, labels]
            for step in range(STEPS)
        ]


def forwards(model: nn.Module, images: Tensor, times: int) -> Work:
    def work() -> None:
        with torch.no_grad():
            for _ in range(times):
                model(images)

    return work


def quantus(model: nn.Module, images: Tensor, maps: Tensor, labels: Tensor) -> dict[str, Work]:
    if (metrics := peer("quantus")) is None:
        return {}
    flip = metrics.PixelFlipping(
        features_in_step=images[0].numel() // STEPS, perturb_baseline="black", disable_warnings=True
    )
    given = [each.cpu().numpy() for each in (images, labels, maps[:, None])]
    return {"Quantus": lambda: flip(model, *given, device=str(images.device), softmax=True)}


def flipping(case: Case, asked: argparse.Namespace) -> Table:
    model, images = made(case, asked.device)
    side = case[2]
    maps = upsampled(torch.rand(len(images), 7, 7, device=asked.device), (side, side))
    labels = model(images).argmax(dim=1)
    variants: dict[str, Work] = {
        f"{STEPS} forwards": forwards(model, images, STEPS),
        "overfocus": lambda: flipped(model, images, maps, labels),
    }
    variants |= quantus(model, images, maps, labels)
    title = f"Pixel flipping in {STEPS} steps, {case[0]}, {case[1]} x 3 x {side} x {side}"
    return Table(title, f"{STEPS} forwards", turns(variants, asked.rounds, device=asked.device),
                 [Bar("overfocus", "Quantus", 0.5)], ours=["overfocus"], per=len(images), unit="images")  # fmt: skip


def torch_cam(model: nn.Module, images: Tensor, layer: str) -> dict[str, Work]:
    if (metrics := peer("torchcam.metrics")) is None:
        return {}
    from torchcam.methods import GradCAM

    metric = metrics.ClassificationMetric(GradCAM(model, layer), partial(torch.softmax, dim=-1))

    def work() -> None:
        for _ in range(SHARES):
            metric.update(images)

    return {"torch-cam": work}


def curve(case: Case, asked: argparse.Namespace) -> Table:
    model, images = made(case, asked.device)
    layer, side = features_layer(model, images), case[2]
    fill = torch.full((3, 1, 1), 0.5, device=asked.device)

    def ours() -> list[Tensor]:
        maps = attribute(model, images, "gradcam", at=layer, size=(side, side))
        with torch.no_grad():
            order = order_of(maps)
            return [model(hidden(images, order, share / SHARES, fill)).softmax(dim=1) for share in range(SHARES)]

    variants: dict[str, Work] = {f"{SHARES} forwards": forwards(model, images, SHARES), "overfocus": ours}
    variants |= torch_cam(made(case, asked.device)[0], images, layer)
    title = f"Grad-CAM and {SHARES} shares hidden, {case[0]}, {case[1]} x 3 x {side} x {side}"
    return Table(title, f"{SHARES} forwards", turns(variants, asked.rounds, device=asked.device),
                 [Bar("overfocus", "torch-cam", 0.5)], ours=["overfocus"], per=len(images), unit="images")  # fmt: skip


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    warnings.filterwarnings("ignore", module="quantus")
    for case in (("overfocuscnn", 2, 32),) if asked.tiny else CASES:
        yield flipping(case, asked)
        yield curve(case, asked)


def main() -> None:
    run(parser(__doc__, rounds=5).parse_args(), tables)


if __name__ == "__main__":
    main()
