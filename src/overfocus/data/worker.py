"""Threads and processes that read and change images one by one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.preprocess import DEFAULT, Interpolation
from overfocus.data.ahead import ahead
from overfocus.data.augment import Augment
from overfocus.data.decode import checked_size
from overfocus.data.images import Images, WrappedImages
from overfocus.data.resize import Size

EpochRow = tuple[int, int, int]
"""Epoch, row, and how often it came before in the epoch: what an image's changes depend on, beside the seed."""
Loader = Callable[[Sequence[list[EpochRow]]], Iterator[Tensor | OverfocusError]]
"""Yields a batch [B, C, H, W] uint8 for each list of keys, or the error of an image that cannot be read."""


@dataclass(eq=False)
class Worker(TorchDataset):
    """Reads a batch [B, C, H, W] uint8. An error is returned, since raised in a process it comes inside a traceback."""

    images: Images
    size: Size
    augment: Augment
    seed: int
    interpolation: Interpolation = DEFAULT.interpolation
    """Of resized crops."""

    def __getitem__(self, keys: Sequence[EpochRow]) -> Tensor | OverfocusError:
        batch = torch.empty(len(keys), self.images.channels, *self.size, dtype=torch.uint8)
        # numpy's copy keeps to this thread, while that of torch would call others for a few pixels.
        places = batch.numpy()
        try:
            for place, key in enumerate(keys):
                places[place] = self._image(*key).numpy()
        except OverfocusError as error:
            return error
        return batch

    def _image(self, epoch: int, row: int, turn: int) -> Tensor:
        image = self.images.read(row)
        if self.augment.by_image:
            key = Key.seeded(self.seed, epoch, row).fold_in("image")
            with _seeded((key.fold_in(turn) if turn else key).seed()):
                image = self._transform(image)
        return checked_size(image, self.size, self.images.name(row))

    @cached_property
    def _transform(self) -> Callable[[Tensor], Tensor]:
        from torchvision.transforms import v2

        steps: list[Callable[[Tensor], Tensor]] = []
        if self.augment.resized_crop:
            mode = v2.InterpolationMode[self.interpolation.upper()]
            steps.append(v2.RandomResizedCrop(self.size, self.augment.area, interpolation=mode, antialias=True))
        if self.augment.policy != "none":
            policies = {
                "randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide, "autoaugment": v2.AutoAugment
            }  # fmt: skip
            steps.append(policies[self.augment.policy]())
        return v2.Compose(steps)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch and Python, which torchvision draws from, and restore them afterwards."""
    ours, pythons = torch.default_generator.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(ours)
        random.setstate(pythons)


@dataclass(eq=False)
class KeptImages(WrappedImages):
    """Images of one size; the first stay decoded once they are read, as many as fit `budget` bytes."""

    source: Images
    to: Size
    budget: int

    def __post_init__(self) -> None:
        super().__post_init__()
        each = self.channels * self.to[0] * self.to[1]
        room = min(len(self.source), self.budget // each)
        # The system gives memory only where it is written to.
        self._pixels = torch.empty(room, self.channels, *self.to, dtype=torch.uint8)
        self._known = [False] * room

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        if index < len(self._known) and self._known[index]:
            return self._pixels[index]
        image = self.source.read(index)
        if index < len(self._known) and image.shape == self._pixels.shape[1:]:
            self._pixels.numpy()[index] = image.numpy()
            self._known[index] = True
        return image


def loader(worker: Worker, workers: int, device: torch.device) -> Loader:
    """Start `workers` processes that live as long as the loader, or take threads of this one for 0."""
    pinned = device.type == "cuda"
    # What torchvision draws comes from the global generators, which threads would share.
    if workers == 0 and not worker.augment.by_image:
        return partial(_on_threads, worker, pinned)
    plan: list[list[EpochRow]] = []
    source = DataLoader(
        worker,
        batch_size=None,  # what a worker makes is a batch already
        sampler=plan,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,
        # Without a generator of its own the loader draws its base seed from the global one.
        generator=torch.Generator().manual_seed(0),
    )

    def batches(keys: Sequence[list[EpochRow]]) -> Iterator[Tensor | OverfocusError]:
        plan[:] = keys  # exchanged from epoch to epoch, so that the processes live on
        return iter(source)

    return batches


def _on_threads(worker: Worker, pinned: bool, keys: Sequence[list[EpochRow]]) -> Iterator[Tensor | OverfocusError]:
    """Read in this process, some batches ahead."""

    def read(batch: list[EpochRow]) -> Tensor | OverfocusError:
        pixels = worker[batch]
        return pixels.pin_memory() if pinned and isinstance(pixels, Tensor) else pixels

    return ahead(read, keys)
