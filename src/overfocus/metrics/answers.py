"""How good the answers of a classifier are where classes are unequal: numbers of its logits for N images.

An image whose logits are not numbers has no answer: it counts as wrong, but for areas under curves, which leave it out
and say so. A class without images has no number and is left out of means over classes. Intervals are bootstrapped over
images; where that would be long, areas under curves have none.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from overfocus.metrics.confidence import ACCURACY, Predictions
from overfocus.metrics.ranking import resampled_ap, resampled_auroc
from overfocus.metrics.score import MANY, Metric, Score, mean_score, percentiles, resample_counts

DRAWS, AREA_DRAWS = 1000, 200
"""Resamples: of numbers that follow from the confusion matrix, and of areas under curves."""
LONG = 1e8
"""Images x classes x resamples from which on areas have no interval: some seconds."""
TOP, MANY_CLASSES = 5, 10
LARGEST = Metric("share of the largest class", "largest n_k / N: the accuracy of that class for everything")
BALANCED = Metric("balanced accuracy", "mean of recall_k over classes with images", "higher")
MACRO_F1 = Metric("macro F1", "mean of F1_k over classes with images", "higher")
WEIGHTED_F1 = Metric("weighted F1", "mean of F1_k, weighed by n_k", "higher")
TOP_5 = Metric("top-5 accuracy", "share whose class is among the five highest logits", "higher")
AUROC = Metric("AUROC, one against the rest", "mean over classes of the area under the ROC curve", "higher")
AP = Metric("average precision, one against the rest", "mean over classes of sum_i (R_i - R_(i-1)) P_i", "higher")
COMMONEST = Metric("share of the commonest answer", "largest share of the images that are given one class")
PRECISION = Metric("precision of a class", "share of class k among the images that are named k", "higher")
RECALL = Metric("recall of a class", "share named k among the images of class k", "higher")
F1 = Metric("F1 of a class", "2 right_k / (n_k + named_k)", "higher")
OF_CLASS = {"precision": PRECISION, "recall": RECALL, "f1": F1}
OF_MATRIX = {"largest_class": LARGEST, "balanced_accuracy": BALANCED, "macro_f1": MACRO_F1, "weighted_f1": WEIGHTED_F1,
             "commonest_answer": COMMONEST}  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Sums:
    """Images of each class: named rightly, there, and named so, [..., K] each; and of all classes, [...]."""

    right: np.ndarray
    support: np.ndarray
    named: np.ndarray

    @property
    def count(self) -> np.ndarray:
        return self.support.sum(axis=-1)


def answers(logits: Tensor) -> Tensor:
    """Return the class [N] int64 that `logits` [N, K] name, the first of equal ones; -1 where they are not numbers."""
    return logits.argmax(dim=1).where(~logits.double().softmax(dim=1).isnan().any(dim=1), -1)


def confusion(labels: Tensor, named: Tensor, classes: int) -> np.ndarray:
    """Return how many images of each class (rows) are named as each class (columns): [K, K] int64.

    named [N]: -1 for an image without an answer, as `answers` gives it; where there are some, a last column counts
    them: [K, K + 1].
    """
    columns = classes + int((named < 0).any())
    pairs = (labels.long() * columns + named.long() % columns).cpu().numpy()
    return np.bincount(pairs, minlength=classes * columns).reshape(classes, columns)


def by_class(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall, f1 and support of each class of a confusion matrix: [K] each.

    Recall and F1 of a class without images, and precision of one that is never answered, are NaN.
    """
    sums = _sums(matrix)
    return {**_rates(sums), "support": sums.support}


def class_scores(matrix: np.ndarray, *, seed: int = 0) -> list[dict[str, Score]]:
    """Return precision, recall and f1 of each class of a confusion matrix; n is that of its images, of
    precision that of the images which are named so.
    """
    sums = _sums(matrix)
    values, drawn = _rates(sums), _rates(_drawn(matrix, seed))
    count = {"precision": sums.named, "recall": sums.support, "f1": sums.support}
    return [
        {
            name: Score(
                metric, float(values[name][k]), *percentiles(drawn[name][:, k]), int(count[name][k]),
                "" if values[name][k] == values[name][k] else "no image",
            )
            for name, metric in OF_CLASS.items()
        }
        for k in range(len(matrix))
    ]  # fmt: skip


