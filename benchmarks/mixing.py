"""CutMix, Mixup and Cutout of a batch, images and targets, against what the peers call by these names.

    python benchmarks/mixing.py [--rounds 15]

Here every image has its own box, share and partner. `batch` means one of each for all images, which is the cheaper
thing to do; `each` means own ones. `x.clone()` is the limit of what gives new images and asks the system for their
memory; overfocus keeps the memory of the last batch, as the allocators of GPUs do, and can be quicker. timm writes into
the images that it is given: `in place` lets it, `of a copy` gives it a clone, as one who wants to keep the images has
to. All but Cutout make targets too, the peers dense ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from ratios import Bar, Table, Work, grown, parser, peer, run, turns
from torch import Tensor

import overfocus as of
from overfocus.core.batch import Batch
from overfocus.core.key import Key
from overfocus.core.targets import Targets

CLONE = "x.clone()"
SIZES = ((512, 32), (128, 224))
SPECS = {"CutMix": "cutmix(prob=1)", "Mixup": "mixup", "Cutout": "cutout"}
CLASSES = 1000


def ours(spec: str, images: Tensor, labels: Tensor) -> Work:
    """Mix as the objective does: the draw of a step comes from a key and a counter on the device."""
    method, key = of.parse(spec), Key.seeded(0, device=images.device)
    step = torch.zeros((), dtype=torch.int64, device=images.device)

    def work() -> Batch:
        step.add_(1)
        return method.on_batch(Batch(images, Targets.of(labels)), key.fold_in(step))

    return work


def torchvision(name: str, images: Tensor, labels: Tensor, classes: int) -> dict[str, Work]:
    if (v2 := peer("torchvision.transforms.v2")) is None:
        return {}
    if name == "Cutout":
        erase = v2.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))
        return {"torchvision batch": lambda: erase(images)}
    mix = {"CutMix": v2.CutMix, "Mixup": v2.MixUp}[name](num_classes=classes)
    return {"torchvision batch": lambda: mix(images, labels)}


def timm(name: str, images: Tensor, labels: Tensor, classes: int) -> dict[str, Work]:
    if (data := peer("timm.data")) is None:
        return {}
    own = images.clone()
    if name == "Cutout":
        area = {"min_area": 0.25, "max_area": 0.25, "min_aspect": 1.0}
        erase = data.random_erasing.RandomErasing(1.0, **area, mode="const", device=images.device)
        return {"timm each, of a copy": lambda: erase(images.clone()), "timm each, in place": lambda: erase(own)}
    alphas = {"mixup_alpha": float(name == "Mixup"), "cutmix_alpha": float(name == "CutMix")}
    batch, each = (
        data.Mixup(**alphas, mode=mode, label_smoothing=0.0, num_classes=classes) for mode in ("batch", "elem")
    )
    return {
        "timm batch, of a copy": lambda: batch(images.clone(), labels),
        "timm batch, in place": lambda: batch(own, labels),
        "timm each, of a copy": lambda: each(images.clone(), labels),
    }


def kornia(name: str, images: Tensor, labels: Tensor, classes: int) -> dict[str, Work]:
    if (augment := peer("kornia.augmentation")) is None:
        return {}
    if name == "Cutout":
        area = {"p": 1.0, "scale": (0.25, 0.25), "ratio": (1.0, 1.0)}
        batch, each = (augment.RandomErasing(**area, same_on_batch=same) for same in (True, False))
        return {"kornia batch": lambda: batch(images), "kornia each": lambda: each(images)}
    told = {"p": 1.0, "data_keys": ["input", "class"]}
    mix = augment.RandomMixUpV2(**told) if name == "Mixup" else augment.RandomCutMixV2(**told, use_correct_lambda=True)
    return {"kornia each": lambda: mix(images, labels)}


def by_where(images: Tensor, labels: Tensor) -> Work:
    """CutMix with own boxes as it is first written down: a mask of all pixels, and all images gathered."""
    rows, _, height, width = images.shape
    y, x = torch.arange(height, device=images.device)[:, None], torch.arange(width, device=images.device)

    def work() -> tuple[Tensor, ...]:
        share, down, across = torch.rand(3, rows, 1, 1, 1, device=images.device)
        half = (1 - share).sqrt() / 2
        inside = ((y - down * height).abs() < half * height) & ((x - across * width).abs() < half * width)
        partners = torch.randperm(rows, device=images.device)
        mixed = torch.where(inside, images[partners], images)
        return mixed, labels, labels[partners], inside.float().mean((1, 2, 3))

    return work


def table(name: str, rows: int, side: int, asked: argparse.Namespace) -> Table:
    torch.manual_seed(0)
    classes = 10 if asked.tiny else CLASSES
    images = torch.randn(rows, 3, side, side, device=asked.device)
    labels = torch.randint(classes, (rows,), device=asked.device)
    mine, other = f"overfocus {SPECS[name]}", images.flip(0)
    variants: dict[str, Work] = {CLONE: images.clone, mine: ours(SPECS[name], images, labels)}
    for theirs in (torchvision, timm, kornia):
        variants |= theirs(name, images, labels, classes)
    if name == "CutMix":
        variants["torch.where"] = by_where(images, labels)
    if name == "Mixup":
        share = torch.rand(rows, 1, 1, 1, device=asked.device)
        variants["torch.lerp, partners gathered before"] = lambda: torch.lerp(other, images, share)
    seconds = turns(variants, asked.rounds, 1 if asked.tiny else 2, asked.device)
    bars = [Bar(mine, CLONE, 1.2 if asked.device.startswith("cuda") else 1.3)] if side >= 64 else []
    bars += [Bar(mine, theirs, 1.0) for theirs in variants if theirs not in (mine, CLONE) and "gathered" not in theirs]
    title = f"{name}, {rows} x 3 x {side} x {side}, float32"
    return Table(title, CLONE, seconds, bars, waits(variants[mine], asked.device), [mine], per=rows, unit="images")


def waits(work: Work, device: str) -> list[str]:
    """Say whether `work` waits for the device."""
    if not device.startswith("cuda"):
        return []
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    except RuntimeError as error:
        return [f"MISSED: overfocus waits for the device: {str(error).splitlines()[0]}"]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return ["held: overfocus does not wait for the device"]


def growth(what: str, sizes: list[tuple[int, int]], asked: argparse.Namespace) -> Table:
    """Time all three methods over `sizes` (images, side); the law is that time grows no faster than bytes."""
    spec = " + ".join(SPECS.values())
    variants: dict[str, Work] = {}
    for rows, side in sizes:
        images = torch.randn(rows, 3, side, side, device=asked.device)
        variants[f"{rows} x {side}"] = ours(spec, images, torch.randint(10, (rows,), device=asked.device))
    pixels, law = [rows * side * side for rows, side in sizes], "linear in pixels (power 1)"
    return grown(f"{spec}, growing {what}", pixels, variants, asked, law=law, warm=2)


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    for rows, side in ((4, 32), (2, 64)) if asked.tiny else SIZES:
        for name in SPECS:
            yield table(name, rows, side, asked)
    batches, sides = ((2, 4), (32, 64)) if asked.tiny else ((32, 64, 128, 256, 512), (32, 64, 96, 128, 160, 224))
    yield growth("batch, images x side", [(rows, 64) for rows in batches], asked)
    yield growth("side, images x side", [(batches[1], side) for side in sides], asked)


def main() -> None:
    run(parser(__doc__).parse_args(), tables)


if __name__ == "__main__":
    main()
