"""Reading many images at once, on threads, and finding those that cannot be read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.data.depth import AlmostConstant
from overfocus.data.images import Images, TensorImages
from overfocus.data.resize import Size, fitted
from overfocus.data.split import Split

OnBadImage = Literal["error", "skip"]
LONG = 2000
"""Images from which on a progress bar is worth its lines."""


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read, and why."""

    row: int
    reason: str


def decoded(split: Split, size: Size | None = None, on_bad_image: OnBadImage = "error") -> tuple[Split, list[BadImage]]:
    """Return `split` with all images in memory at one `size` (H, W), and the images that cannot be read.

    With on_bad_image="skip" these are left out; else OverfocusError names the first.
    """
    split = fitted(split, size) if size else split
    if isinstance(split.images, TensorImages):
        return split, []
    height, width = first_size(split.images)
    pixels = torch.empty(len(split), split.images.channels, height, width, dtype=torch.uint8)
    bad = []
    for row, image in _read(split.images):
        if isinstance(image, OverfocusError):
            bad.append(BadImage(row, str(image)))
        else:
            pixels.numpy()[row] = checked_size(image, (height, width), split.images.name(row)).numpy()
    good = _kept(len(split), bad, on_bad_image)
    names = f"{split.images.name(0)} and others"
    if len(good) < len(split):
        split, pixels = split.subset(good), pixels[good]
    return replace(split, images=TensorImages(pixels, names)), bad


def verified(split: Split, on_bad_image: OnBadImage = "error") -> tuple[Split, list[BadImage]]:
    """Read every image once, and return what `decoded` does, with the images where they are."""
    if isinstance(split.images, TensorImages):
        return split, []
    results = _read(split.images)
    bad = [BadImage(row, str(image)) for row, image in results if isinstance(image, OverfocusError)]
    good = _kept(len(split), bad, on_bad_image)
    return (split.subset(good), bad) if bad else (split, bad)


def channel_statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, in [0, 1], over 256 to 4,096 images at even distances."""
    height, width = first_size(images)
    most = max(256, min(4096, 2**26 // (height * width)))
    some = images.pick(torch.arange(0, len(images), max(1, len(images) // most)))
    # How often each of the 256 levels occurs: exact, and without torch, whose threads would wait for one another here.
    counts = np.zeros((some.channels, 256), dtype=np.int64)
    with warnings.catch_warnings():
        # Readers measure before the rule of another depth is known; who reads the images afterwards is warned.
        warnings.simplefilter("ignore", AlmostConstant)
        for _, image in _read(some):
            if not isinstance(image, OverfocusError):
                counts += [np.bincount(channel.ravel(), minlength=256) for channel in image.numpy()]
    shares, levels = counts / counts.sum(axis=1, keepdims=True).clip(min=1), np.arange(256) / 255
    mean = shares @ levels
    std = np.sqrt((shares @ levels**2 - mean**2).clip(min=255.0**-2))
    return tuple(round(value, 4) for value in mean.tolist()), tuple(round(value, 4) for value in std.tolist())


def _kept(count: int, bad: list[BadImage], on_bad_image: OnBadImage) -> Tensor:
    """Return the rows of the good images, or raise what the first bad one raised."""
    if bad and on_bad_image == "error":
        more = f" ({len(bad)} of {count} images cannot be read)" if len(bad) > 1 else ""
        raise OverfocusError(bad[0].reason + more)
    good = torch.ones(count, dtype=torch.bool)
    good[[each.row for each in bad]] = False
    if not good.any():
        raise OverfocusError(f"none of {count} images can be read; the first: {bad[0].reason}")
    return good.nonzero()[:, 0]


def _read(images: Images) -> Iterator[tuple[int, Tensor | OverfocusError]]:
    """Read all images in order on as many threads as there are processors."""
    count = len(images)
    with ThreadPoolExecutor(processors()) as pool:
        for start in _with_progress_bar(range(0, count, 512)):
            rows = range(start, min(start + 512, count))
            # To hand over a single small image costs as much as to read it.
            parts = [rows[first : first + 16] for first in range(0, len(rows), 16)]
            read = pool.map(lambda part: [attempt(images, row) for row in part], parts)
            yield from zip(rows, chain.from_iterable(read), strict=True)


def attempt(images: Images, row: int) -> Tensor | OverfocusError:
    """Return the image [C, H, W] uint8, or the error that says why it cannot be read."""
    try:
        return images.read(row)
    except OverfocusError as error:
        return error


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _with_progress_bar(starts: range) -> Iterable[int]:
    """Return `starts`, the first rows of what is read at a time; on a terminal, a bar follows many."""
    if starts.stop < LONG:
        return starts
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(starts, "reading images", console=console, transient=True, disable=not console.is_terminal)


def first_size(images: Images) -> Size:
    """Return the size of the first image whose header can be read."""
    for row in range(len(images)):
        try:
            return images.size(row)
        except OverfocusError:
            continue
    raise OverfocusError(f"none of {len(images)} images can be read; the first is {images.name(0)}")


def checked_size(image: Tensor, size: Size, name: str) -> Tensor:
    """Return `image` [C, H, W]; OverfocusError where it is not of `size`."""
    if image.shape[-2:] != size:
        raise OverfocusError(
            f"{name}: {image.shape[-2]} x {image.shape[-1]} pixels where others have {size[0]} x {size[1]}; "
            "give one size to bring all to, such as --size 224"
        )
    return image
