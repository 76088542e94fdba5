"""Areas under the curves of one question's scores, on resamples of its images."""

from __future__ import annotations

import numpy as np


def resampled_ap(scores: np.ndarray, truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the average precision of `scores` [N] by `truth` [N] bool on resamples: [R], NaN where none is true.

    draws: how often each image is in each resample, [R, N].
    """
    hits, others = _counted(scores, truth, draws)
    precision = hits / np.maximum(hits + others, 1)
    with np.errstate(invalid="ignore"):
        return (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1) / hits[:, -1]


def resampled_auroc(scores: np.ndarray, truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of the same: [R], NaN where all are true or none."""
    hits, others = _counted(scores, truth, draws)
    above = np.diff(others, axis=1, prepend=0)
    below = hits - np.diff(hits, axis=1, prepend=0) / 2  # equal scores count as half above, half below
    with np.errstate(invalid="ignore"):
        return (above * below).sum(axis=1) / (hits[:, -1] * others[:, -1])


def _counted(scores: np.ndarray, truth: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many true and other images reach each of the T distinct scores, the highest first: [R, T] each."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # equal scores share a threshold
    weights = draws[:, order]
    every, hits = weights.cumsum(axis=1)[:, ends], (weights * truth[order]).cumsum(axis=1)[:, ends]
    return hits, every - hits
