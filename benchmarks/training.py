"""Whole training in images per second: an epoch of ours against a bare hand-written loop and a Lightning Trainer.

    python benchmarks/training.py [--images 2048] [--rounds 7]

Same network, optimiser, schedule, batch, precision, flips and shifts; random pixels of the size of Fashion-MNIST and
CIFAR-10, in memory. `bare loop` is written for speed: normalised floats in memory, changed batch by batch. Lightning
gets a DataLoader that changes image by image, as its guide shows, tried with 0 and 2 workers. An epoch of ours counts
from the first batch until its checkpoint is on the disk; nobody evaluates. On a GPU all run in bf16 and compiled.

timm's train script is not measured: its package does not install it.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from ratios import Bar, Table, Work, parser, peer, run, timed, turns
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from overfocus.data import Augment, Dataset, Split, TensorImages
from overfocus.training.experiment import DataSettings, Experiment, ModelSettings
from overfocus.training.loop import train
from overfocus.training.processes import Machine
from overfocus.training.recipe import Recipe

METHODS = ("plain", "cutmix", "sgdrop")
PLAIN, BARE = "overfocus plain", "bare loop"
CLASSES, MEAN, STD = 10, 0.5, 0.25
SMALL = {"widths": [8, 16, 32]}
"""The network of the Fashion-MNIST study: a small one shows most of what a loop costs."""
EPOCHS = 10_000
"""More than any run here comes to: the last epoch would be evaluated."""


@dataclass(frozen=True)
class Case:
    """What is trained."""

    name: str
    channels: int
    side: int
    crop: int
    images: int
    device: str
    batch: int = 128
    model: str = "overfocus_cnn"

    @property
    def quick(self) -> bool:
        """Whether to compile and to compute in bf16."""
        return self.device.startswith("cuda")

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.quick else torch.contiguous_format

    def recipe(self) -> Recipe:
        precision = "bf16-mixed" if self.quick else "32-true"
        return Recipe(
            epochs=EPOCHS, batch=self.batch, precision=precision, compile=self.quick, evaluate_every=EPOCHS, warmup=0
        )

    def experiment(self, method: str) -> Experiment:
        data = DataSettings(augment=Augment(flip=True, crop=self.crop))
        settings = SMALL if self.model == "overfocus_cnn" else {}
        model = ModelSettings(name=self.model, settings=settings)
        return Experiment(data=data, model=model, method=method, recipe=self.recipe())

    def network(self) -> nn.Module:
        made = self.experiment("plain").create_model(CLASSES, self.channels)
        return made.to(self.device, memory_format=self.memory_format)


def pixels(case: Case, count: int) -> tuple[Tensor, Tensor]:
    """Draw images [count, C, H, W] uint8 and labels [count]."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, case.channels, case.side, case.side), generator=generator, dtype=torch.uint8)
    return images, torch.randint(CLASSES, (count,), generator=generator)


def ours(case: Case, method: str, folder: Path) -> Work:
    """Return what trains one more epoch."""
    classes = tuple(map(str, range(CLASSES)))
    made = {"train": pixels(case, case.images), "test": pixels(case, 16)}
    splits = {name: Split(TensorImages(images), labels, classes) for name, (images, labels) in made.items()}
    dataset = Dataset("pixels", splits, classes, (MEAN,) * case.channels, (STD,) * case.channels)
    machine = Machine(accelerator="cuda" if case.quick else "cpu")
    epochs = train(case.experiment(method), folder / method, machine, dataset=dataset)
    return lambda: next(epochs)


def bare(case: Case) -> Work:
    """Return an epoch of a loop as one writes it by hand for speed."""
    images, labels = (each.to(case.device) for each in pixels(case, case.images))
    images = (images / 255 - MEAN) / STD
    recipe, plain = case.recipe(), case.network()
    update = recipe.optimizer_for(plain)
    model = torch.compile(plain) if case.quick else plain
    batches = case.images // case.batch
    done = 0

    def epoch() -> None:
        nonlocal done
        plain.train()
        for rows in torch.randperm(case.images, device=case.device).split(case.batch):
            for group in update.param_groups:
                group["lr"] = group["peak"] * recipe.rate(done / (EPOCHS * batches))
            batch = changed(images[rows], case.crop).contiguous(memory_format=case.memory_format)
            with torch.autocast(case.device, torch.bfloat16, enabled=case.quick):
                loss = F.cross_entropy(model(batch), labels[rows])
            loss.backward()
            update.step()
            update.zero_grad()
            done += 1

    return epoch


