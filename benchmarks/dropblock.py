"""DropBlock, forward and backward, against timm's and torchvision's at the same realised rate.

    python benchmarks/dropblock.py [--rounds 9]

Who asks timm or torchvision for 10 % gets another share, by the size of map and block. So what they are asked for is
searched until the share of zeros that they make, over many draws, is the share that overfocus is asked for; the rates
are printed. `a mask made before` only multiplies: the limit. overfocus and timm hide the same positions in all
channels, torchvision and `timm, own per channel` other ones in each.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import torch
from ratios import Bar, Table, Work, parser, peer, run, turns
from torch import Tensor

import overfocus as of
from overfocus.core.batch import Batch
from overfocus.core.key import Key
from overfocus.core.targets import Targets

Hide = Callable[[Tensor], Tensor]
MAPS = ((128, 256, 14), (128, 64, 28))
DRAWN = 60_000
"""Blocks' worth of positions that a rate is measured on: [images, 1, side, side] with so many images x side."""


def ours(drop: float, size: int, device: str) -> Hide:
    method, key = of.parse(f"dropblock(drop={drop}, size={size}, at='image')"), Key.seeded(0, device=device)
    step = torch.zeros((), dtype=torch.int64, device=device)

    def hide(values: Tensor) -> Tensor:
        step.add_(1)
        labels = Targets.of(torch.zeros(len(values), dtype=torch.int64, device=device))
        return method.on_batch(Batch(values, labels), key.fold_in(step)).values

    return hide


def peers(size: int) -> dict[str, Callable[[float], Hide]]:
    """Return, for each peer, what makes its function for the rate that it is asked for."""
    found: dict[str, Callable[[float], Hide]] = {}
    if (timm := peer("timm.layers.drop")) is not None:
        found["timm"] = lambda rate: partial(timm.drop_block_2d, drop_prob=rate, block_size=size)
        found["timm, own per channel"] = lambda rate: partial(
            timm.drop_block_2d, drop_prob=rate, block_size=size, couple_channels=False
        )
    if (ops := peer("torchvision.ops")) is not None:
        found["torchvision"] = lambda rate: partial(ops.drop_block2d, p=rate, block_size=size)
    return found


def realised(hide: Hide, side: int, device: str, draws: int) -> float:
    """Return the share of zeros that `hide` makes."""
    ones = torch.ones(DRAWN // side, 1, side, side, device=device)
    return sum(float((hide(ones) == 0).float().mean()) for _ in range(draws)) / draws


def asked_for(make: Callable[[float], Hide], drop: float, side: int, device: str, draws: int) -> float:
    """Search what a peer is to be asked for so that it hides the share `drop`."""
    low, high = 0.0, 0.9
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if realised(make(middle), side, device, draws) > drop else (middle, high)
    return (low + high) / 2


def both_ways(hide: Hide, values: Tensor, gradient: Tensor) -> Work:
    def work() -> None:
        values.grad = None
        hide(values).backward(gradient)

    return work


def table(drop: float, size: int, shape: tuple[int, int, int], asked: argparse.Namespace) -> Table:
    torch.manual_seed(0)
    rows, channels, side = shape
    draws = 1 if asked.tiny else 4
    values = torch.randn(rows, channels, side, side, device=asked.device, requires_grad=True)
    gradient = torch.randn_like(values)
    mask = (torch.rand(rows, 1, side, side, device=asked.device) > drop).float() / (1 - drop)
    rates = {"overfocus": drop}
    hides = {"overfocus": ours(drop, size, asked.device)}
    for name, make in peers(size).items():
        rates[name] = asked_for(make, drop, side, asked.device, draws)
        hides[name] = make(rates[name])
    told = [
        f"{name}: asked for {rates[name]:.1%}, hides {realised(hide, side, asked.device, draws):.1%}"
        for name, hide in hides.items()
    ]
    variants = {"a mask made before": both_ways(lambda x: x * mask, values, gradient)}
    variants |= {name: both_ways(hide, values, gradient) for name, hide in hides.items()}
    seconds = turns(variants, asked.rounds, 1 if asked.tiny else 2, asked.device)
    bars = [Bar("overfocus", name, 1.0) for name in hides if name != "overfocus"]
    bars = bars or [Bar("overfocus", "a mask made before", 2.0)]
    title = f"DropBlock of {drop:.0%} in blocks of {size}, {rows} x {channels} x {side} x {side}, forward and backward"
    return Table(title, "a mask made before", seconds, bars, told, ["overfocus"])


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    maps, sizes, drops = (((4, 3, 14),), (3,), (0.1,)) if asked.tiny else (MAPS, (3, 7), (0.1, 0.2))
    for shape in maps:
        for size in sizes:
            for drop in drops:
                yield table(drop, size, shape, asked)


def main() -> None:
    run(parser(__doc__, rounds=9).parse_args(), tables)


if __name__ == "__main__":
    main()
