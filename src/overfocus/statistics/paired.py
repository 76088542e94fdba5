"""A method against the baseline, seed by seed: the difference, and how far the seeds at hand can tell it from luck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, nan, sqrt
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import root_scalar

from overfocus.core.errors import OverfocusError
from overfocus.core.interval import Interval, finite
from overfocus.metrics.score import NORMAL, Better
from overfocus.statistics.estimate import LEVEL, constant, line, unbounded
from overfocus.statistics.folds import SHARED, widening
from overfocus.statistics.power import smallest_detectable
from overfocus.statistics.sequential import spent

DRAWS = 2000
"""Resamples of the bootstrap interval."""
FLIPS = 2**12
"""Sign patterns: all of them where there are no more than these, otherwise so many drawn from the seed."""


@dataclass(frozen=True)
class Paired:
    """A method and the baseline on the n seeds that both have. Differences are method minus baseline."""

    n: int
    difference: Interval
    """Mean difference with its t interval, in the measure's own unit; the ends are NaN where the noise is not known.
    At a look of a plan it holds 1 - 0.05 share, so that those of all looks hold the true difference in 95 % of
    studies."""
    bootstrap: Interval
    """The same mean with the percentile interval of resampled seeds, which is too narrow below some 20 seeds."""
    noise: float
    """Standard deviation of the differences over seeds; NaN for one seed."""
    p: float
    """Two-sided, of the paired t test, over folds of the corrected resampled t test; NaN where all differences are
    equal. At a look of a plan, over the share of the level that the look may spend."""
    p_sign_flip: float
    """The same of the sign-flip permutation test; it needs no normal noise, and is never below 2 / 2^n."""
    improvement: Interval
    """Probability that a run of the method is better than a run of the baseline; 0.5 is even."""
    wins: int
    """Seeds on which the method is the better one."""
    ties: int
    detectable: float
    """Least true difference that this n and this noise would show in 80 % of studies, at 5 %."""

    @property
    def constant(self) -> bool:
        """Whether all differences are equal, so that nothing is known of their noise."""
        return self.noise == 0

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; no answer is null."""
        intervals = {name: getattr(self, name).as_dict() for name in ("difference", "bootstrap", "improvement")}
        numbers = {name: finite(getattr(self, name)) for name in ("noise", "p", "p_sign_flip", "detectable")}
        return {"n": self.n, "wins": self.wins, "ties": self.ties} | intervals | numbers


def paired(
    method: np.ndarray, baseline: np.ndarray, *, better: Better = "higher", seed: int = 0, share: float = 1.0,
    folds: int = 0,
) -> Paired:  # fmt: skip
    """Compare `method` [S] with `baseline` [S], numbers of the same seeds in the same order.

    Seeds on which one of them is not finite are left out and counted in the note. `better` says what an improvement
    and a win is; for "neither" it is the higher number. `seed` is that of the resampling. `share`: the part of the
    level that this look may spend, for a study that may stop early (`statistics.sequential`); the bootstrap and the
    probability of improvement are as at a single look. `folds`: of a cross-validation, 0 for independent runs; t test,
    interval and detectable difference are then corrected (`statistics.folds`), and sign flips, bootstrap and the ends
    of the probability of improvement, which take the numbers as independent, have no answer. Every formula, and when it
    has no answer: docs/statistics.md.
    """
    method, baseline, note = _both(method, baseline)
    n = len(method)
    if not n:
        none = Interval(nan, note=note)
        return Paired(0, none, none, nan, nan, nan, none, 0, 0, nan)
    differences = _differences(method, baseline)
    gain = -differences if better == "lower" else differences
    noise = _noise(differences)
    mean = Interval(float(differences.mean()), n=n, note=note)
    return Paired(
        n, _bounded(mean, differences, partial(_t_ends, share=share, folds=folds)),
        Interval(mean.value, n=n, note=SHARED) if folds
        else _bounded(mean, differences, partial(_bootstrap_ends, seed=seed)), noise,
        spent(t_test(differences, folds), share), nan if folds else spent(sign_flip(differences, seed=seed), share),
        _unbounded(improvement(method, baseline, better)) if folds else improvement(method, baseline, better),
        int((gain > 0).sum()), int((gain == 0).sum()), smallest_detectable(noise * widening(n, folds), n),
    )  # fmt: skip


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the p values [M] of one family after Holm (1979), same order; NaN stays NaN and does not count.

    The k-th smallest of m is multiplied by m - k + 1, and none is less than the one before it, nor above 1.
    """
    # statsmodels' multipletests gives the same numbers, but collects the garbage of the whole process on every call:
    # 0.1 to 0.2 s where torch is loaded, hundreds of times in a report.
    p = np.asarray(p, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def benjamini_hochberg(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the p values [M] after Benjamini and Hochberg (1995), same order; NaN stays NaN and does not count.

    Of those at most 0.05, 5 % are expected to be false where the tests are independent or positively dependent.
    """
    p = np.asarray(p, dtype=np.float64)
    known, adjusted = np.isfinite(p), np.full(len(p), nan)
    if known.any():
        adjusted[known] = stats.false_discovery_control(p[known])
    return adjusted


def t_test(differences: np.ndarray, folds: int = 0) -> float:
    """Return the two-sided p of the paired t test from `differences` [n], of the corrected resampled t test where they
    are of `folds`; NaN for one, and where all are equal.
    """
    if len(differences) < 2 or constant(differences):
        return nan
    t, p = stats.ttest_1samp(differences, 0)
    if folds:
        p = 2 * stats.t.sf(abs(t) / widening(len(differences), folds), len(differences) - 1)  # pyright: ignore
    return float(p)  # pyright: ignore[reportArgumentType] - a number: the differences are one line


