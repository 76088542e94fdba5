"""Scores of answers against scikit-learn, on random and degenerate inputs."""

import tracemalloc

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from overfocus.metrics import answers as module
from overfocus.metrics.answers import answer_scores, answers, by_class, class_scores, confused, confusion


@pytest.mark.parametrize(("n", "k", "used"), [(200, 12, 12), (37, 5, 3), (60, 2, 2), (3, 7, 2)])
@pytest.mark.parametrize("ties", [False, True])
def test_scores_are_those_of_scikit_learn(n, k, used, ties):
    draw = torch.Generator().manual_seed(n)
    logits = torch.randn(n, k, generator=draw)
    logits = logits.round() if ties else logits
    labels = torch.cat((torch.arange(used), torch.randint(used, (n - used,), generator=draw)))
    found, said = answer_scores(logits, labels), logits.argmax(dim=1)
    present = np.unique(labels)
    of = {"zero_division": 0.0, "labels": present}
    right, shares = labels.numpy(), logits.double().softmax(dim=1).numpy()
    wanted = {
        "accuracy": sk.accuracy_score(right, said),
        "balanced_accuracy": sk.recall_score(right, said, average="macro", **of),
        "macro_f1": sk.f1_score(right, said, average="macro", **of),
        "weighted_f1": sk.f1_score(right, said, average="weighted", **of),
        "auroc": np.mean([sk.roc_auc_score(right == c, shares[:, c]) for c in present]),
        "average_precision": np.mean([sk.average_precision_score(right == c, shares[:, c]) for c in present]),
    }
    for name, value in wanted.items():
        assert found[name].value == pytest.approx(value), name
    assert ("top5" in found) == (k > 10)
    if k > 10 and not ties:
        assert found["top5"].value == pytest.approx(sk.top_k_accuracy_score(right, logits, k=5, labels=range(k)))
    matrix = confusion(labels, said, k)
    assert (matrix == sk.confusion_matrix(right, said, labels=range(k))).all()
    assert np.isnan(by_class(matrix)["recall"]).sum() == k - used


def test_intervals_hold_the_value_and_are_seeded():
    draw = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(80, 4, generator=draw), torch.randint(4, (80,), generator=draw)
    found = answer_scores(logits, labels, seed=3)
    for name in tuple(found):
        assert found[name].low < found[name].value < found[name].high
    assert found["macro_f1"] == answer_scores(logits, labels, seed=3)["macro_f1"]
    assert found["macro_f1"].low != answer_scores(logits, labels, seed=4)["macro_f1"].low


def test_one_class_for_everything():
    labels = torch.tensor([0] * 9 + [1] * 3 + [2] * 3)
    found = answer_scores(torch.eye(4)[torch.zeros(15, dtype=torch.long)], labels)
    assert found["commonest_answer"].value == 1
    assert found["accuracy"].value == pytest.approx(found["largest_class"].value) == pytest.approx(0.6)
    assert found["balanced_accuracy"].value == pytest.approx(1 / 3)
    assert found["auroc"].value == 0.5


def test_one_picture_has_values_and_no_interval():
    found = answer_scores(torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([1]))
    assert found["balanced_accuracy"].value == found["macro_f1"].value == 1
    assert not found["balanced_accuracy"].bounded
    assert not found["auroc"].answered


def test_swapped_classes_are_the_first_pair():
    labels = torch.arange(5).repeat(8)
    said = labels.clone()
    said[labels == 3] = 1
    said[0] = 4
    assert confused(confusion(labels, said, 5)) == [(3, 1, 8), (0, 4, 1)]


def test_an_image_whose_logits_are_no_numbers_is_wrong_everywhere():
    labels = torch.arange(12).repeat(3)
    logits = torch.eye(12)[labels] * 5
    lost = torch.tensor([0, 4, 12, 30])
    logits[lost[:2]], logits[lost[2], 7], logits[lost[3], 6] = torch.nan, torch.nan, torch.inf
    found, named = answer_scores(logits, labels), answers(logits)
    assert (named == -1).nonzero()[:, 0].tolist() == lost.tolist()
    for name in ("accuracy", "top5"):
        assert (found[name].value, found[name].n) == (pytest.approx(32 / 36), 36)
    assert found["balanced_accuracy"].value == pytest.approx((1 / 3 + 2 / 3 + 2 / 3 + 9) / 12)
    assert found["auroc"].n == found["average_precision"].n == 32
    assert all("4 images" in score.note for score in found.values())
    matrix = confusion(labels, named, 12)
    assert matrix.shape == (12, 13)
    assert matrix[:, 12].tolist() == [2, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]
    assert by_class(matrix)["support"].tolist() == [3] * 12
    assert confused(matrix) == [], "no answer is no confusion"


def test_scores_of_a_class_have_intervals_and_an_absent_class_has_no_number():
    labels = torch.tensor([0] * 30 + [2] * 10)
    named = labels.clone()
    named[:6], named[30] = 2, 1
    one, absent, other = class_scores(confusion(labels, named, 3), seed=2)
    assert (one["recall"].value, one["recall"].n) == (0.8, 30)
    assert one["recall"].low < 0.8 < one["recall"].high
    assert (other["precision"].value, other["precision"].n) == (9 / 15, 15)
    assert not absent["recall"].answered
    assert not absent["f1"].answered
    assert absent["precision"].value == 0, "it was answered once, wrongly"
    assert absent["recall"].note


def test_a_thousand_classes_take_no_gigabytes():
    labels = torch.arange(20).repeat(4)
    tracemalloc.start()
    found = answer_scores(torch.eye(1000)[labels.roll(1)], labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["macro_f1"].value == found["macro_f1"].high == 0
    assert peak < 2e8, "1000 resamples of a matrix of 1000 x 1000 are 8e9 bytes"


def test_areas_have_no_interval_where_it_would_take_long(monkeypatch):
    labels = torch.arange(3).repeat(9)
    logits = torch.randn(27, 3, generator=torch.Generator().manual_seed(0))
    assert answer_scores(logits, labels)["auroc"].bounded
    monkeypatch.setattr(module, "LONG", 27 * 3 * module.AREA_DRAWS - 1)
    assert not answer_scores(logits, labels)["auroc"].bounded
