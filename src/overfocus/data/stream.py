"""Batches for training and evaluation: the same for the same seed, whatever the device, workers and processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data.augment import Augment, Changes
from overfocus.data.class_balanced import class_balanced
from overfocus.data.decode import BadImage, OnBadImage, decoded, first_size, verified
from overfocus.data.images import TensorImages
from overfocus.data.resize import Size, as_size, fitted, interpolation_of, unfitted
from overfocus.data.split import Split
from overfocus.data.worker import KeptImages, Worker, loader

GIBIBYTE = 2**30


class Minibatch(NamedTuple):
    """What a stream yields, on its device."""

    images: Tensor
    """[B, C, H, W] float32, normalised."""
    labels: Tensor
    """[B] int64; [B, K] bool where images have several."""
    rows: Tensor
    """[B] int64: the positions of these images in `stream.split`."""


@dataclass(eq=False)
class Stream:
    """Batches of a split, epoch by epoch.

    There are two paths. `memory`: the whole split is on the device as uint8, and every process yields the global
    batch, of which it takes its share (`mine`). `workers`: threads or processes read the files, and every process
    yields its own rows. Flip, crop and jitter are done on the device in both, from draws keyed by seed, epoch and
    place in the epoch, so both give the same batches.

    Training draws a new order each epoch; a last batch with fewer than two images for each process is left out, since
    batch norm has no variance of one. Evaluation takes all images in order.
    """

    split: Split
    """The images; those that cannot be read are gone once the stream is made."""
    _: KW_ONLY
    batch: int
    """Images of a global batch, over all processes."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | Size | None = None
    """Height and width in pixels; None for images that are all of one size."""
    seed: int = 0
    augment: Augment = field(default_factory=Augment)
    """Ignored in evaluation."""
    train: bool = True
    device: torch.device | str = "cpu"
    workers: int = 0
    """Processes that read files; 0 reads in this one, on threads."""
    rank: int = 0
    world: int = 1
    memory_budget_bytes: int = 4 * GIBIBYTE
    """Up to here a split is held on the device as a whole; of a larger one this much stays decoded with 0 workers."""
    on_bad_image: OnBadImage = "error"
    balanced: bool = False
    """Draw every class equally often (training only); an epoch is as long as ever. See `data.class_balanced`."""
    drop_last: bool = False
    """Leave out any last batch that is not full (training only)."""
    bad: list[BadImage] = field(default_factory=list, init=False)
    """The images left out because they cannot be read; their rows are those of the given split."""
    path: Literal["memory", "workers"] = field(default="memory", init=False)

    def __post_init__(self) -> None:
        self._check()
        target = None if self.size is None else as_size(self.size)
        size = target or first_size(self.split.images)
        self._check_crop(size)
        by_image = self.train and self.augment.by_image
        decoded_bytes = len(self.split) * self.split.images.channels * size[0] * size[1]
        self.path = "workers" if by_image or decoded_bytes > self.memory_budget_bytes else "memory"
        if self.path == "memory":
            self.split, self.bad = decoded(self.split, target, self.on_bad_image)
            assert isinstance(self.split.images, TensorImages)
            self._pixels = self.split.images.pixels.to(self.device)
        else:
            self._open(size)
        self._labels = self.split.labels.to(self.device)
        self._scale = (255 * torch.tensor(self.std)).reciprocal()[:, None, None].to(self.device)
        self._shift = (-torch.tensor(self.mean) / torch.tensor(self.std))[:, None, None].to(self.device)

    def _check(self) -> None:
        channels = self.split.images.channels
        if not len(self.split):
            raise OverfocusError("stream: the split has no images; check --per-class, --fraction and --val")
        if not channels == len(self.mean) == len(self.std):
            raise OverfocusError(
                f"stream: images have {channels} channels, but there are {len(self.mean)} means and {len(self.std)} "
                "standard deviations; give one of each for every channel"
            )
        if self.batch < self.world:
            raise OverfocusError(f"stream: a batch of {self.batch} for {self.world} processes; give each at least one")

    def _check_crop(self, size: Size) -> None:
        if self.train and self.augment.crop >= min(size):
            raise OverfocusError(
                f"stream: a crop of {self.augment.crop} pixels for images of {size[0]} x {size[1]}; "
                f"give at most {min(size) - 1}"
            )

    def _open(self, size: Size) -> None:
        """Set up the workers."""
        if self.on_bad_image == "skip":
            self.split, self.bad = verified(self.split, "skip")
        if self.size is not None:
            self.split = fitted(self.split, size)
        augment = self.augment if self.train else Augment()
        images = unfitted(self.split.images) if augment.resized_crop else self.split.images
        if not (self.workers or augment.by_image or isinstance(images, TensorImages)):
            images = KeptImages(images, size, self.memory_budget_bytes)
        worker = Worker(images, size, augment, self.seed, interpolation_of(self.split.images))
        self._loader = loader(worker, self.workers, torch.device(self.device))

    @property
    def shared(self) -> bool:
        """Whether every process is given the global batch, instead of its own rows."""
        return self.path == "memory"

    def mine(self, count: int) -> slice:
        """Return which rows of a global batch of `count` images are this process's; shares differ by one at most."""
        return slice(-(-count * self.rank // self.world), -(-count * (self.rank + 1) // self.world))

    def __len__(self) -> int:
        """Return the steps of an epoch."""
        full, tail = divmod(len(self.split), self.batch)
        if not self.train:
            return full + (tail > 0)
        kept = tail >= 2 * self.world and not self.drop_last
        return full + (kept or full == 0)

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Minibatch]:
        """Yield the batches of an epoch (counted from 0), from step `start` on."""
        key = Key.seeded(self.seed, epoch, device=self.device).fold_in("stream")
        count = len(self.split)
        order, turns = self._order(key, count)
        changes = self.augment.plan(key, count) if self.train else Changes()
        spans = [slice(step * self.batch, min((step + 1) * self.batch, count)) for step in range(start, len(self))]
        if self.path == "memory":
            return (
                self._batch(order[span], self._pixels.index_select(0, order[span]), changes[span]) for span in spans
            )
        return self._from_workers(epoch, order, turns, changes, spans)

    def _order(self, key: Key, count: int) -> tuple[Tensor, Tensor | None]:
        """Return the rows of an epoch and, where some come again, how often each came before."""
        if self.train and self.balanced:
            return class_balanced(self._labels, len(self.split.classes), key)
        return key.fold_in("order").order(count) if self.train else torch.arange(count, device=self.device), None

    def _from_workers(
        self, epoch: int, order: Tensor, turns: Tensor | None, changes: Changes, spans: list[slice]
    ) -> Iterator[Minibatch]:
        own = [self._own(span) for span in spans]
        again = torch.zeros_like(order) if turns is None else turns
        host = torch.stack((order, again), dim=1).cpu()
        keys = [[(epoch, row, turn) for row, turn in host[span].tolist()] for span in own]
        for span, pixels in zip(own, self._loader(keys), strict=True):
            if isinstance(pixels, OverfocusError):
                raise pixels
            yield self._batch(order[span], pixels.to(self.device, non_blocking=True), changes[span])

    def _own(self, span: slice) -> slice:
        mine = self.mine(span.stop - span.start)
        return slice(span.start + mine.start, span.start + mine.stop)

    def _batch(self, rows: Tensor, pixels: Tensor, changes: Changes) -> Minibatch:
        """Change uint8 `pixels` [B, C, H, W] as drawn, and normalise them."""
        # Arithmetic of bytes with floats is several times slower than that of floats alone.
        images = changes.tint(changes.move(pixels).to(torch.float32))
        return Minibatch(images.mul_(self._scale).add_(self._shift), self._labels[rows], rows)
