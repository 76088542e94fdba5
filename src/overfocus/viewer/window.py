"""What a window holds: models, each behind a lock, and pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.classifier import Classifier
from overfocus.viewer.neighbours import pooled
from overfocus.viewer.pictures import PictureList

BATCH = 16
"""Training pictures whose features are computed between two strokes."""
PAGES = 64
"""Pages whose newest stroke is remembered."""


class Superseded(OverfocusError):
    """A newer stroke of the same page is waiting, so nobody needs this answer."""


class Model:
    """A classifier that one request at a time may use."""

    def __init__(self, classifier: Classifier, source: str) -> None:
        self.name, self.note, self.classes, self.source = classifier.name, classifier.note, classifier.classes, source
        self._classifier, self._lock, self._features_lock = classifier, Lock(), Lock()
        self._features: Tensor | None = None

    @contextmanager
    def lent(self) -> Iterator[Classifier]:
        """Lend the classifier when nobody else has it."""
        with self._lock:
            yield self._classifier

    def features(self, pictures: PictureList) -> Tensor:
        """Return the pooled features [N, D] of the data's `pictures`, computed once; strokes go between."""
        with self._features_lock:
            if self._features is None:
                rows = torch.arange(pictures.own).split(BATCH)
                self._features = torch.cat([self._of(pictures, some.tolist()) for some in rows])
            return self._features

    def _of(self, pictures: PictureList, rows: list[int]) -> Tensor:
        pixels = torch.stack([pictures[row].pixels for row in rows])
        with self.lent() as classifier:
            return pooled(classifier, pixels)


class NewestStroke:
    """Which stroke of each page is the newest."""

    def __init__(self) -> None:
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def came(self, page: str, stroke: int) -> None:
        """Note a stroke."""
        with self._lock:
            self._newest[page] = max(stroke, self._newest.get(page, stroke))
            self._newest.move_to_end(page)
            while len(self._newest) > PAGES:
                self._newest.popitem(last=False)

    def check(self, page: str, stroke: int) -> None:
        """Raise Superseded where a newer stroke of the page came."""
        if self._newest.get(page, stroke) > stroke:
            raise Superseded("a newer stroke came")


@dataclass(frozen=True, eq=False)
class Window:
    """Models side by side, the pictures they are asked about, and those they were trained on."""

    models: tuple[Model, ...]
    pictures: PictureList
    trained_on: PictureList | None = None
    title: str = ""
    notes: tuple[str, ...] = ()
    """What a person must know of the data, in sentences."""
    strokes: NewestStroke = field(default_factory=NewestStroke)
