"""Where the images of a set are, by the ends of their paths."""

from __future__ import annotations

from overfocus.data.paths import endings
from overfocus.data.split import Dataset

Place = tuple[str, int]
"""Split and row."""
Places = dict[str, Place | None]
"""The end of a path -> where its image is; None where several end so."""


def places_in(dataset: Dataset) -> Places:
    """Return where each image is, by each end of its path, with and without extension."""
    places: Places = {}
    for name, split in dataset.splits.items():
        for row in range(len(split)):
            for key in endings(split.images.name(row)):
                places[key] = None if key in places else (name, row)
    return places


def place_of(places: Places, file: str) -> Place | None:
    """Return where the image called `file` is; None where there is none, or more than one."""
    return next((place for end in endings(file) if (place := places.get(end))), None) if file else None
