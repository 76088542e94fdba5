"""How good the answers of a classifier are where classes are unequal: numbers of its logits for N images.

A class without images has no number and is left out of means over classes. Means over images have the interval of
`mean_score`; scores that follow from the confusion matrix are bootstrapped over images; areas under curves have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from overfocus.metrics.confidence import Predictions
from overfocus.metrics.score import Metric, Score, mean_score, percentiles

DRAWS = 1000
TOP, MANY_CLASSES = 5, 10
ACCURACY = Metric("accuracy", "share named rightly", "higher")
LARGEST = Metric("share of the largest class", "largest n_k / N: the accuracy of that class for everything")
BALANCED = Metric("balanced accuracy", "mean of recall_k over classes with images", "higher")
MACRO_F1 = Metric("macro F1", "mean of F1_k over classes with images", "higher")
WEIGHTED_F1 = Metric("weighted F1", "mean of F1_k, weighed by n_k", "higher")
TOP_5 = Metric("top-5 accuracy", "share whose class is among the five highest logits", "higher")
AUROC = Metric("AUROC, one against the rest", "mean over classes of the area under the ROC curve", "higher")
AP = Metric("average precision", "mean over classes of sum_i (R_i - R_(i-1)) P_i", "higher")
COMMONEST = Metric("share of the commonest answer", "largest share of the images that are given one class")


def confusion(labels: Tensor, predicted: Tensor, classes: int) -> np.ndarray:
    """Return how many images of each class (rows) are named as each class (columns): [K, K] int64."""
    pairs = (labels.long() * classes + predicted.long()).cpu().numpy()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def by_class(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall, f1 and support of each class of confusion matrices [..., K, K]: [..., K] each.

    Recall and F1 of a class without images, and precision of one that is never answered, are NaN.
    """
    right = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    support, answered = matrix.sum(axis=-1), matrix.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        return {
            "precision": right / answered, "recall": right / support,
            "f1": np.where(support > 0, 2 * right / (support + answered), np.nan), "support": support,
        }  # fmt: skip


def answer_scores(logits: Tensor, labels: Tensor, *, probabilities: bool = False, seed: int = 0) -> dict[str, Score]:
    """Return name -> score of `logits` [N, K], or probabilities where the flag says so, by `labels` [N].

    accuracy, largest_class, balanced_accuracy, macro_f1, weighted_f1, top5 (where K > 10), auroc, average_precision and
    commonest_answer. Raises OverfocusError as `Predictions.of` does.
    """
    hit = Predictions.of(logits, labels, probabilities=probabilities).hit
    logits, labels, classes = logits.detach().double().cpu(), labels.cpu(), logits.shape[1]
    matrix = confusion(labels, logits.argmax(dim=1), classes)
    drawn = _drawn(matrix, seed)
    metrics = {"largest_class": LARGEST, "balanced_accuracy": BALANCED, "macro_f1": MACRO_F1,
               "weighted_f1": WEIGHTED_F1, "commonest_answer": COMMONEST}  # fmt: skip
    values, spread = _of_matrix(matrix), _of_matrix(drawn)
    found = {"accuracy": mean_score(ACCURACY, hit, seed=seed)}
    for name, metric in metrics.items():
        found[name] = Score(metric, float(values[name]), *percentiles(spread[name]), len(labels))
    if classes > MANY_CLASSES:
        among = (logits.topk(TOP, dim=1).indices == labels[:, None]).any(dim=1)
        found["top5"] = mean_score(TOP_5, among.double(), seed=seed)
    shares = logits if probabilities else logits.softmax(dim=1)
    return found | _areas(shares.numpy(), labels.numpy())


def _drawn(matrix: np.ndarray, seed: int) -> np.ndarray:
    """Return the confusion matrices of resamples of the images: [DRAWS, K, K]; none of fewer than two images."""
    count, draws = int(matrix.sum()), np.random.Generator(np.random.Philox(seed))
    filled = np.flatnonzero(matrix)
    found = np.zeros((DRAWS * (count > 1), matrix.size), dtype=np.int64)
    if count > 1:
        found[:, filled] = draws.multinomial(count, matrix.ravel()[filled] / count, DRAWS)
    return found.reshape(-1, *matrix.shape)


def _of_matrix(matrix: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return the scores of confusion matrices [..., K, K]: [...] each."""
    each, count = by_class(matrix), matrix.sum(axis=(-2, -1))
    present = each["support"] > 0

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.where(present, values, 0.0).dot(np.ones(values.shape[-1])) / weights.sum(axis=-1)

    with np.errstate(invalid="ignore"):
        return {
            "largest_class": each["support"].max(axis=-1) / count,
            "balanced_accuracy": mean(each["recall"], present),
            "macro_f1": mean(each["f1"], present),
            "weighted_f1": mean(each["f1"] * each["support"], each["support"]),
            "commonest_answer": matrix.sum(axis=-2).max(axis=-1) / count,
        }


def _areas(shares: np.ndarray, labels: np.ndarray) -> dict[str, Score]:
    """Return the areas under curves, means over the classes with images, and with others for the ROC curve."""
    kept = np.isfinite(shares).all(axis=1)
    shares, labels = shares[kept], labels[kept]
    found: dict[str, list[float]] = {"auroc": [], "average_precision": []}
    for number in np.unique(labels):
        own = labels == number
        found["average_precision"].append(float(average_precision_score(own, shares[:, number])))
        if not own.all():
            found["auroc"].append(float(roc_auc_score(own, shares[:, number])))
    metrics = {"auroc": AUROC, "average_precision": AP}
    return {name: _mean(metric, found[name], labels) for name, metric in metrics.items()}


def _mean(metric: Metric, each: list[float], labels: np.ndarray) -> Score:
    if not each:
        return Score(metric, nan, n=len(labels), note="no class has both images and others")
    return Score(metric, float(np.mean(each)), n=len(labels))


def confused(matrix: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (class, named as, images) of all confusions, most images first, then by class."""
    off = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    pairs = [(int(a), int(b), int(off[a, b])) for a, b in zip(*np.nonzero(off), strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))
