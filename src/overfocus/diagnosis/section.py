"""A part of an examination: a question, how evidence is collected for it, and what the evidence says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.core.deprecation import renamed_fields, renamed_property, warn_renamed
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.lean import Lean
from overfocus.diagnosis.sample import Sample
from overfocus.metrics.score import Metric, Score, mean_interval, mean_score

OnProgress = Callable[[str, int, int], None]
"""Called with the title of what is under way, how much of it is done, and how much there is."""
SHOWN = 3
"""Images of a class that a table shows."""


@dataclass(frozen=True)
class Line:
    """One line of a chart, with its 95 % interval where there is one."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    control: bool = False
    """What the others are compared with."""


@dataclass(frozen=True)
class Chart:
    """Lines over one axis."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    diagonal: bool = False
    """Whether y = x is where a perfect model lies."""


@dataclass(frozen=True)
class Matrix:
    """Counts of pairs: images of the class of a row that have the answer of a column."""

    title: str
    x: str
    y: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    """Those of the rows, in their order, and perhaps more."""
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Examples:
    """Images that a row of a table speaks of."""

    rows: tuple[int, ...]
    box: tuple[float, float, float, float] | None = None
    """Where to look in each of them: (x0, y0, x1, y1) as shares of width and height."""


@dataclass(frozen=True)
class Table:
    """Rows of text."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    seen: tuple[Examples, ...] = ()
    """The images of each row, where rows have images."""


def curve(name: str, shares: Tensor, values: Tensor, control: bool, seed: int) -> Line:
    """Return the mean over images of `values` [S, N] with its interval at each share."""
    kept = [row[row.isfinite()].double() for row in values]
    ends = [mean_interval(row, seed) for row in kept]
    means = [float(row.mean()) if len(row) else float("nan") for row in kept]
    return Line(name, shares.tolist(), means, [low for low, _ in ends], [high for _, high in ends], control)


def scattered(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return `values` [n] at their `rows` among `count` images, NaN elsewhere: [count]."""
    return torch.full((count,), torch.nan, dtype=values.dtype).scatter(0, rows, values)


def examples_named(evidence: Evidence, label: int, box: tuple[float, float, float, float] | None) -> Examples:
    """Return the first images that are named as class `label`, with the place `box` in them."""
    rows = (evidence.logits.argmax(dim=1) == label).nonzero()[:SHOWN, 0]
    return Examples(tuple(rows.tolist()), box)


@renamed_fields(asked="rows")
@dataclass(frozen=True)
class Finding:
    """What a section found."""

    name: str
    title: str
    question: str
    sentence: str
    """What was found, against what it is compared, and whether the sample is large enough to say so."""
    scores: Mapping[str, Score] = field(default_factory=dict)
    per_image: Mapping[str, tuple[Metric, Tensor]] = field(default_factory=dict)
    """The values [N] behind the scores that are means over images; NaN where an image has no answer or was not
    evaluated.
    """
    rows: Tensor | None = None
    """The rows [n] of the images that were evaluated, where not all were."""
    charts: tuple[Chart, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    flagged: frozenset[int] | None = None
    """Classes that are suspected of standing on a shortcut; None where that was not the question."""
    leans: tuple[Lean, ...] | None = None
    """What answers are read from, as far as the section looked for it; None where that was not the question."""

    def per_class(self, labels: Tensor, classes: list[str], seed: int = 0) -> dict[str, dict[str, Score]]:
        """Return class -> name -> score of the images of that class alone."""
        rows = torch.arange(len(labels)) if self.rows is None else self.rows
        return {
            name: {
                key: mean_score(metric, values[rows[labels[rows] == number]], seed=seed)
                for key, (metric, values) in self.per_image.items()
            }
            for number, name in enumerate(classes)
        }


class Section(ABC):
    """One file = one section: a frozen dataclass whose fields are its settings.

    What terminal, pages, forecast, help and docs say of a section is written in its class variables, and nowhere else.
    """

    name: ClassVar[str]
    """That of its file."""
    title: ClassVar[str]
    question: ClassVar[str]
    order: ClassVar[int]
    """Its place in an examination: ascending."""
    passes: ClassVar[int]
    """What an image costs with default settings, in passes forward; a pass back counts as two. Counted, or measured
    where it depends on the model.
    """
    headline: ClassVar[tuple[str, ...]] = ()
    """Scores that are shown first, the most telling first; empty where their names depend on the data: its first."""
    version: ClassVar[int] = 1
    """One more whenever the same settings give other numbers than before; a study diagnoses runs of older ones anew."""
    reads_map: ClassVar[bool] = False
    """Whether it is read from maps: where these are no better than chance, nothing of it is told first."""
    asks_no_map: ClassVar[tuple[str, ...]] = ()
    """Scores of a section that reads maps which need none, the most telling first."""
    by_default: ClassVar[bool] = True
    """Whether it is evaluated unless others are named."""
    needs: ClassVar[str] = ""
    """What the data must have, in a few words; `lacking` checks it."""
    judge = renamed_property("Section", "judge", "evaluate")

    def __init_subclass__(cls) -> None:
        """Take a section that was written for the version before, whose `evaluate` is called `judge`."""
        if "judge" in vars(cls):
            warn_renamed(f"{cls.__name__}.judge", f"{cls.__name__}.evaluate")
            cls.evaluate = vars(cls)["judge"]

    def lacking(self, sample: Sample) -> str:
        """Say what the data lacks for this section; empty where it lacks nothing."""
        return ""

    def count(self, sample: Sample) -> int:
        """Return how many images of `sample` are evaluated, at most: as many as the setting `images` says, or all."""
        return min(getattr(self, "images", 0) or len(sample), len(sample))

    def price(self, sample: Sample) -> int:
        """Return how many images are passed forward on `sample`, a pass back counted as two; at most, where the section
        ends as soon as its number is sure.
        """
        return self.passes * self.count(sample)

    def settings(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return asdict(self)  # type: ignore[call-overload]

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Run the model; return arrays by name, all below this section's own name. `evidence` holds logits and maps,
        boxes and masks; a section that needs no more collects nothing.
        """
        on_progress(self.title, 1, 1)
        return {}

    @abstractmethod
    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute what the evidence says; no model is run."""

    def found(
        self,
        sentence: Callable[[Mapping[str, Score]], str],
        per_image: Mapping[str, tuple[Metric, Tensor]],
        seed: int,
        scores: Mapping[str, Score] | None = None,
        **more: Any,
    ) -> Finding:
        """Return the finding whose scores are the means of `per_image`, and those given; `sentence` puts them in words.

        more: charts, matrices, tables, notes, `flagged`, `leans`, and `rows`, those of the images that were evaluated
            where not all were.
        """
        rows = more.get("rows", slice(None))
        means = {name: mean_score(metric, values[rows], seed=seed) for name, (metric, values) in per_image.items()}
        every = {**means, **(scores or {})}
        return Finding(self.name, self.title, self.question, sentence(every), every, per_image, **more)
