"""Sentences on what is done to the pictures of a set between their files and a network, where that could surprise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess, Size
from overfocus.data.images import Header, Images
from overfocus.data.split import Dataset

MOST = 512
"""Pictures of each split whose headers are read, at even distances."""
MUCH = 0.2
"""Share of a picture that is worth a sentence."""
FITS = {
    "crop": "cut to {} pixels around the centre; {} lose more than 20 %; {keep} all.",
    "pad": "padded to {} pixels; of {} the bars take more than 20 %.",
    "squash": "squashed to {} pixels; {} change their aspect by more than 20 %.",
}


def how_fitted(dataset: Dataset, how: Preprocess) -> str:
    """Return what is lost when the pictures of `dataset` are fitted as `how` says; "" where all keep their aspect."""
    if how.size is None:
        return ""
    (height, width), sizes = how.size, [header.size for header in _headers(dataset)]
    changed = [
        size for size in sizes if size != how.size and (how.crop_share < 1 or size[0] * width != size[1] * height)
    ]
    if not changed:
        return ""
    much = sum(_lost(size, how) > MUCH for size in changed)
    keep = "--fit pad keeps" if how.crop_share == 1 else "--fit pad with --set data.crop_share=1 keeps"
    return "Images are " + FITS[how.fit].format(f"{height} x {width}", f"{much:,} of {len(sizes):,}", keep=keep)


def _headers(dataset: Dataset) -> list[Header]:
    """Return the headers of some pictures of each split, those in memory and those that cannot be read apart."""
    return [header for split in dataset.splits.values() for header in _headers_of(split.images)]


def _headers_of(images: Images) -> Iterator[Header]:
    for row in range(0, len(images), max(1, len(images) // MOST)):
        with suppress(OverfocusError):
            if header := images.header(row):
                yield header


def _lost(stored: Size, how: Preprocess) -> float:
    """Return the share of a picture that is cut off, or that bars take, or by which its aspect changes."""
    assert how.size is not None
    if how.fit == "squash":
        aspects = (stored[0] * how.size[1], stored[1] * how.size[0])
        return 1 - min(aspects) / max(aspects)
    seen, whole = how.size[0] * how.size[1], how.resized(stored)
    kept = min(whole[0], how.size[0]) * min(whole[1], how.size[1])
    return 1 - (kept / (whole[0] * whole[1]) if how.fit == "crop" else kept / seen)


def how_decoded(dataset: Dataset, how: Preprocess) -> str:
    """Return how many pictures of `dataset` have a turn, more than 8 bits or transparency, and what becomes of it."""
    return " ".join(_decoding(_headers(dataset), how))


def _decoding(found: Sequence[Header], how: Preprocess) -> Iterator[str]:
    turned, deep, clear = (
        sum(each) for each in ([h.turn != 1 for h in found], [h.deep for h in found], [h.alpha for h in found])
    )
    made = "are turned as EXIF says" if how.orientation == "viewer" else "have an EXIF turn that is not made"
    if turned:
        yield f"{turned:,} of {len(found):,} images {made} (orientation={how.orientation})."
    if deep:
        told = how.intensity if isinstance(how.intensity, str) else "{:g},{:g}".format(*how.intensity)
        yield f"{deep:,} of {len(found):,} images have more than 8 bits, which intensity={told} maps to 8."
    if clear:
        colour = ",".join(map(str, how.background))
        yield f"{clear:,} of {len(found):,} images have an alpha channel and lie on background={colour}."
