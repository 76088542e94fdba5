"""What an examination costs, before it runs: how many images each section passes forward, and in what time."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter

import torch

from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.map_choice import AUTO, IMAGES
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Section

MAPS = 2
"""Passes of an image whose logits and maps are collected: one that keeps what gradients need."""
CHOICE = 140
"""Passes of an image that chooses among `map_choice.CANDIDATES`."""


def prices(sections: Iterable[Section], sample: Sample, map: str = "") -> dict[str, int]:
    """Return title -> how many images are passed forward for it on `sample`, a pass back counted as two: of the maps
    that every section builds on, as one of one layer costs, of the choice of a `map` that is "auto", and of each
    section, the dearest first. See `Section.price`.
    """
    found = {"Maps": MAPS * len(sample), **{section.title: section.price(sample) for section in sections}}
    if map == AUTO:
        found["Choice of the map"] = CHOICE * min(IMAGES, len(sample) // 2)
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def forward_seconds(classifier: Classifier, sample: Sample) -> float:
    """Return the seconds in which an image is passed forward, measured on the first batch."""
    pixels = next(sample.batches(None)).pixels.to(classifier.device)
    with torch.no_grad():
        float(classifier(pixels).sum())  # the first pass also finds memory
        start = perf_counter()
        float(classifier(pixels).sum())
    return (perf_counter() - start) / len(pixels)
