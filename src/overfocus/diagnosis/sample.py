"""The images of an examination: in pixels, in batches, as often as they are needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from overfocus.core.classes import match_classes
from overfocus.core.errors import OverfocusError
from overfocus.data import Images, Masks, Split, Stream, balanced
from overfocus.data.groups import ImageGroups

log = logging.getLogger(__name__)


class Portion(NamedTuple):
    """A batch of a sample."""

    pixels: Tensor
    """[B, C, H, W] float32 in [0, 1]."""
    labels: Tensor
    """[B] int64."""
    rows: Tensor
    """[B] int64, positions in the sample, ascending; on the processor."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Labelled images that can be gone through again and again, with what is known of where their objects are."""

    labels: Tensor
    """[N] int64, on the processor."""
    classes: tuple[str, ...]
    size: tuple[int, int]
    """Height and width in pixels."""
    channels: int
    batches: Callable[[Tensor | None], Iterator[Portion]] = field(repr=False)
    """Goes through the images at some rows [n] (ascending), or through all."""
    names: Sequence[str] = field(repr=False)
    boxes: Sequence[Tensor] | None = field(default=None, repr=False)
    """For each image [n, 4] int64 (x0, y0, x1, y1), x1 and y1 excluded."""
    masks: dict[str, Masks] = field(default_factory=dict, repr=False)
    """Part -> bool [H, W] of each image."""
    note: str = ""
    """Which images these are, and what was left out."""
    source: str = ""
    """What a reader of its figures must know of the data: licence, boxes that were clipped or left out."""
    groups: ImageGroups | None = field(default=None, repr=False)
    """What images have in common besides their class, where that is known."""

    def __len__(self) -> int:
        return len(self.labels)

    def mask(self, part: str, rows: Tensor) -> Tensor:
        """Return the masks of `part` for the images `rows` [n]: [n, H, W] bool."""
        return torch.stack([torch.as_tensor(self.masks[part][row]) for row in rows.tolist()])

    def portions(
        self, rows: Tensor | None, title: str, on_progress: Callable[[str, int, int], None]
    ) -> Iterator[Portion]:
        """Go through the images at `rows` [n] (ascending), or through all; report after each batch, below `title`."""
        done, total = 0, len(self) if rows is None else len(rows)
        on_progress(title, done, total)  # the first images may take long to be read
        for portion in self.batches(rows):
            yield portion
            done += len(portion.labels)
            on_progress(title, done, total)

    def some(self, count: int, seed: int) -> Tensor:
        """Return the rows [n] of at most `count` images, balanced over classes, ascending; more contain fewer."""
        return balanced(self.labels, count, seed)


def from_split(
    split: Split,
    *,
    limit: int = 0,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    batch: int = 64,
    device: torch.device | str = "cpu",
    on_bad_image: str = "error",
) -> Sample:
    """Return a sample of `split`, of at most `limit` images (0: all) balanced over its classes.

    Small sets are held in memory on the device; large ones are read anew each time they are gone through.
    Raises OverfocusError for images with several labels each.
    """
    split.one_class("diagnose")
    given, rows = split, torch.arange(len(split))
    if limit and limit < len(given):
        rows = balanced(split.labels, limit, seed)
        split = split.subset(rows)
    channels = split.images.channels
    zero, one = (0.0,) * channels, (1.0,) * channels

    def stream(part: Split) -> Stream:
        return Stream(
            part, batch=batch, mean=zero, std=one, size=size, train=False, device=device,
            on_bad_image=on_bad_image,  # type: ignore[arg-type]
        )  # fmt: skip

    first = stream(split)
    split = first.split  # at one size, without what cannot be read

    def batches(rows: Tensor | None) -> Iterator[Portion]:
        some = first if rows is None else stream(split.subset(rows))
        for pixels, labels, places in some.epoch():
            yield Portion(pixels, labels, places.cpu() if rows is None else rows[places.cpu()])

    height, width = split.images.size(0)
    rows = rows[[row for row in range(len(rows)) if row not in {each.row for each in first.bad}]]
    note = f"{len(rows):,} of {len(given):,} images" if len(rows) < len(given) else f"all {len(given):,} images"
    bad = f"; {len(first.bad)} files cannot be read and are left out" if first.bad else ""
    return Sample(
        split.labels, split.classes, (height, width), channels, batches, _Names(given.images, rows), split.boxes,
        dict(split.masks), note + bad, groups=split.groups,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Names(Sequence[str]):
    """Names of some images of a set, read only when they are needed."""

    images: Images
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row):
        if not 0 <= row < len(self):  # what ends a loop over a sequence
            raise IndexError(row)
        return self.images.name(int(self.rows[row]))


