"""Scores of labels that do not exclude one another, against scikit-learn and by hand."""

import json
from math import isnan, log

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from overfocus.core.errors import OverfocusError
from overfocus.metrics import label_scores as module
from overfocus.metrics.label_scores import best_thresholds, label_scores, mean_average_precision
from overfocus.metrics.ranking import resampled_ap, resampled_auroc

N, K = 60, 5


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with ties, and labels: the fourth that no image has, the last that all have."""
    random = torch.Generator().manual_seed(0)
    labels = torch.rand(N, K, generator=random) < 0.3
    labels[:, 3], labels[:, 4] = False, True
    logits = (torch.randn(N, K, generator=random) + labels * 1.5).mul(2).round() / 2
    return logits, labels


def test_they_are_those_of_scikit_learn(data):
    logits, labels = data
    thresholds = torch.tensor([0.3, 0.5, 0.8, float("nan"), 0.5], dtype=torch.float64)
    found = label_scores(logits, labels, thresholds)
    assert found.counts == tuple(labels.sum(0).tolist())
    for k in range(3):
        truth, each = labels[:, k].numpy(), found.per_label[k]
        assert each["average_precision"].value == pytest.approx(average_precision_score(truth, logits[:, k]))
        assert each["auroc"].value == pytest.approx(roc_auc_score(truth, logits[:, k]))
        said = logits[:, k].double().sigmoid() >= thresholds[k]
        assert each["f1"].value == pytest.approx(f1_score(truth, said))
        assert each["f1"].low <= each["f1"].value <= each["f1"].high
    for k in (3, 4):
        assert all(isnan(score.value) for score in found.per_label[k].values())
    means = [found.per_label[k]["average_precision"].value for k in range(3)]
    assert found.means["mean_average_precision"].value == pytest.approx(np.mean(means))
    assert mean_average_precision(logits, labels) == pytest.approx(np.mean(means))
    assert found.means["label_accuracy"].value == pytest.approx(float(((logits >= 0) == labels).float().mean()))
    json.dumps(found.as_dict(tuple("abcde")), allow_nan=False)


def test_resampled_scores_are_those_of_scikit_learn_on_the_resample(data):
    """Of every resample, with its repeated images and its ties."""
    logits, labels = data[0][:, 0].double().numpy(), data[1][:, 0].numpy()
    rows = np.random.default_rng(0).integers(0, N, (7, N))
    draws = np.stack([np.bincount(each, minlength=N) for each in rows]).astype(float)
    for row, ap in zip(rows, resampled_ap(logits, labels, draws), strict=True):
        assert ap == pytest.approx(average_precision_score(labels[row], logits[row]))
    for row, auroc in zip(rows, resampled_auroc(logits, labels, draws), strict=True):
        assert auroc == pytest.approx(roc_auc_score(labels[row], logits[row]))
    for row, f1 in zip(rows, module._resampled_f1(logits > 0.5, labels, draws), strict=True):
        assert f1 == pytest.approx(f1_score(labels[row], logits[row] > 0.5))


def test_the_best_threshold_has_the_highest_f1_of_all(data):
    logits, labels = data
    found = best_thresholds(logits, labels)
    probabilities = logits.double().sigmoid()
    for k in range(3):
        every = {float(p): f1_score(labels[:, k], probabilities[:, k] >= p) for p in probabilities[:, k].unique()}
        best = max(every.values())
        assert every[float(found[k])] == pytest.approx(best)
        assert float(found[k]) == max(p for p, f1 in every.items() if f1 == pytest.approx(best))
    assert found[3:].isnan().all()


def test_a_threshold_by_hand():
    logits = torch.tensor([[log(p / (1 - p))] for p in (0.9, 0.7, 0.4, 0.2)])
    labels = torch.tensor([[True], [True], [False], [False]])
    assert best_thresholds(logits, labels).item() == pytest.approx(0.7)
    assert label_scores(logits, labels, torch.tensor([0.8])).per_label[0]["f1"].value == pytest.approx(2 / 3)


def test_what_does_not_fit_is_refused(data):
    logits, labels = data
    for other in (labels.float(), labels[:, :3], labels[:-1]):
        with pytest.raises(OverfocusError, match="labels as booleans"):
            label_scores(logits, other)
    with pytest.raises(OverfocusError, match="no numbers"):
        label_scores(logits.where(logits < 2, torch.nan), labels)
