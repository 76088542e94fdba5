"""Threads and processes that read and change images one by one."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data.augment import Augment
from overfocus.data.decode import checked_size, processors
from overfocus.data.images import Images, WrappedImages
from overfocus.data.resize import Size

THREADS = 8
"""Of one process at most: more would only wait for the interpreter's lock."""
EpochRow = tuple[int, int]
"""Epoch and row: what an image's changes depend on, beside the seed."""


@dataclass(eq=False)
class Worker(TorchDataset):
    """Reads image `row` for `epoch`. An error is returned, since raised in a process it comes inside a traceback."""

    images: Images
    size: Size
    augment: Augment
    seed: int

    def __getitems__(self, keys: Sequence[EpochRow]) -> Tensor | OverfocusError:
        """Return a batch [B, C, H, W]."""
        batch = torch.empty(len(keys), self.images.channels, *self.size, dtype=torch.uint8)
        # numpy's copy keeps to this thread, while that of torch would call others for a few pixels.
        places = batch.numpy()
        for place, key in enumerate(keys):
            image = self[key]
            if isinstance(image, OverfocusError):
                return image
            places[place] = image.numpy()
        return batch

    def __getitem__(self, key: EpochRow) -> Tensor | OverfocusError:
        epoch, row = key
        try:
            image = self.images.read(row)
            if self.augment.by_image:
                with _seeded(Key.seeded(self.seed, epoch, row).fold_in("image").seed()):
                    image = self._transform(image)
            return checked_size(image, self.size, self.images.name(row))
        except OverfocusError as error:
            return error

    @cached_property
    def _transform(self) -> Callable[[Tensor], Tensor]:
        from torchvision.transforms import v2

        steps: list[Callable[[Tensor], Tensor]] = []
        if self.augment.resized_crop:
            steps.append(v2.RandomResizedCrop(self.size, antialias=True))
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


@dataclass(eq=False)
class Threads:
    """Batches of images [B, C, H, W] uint8 by their keys, read in this process some batches ahead.

    Pillow releases the interpreter's lock while it decodes.
    """

    worker: Worker
    pinned: bool

    def batches(self, keys: Sequence[list[EpochRow]]) -> Iterator[Tensor]:
        """Yield a batch for each list of keys; an image that cannot be read is an `OverfocusError`."""
        count = min(processors(), THREADS)
        pool, ahead = ThreadPoolExecutor(count), deque[Future[Tensor]]()
        try:
            for batch in keys:
                ahead.append(pool.submit(self._read, batch))
                if len(ahead) > count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, keys: Sequence[EpochRow]) -> Tensor:
        batch = self.worker.__getitems__(keys)
        if isinstance(batch, OverfocusError):
            raise batch
        return batch.pin_memory() if self.pinned else batch


@dataclass(eq=False)
class Processes:
    """Batches of images [B, C, H, W] uint8 by their keys, read in processes, or in this one and thread for none."""

    source: DataLoader
    plan: list[list[EpochRow]]
    """The batches that `source` loads; exchanged from epoch to epoch, so that its processes live on."""

    def batches(self, keys: Sequence[list[EpochRow]]) -> Iterator[Tensor]:
        """Yield a batch for each list of keys; an image that cannot be read is an `OverfocusError`."""
        self.plan[:] = keys
        for batch in self.source:
            if isinstance(batch, OverfocusError):
                raise batch
            yield batch


def loader(worker: Worker, workers: int, device: torch.device) -> Threads | Processes:
    """Start `workers` processes that live as long as the loader, or take threads of this one for 0."""
    # What torchvision draws comes from the global generators, which threads would share.
    if workers == 0 and not worker.augment.by_image:
        return Threads(worker, pinned=device.type == "cuda")
    plan: list[list[EpochRow]] = []
    source = DataLoader(
        worker,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=_as_it_is,  # pyright: ignore[reportArgumentType]
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        # Without a generator of its own the loader draws its base seed from the global one.
        generator=torch.Generator().manual_seed(0),
    )
    return Processes(source, plan)


def _as_it_is(batch: Tensor | OverfocusError) -> Tensor | OverfocusError:
    """Return what a worker made, which is a batch already."""
    return batch
