"""A method that acts exactly as the one it wraps, and records the batches: a picture then shows what training does."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.deprecation import renamed_property
from overfocus.core.head_probe import HeadAttribution, HeadProbe, Target, Teacher
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.regularizers.regularizer import FEATURES, IMAGE, Regularizer


@dataclass(frozen=True)
class SeamRecord:
    """What happened at one seam."""

    place: str
    """`image`, `features`, or the layer's name."""
    before: Batch
    after: Batch
    attribution: Tensor | None = None
    """The last answer of the probe, of the shape of the features; None where the method did not call it."""

    @property
    def images(self) -> int:
        """How many images went through; there may be several views of each."""
        return len(self.before) // self.before.views

    def first(self, count: int) -> SeamRecord:
        """Return the same for the first `count` images; of several views the last one, which is the one acted on."""
        attribution = None if self.attribution is None else self.attribution[-self.images :][:count]
        before, after = (_last_view(batch, self.images, count) for batch in (self.before, self.after))
        return SeamRecord(self.place, before, after, attribution)

    def measured(self) -> dict[str, Tensor]:
        """Return what the method measured of itself, [B] each; an accuracy is the network's and not its own."""
        notes = self.after.measured.items()
        return {name: _row_each(value, self.images) for name, value in notes if not name.endswith("accuracy")}


def _last_view(batch: Batch, images: int, count: int) -> Batch:
    rows = torch.arange(len(batch) - images, len(batch))[:count]
    notes = {name: _row_each(value, images)[:count] for name, value in batch.measured.items()}
    return Batch(batch.values[rows], batch.targets.take(rows), notes)


def _row_each(value: Tensor, images: int) -> Tensor:
    return value[-images:] if value.ndim else value.expand(images)


@dataclass(frozen=True)
class Recorder(Regularizer):
    """Wraps `method` at every seam."""

    method: Regularizer
    seen: list[SeamRecord] = field(default_factory=list, compare=False, repr=False)
    """What happened since it was last cleared, seam by seam."""
    place: str = IMAGE

    def on_batch(self, batch: Batch, key: Key) -> Batch:
        """Let the method act on images [B, C, H, W]."""
        after = self.method.on_batch(batch, key)
        self.seen.append(SeamRecord(IMAGE, batch, after))
        return after

    def on_features(self, features: Batch, probe: HeadProbe, key: Key) -> Batch:
        """Let the method act on features [B, ...]."""
        recording = RecordingProbe(probe)
        after = self.method.on_features(features, recording, key)
        self.seen.append(SeamRecord(self.place, features, after, recording.attribution))
        return after

    @property
    def places(self) -> frozenset[str]:
        """Where the method acts."""
        return self.method.places

    @property
    def teachers(self) -> frozenset[str]:
        """Whose attribution the method uses."""
        return self.method.teachers

    @property
    def scheduled(self) -> bool:
        """Whether the method is."""
        return self.method.scheduled

    def acting(self, places: frozenset[str]) -> Recorder:
        """Record the part of the method that acts at `places`."""
        layer = min(places - {FEATURES}, default=FEATURES)
        return Recorder(self.method.acting(places), self.seen, layer)

    def __str__(self) -> str:
        return str(self.method)


@dataclass
class RecordingProbe:
    """A probe that keeps the last attribution."""

    probe: HeadProbe
    attribution: Tensor | None = None

    def attribute(
        self, features: Tensor, targets: Targets, target: Target = "label", teacher: Teacher = "self"
    ) -> HeadAttribution:
        """Ask the probe; see `core.head_probe.HeadProbe`."""
        answer = self.probe.attribute(features, targets, target, teacher)
        self.attribution = answer.attribution
        return answer

    at = renamed_property("HeadProbe", "at", "attribute")
