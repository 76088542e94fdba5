"""Processes that read and change images one by one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from overfocus.core.draw import Draw
from overfocus.core.errors import OverfocusError
from overfocus.data.augment import Augment
from overfocus.data.decode import attempt
from overfocus.data.fit import Size
from overfocus.data.split import Images

Key = tuple[int, int]
"""Epoch and row: what an image's changes depend on, beside the seed."""


@dataclass(eq=False)
class Worker(TorchDataset):
    """Reads image `row` for `epoch`. An error is handed over as a value: raised, it would drown in a traceback."""

    images: Images
    size: Size
    augment: Augment
    seed: int

    def __getitem__(self, key: Key) -> Tensor | OverfocusError:
        epoch, row = key
        image = attempt(self.images, row)
        if isinstance(image, OverfocusError):
            return image
        if self.augment.by_image:
            with _seeded(Draw.seeded(self.seed, epoch, row).named("image").seed()):
                image = self._transform(image)
        return self._checked(image, row)

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

    def _checked(self, image: Tensor, row: int) -> Tensor | OverfocusError:
        if image.shape[-2:] == self.size:
            return image
        height, width = self.size
        return OverfocusError(
            f"{self.images.name(row)}: {image.shape[-2]} x {image.shape[-1]} pixels where others have "
            f"{height} x {width}; give one size to bring all to, such as --size 224"
        )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch and Python, which torchvision draws from, and give them back as they were."""
    ours, pythons = torch.default_generator.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(ours)
        random.setstate(pythons)


@dataclass(eq=False)
class _Plan:
    """The batches that the loader asks its workers for; exchanged from epoch to epoch, so that the workers live on."""

    batches: Sequence[Sequence[Key]] = ()

    def __iter__(self) -> Iterator[Sequence[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(eq=False)
class Loader:
    """Batches of images [B, C, H, W] uint8 by their keys."""

    source: DataLoader
    plan: _Plan

    def batches(self, keys: Sequence[Sequence[Key]]) -> Iterator[Tensor]:
        """Yield a batch for each list of keys; an image that cannot be read is an `OverfocusError`."""
        self.plan.batches = keys
        for batch in self.source:
            if isinstance(batch, OverfocusError):
                raise batch
            yield batch


def loader(worker: Worker, workers: int, device: torch.device) -> Loader:
    """Start `workers` processes (none for 0) that live as long as the loader."""
    plan = _Plan()
    source = DataLoader(
        worker,
        batch_sampler=plan,  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        collate_fn=_Collate((worker.images.channels, *worker.size)),
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        # Without a generator of its own the loader draws its base seed from the global one.
        generator=torch.Generator().manual_seed(0),
    )
    return Loader(source, plan)


@dataclass(frozen=True)
class _Collate:
    shape: tuple[int, int, int]

    def __call__(self, images: list[Tensor | OverfocusError]) -> Tensor | OverfocusError:
        tensors = []
        for image in images:
            if isinstance(image, OverfocusError):
                return image
            tensors.append(image)
        return torch.stack(tensors) if tensors else torch.empty(0, *self.shape, dtype=torch.uint8)