def from_loader(
    loader: Iterable, classes: Sequence[str], mean: Sequence[float], std: Sequence[float], *, limit: int = 0
) -> Sample:
    """Return the first `limit` images (0: all) that `loader` yields as (images, labels), held in memory.

    images: [B, C, H, W] float, normalised with `mean` and `std`, which are taken off again; labels [B] int64.
    """
    images, labels, count = [], [], 0
    for given, named, *_ in loader:
        images.append(torch.as_tensor(given).float())
        labels.append(torch.as_tensor(named).long())
        count += len(labels[-1])
        if limit and count >= limit:
            break
    if not count:
        raise OverfocusError("diagnose: the loader yields no images")
    if len({tuple(each.shape[1:]) for each in images}) > 1:
        raise OverfocusError("diagnose: the loader yields images of several sizes; bring them to one")
    shape = (1, -1, 1, 1)
    pixels = torch.cat(images) * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
    end = limit or count
    return from_pixels(pixels[:end], torch.cat(labels)[:end], tuple(classes), note=f"the first {min(end, count):,}")


def from_pixels(
    pixels: Tensor, labels: Tensor, classes: tuple[str, ...], *, batch: int = 64, note: str = "", **known
) -> Sample:
    """Return a sample of `pixels` [N, C, H, W] that is in memory, uint8 or float in [0, 1]; `known`: boxes, masks,
    groups.
    """
    scale = 1 / 255 if pixels.dtype == torch.uint8 else 1.0
    if scale == 1.0 and (pixels.min() < -0.01 or pixels.max() > 1.01):
        raise OverfocusError(
            f"diagnose: pixels lie in [{float(pixels.min()):.2f}, {float(pixels.max()):.2f}] and not in [0, 1]; "
            "give the mean and std that the images were normalised with"
        )

    def batches(rows: Tensor | None) -> Iterator[Portion]:
        chosen = torch.arange(len(labels)) if rows is None else rows
        for some in chosen.split(batch):
            yield Portion((pixels[some].float() * scale).clamp(0, 1), labels[some], some)

    names = [f"image#{row}" for row in range(len(labels))]
    size = (pixels.shape[2], pixels.shape[3])
    return Sample(labels.cpu(), classes, size, pixels.shape[1], batches, names, note=note, **known)


def fitting(sample: Sample, classes: tuple[str, ...], name: str) -> Sample:
    """Return `sample` with its labels in the order of the `classes` of the model `name`; it may have fewer of them.

    A match that is not by name is a warning, and part of the note; see `match_classes`.
    """
    if sample.classes == classes:
        return sample
    match = match_classes(classes, sample.classes, name)
    if match.warning:
        log.warning("%s: %s", name, match.warning)
    place = torch.tensor(match.places)
    note = "; ".join(filter(None, (sample.note, match.warning)))
    return replace(
        sample, labels=place[sample.labels], classes=classes, batches=_renamed(sample.batches, place), note=note
    )


def _renamed(batches: Callable[[Tensor | None], Iterator[Portion]], place: Tensor):
    def renamed(rows: Tensor | None) -> Iterator[Portion]:
        for portion in batches(rows):
            yield portion._replace(labels=place.to(portion.labels.device)[portion.labels])

    return renamed
