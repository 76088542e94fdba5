"""Facts of all images of a data set: each file is read and decoded once, for all checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import starmap

from overfocus.checks.picture import Picture, examined
from overfocus.checks.same_picture import same_pictures
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data import Dataset, Images
from overfocus.data.decode import processors
from overfocus.data.image_files import StoredImages
from overfocus.data.images import WrappedImages

CHUNK, MASKS = 64, 500
"""Images that a thread is given at a time, and masks that are looked at, at even distances."""
Work = tuple[str | bytes, str, str, int, int]
"""What `examined` takes."""
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Survey:
    """A data set, and what its files say of themselves."""

    dataset: Dataset
    pictures: tuple[Picture, ...]
    """Of all splits, in their order; of some rows where only a sample was read."""
    total: int
    """How many images the set has."""
    masks: Mapping[Picture, float | str]
    """Share of the picture that its mask covers, or why it does not fit; of at most `MASKS` pictures."""

    @cached_property
    def readable(self) -> tuple[Picture, ...]:
        """The images that can be read."""
        return tuple(picture for picture in self.pictures if not picture.error)

    @cached_property
    def same(self) -> tuple[tuple[Picture, ...], ...]:
        """The groups of images that show the same picture."""
        return same_pictures(self.readable)

    def of(self, part: str) -> tuple[Picture, ...]:
        """Return the readable images of a split."""
        return tuple(picture for picture in self.readable if picture.part == part)

    def class_name(self, picture: Picture) -> str:
        """Return the name of the class that a picture is labelled with."""
        return self.dataset.classes[picture.label]

    @property
    def sampled(self) -> bool:
        """Whether some images were not read."""
        return len(self.pictures) < self.total


def survey(dataset: Dataset, most: int | None = None, on_progress: OnProgress = lambda done, total: None) -> Survey:
    """Read every image of `dataset` once, or a random `most` of them, always the same.

    Raises OverfocusError for images that are not stored in files or tables.
    """
    next(iter(dataset.splits.values())).one_class("a check of the data")
    work = [
        (*_stored(dataset, split.images, row), part, int(label), row)
        for part, split in dataset.splits.items()
        for row, label in enumerate(split.labels.tolist())
    ]
    total = len(work)
    if most is not None and most < total:
        work = [work[row] for row in Key.seeded(0).fold_in("check").order(total)[:most].sort().values.tolist()]
    pictures = []
    for picture in _examined(work):
        pictures.append(picture)
        if len(pictures) % CHUNK == 0 or len(pictures) == len(work):
            on_progress(len(pictures), len(work))
    return Survey(dataset, tuple(pictures), total, dict(_masked(dataset, pictures)))


def _masked(dataset: Dataset, pictures: Sequence[Picture]) -> Iterator[tuple[Picture, float | str]]:
    with_masks = [each for each in pictures if not each.error and dataset.splits[each.part].masks]
    for picture in with_masks[:: max(1, len(with_masks) // MASKS)]:
        masks = next(iter(dataset.splits[picture.part].masks.values()))
        try:
            yield picture, float(masks[picture.row].float().mean())
        except OverfocusError as error:
            yield picture, str(error)


def from_files(images: Images) -> bool:
    """Say whether images are stored in files or in a table, and so have something to be checked."""
    while isinstance(images, WrappedImages):
        images = images.source
    return isinstance(images, StoredImages)


def _stored(dataset: Dataset, images: Images, row: int) -> tuple[str | bytes, str]:
    """Return the path or the encoded bytes of an image, and its name."""
    name = images.name(row)
    while isinstance(images, WrappedImages):
        images, row = images.source, images.at(row)
    if not isinstance(images, StoredImages):
        raise OverfocusError(
            f"check: {dataset.name} comes as arrays and not as image files, of which alone a check can say something; "
            "give a folder, a parquet file or a set of the hub"
        )
    return images.encoded_at(row), name


def _examined(work: list[Work]) -> Iterator[Picture]:
    """Yield the facts of each image, in order."""
    chunks = [work[first : first + CHUNK] for first in range(0, len(work), CHUNK)]
    with ThreadPoolExecutor(processors()) as threads:
        for pictures in threads.map(lambda chunk: list(starmap(examined, chunk)), chunks):
            yield from pictures