def answer_scores(logits: Tensor, labels: Tensor, *, probabilities: bool = False, seed: int = 0) -> dict[str, Score]:
    """Return name -> score of `logits` [N, K], or probabilities where the flag says so, by `labels` [N].

    accuracy, largest_class, balanced_accuracy, macro_f1, weighted_f1, top5 (where K > 10), auroc, average_precision and
    commonest_answer. Raises OverfocusError as `Predictions.of` does.
    """
    hit = Predictions.of(logits, labels, probabilities=probabilities).hit.cpu()
    answered = ~hit.isnan()
    logits, labels, classes = logits.detach().double().cpu(), labels.cpu(), logits.shape[1]
    matrix = confusion(labels, logits.argmax(dim=1).where(answered, -1), classes)
    lost = int((~answered).sum())
    note = f"{lost} images without an answer count as wrong" if lost else ""
    sums = _sums(matrix)
    values, spread = _of_sums(sums, sums), _of_sums(_drawn(matrix, seed), sums)
    found = {"accuracy": mean_score(ACCURACY, hit.nan_to_num(0.0), seed=seed, note=note)}
    for name, metric in OF_MATRIX.items():
        found[name] = Score(metric, float(values[name]), *percentiles(spread[name]), len(labels), note)
    if classes > MANY_CLASSES:
        among = (logits.topk(TOP, dim=1).indices == labels[:, None]).any(dim=1) & answered
        found["top5"] = mean_score(TOP_5, among.double(), seed=seed, note=note)
    shares = logits if probabilities else logits.softmax(dim=1)
    left_out = f"{lost} images without an answer left out" if lost else ""
    return found | _areas(shares[answered].numpy(), labels[answered].numpy(), seed, left_out)


def _sums(matrix: np.ndarray) -> _Sums:
    named = matrix[:, : len(matrix)]
    return _Sums(named.diagonal(), matrix.sum(axis=1), named.sum(axis=0))


def _drawn(matrix: np.ndarray, seed: int) -> _Sums:
    """Return the sums over resamples of the images: [DRAWS, K] each; none of fewer than two images."""
    count, draws, classes = int(matrix.sum()), np.random.Generator(np.random.Philox(seed)), len(matrix)
    row, column = np.nonzero(matrix)
    resampled = np.zeros((0, len(row)), dtype=np.int64)
    if count > 1:
        resampled = draws.multinomial(count, matrix[row, column] / count, DRAWS)

    def summed(cells: np.ndarray, of: np.ndarray) -> np.ndarray:
        places = (np.ones(len(cells), dtype=np.int64), (of[cells], cells))
        return (csr_array(places, shape=(classes, len(row))) @ resampled.T).T

    every = np.arange(len(row))
    return _Sums(summed(every[row == column], row), summed(every, row), summed(every[column < classes], column))


def _rates(sums: _Sums) -> dict[str, np.ndarray]:
    """Return precision, recall and F1: [..., K] each, NaN where there is nothing to count."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": sums.right / sums.named, "recall": sums.right / sums.support,
            "f1": np.where(sums.support > 0, 2 * sums.right / (sums.support + sums.named), np.nan),
        }  # fmt: skip


def _of_sums(sums: _Sums, first: _Sums) -> Mapping[str, np.ndarray]:
    """Return the scores that follow from the sums: [...] each. The largest class and the commonest answer are those of
    `first`, so that resamples say how far the share of that class moves.
    """
    each, present = _rates(sums), sums.support > 0

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.where(present, values * weights, 0.0).sum(axis=-1) / weights.sum(axis=-1)

    with np.errstate(invalid="ignore"):
        return {
            "largest_class": sums.support[..., first.support.argmax()] / sums.count,
            "balanced_accuracy": mean(each["recall"], present),
            "macro_f1": mean(each["f1"], present),
            "weighted_f1": mean(each["f1"], sums.support),
            "commonest_answer": sums.named[..., first.named.argmax()] / sums.count,
        }


def _areas(shares: np.ndarray, labels: np.ndarray, seed: int, note: str) -> dict[str, Score]:
    """Return the areas under curves, means over the classes with images, and with others for the ROC curve."""
    count, classes = len(labels), np.unique(labels)
    cheap = 1 < count <= MANY and count * len(classes) * AREA_DRAWS <= LONG
    draws = resample_counts(count, seed)[:AREA_DRAWS] if cheap else np.zeros((0, count))
    areas = {
        "auroc": (AUROC, roc_auc_score, resampled_auroc, [k for k in classes if (labels != k).any()]),
        "average_precision": (AP, average_precision_score, resampled_ap, list(classes)),
    }
    found = {}
    for name, (metric, area, resampled, known) in areas.items():
        each = [float(area(labels == k, shares[:, k])) for k in known]
        drawn = [resampled(shares[:, k], labels == k, draws) for k in known]
        found[name] = _mean(metric, each, drawn, count, note)
    return found


def _mean(metric: Metric, each: list[float], drawn: list[np.ndarray], count: int, note: str) -> Score:
    if not each:
        return Score(metric, nan, n=count, note=note or "no class has both images and others")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample in which no class has an answer is left out
        means = np.nanmean(np.stack(drawn), axis=0)
    return Score(metric, float(np.mean(each)), *percentiles(means), count, note)


def confused(matrix: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (class, named as, images) of all confusions, most images first, then by class."""
    off = matrix[:, : len(matrix)] * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    pairs = [(int(a), int(b), int(off[a, b])) for a, b in zip(*np.nonzero(off), strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))
