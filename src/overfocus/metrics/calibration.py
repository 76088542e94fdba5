"""Calibration and selective prediction from groups of images of like confidence.

Every number here is a function of `Groups`: sums over the images of one bin, or of one confidence. Equal confidences
are one group, so the order of the images never matters: where a number needs an order among them, it is the mean over
all orders.
"""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from overfocus.metrics.binning import BINS, Groups, Placed, Tables
from overfocus.metrics.score import Metric, Score, percentiles

Norm = Literal["l1", "l2", "max"]

_LEAN = "lifted by noise on few images"
ECE = Metric(
    f"calibration error (ECE; {_LEAN})", "sum_b n_b/N |conf_b - acc_b|, equal-width bins (Guo 1706.04599)", "lower"
)
ECE_MASS = Metric(f"equal-mass calibration error ({_LEAN})", "sum_b n_b/N |conf_b - acc_b|, equal-mass bins", "lower")
ECE_DEBIASED = Metric(
    "debiased calibration error (root mean square)",
    "sqrt(max(0, sum_b n_b/N ((conf_b - acc_b)^2 - var_b/n_b))), equal-mass bins (Kumar 1909.10155)", "lower",
)  # fmt: skip
AURC = Metric("area under risk-coverage", "mean over i of the error among the i most confident (1805.08206)", "lower")
EAURC = Metric("excess area under risk-coverage", "AURC - AURC of the best order at the same accuracy", "lower")


def equal_mass(ranks: Groups, bins: int) -> Groups:
    """Regroup `ranks` into `bins` groups of exactly N / bins images; an image, or a group, on an edge is shared out."""
    sums = ranks.occupied().sums
    if not len(sums):
        return Groups(sums.new_zeros(bins, 4))
    held = torch.cat((sums.new_zeros(1, 4), sums.cumsum(dim=0)))
    edges = torch.linspace(0, float(held[-1, 0]), bins + 1, dtype=sums.dtype).clamp(max=float(held[-1, 0]))
    after = torch.searchsorted(held[:, 0].contiguous(), edges).clamp(min=1)
    part = (edges - held[after - 1, 0]) / (held[after, 0] - held[after - 1, 0])
    return Groups(torch.lerp(held[after - 1], held[after], part[:, None]).diff(dim=0))


def binned_error(groups: Groups, norm: Norm = "l1") -> float:
    """Return the calibration error of `groups` in [0, 1]: the mean gap (l1), its root mean square (l2) or the largest
    (max); lower is better, NaN without images.
    """
    count, confidence, hit, _ = groups.occupied().sums.unbind(1)
    if not len(count):
        return nan
    gap, share = ((confidence - hit) / count).abs(), count / count.sum()
    return float({"l1": (share * gap).sum(), "l2": (share * gap.square()).sum().sqrt(), "max": gap.max()}[norm])


def debiased_square(groups: Groups) -> float:
    """Return the squared calibration error less what noise adds to it; may be negative, NaN where an occupied group
    has fewer than two images.

    sum_b n_b/N (gap_b^2 - var_b / n_b) with the sample variance of confidence - hit in the group. Where a group has one
    confidence and plain labels this is the estimator of Kumar et al. (1909.10155), acc_b (1 - acc_b) / (n_b - 1); the
    variance also serves soft labels and groups of some width.
    """
    count, confidence, hit, square = groups.occupied().sums.unbind(1)
    if not len(count) or float(count.min()) < 2 - 1e-9:
        return nan
    gap = (confidence - hit) / count
    noise = (square / count - gap.square()).clamp(min=0) / (count - 1)
    return float((count / count.sum() * (gap.square() - noise)).sum())


def risk_area(ranks: Groups) -> float:
    """Return the area under the risk-coverage curve (AURC) in [0, 1]; lower is better, NaN without images.

    The mean over i of the error among the i most confident; of n images after P others with L errors, at error rate r,
    the i-th adds r + (L - r P) / (P + i), so a group's sum is a difference of harmonic numbers.
    """
    count, _, hit, _ = ranks.occupied().sums.flip(0).unbind(1)
    if not len(count):
        return nan
    rate = (count - hit) / count
    before, lost = count.cumsum(0) - count, (count - hit).cumsum(0) - (count - hit)
    return float((rate * count + (lost - rate * before) * _harmonic(before, count)).sum() / count.sum())


def best_risk_area(ranks: Groups) -> float:
    """Return the AURC of the same accuracy with every error after every hit. With soft labels nobody reaches it."""
    count, _, hit, _ = ranks.sums.sum(dim=0)
    return float((count - hit - hit * _harmonic(hit, count - hit)) / count)


def _harmonic(before: Tensor, count: Tensor) -> Tensor:
    """Return 1/(before + 1) + ... + 1/(before + count)."""
    return torch.digamma(before + count + 1) - torch.digamma(before + 1)


METRICS = {"ece": ECE, "ece_mass": ECE_MASS, "ece_debiased": ECE_DEBIASED, "aurc": AURC, "eaurc": EAURC}


def values(tables: Tables) -> dict[str, float]:
    """Return ece, ece_mass, ece_debiased, aurc and eaurc of `tables`; NaN where there is no answer."""
    mass, area = equal_mass(tables.ranks, len(tables.bins.sums)), risk_area(tables.ranks)
    square = debiased_square(mass)
    return {
        "ece": binned_error(tables.bins),
        "ece_mass": binned_error(mass),
        "ece_debiased": nan if isnan(square) else max(square, 0.0) ** 0.5,
        "aurc": area,
        "eaurc": area - best_risk_area(tables.ranks),
    }


def calibration_scores(
    confidence: Tensor, hit: Tensor, bins: int = BINS, *, seed: int = 0, note: str = ""
) -> dict[str, Score]:
    """Return the `values` of `confidence` [N] and `hit` [N], neither with NaN, with bootstrap intervals over images.

    The more images, the fewer resamples: 100 up to 10,000 images, 50 from 20,000 on.
    """
    placed, count = Placed.of(confidence, hit, bins), len(hit)
    if not count:
        return {name: Score(metric, nan, note=note or "no image has an answer") for name, metric in METRICS.items()}
    source = np.random.Generator(np.random.Philox(seed))
    draws = min(100, max(50, 1_000_000 // count))
    resampled = [values(placed.tables(torch.from_numpy(source.integers(0, count, count)))) for _ in range(draws)]
    found = {}
    for name, value in values(placed.tables()).items():
        low, high = percentiles(np.array([each[name] for each in resampled]))
        found[name] = _explained(Score(METRICS[name], value, low, high, count, note))
    return found


def _explained(score: Score) -> Score:
    """Return `score`, with a word on why a debiased error is 0 or has no answer."""
    if score.metric is not ECE_DEBIASED or score.value > 0:
        return score
    why = "a bin holds fewer than 2 images" if isnan(score.value) else "the estimate is below 0 and held there"
    return replace(score, note="; ".join(filter(None, (score.note, why))))
