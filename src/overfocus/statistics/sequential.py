"""Studies that may end early: planned looks, and the part of the 5 % that each of them may spend.

A study that is compared again after every few new seeds gets a chance of a false verdict each time. Here the numbers of
seeds at which it is compared, and the largest, are fixed beforehand, and look k may spend a part w_k of the level, with
w_1 + ... + w_K = 1. A p value of look k is divided by w_k, an interval holds 1 - 0.05 w_k. At least one of the looks is
then wrong in at most 5 % of studies (Bonferroni's inequality), whatever made the study stop at one of them, and as far
as a single t test holds its level; how the looks depend on each other does not matter.

The parts are those of the spending function of Lan and DeMets (1983) after O'Brien and Fleming: of the level a, looks
up to a share f of the seeds spend 2 - 2 Phi(z(1 - a / 2) / sqrt(f)). Few seeds get little of it. Bounds of Lan and
DeMets that count on the normal correlation of the looks spend more than they say where t tests rest on few seeds
(docs/decisions/0012-when-a-study-may-stop.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy import stats

from overfocus.statistics.power import LEVEL

FEWEST = 3
"""Seeds of the first look, unless a study says otherwise."""


def planned(most: int, looks: int = 4) -> tuple[int, ...]:
    """Return the numbers of seeds of evenly spaced looks, the last at `most`: 20 gives (5, 10, 15, 20)."""
    return tuple(sorted({min(most, max(FEWEST, ceil(most * k / looks))) for k in range(1, looks + 1)}))


def shares(looks: Sequence[int]) -> np.ndarray:
    """Return which part of the level each of the looks [K], numbers of seeds that rise, may spend: [K], sum 1."""
    part = np.asarray(looks, dtype=np.float64) / looks[-1]
    spent = 2 * stats.norm.sf(stats.norm.isf(LEVEL / 2) / np.sqrt(part))
    return np.diff(spent / spent[-1], prepend=0.0)


@dataclass(frozen=True)
class Look:
    """Where a study stands in its plan; without a plan, all seeds are compared once."""

    looks: tuple[int, ...] = ()
    """Numbers of seeds at which it is compared."""
    number: int = 0
    """The look that the numbers are of, from 1; 0 before the first."""

    @property
    def share(self) -> float:
        """The part of the level that this look may spend, in [0, 1]; 1 without a plan."""
        if not self.looks:
            return 1.0
        return float(shares(self.looks)[self.number - 1]) if self.number else 0.0

    @property
    def seeds(self) -> int:
        """Seeds of this look; 0 before the first, and without a plan."""
        return self.looks[self.number - 1] if self.number else 0

    @property
    def following(self) -> int:
        """Seeds of the next look; 0 where there is none."""
        return self.looks[self.number] if self.number < len(self.looks) else 0


ONCE = Look()
"""A study without a plan: its seeds are all run, and compared once."""


def spent(p: float, share: float) -> float:
    """Return the p value of a look that may spend `share` of the level, at most 1; NaN stays NaN."""
    return float(np.minimum(1.0, p / share)) if share else p * 0.0 + 1.0
