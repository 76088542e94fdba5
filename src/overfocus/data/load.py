"""One call from what a user types to a set of images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

from overfocus.core.errors import OverfocusError, UnknownName, nearest
from overfocus.core.preprocess import DEFAULT, Preprocess, Size
from overfocus.data.annotations import annotated
from overfocus.data.decode import BadImage, OnBadImage, channel_statistics, verified
from overfocus.data.finalize import check_trainable
from overfocus.data.group_column import grouped
from overfocus.data.how_read import how_decoded, how_fitted
from overfocus.data.layout import from_path, layouts
from overfocus.data.readers import hub, parquet, table
from overfocus.data.readers.hub import from_hub
from overfocus.data.readers.torchvision_sets import SETS
from overfocus.data.resize import as_size, fitted
from overfocus.data.split import Dataset, Split
from overfocus.data.subset import few, hold_out
from overfocus.data.totem import CARD as TOTEM_CARD
from overfocus.data.totem import DIGIT_CARD, totem

CARDS = {"totem": TOTEM_CARD, "totem-digit": DIGIT_CARD, **{name: each.card for name, each in SETS.items()}}
"""Every set with a name -> what it is in a line."""


def names() -> list[tuple[str, str]]:
    """Return what `load` takes: (name, what it is in a line)."""
    return [
        *CARDS.items(),
        ("PATH", ", ".join(layout.CARD for layout in reversed(layouts()))),
        ("hub:OWNER/NAME", "a set of the Hugging Face hub, or hub:PATH of one saved to disk"),
    ]


def load(  # noqa: PLR0913
    data: str | Path,
    *,
    root: str | Path | None = None,
    size: int | Size | None = None,
    per_class: int | None = None,
    fraction: float | None = None,
    val: float = 0.0,
    seed: int = 0,
    download: bool = False,
    boxes: str | Path | None = None,
    group: str | None = None,
    channels: int | None = None,
    on_bad_image: OnBadImage = "error",
    preprocess: Preprocess = DEFAULT,
    labels: Literal["one", "multi"] = "one",
) -> Dataset:
    """Load a set by name, by path (whose layout is recognised), or from the hub.

    - `root`: the folder of named sets; by default the environment variable OVERFOCUS_DATA, else `data`.
    - `size`: height and width in pixels to bring images, boxes and masks to; None keeps those of the files.
    - `per_class`, `fraction`: train on this many images, or this share, of each class; nested for the same `seed`.
    - `val`: the share of each class of the training images that becomes the split `val`, before they are thinned.
    - `boxes`: where the objects are: a CSV, a COCO JSON, or a folder of VOC XML or of masks.
    - `group`: what images have in common besides their class: `COLUMN` of the CSV that labels come from, or
      `FILE.csv:COLUMN` of one that names the images of a folder, also below it. See docs/data.md.
    - `channels`: 1 grey or 3 RGB for files; by default grey only where all of a sample are.
    - `preprocess`: how pictures are turned, brought to 8 bits, laid on a background and fitted; `size` goes before its
      own. Boxes and masks are those of the pictures as it turns them. See docs/data.md.
    - `labels`: `multi` where a CSV, or a column of lists, gives an image any number of labels; they are [N, K] then.
    - `on_bad_image`: `skip` reads every file once and leaves out those that cannot be read.

    Raises UnknownName for a name that is not known, OverfocusError for data that cannot be read.
    """
    named = (
        _multi(str(data), root, download, channels)
        if labels == "multi"
        else _named(str(data), root, download, channels)
    )
    dataset = _decoded_as(named, preprocess)
    if boxes is not None:
        dataset = annotated(dataset, Path(boxes))
    if group is not None:
        if dataset.multi_label:
            raise OverfocusError("group: groups are of images with one class each; leave group or labels='multi' out")
        dataset = grouped(dataset, group, _path(str(data), root))
    dataset = parted(dataset, seed, val, per_class, fraction)
    if on_bad_image == "skip":
        dataset = _readable(dataset)
    dataset = dataset.noting(how_decoded(dataset, preprocess))
    how = preprocess if size is None else replace(preprocess, size=as_size(size))
    return dataset if how.size is None else fitted_set(dataset, how)


def fitted_set(dataset: Dataset, how: Preprocess) -> Dataset:
    """Return `dataset` with images, boxes and masks brought to the size of `how`, and a note of what that does."""
    small = dataset.with_splits(lambda split: fitted(split, how))
    lost = box_count(dataset) - box_count(small)
    cut = f"Annotations: {lost} boxes lie wholly in what is cut off and are left out." if lost else ""
    return replace(small, preprocess=how).noting(how_fitted(dataset, how), cut)


def _decoded_as(dataset: Dataset, how: Preprocess) -> Dataset:
    """Return `dataset` with images that are decoded as `how` says; readers give them as the default is."""
    if (how.orientation, how.intensity, how.background) == (DEFAULT.orientation, DEFAULT.intensity, DEFAULT.background):
        return dataset
    decoded = dataset.with_splits(lambda split: replace(split, images=split.images.decoded_as(how)))
    decoded = replace(decoded, preprocess=replace(how, size=None))
    if (how.intensity, how.background) == (DEFAULT.intensity, DEFAULT.background):
        return decoded  # a turn leaves mean and std as they are
    mean, std = channel_statistics(next(iter(decoded.splits.values())).images)  # a set may have test images alone
    return replace(decoded, mean=mean, std=std)


def box_count(dataset: Dataset) -> int:
    """Return how many boxes the images of all splits have."""
    return sum(len(boxes) for split in dataset.splits.values() for boxes in split.boxes or ())


def _named(data: str, root: str | Path | None, download: bool, channels: int | None) -> Dataset:
    if data == "totem":
        return totem()
    if data == "totem-digit":
        return totem(shown=("digit",))
    if data in SETS:
        return SETS[data].load(data, Path(root or os.environ.get("OVERFOCUS_DATA", "data")), download)
    if data.startswith("hub:"):
        return from_hub(data.removeprefix("hub:"), download, channels)
    path = _path(data, root)
    if path.exists():
        return from_path(path, channels)
    if any(mark in data for mark in "/\\."):
        raise OverfocusError(f"data: no such file or folder {data!r}; as a name, {nearest(data, CARDS)}")
    raise UnknownName("data set", data, CARDS)


def _path(data: str, root: str | Path | None) -> Path:
    """Return where data that is no name lies: as it is given, else below `root`."""
    return Path(data) if root is None or Path(data).exists() else Path(root) / data


def _multi(data: str, root: str | Path | None, download: bool, channels: int | None) -> Dataset:
    """Read what gives an image any number of labels: a table, or a column of lists."""
    if data.startswith("hub:"):
        return from_hub(data.removeprefix("hub:"), download, channels, multi=True)
    path = _path(data, root)
    if not path.exists() or data in CARDS:
        raise OverfocusError(
            f"data {data!r}: several labels of an image are read from a CSV beside images, from parquet or a hub set "
            "with a column of lists; give its path, or hub:OWNER/NAME"
        )
    reader = next((each for each in (hub, parquet) if each.recognises(path)), table)
    return reader.read(path, channels, multi=True)


def parted(
    dataset: Dataset, seed: int, val: float = 0.0, per_class: int | None = None, fraction: float | None = None
) -> Dataset:
    """Hold out `val`, then thin the training images."""
    splits = dict(dataset.splits)
    if "train" not in splits:
        if val or per_class or fraction:
            check_trainable(dataset)
        return dataset
    if val:
        if "val" in splits:
            raise OverfocusError(
                f"{dataset.name}: val={val} would hold out a split `val`, but the set has one; leave val at 0"
            )
        splits["train"], splits["val"] = hold_out(splits["train"], val, seed)
    splits["train"] = few(splits["train"], seed, per_class, fraction)
    return replace(dataset, splits=splits)


def _readable(dataset: Dataset) -> Dataset:
    """Leave out the images that cannot be read, and say how many."""
    bad: list[BadImage] = []

    def clean(split: Split) -> Split:
        split, unread = verified(split, "skip")
        bad.extend(unread)
        return split

    dataset = dataset.with_splits(clean)
    return dataset.noting(
        f"{len(bad)} images cannot be read and are left out; the first: {bad[0].reason}." if bad else ""
    )
