import math

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from overfocus.core.errors import OverfocusError
from overfocus.metrics.ood import Curve, aupr, auroc, detection_accuracy, ood_scores, tnr_at


def sample(n=83, m=61, seed=0, steps=0):
    source = torch.Generator().manual_seed(seed)
    inside, outside = torch.randn(n, generator=source) + 1, torch.randn(m, generator=source)
    return ((inside * steps).round() / steps, (outside * steps).round() / steps) if steps else (inside, outside)


CASES = [(83, 61, 0), (20, 7, 2), (100, 100, 1), (1, 5, 0), (5, 1, 3)]


@pytest.mark.parametrize(("n", "m", "steps"), CASES)
def test_parity_with_scikit_learn(n, m, steps):
    inside, outside = sample(n, m, steps=steps)
    truth, both = [1] * n + [0] * m, torch.cat((inside, outside))
    curve = Curve.of(inside, outside)
    assert auroc(curve) == pytest.approx(roc_auc_score(truth, both))
    assert aupr(curve) == pytest.approx(average_precision_score(truth, both))


def test_parity_with_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    inside, outside = sample(steps=2)
    truth = torch.cat((torch.ones(83), torch.zeros(61))).long()
    theirs = functional.binary_auroc(torch.cat((inside, outside)).sigmoid(), truth)
    assert auroc(Curve.of(inside, outside)) == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.parametrize(("n", "m", "steps"), CASES)
def test_thresholds_read_literally(n, m, steps):
    inside, outside = (side.tolist() for side in sample(n, m, steps=steps))
    best, turned_away = 0.5, None
    for threshold in sorted(set(inside + outside), reverse=True):
        tpr = sum(score >= threshold for score in inside) / n
        tnr = sum(score < threshold for score in outside) / m
        best = max(best, (tpr + tnr) / 2)
        if turned_away is None and tpr >= 0.95:
            turned_away = tnr
    curve = Curve.of(torch.tensor(inside), torch.tensor(outside))
    assert tnr_at(curve) == pytest.approx(turned_away)
    assert detection_accuracy(curve) == pytest.approx(best)


def test_by_hand_with_ties():
    curve = Curve.of(torch.tensor([3.0, 2.0]), torch.tensor([2.0, 1.0]))
    assert auroc(curve) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert tnr_at(curve) == 0.5
    assert tnr_at(curve, 0.5) == 1.0
    assert detection_accuracy(curve) == 0.75


@pytest.mark.parametrize(
    ("inside", "outside", "area", "tnr", "best"),
    [([2.0, 3.0], [0.0, 1.0], 1, 1, 1), ([0.0, 1.0], [2.0, 3.0], 0, 0, 0.5), ([1.0, 1.0], [1.0] * 3, 0.5, 0, 0.5)],
)
def test_told_apart_turned_round_and_not_at_all(inside, outside, area, tnr, best):
    found = ood_scores(torch.tensor(inside), torch.tensor(outside))
    assert found["auroc"].value == area
    assert found["tnr_at_95"].value == tnr
    assert found["detection_accuracy"].value == best


def test_intervals_hold_their_value_and_shrink():
    small, large = ood_scores(*sample(100, 80)), ood_scores(*sample(2000, 1600))
    for name, score in small.items():
        assert score.low < score.value < score.high, name
        assert large[name].high - large[name].low < score.high - score.low, name
    assert small["auroc"] == ood_scores(*sample(100, 80))["auroc"]


def test_the_interval_of_auroc_is_of_both_sides():
    """Hanley's spread of an AUROC of 0.76 with 100 and 100 images is 0.034; one side alone would give 0.7 of it."""
    found = ood_scores(*sample(100, 100, seed=4))["auroc"]
    assert 0.025 < (found.high - found.low) / 3.92 < 0.045


def test_missing_scores():
    inside, outside = sample()
    broken = torch.cat((inside, torch.tensor([torch.nan])))
    found = ood_scores(broken, outside)["auroc"]
    assert found.value == ood_scores(inside, outside)["auroc"].value
    assert "1 without a score" in found.note
    for one, other in ((inside, outside[:0]), (inside[:0], outside), (inside[:0], outside[:0])):
        assert all(math.isnan(score.value) for score in ood_scores(one, other).values())
    assert ood_scores(torch.tensor([torch.inf]), torch.tensor([-torch.inf]))["auroc"].value == 1


def test_low_precision_and_no_trace():
    inside, outside = (side.bfloat16() for side in sample())
    kept, state = inside.clone(), torch.random.get_rng_state()
    assert 0.5 < ood_scores(inside, outside)["auroc"].value < 1
    assert torch.equal(inside, kept)
    assert torch.equal(state, torch.random.get_rng_state())


def test_errors():
    with pytest.raises(OverfocusError, match="outside"):
        ood_scores(torch.zeros(3), torch.zeros(3, 2))
