"""The methods of a study compared: every verdict computed once, for the page, the tables, the terminal and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import nan

import numpy as np

from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.paired import benjamini_hochberg
from overfocus.statistics.pictures import Pictures
from overfocus.statistics.power import LEVEL
from overfocus.statistics.verdict import Compared, Effect, compared, per_class_effects
from overfocus.study.answers import Answers, out_of_fold
from overfocus.study.results import ACCURACY, BEST, BEST_OF, Measure, Results
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
                unit=measure.difference_unit, pictures=partial(self._pictures, measure, size), look=self.results.look,
                folds=self.study.folds,
            )  # fmt: skip
        return self._compared[key]

    def headlines(self) -> Iterator[tuple[Size, Measure, Compared]]:
        """Go through what the study is judged by, the accuracies and the headline scores of each section, size by size:
        what a page compares, beside the classes.
        """
        measures = self.results.measures
        shown = {each.key for section in {each.section for each in measures} - {""}
                 for each in self.results.headline_measures(section)}  # fmt: skip
        for size in self.sizes:
            for measure in measures:
                if not measure.section or measure.key in shown:
                    yield size, measure, self.of(measure, size)

    @cached_property
    def _false_discovery(self) -> dict[int, float]:
        """Effect, by its identity -> p after Benjamini and Hochberg over all that a page compares."""
        families = [of for _, _, of in self.headlines()] + [of for size in self.sizes for of in self.by_class(size)]
        effects = [effect for of in families for effect in of.effects.values()]
        adjusted = benjamini_hochberg([effect.raw_p for effect in effects])
        return dict(zip(map(id, effects), adjusted.tolist(), strict=True))

    def p_page(self, effect: Effect) -> float:
        """Return the p value of `effect` after Benjamini and Hochberg (1995) over every comparison of the page, all
        measures, data sizes and classes; NaN where it has no p value or is not on the page.
        """
        return self._false_discovery.get(id(effect), nan)

    @property
    def discoveries(self) -> tuple[int, int]:
        """How many comparisons of the page have a `p_page` of at most 0.05, and how many have one."""
        found = np.array(list(self._false_discovery.values()))
        return int((found <= LEVEL).sum()), int(np.isfinite(found).sum())

    def _pictures(self, measure: Measure, size: Size, method: str) -> Pictures | None:
        """Return what `method` and the baseline predict on the seeds that both have; None for a measure whose value on
        each picture is not kept, unless all predictions are the same, and where the runs did not answer the same
        pictures.
        """
        found = self.results.results
        pairs = [
            (found[own].answers, found[base].answers)
            for seed in self.study.seeds
            if (own := RunKey(method, size, seed)) in found
            and (base := RunKey(self.study.baseline, size, seed)) in found
        ]
        if self.study.folds:
            pairs = _over_folds(pairs, self.study.folds)
        labels = [each.labels for pair in pairs for each in pair]
        if not measure.is_of_answers or not pairs or not all(np.array_equal(labels[0], each) for each in labels):
            return None
        which = "best" if measure.key.startswith(BEST_OF) else "last"
        own, base = (np.stack([getattr(each, which) for each in side]) for side in zip(*pairs, strict=True))
        kept = measure in (ACCURACY, BEST) or np.array_equal(own, base)
        return Pictures(own, base, labels[0]) if kept else None

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
                accuracy[method],
                accuracy[baseline],
                pictures=self._pictures(ACCURACY, size, method),
                look=self.results.look,
                folds=self.study.folds,
            )
            for method in self.study.others
        }
        return [
            Compared(
                baseline, ACCURACY.better, nan, ACCURACY.difference_unit,
                {method: mean_interval(values[:, number], self.study.folds) for method, values in accuracy.items()},
                {method: of[number] for method, of in effects.items()},
            )
            for number in range(len(self.results.classes))
        ]  # fmt: skip


def _over_folds(pairs: list[tuple[Answers, Answers]], folds: int) -> list[tuple[Answers, Answers]]:
    """Return what two methods say of all pictures of a cross-validation as one pair; none of several that differ, where
    the same picture is there several times.
    """
    if not pairs:
        return []
    own, base = (out_of_fold(side) for side in zip(*pairs, strict=True))
    alike = np.array_equal(own.last, base.last) and np.array_equal(own.best, base.best)
    return [(own, base)] if alike or len(pairs) <= folds else []
