"""How good answers are in each group of images, such as those of one scanner, and how far the group tells the class.

A cell is a class in a group. The worst of many cells is low by chance alone, and its interval is low with it; so each
number stands beside what it is where groups are dealt out anew at random: within each class for accuracies, which a
class that is hard everywhere leaves as they are, and among all images for how far the group tells the class. Groups are
of different images, so a gap says that the group matters or that its images are harder, and not which.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from scipy.stats import random_table

from overfocus.core.interval import wilson
from overfocus.core.key import Key
from overfocus.metrics.score import Metric, Score, percentiles

LEAST = 10
"""Images of a cell below which its accuracy is told and not compared."""
DRAWS, FEWER, TABLES = 1000, 200, 200
"""Resamples and permutations of answers, fewer where there are many cells, and permutations of groups."""
MANY_CELLS = 2000
ANEW = "mean where groups are dealt out at random"
WORST = Metric("worst-group accuracy", f"min of right_kg / n_kg over classes k and groups g, n_kg >= {LEAST}", "higher")
WORST_ANEW = Metric("worst-group accuracy by chance", f"its {ANEW} within each class")
GAP = Metric("gap between groups", f"max over k of max_g - min_g of right_kg / n_kg, n_kg >= {LEAST}", "lower")
GAP_ANEW = Metric("gap between groups by chance", f"its {ANEW} within each class")
CRAMER = Metric("Cramer's V of class and group", "sqrt(chi^2 / (N min(K - 1, G - 1)))")
CRAMER_ANEW = Metric("Cramer's V by chance", f"its {ANEW}")
TOLD = Metric("balanced accuracy of the group alone", "1 / K sum_g max_k n_kg / n_k: its likeliest class")
TOLD_ANEW = Metric("balanced accuracy of the group alone by chance", f"its {ANEW}")
EVERY = {
    "worst_group": WORST, "worst_group_by_chance": WORST_ANEW, "group_gap": GAP, "group_gap_by_chance": GAP_ANEW,
    "class_by_group": TOLD, "class_by_group_by_chance": TOLD_ANEW, "cramers_v": CRAMER,
    "cramers_v_by_chance": CRAMER_ANEW,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Cells:
    """The images of K classes in G groups."""

    right: np.ndarray
    """[K, G] int64: images of a class in a group that are named rightly."""
    count: np.ndarray
    """[K, G] int64: images of a class in a group."""

    @staticmethod
    def of(labels: np.ndarray, named: np.ndarray, groups: np.ndarray, classes: int, number: int) -> Cells:
        """Count images by their class, the class that they are named as, and their group, [N] each."""
        place, shape = labels * number + groups, (classes, number)
        right = np.bincount(place, named == labels, minlength=classes * number).astype(np.int64)
        return Cells(right.reshape(shape), np.bincount(place, minlength=classes * number).reshape(shape))

    @property
    def compared(self) -> np.ndarray:
        """Which cells have images enough to be compared: [K, G] bool."""
        return self.count >= LEAST

    def accuracy(self) -> np.ndarray:
        """Return the accuracy of each cell: [K, G], NaN where it has no image."""
        return np.divide(self.right, self.count, out=np.full(self.count.shape, nan), where=self.count > 0)

    def worst(self) -> tuple[int, int] | None:
        """Return class and group of the lowest accuracy among those that are compared, of equal ones the first; None
        where no cell has images enough.
        """
        if not self.compared.any():
            return None
        lowest = np.where(self.compared, self.accuracy(), np.inf).argmin()
        return divmod(int(lowest), self.count.shape[1])


def worst_group(cells: Cells) -> float:
    """Return the worst-group accuracy, in [0, 1]; NaN where no cell has images enough."""
    worst = cells.worst()
    return nan if worst is None else float(cells.accuracy()[worst])


def group_scores(cells: Cells, *, seed: int = 0) -> dict[str, Score]:
    """Return name -> score of `EVERY`.

    The intervals of accuracies are bootstrapped over the images of each cell; that of a number by chance holds 95 % of
    its permutations. A number of the latter is a finding where it lies outside this.
    """
    key = Key.seeded(seed).fold_in("groups")
    scores = {**_accuracies(cells, key), **_associations(cells.count, key.fold_in("tables"))}
    return {name: scores[name] for name in EVERY}


def _accuracies(cells: Cells, key: Key) -> dict[str, Score]:
    names = ("worst_group", "group_gap")
    small = int(((cells.count > 0) & ~cells.compared).sum())
    left = f"{small} of {int((cells.count > 0).sum())} cells have under {LEAST} images and are left out" * (small > 0)
    n = int(cells.count[cells.compared].sum())
    own, found = _worst_and_gap(cells.right[None], cells), {}
    drawn, anew = _worst_and_gap(_resampled(cells, key), cells), _worst_and_gap(_dealt(cells, key), cells)
    for name, value, resampled, chance in zip(names, own, drawn, anew, strict=True):
        if not np.isfinite(value[0]):
            why = f"no class in a group has {LEAST} images" if name == names[0] else (
                f"no class has {LEAST} images in each of two groups"
            )  # fmt: skip
            found |= {each: Score(EVERY[each], nan, note=why) for each in (name, f"{name}_by_chance")}
            continue
        ends = percentiles(resampled)
        if name == names[0] and ends[0] == ends[1]:  # all right, or all wrong: a bootstrap has no width
            ends = wilson(float(value[0]), int(cells.count[cells.worst()]))
        found[name] = Score(EVERY[name], float(value[0]), *ends, n, left)
        found[f"{name}_by_chance"] = Score(
            EVERY[f"{name}_by_chance"], float(chance.mean()), *percentiles(chance), n, left
        )
    return found


def _worst_and_gap(right: np.ndarray, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest accuracy, and the largest gap within a class, of right answers [R, K, G]: [R] each."""
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = right / cells.count
    low = np.where(cells.compared, accuracy, np.inf).min(axis=2)
    high = np.where(cells.compared, accuracy, -np.inf).max(axis=2)
    wide = np.where(cells.compared.sum(axis=1) > 1, high - low, -np.inf)
    return low.min(axis=1), wide.max(axis=1)