def changed(images: Tensor, crop: int) -> Tensor:
    """Flip `images` [B, C, H, W] and shift them by up to `crop` pixels, as airbench does: by slices, for all images of
    one shift at once.
    """
    count, _, height, width = images.shape
    flips = torch.rand(count, device=images.device) < 0.5
    images = torch.where(flips[:, None, None, None], images.flip(3), images)
    padded = F.pad(images, (crop,) * 4, mode="reflect")
    down, right = torch.randint(2 * crop + 1, (2, count), device=images.device)
    rows, moved = padded.new_empty(*images.shape[:3], padded.shape[3]), torch.empty_like(images)
    for shift in range(2 * crop + 1):
        rows[down == shift] = padded[down == shift, :, shift : shift + height]
    for shift in range(2 * crop + 1):
        moved[right == shift] = rows[right == shift, :, :, shift : shift + width]
    return moved


class Transformed(TorchDataset):
    """Images in memory that are changed one by one."""

    def __init__(self, images: Tensor, labels: Tensor, transform: Callable[[Tensor], Tensor]) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[index]), self.labels[index]


def lightning(case: Case, workers: int) -> Work:
    """Return what trains one more epoch under Lightning's Trainer, with all extras off."""
    from lightning import LightningModule, Trainer  # pyright: ignore[reportMissingImports]
    from torchvision.transforms import v2

    class Task(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = case.network()
            self.update = case.recipe().optimizer_for(self.model)
            if case.quick:
                self.model.compile()

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            images, labels = batch
            return F.cross_entropy(self.model(images.contiguous(memory_format=case.memory_format)), labels)

        def configure_optimizers(self) -> Any:
            return self.update

    transform = v2.Compose([
        v2.RandomCrop(case.side, padding=case.crop, padding_mode="reflect"), v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True), v2.Normalize([MEAN] * case.channels, [STD] * case.channels),
    ])  # fmt: skip
    source = DataLoader(
        Transformed(*pixels(case, case.images), transform), case.batch, shuffle=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=case.quick,
    )  # fmt: skip
    trainer = Trainer(
        max_epochs=0, accelerator="cuda" if case.quick else "cpu", devices=1, logger=False, barebones=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        precision="bf16-mixed" if case.quick else "32-true",
    )  # fmt: skip
    task = Task()

    def epoch() -> None:
        trainer.fit_loop.max_epochs = trainer.current_epoch + 1
        trainer.fit(task, source)

    return epoch


def fastest(case: Case, counts: tuple[int, ...]) -> dict[str, Work]:
    """Return an epoch under Lightning with the number of workers that was fastest in the second one."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    tried = {count: lightning(case, count) for count in counts}
    seconds = {count: (timed(epoch, case.device), timed(epoch, case.device))[1] for count, epoch in tried.items()}
    best = min(counts, key=seconds.__getitem__)
    return {f"Lightning, {best} workers": tried[best]}


def table(case: Case, asked: argparse.Namespace, folder: Path) -> Table:
    variants = {BARE: bare(case)} | {f"overfocus {method}": ours(case, method, folder) for method in METHODS}
    mine = list(variants)[1:]
    theirs = fastest(case, (0,) if asked.tiny else (0, 2)) if peer("lightning") else {}
    seconds = turns({**variants, **theirs}, asked.rounds, device=asked.device)
    bars = [Bar(PLAIN, BARE, 1 / 0.98), *(Bar(PLAIN, name, 1.0) for name in theirs)]
    precision = "bf16, compiled" if case.quick else "float32"
    title = (f"Training {case.model} on images of the size of {case.name}, {case.channels} x {case.side} x {case.side}"
             f", batches of {case.batch}, {precision}: an epoch of {case.images} images")  # fmt: skip
    return Table(title, BARE, seconds, bars, ours=mine, per=case.images, unit="images")


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    batch = 8 if asked.tiny else 128
    count = 16 if asked.tiny else asked.images // batch * batch
    for name, channels, side, crop in (("Fashion-MNIST", 1, 28, 2), ("CIFAR-10", 3, 32, 4)):
        model = "resnet18" if asked.device.startswith("cuda") else "overfocus_cnn"
        with TemporaryDirectory() as folder:
            case = Case(name, channels, side, crop, count, asked.device, batch, model)
            yield table(case, asked, Path(folder))


def main() -> None:
    arguments = parser(__doc__, rounds=7)
    arguments.add_argument("--images", type=int, default=2048, help="of an epoch")
    run(arguments.parse_args(), tables)


if __name__ == "__main__":
    main()
