"""The last step of most readers: grey or colour, a test part, the statistics of the channels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from math import nan
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.data.decode import channel_statistics
from overfocus.data.image_files import StoredImages, is_grey, jpeg_quality
from overfocus.data.inventory import Inventory
from overfocus.data.split import Dataset, Split
from overfocus.data.subset import hold_out

HOLDOUT = 0.2


def check_classes(where: str, classes: tuple[str, ...]) -> None:
    """Refuse fewer than two classes."""
    if len(classes) < 2:
        raise OverfocusError(
            f"{where}: one class only ({', '.join(classes)}), and a classifier needs two at least; add images of "
            "another one, or, where that is the folder of a class, give the folder above it"
        )


_MEASURED = ContextVar("measured", default=True)


@contextmanager
def unmeasured() -> Iterator[None]:
    """Load sets without measuring their channels, which reads up to 4,096 pictures: mean and std are NaN. For those who
    only look at what is there.
    """
    before = _MEASURED.set(False)
    try:
        yield
    finally:
        _MEASURED.reset(before)


def finished(
    name: str, splits: dict[str, Split], classes: tuple[str, ...], note: str = "", channels: int | None = None,
    inventory: Inventory = Inventory(),  # noqa: B008 - frozen
) -> Dataset:  # fmt: skip
    """Decide on grey or colour, hold out test images where there are none, and measure the channels.

    Of a set without training images the first part is measured, and nothing is held out.
    """
    first = (splits.get("train") or next(iter(splits.values()))).images
    assert isinstance(first, StoredImages)
    grey = channels is None and is_grey(first)
    channels = channels or (1 if grey else 3)
    splits = {part: replace(split, images=_converted(split.images, channels)) for part, split in splits.items()}
    held = "train" in splits and "test" not in splits
    if held:
        # Always the same images, so that runs with different seeds are tested alike.
        splits["train"], splits["test"] = hold_out(splits["train"], HOLDOUT, seed=0)
        inventory = replace(inventory, held_out=HOLDOUT)
    splits = {part: splits[part] for part in ("train", "test", "val") if part in splits}
    mean, std = ((nan,) * channels,) * 2
    if _MEASURED.get():
        mean, std = channel_statistics(next(iter(splits.values())).images)
    quality = jpeg_quality(first, 0)
    return Dataset(name, splits, classes, mean, std, note, inventory=inventory).noting(
        "Read as grey, since all of a sample are; channels=3 makes it RGB." if grey else "",
        f"Stored as JPEG of quality about {quality}: lossy." if quality else "",
        held_note() if held else "",
        str(inventory),
    )


def held_note() -> str:
    """Return the sentence on test images that were held out."""
    return f"No test images came along: {HOLDOUT:.0%} of each class were held out, whatever the seed."


def check_trainable(dataset: Dataset) -> None:
    """Refuse a set without training images."""
    check_classes(dataset.name, dataset.classes)
    if "train" not in dataset.splits:
        raise OverfocusError(
            f"{dataset.name}: no training images, only {' and '.join(dataset.splits)}; put class folders into train/"
        )


def _converted(images: Any, channels: int) -> StoredImages:
    return replace(images, channels=channels)