def _draws(cells: Cells) -> int:
    return DRAWS if cells.count.size <= MANY_CELLS else FEWER


def _resampled(cells: Cells, key: Key) -> np.ndarray:
    """Return right answers where the images of each cell are drawn anew: [R, K, G]."""
    draws = np.random.Generator(np.random.Philox(key.fold_in("images").seed()))
    return draws.binomial(cells.count, np.nan_to_num(cells.accuracy()), (_draws(cells), *cells.count.shape))


def _dealt(cells: Cells, key: Key) -> np.ndarray:
    """Return right answers where the images of each class are dealt out anew to its groups: [R, K, G]."""
    draws = np.random.Generator(np.random.Philox(key.fold_in("deal").seed()))
    rows = [
        draws.multivariate_hypergeometric(count, int(right.sum()), _draws(cells), method="marginals")
        for right, count in zip(cells.right, cells.count, strict=True)
    ]
    return np.stack(rows, axis=1)


def _associations(count: np.ndarray, key: Key) -> dict[str, Score]:
    """Return how far the group tells the class, of counts [K, G]; classes and groups without images do not count."""
    table = count[count.sum(axis=1) > 0][:, count.sum(axis=0) > 0]
    names = {"cramers_v": _cramers_v, "class_by_group": class_by_group}
    if min(table.shape, default=0) < 2:
        why = "all images are of one class" if len(table) < 2 else "all images are of one group"
        return {
            each: Score(EVERY[each], nan, note=why) for name in names for each in (name, f"{name}_by_chance")
        }  # fmt: skip
    deal, n = random_table(table.sum(axis=1), table.sum(axis=0)), int(table.sum())
    draws = np.random.Generator(np.random.Philox(key.seed()))
    drawn = [deal.rvs(random_state=draws) for _ in range(TABLES)]
    found = {}
    for name, of in names.items():
        chance = np.array([of(each) for each in drawn])
        found[name] = Score(EVERY[name], of(table), n=n)
        found[f"{name}_by_chance"] = Score(
            EVERY[f"{name}_by_chance"], float(chance.mean()), *percentiles(chance), n
        )  # fmt: skip
    return found


def _cramers_v(table: np.ndarray) -> float:
    count = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / count
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / count / (min(table.shape) - 1)))


def class_by_group(count: np.ndarray) -> float:
    """Return the balanced accuracy of who knows the group alone, of counts [K, G] of at least one image a class: the
    likeliest class of each group, each class counting the same; 1 / K where the group tells nothing.
    """
    return float((count / count.sum(axis=1, keepdims=True)).max(axis=0).mean() * count.shape[1] / len(count))
