"""Shares of answers: right values, no answer where there is none, intervals for many at once."""

from math import isnan

import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics.leaning import LOG_ODDS, SHARE, CueRule, Swaps, share_score
from overfocus.metrics.score import Score

LABELS = torch.tensor([0, 0, 1, 2, 2])
DONORS = torch.tensor([[2, 3, 0, 0, 2], [3, 2, 4, 2, 1]])


LOGITS = 4.0 * torch.eye(3)[LABELS]
CLASSES = LABELS[DONORS]


def swaps(agree, conflict, logits=LOGITS, toward=None):
    toward = torch.zeros(2, 5) if toward is None else toward
    return Swaps(LABELS, logits, DONORS, torch.as_tensor(agree).double(), torch.as_tensor(conflict).double(), toward)


def shares(found):
    whole = found.lost_in_all()
    return share_score(found.lost(), whole, 1).value, share_score(found.lost_by_rest(), whole, 1).value


def test_it_is_one_where_the_cue_decides_and_the_rest_is_nothing():
    found = swaps(LABELS.expand(2, -1), CLASSES)
    assert found.lost_in_all().tolist() == [1] * 5
    assert shares(found) == (1, 0)


def test_it_is_none_where_the_rest_decides_and_both_are_one_where_both_are_needed():
    assert shares(swaps(LABELS.expand(2, -1), LABELS.expand(2, -1))) == (0, 1)
    assert shares(swaps(LABELS.expand(2, -1), 3 - LABELS - CLASSES)) == (1, 1), "the third class is named"


def test_what_the_cut_costs_is_lost_to_both():
    broken = torch.full((2, 5), 9)
    assert swaps(broken, broken).lost().tolist() == [0] * 5


def test_by_hand():
    assert CLASSES.tolist() == [[1, 2, 0, 0, 1], [2, 1, 2, 1, 0]]
    named = 4.0 * torch.eye(3)[torch.tensor([0, 0, 1, 2, 1])]
    found = swaps([[0, 1, 1, 2, 2], [0, 0, 1, 0, 2]], [[1, 0, 0, 2, 1], [0, 1, 1, 1, 2]], named)
    # control 1, 1/2, 1, 1/2, 1; own class and donor's in conflict 1/2 each; picture 4 is named 1, as picture 2 is
    assert found.lost().tolist() == found.lost_by_rest().tolist() == [0.5, 0, 0.5, 0, 0.5]
    assert found.lost_in_all().tolist() == [1, 1, 0.5, 1, 0]
    assert shares(found) == pytest.approx((1.5 / 3.5, 1.5 / 3.5))


def test_log_odds_go_from_the_receiver_to_the_donor():
    toward = torch.tensor([[-4.0, 0, 2, 4, 0], [4, -2, 0, 0, 0]])
    found = swaps(LABELS.expand(2, -1), CLASSES, toward=toward)
    assert found.risen_in_all().tolist() == [8] * 5
    assert found.risen().tolist() == [4, 3, 5, 6, 4]
    toward[0, 1] = torch.nan
    assert swaps(LABELS.expand(2, -1), CLASSES, toward=toward).risen().tolist() == [4, 2, 5, 6, 4]


def test_pictures_without_an_answer_are_left_out():
    nan = torch.nan
    found = swaps([[0, nan, 1, 2, 2], [0, nan, nan, 2, 2]], CLASSES)
    assert found.lost().isnan().tolist() == [False, True, False, False, False]
    assert share_score(found.lost(), torch.ones(5), 1).n == 4
    lost = swaps(LABELS.expand(2, -1), CLASSES, torch.full((5, 3), nan)).lost_in_all()
    assert lost.tolist() == [0] * 5, "no class is named"


def test_one_class_for_everything_has_no_share():
    found = swaps(torch.zeros(2, 5), torch.zeros(2, 5), torch.tensor([[1.0, 0, 0]]).expand(5, -1))
    assert (found.lost_in_all() == 0).all()
    score = share_score(found.lost(), found.lost_in_all(), 3)
    assert isnan(score.value)
    assert score.note
    assert isnan(share_score(torch.full((5,), torch.nan), torch.ones(5), 3).value)


def test_the_interval_grows_with_what_was_tried_and_holds_the_truth():
    draws = torch.rand(400, generator=torch.Generator().manual_seed(0))
    lost, whole = (draws < 0.3).double(), torch.ones(400, dtype=torch.float64)
    one, many = share_score(lost, whole, 1), share_score(lost, whole, 20)
    error = float(lost.std()) / 20
    assert one.high - one.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert many.high - many.low == pytest.approx(2 * 3.02 * error, rel=0.1)
    assert one.low < 0.3 < one.high


@pytest.mark.parametrize(
    ("low", "log_odds", "n", "even", "found"),
    [
        (0.3, 0.5, 100, 0.44, True), (0.1, 0.5, 100, 0.44, False), (0.3, 0.5, 100, 0.75, False),
        (0.3, 0.5, 20, 0.44, False), (0.3, 0.01, 100, 0.0, True), (0.08, 0.01, 100, 0.0, True),
        (0.04, 0.5, 100, 0.0, False), (torch.nan, 0.5, 100, 0.0, False),
        (0.3, torch.nan, 100, 0.0, False),
    ],
)  # fmt: skip
def test_what_a_finding_takes(low, log_odds, n, even, found):
    assert CueRule().finds(Score(SHARE, 0.5, low, 1.0, n), Score(LOG_ODDS, 0.6, log_odds, 1.0), even) is found


@pytest.mark.parametrize(
    ("low", "high", "only", "used"),
    [(0.5, 0.9, 0.1, True), (-0.1, 0.1, 0.4, True), (-0.1, 0.1, 0.05, False), (0.1, 0.4, 0.05, None)],
)
def test_what_use_of_a_part_takes(low, high, only, used):
    assert CueRule().uses(Score(SHARE, 0.2, low, high, 100), Score(SHARE, only + 0.1, only, 1, 100), 0.1) is used


def test_shapes_are_checked():
    with pytest.raises(OverfocusError, match="swaps"):
        swaps(LABELS.expand(1, -1), CLASSES)