def sign_flip(differences: np.ndarray, *, seed: int = 0) -> float:
    """Return the two-sided p of the sign-flip test of `differences` [n]: the share of sign patterns under which the
    mean is as far from 0 as it is.

    It holds for any noise that is as likely to be above as below 0 by the same amount, which is so where the method
    does nothing. All 2^n patterns up to n = 12, the smallest p is then 2 / 2^n; 4,096 drawn ones beyond. NaN for one.
    """
    if len(differences) < 2:
        return nan
    flipped = stats.permutation_test(
        (differences,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=FLIPS, rng=np.random.Generator(np.random.Philox(seed)),
    )  # fmt: skip
    return float(flipped.pvalue)


def improvement(method: np.ndarray, baseline: np.ndarray, better: Better = "higher") -> Interval:
    """Return the probability that a run of `method` [n] is better than one of `baseline` [m], over all n m pairs of
    runs, ties half (Agarwal et al. 2021, 2108.13264), in [0, 1], higher is better.

    The interval is Newcombe's for the Mann-Whitney statistic (2006, method 5), which also has an answer where one
    method wins every pair. It takes the runs as independent; runs that share a seed make it too wide, not too narrow.
    """
    pairs = np.sign(method[:, None] - baseline[None])
    share = float((-pairs if better == "lower" else pairs).mean() / 2 + 0.5)
    if min(len(method), len(baseline)) < 2:
        return Interval(share, n=len(method), note="one seed: no interval can be given")
    return Interval(share, *mann_whitney_ends(share, len(method), len(baseline)), len(method))


def mann_whitney_ends(share: float, n: int, m: int) -> tuple[float, float]:
    """Return the 95 % interval in [0, 1] of P(X > Y) + P(X = Y) / 2, found to be `share` in all pairs of n with m.

    Newcombe 2006, method 5: the true values A with |share - A| <= 1.96 sqrt(V(A)), where V(A) is
    A (1 - A) (1 + ((n + m) / 2 - 1) ((1 - A) / (2 - A) + A / (1 + A))) / (n m).
    """

    def reached(true: float) -> float:
        spread = 1 + ((n + m) / 2 - 1) * ((1 - true) / (2 - true) + true / (1 + true))
        return NORMAL * sqrt(true * (1 - true) * spread / (n * m)) - abs(true - share)

    inside = min(max(share, 1e-9), 1 - 1e-9)
    low = 0.0 if share == 0 else root_scalar(reached, bracket=(0, inside)).root
    high = 1.0 if share == 1 else root_scalar(reached, bracket=(inside, 1)).root
    return low, high


def _noise(differences: np.ndarray) -> float:
    """Return the standard deviation over seeds: NaN for one, exactly 0 where all are equal."""
    if len(differences) < 2:
        return nan
    return 0.0 if constant(differences) else float(differences.std(ddof=1))


def _bounded(mean: Interval, differences: np.ndarray, ends: Callable[[np.ndarray], tuple[float, float]]) -> Interval:
    """Return the mean with its ends, or with the reason why there are none."""
    if why := unbounded(differences, "difference"):
        return replace(mean, note="; ".join(filter(None, (mean.note, why))))
    low, high = ends(differences)
    return replace(mean, low=low, high=high)


def _t_ends(differences: np.ndarray, share: float, folds: int) -> tuple[float, float]:
    if not share:
        return -inf, inf
    level = 1 - (1 - LEVEL) * share
    if folds:
        error = stats.sem(differences) * widening(len(differences), folds)
        low, high = stats.t.interval(level, len(differences) - 1, loc=differences.mean(), scale=error)
        return float(low), float(high)
    ends = stats.ttest_1samp(differences, 0).confidence_interval(level)
    return float(ends.low), float(ends.high)


def _unbounded(found: Interval) -> Interval:
    """Return a probability of improvement over folds, whose ends would take them as independent."""
    return replace(found, low=nan, high=nan, note=SHARED)


def _bootstrap_ends(differences: np.ndarray, seed: int) -> tuple[float, float]:
    ends = stats.bootstrap(
        (differences,), np.mean, vectorized=True, n_resamples=DRAWS, confidence_level=LEVEL, method="percentile",
        rng=np.random.Generator(np.random.Philox(seed)),
    ).confidence_interval  # fmt: skip
    return float(ends.low), float(ends.high)


def _differences(method: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Return method minus baseline [n]; where they are equal but for rounding, all the same number."""
    differences = method - baseline
    if constant(differences, scale=float(max(np.abs(method).max(), np.abs(baseline).max()))):
        return np.full(len(differences), differences.mean() if (method != baseline).all() else 0.0)
    return differences


def _both(method: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the numbers [n] of the seeds that both have, and a note on the others."""
    method, baseline = line(method), line(baseline)
    if len(method) != len(baseline):
        raise OverfocusError(
            f"{len(method)} numbers cannot be paired with {len(baseline)}; give both for the same seeds, NaN for a "
            "missing run"
        )
    kept = np.isfinite(method) & np.isfinite(baseline)
    note = "" if kept.all() else f"{len(kept) - kept.sum()} of {len(kept)} seeds lack a run and are left out"
    return method[kept], baseline[kept], note if kept.any() else note or "no seed"
