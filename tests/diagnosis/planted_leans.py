"""Diagnoses of networks whose leans are written by hand."""

from __future__ import annotations

from contextlib import contextmanager
from math import nan

import numpy as np
import pytest
import torch

from overfocus.diagnosis.catalogue import SECTIONS
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.lean import Lean
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.section import Finding, Section
from overfocus.metrics.score import Metric, Score

SHARE = Metric("share of the accuracy", "lost with another class's, less with the same class's")
EVIL = "<img src=x onerror=alert(1)>\u202e\n" + "🦊" * 90
CLASSES = ("cat", EVIL, "dog")
SIZE = (12, 16)


def lean(title, value=nan, low=nan, high=nan, n=150, note="", cue="border", **more):
    """Return a lean with a share of `n` pictures."""
    return Lean(cue, title, Score(SHARE, value, low, high, n, note), **more)


FRAME = lean("the frame, an eighth of the side", 0.46, 0.38, 0.54, found=True, rows=(3, 0),
             advice="`overfocus heal RUN`, or other pictures")  # fmt: skip
OBJECT = lean("the object", 0.91, 0.85, 0.96, cue="object", intended=True, rows=(1,))
COLOUR = lean("colour", 0.05, -0.02, 0.12, cue="colour", advice="grey pictures")
MARK = lean(EVIL, 0.22, 0.11, 0.31, n=12, cue="mark", found=True, classes=(1, 2), box=(0.0, 0.0, 0.25, 0.25),
            rows=(1, 4), advice=f"collect other pictures of {EVIL}")  # fmt: skip
UNKNOWN = lean("texture", note="no accuracy above chance", cue="texture", n=0)
BEYOND = lean("the middle", 1.3, 1.1, 1.6, cue="middle", intended=True)


class Planted(Section):
    """A section that finds what it was made with, for each model by name; None: it does not look."""

    name, title, question, order, passes = "planted", "Planted", "What was planted?", 3, 1

    def __init__(self, leans):
        self.leans = leans

    def evaluate(self, evidence):
        return Finding(
            self.name, self.title, self.question, "It was planted.", leans=self.leans[evidence.about["model"]]
        )


@contextmanager
def planted(**leans):
    """Give diagnoses by the names of their models, each with its leans, while its section is registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SECTIONS, "planted", Planted(leans))
        yield tuple(Diagnosis(evidence(name)) for name in leans)


def sampled(count=24):
    """Return random pictures of three classes."""
    source = torch.Generator().manual_seed(0)
    return from_pixels(torch.rand(count, 3, *SIZE, generator=source), torch.arange(count) % 3, CLASSES)


def evidence(model, count=24):
    """Return evidence of `sampled` as if all were named rightly."""
    labels = np.arange(count) % 3
    arrays = {
        "labels": labels, "logits": np.eye(3, dtype=np.float32)[labels],
        "maps/predicted": np.ones((count, 2, 2), np.float32),
    }  # fmt: skip
    about = {
        "model": model, "data": "planted", "sample": f"all {count} images", "classes": list(CLASSES), "seed": 0,
        "size": list(SIZE), "sections": ["planted"], "skipped": {}, "mean": [0.0] * 3, "std": [1.0] * 3,
    }  # fmt: skip
    return Evidence(arrays, about)
