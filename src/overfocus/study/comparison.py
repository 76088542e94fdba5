"""The methods of a study compared: every verdict computed once, for the page, the tables, the terminal and JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from math import nan

import numpy as np

from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.verdict import Compared, compared, per_class_effects, tie_reach
from overfocus.study.results import ACCURACY, BEST, Measure, Results
from overfocus.study.run_key import RunKey, Size
from overfocus.study.study import Study


@dataclass(frozen=True, eq=False)
class Comparison:
    """The results of a study, and its methods against the baseline on any measure at any data size."""

    results: Results
    _compared: dict[tuple[str, Size], Compared] = field(default_factory=dict, init=False, repr=False)
    _by_class: dict[Size, list[Compared]] = field(default_factory=dict, init=False, repr=False)

    @property
    def study(self) -> Study:
        """The study that is compared."""
        return self.results.study

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """The data sizes at which a run is finished, smallest first."""
        return tuple(size for size in self.study.sizes if any(self.results.of(m, size) for m in self.study.methods))

    def of(self, measure: Measure, size: Size) -> Compared:
        """Return means, effects and verdicts on a measure at one data size."""
        key = measure.key, size
        if key not in self._compared:
            self._compared[key] = compared(
                self.results.values(measure, size), self.study.baseline, better=measure.better, margin=measure.margin,
                unit=measure.difference_unit, reach=partial(self._reach, measure, size),
            )  # fmt: skip
        return self._compared[key]

    def _reach(self, measure: Measure, size: Size, method: str, label: int | None = None) -> float:
        """Return how large a difference of `method` in accuracy the images leave open, on those of class `label` or on
        all; NaN for a measure whose value on each image is not kept.
        """
        if measure not in (ACCURACY, BEST):
            return nan
        pairs = [
            (self.results.results[own].answers, self.results.results[base].answers)
            for seed in self.study.seeds
            if (own := RunKey(method, size, seed)) in self.results.results
            and (base := RunKey(self.study.baseline, size, seed)) in self.results.results
        ]
        which, labels = ("last" if measure == ACCURACY else "best"), pairs[0][0].labels
        rows = np.ones(len(labels), bool) if label is None else labels == label
        own, base = (np.stack([getattr(each, which)[rows] for each in side]) for side in zip(*pairs, strict=True))
        return tie_reach(own, base, labels[rows])

    def by_class(self, size: Size) -> list[Compared]:
        """Return the same on the accuracy of each class alone, in the order of the classes; for Holm, the classes are
        one family for each method.
        """
        if size not in self._by_class:
            self._by_class[size] = self._compared_classes(size)
        return self._by_class[size]

    def _compared_classes(self, size: Size) -> list[Compared]:
        accuracy, baseline = self.results.per_class(size), self.study.baseline
        effects = {
            method: per_class_effects(
                accuracy[method], accuracy[baseline], reach=partial(self._reach, ACCURACY, size, method)
            )
            for method in self.study.others
        }
        return [
            Compared(
                baseline, ACCURACY.better, nan, ACCURACY.difference_unit,
                {method: mean_interval(values[:, number]) for method, values in accuracy.items()},
                {method: of[number] for method, of in effects.items()},
            )
            for number in range(len(self.results.classes))
        ]  # fmt: skip
