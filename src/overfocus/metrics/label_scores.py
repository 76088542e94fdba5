"""How well a network finds each of several labels that an image may have.

Every label is a question of its own, asked of all N images: how well its logit ranks those that have it above the
others (average precision, AUROC), and how well a threshold tells them apart (F1). The best threshold is looked for on
held-out images, never on those that a test is reported of, where it would flatter. A label that no image has, or all of
them, has no answer and is left out of the means. Scores are those of scikit-learn; intervals are bootstrapped over
images.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.interval import finite
from overfocus.metrics.ranking import resampled_ap
from overfocus.metrics.score import MANY, Metric, Score, percentiles, resample_counts

AP = Metric("average precision", "sum over thresholds of (R_n - R_(n-1)) P_n, of one label", "higher")
MEAN_AP = Metric("mean average precision", "mean over labels of the average precision", "higher")
AUROC = Metric("AUROC of a label", "chance that an image with the label scores above one without", "higher")
MEAN_AUROC = Metric("mean AUROC", "mean over labels of the AUROC", "higher")
F1 = Metric("F1 of a label", "2 TP / (2 TP + FP + FN) at the label's threshold", "higher")
MEAN_F1 = Metric("macro F1 of labels", "mean over labels of F1", "higher")
LABEL_ACCURACY = Metric("label accuracy", "share of all labels of all images that is right at 0.5", "higher")
HALF = 0.5


@dataclass(frozen=True, eq=False)
class LabelScores:
    """The scores of K labels, and their means over the labels that have an answer."""

    per_label: tuple[dict[str, Score], ...]
    """For each label `average_precision`, `auroc` and `f1`."""
    means: dict[str, Score]
    """`mean_average_precision`, `mean_auroc`, `macro_f1` and `label_accuracy`."""
    counts: tuple[int, ...]
    """How many images have each label."""
    thresholds: tuple[float, ...]
    """The probability from which on each label is given."""

    def as_dict(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return what JSON can hold."""
        rows = zip(names, self.counts, self.thresholds, self.per_label, strict=True)
        return {
            **{name: score.as_dict() for name, score in self.means.items()},
            "labels": {
                name: {"images": count, "threshold": finite(threshold), **{k: v.as_dict() for k, v in scores.items()}}
                for name, count, threshold, scores in rows
            },
        }


def best_thresholds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return for each label the probability [K] from which on to give it for the highest F1; of equal ones the highest.

    logits [N, K], labels [N, K] bool. NaN where no image has the label, or all have it.
    """
    from sklearn.metrics import precision_recall_curve

    found = torch.full((logits.shape[1],), nan, dtype=torch.float64)
    probabilities = _checked(logits, labels)
    for label, truth in enumerate(labels.T.numpy()):
        if 0 < truth.sum() < len(truth):
            precision, recall, thresholds = precision_recall_curve(truth, probabilities[:, label])
            f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
            found[label] = float(thresholds[len(thresholds) - 1 - int(f1[:-1][::-1].argmax())])
    return found


def mean_average_precision(logits: Tensor, labels: Tensor) -> float:
    """Return the mean average precision of logits [N, K] by labels [N, K] bool; NaN where no label has an answer."""
    from sklearn.metrics import average_precision_score

    scores, truth = _checked(logits, labels), labels.numpy()
    each = [average_precision_score(truth[:, k], scores[:, k]) for k in _answered(truth)]
    return float(np.mean(each)) if each else nan


def label_scores(logits: Tensor, labels: Tensor, thresholds: Tensor | None = None, *, seed: int = 0) -> LabelScores:
    """Return the scores of logits [N, K] by labels [N, K] bool.

    thresholds: of the probabilities, [K]; 0.5 where they are NaN or left out. Raises OverfocusError where the shapes do
    not fit, or a logit is no number.
    """
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    probabilities, truth = _checked(logits, labels), labels.numpy()
    count, names = len(truth), range(truth.shape[1])
    given = np.full(truth.shape[1], HALF) if thresholds is None else np.nan_to_num(thresholds.numpy(), nan=HALF)
    said, answered = probabilities >= given, _answered(truth)
    draws = resample_counts(count, seed) if 1 < count <= MANY else np.zeros((0, count))
    ap = {k: resampled_ap(probabilities[:, k], truth[:, k], draws) for k in answered}
    f1 = {k: _resampled_f1(said[:, k], truth[:, k], draws) for k in answered}
    value: dict[str, dict[int, float]] = {
        "average_precision": {k: average_precision_score(truth[:, k], probabilities[:, k]) for k in answered},
        "auroc": {k: roc_auc_score(truth[:, k], probabilities[:, k]) for k in answered},
        "f1": {k: f1_score(truth[:, k], said[:, k]) for k in answered},
    }  # fmt: skip
    drawn: dict[str, dict[int, np.ndarray]] = {"average_precision": ap, "auroc": {}, "f1": f1}
    metric = {"average_precision": AP, "auroc": AUROC, "f1": F1}
    per_label = tuple(
        {name: _score(metric[name], value[name].get(k), drawn[name].get(k), count) for name in metric} for k in names
    )
    right = ((probabilities >= HALF) == truth).mean(axis=1)
    means = {
        "mean_average_precision": _mean(MEAN_AP, value["average_precision"], ap, count),
        "mean_auroc": _mean(MEAN_AUROC, value["auroc"], {}, count),
        "macro_f1": _mean(MEAN_F1, value["f1"], f1, count),
        "label_accuracy": _score(LABEL_ACCURACY, float(right.mean()), draws @ right / max(count, 1), count),
    }
    return LabelScores(per_label, means, tuple(truth.sum(axis=0).tolist()), tuple(given.tolist()))


def _checked(logits: Tensor, labels: Tensor) -> np.ndarray:
    """Return the probabilities [N, K] float64."""
    if logits.shape != labels.shape or labels.dtype != torch.bool or logits.ndim != 2:
        raise OverfocusError(
            f"logits are of shape {tuple(logits.shape)} and labels {labels.dtype} of {tuple(labels.shape)}; give [N, "
            "K], labels as booleans"
        )
    if not bool(logits.isfinite().all()):
        raise OverfocusError(
            "some logits are no numbers (NaN or infinite); the network is damaged, or its training was"
        )
    return logits.double().sigmoid().numpy()


def _answered(truth: np.ndarray) -> list[int]:
    """Return the labels that some images have, and not all."""
    having = truth.sum(axis=0)
    return np.flatnonzero((having > 0) & (having < len(truth))).tolist()


def _resampled_f1(said: np.ndarray, truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return draws @ (2.0 * (said & truth)) / (draws @ (said.astype(float) + truth))


def _score(metric: Metric, value: float | None, drawn: np.ndarray | None, count: int) -> Score:
    if value is None:
        return Score(metric, nan, note="no image has it, or all have it")
    low, high = percentiles(drawn) if drawn is not None else (nan, nan)
    return Score(metric, float(value), low, high, count)


def _mean(metric: Metric, values: dict[int, float], drawn: dict[int, np.ndarray], count: int) -> Score:
    if not values:
        return Score(metric, nan, note="no label has an answer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample in which no label has an answer is left out
        means = np.nanmean(np.stack(list(drawn.values())), axis=0) if drawn else None
    return _score(metric, float(np.mean(list(values.values()))), means, count)
