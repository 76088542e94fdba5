"""Scores of halves, by hand: what both halves say, and what is left of what was right."""

import pytest
import torch

from overfocus.metrics.halves import half_scores
from overfocus.metrics.hiding import floor

LABELS = torch.tensor([0, 0, 1, 1, 2])
WHOLE = torch.tensor([0, 0, 1, 2, 2])


def scored(answers, trained_with=()):
    found = half_scores({name: torch.tensor(classes) for name, classes in answers.items()}, WHOLE, LABELS, trained_with)
    return {name: values.tolist() for name, (_, values) in found.items()}


def test_each_filling_and_half_counts_alike():
    found = scored({"mean": [[0, 0, 1, 1, 0], [0, 1, 1, 0, 2]], "noise": [[0, 1, 0, 1, 2], [0, 1, 1, 1, 2]]})
    assert found["half"] == [1, 0.25, 0.75, 0.75, 0.75]
    assert found["whole"] == [1, 1, 1, 0, 1]
    assert found["half_mean"] == [1, 0.5, 1, 0.5, 0.5]
    assert found["half_noise"] == [1, 0, 0.5, 1, 1]
    assert found["one_half"] == [1, 0.5, 0.5, 1, 0.5]
    assert found["other_half"] == [1, 0, 1, 0.5, 1]
    assert found["both"] == [1, 0, 0.5, 0.5, 0.5]
    assert found["agreement"] == [1, 0.5, 0.5, 0.5, 0.5]


def test_what_it_trained_with_is_left_out():
    answers = {"mean": [[0, 0, 1, 1, 0], [0, 1, 1, 0, 2]], "noise": [[0, 1, 0, 1, 2], [0, 1, 1, 1, 2]]}
    for trained_with, same in (((), "half"), (["mean"], "half_noise"), (["noise", "patch"], "half_mean")):
        found = scored(answers, trained_with)
        assert found["half_new"] == found[same]
        assert found["half"] == scored(answers)["half"]
    assert torch.tensor(scored(answers, ["noise", "mean"])["half_new"]).isnan().all()


def test_what_is_kept_is_of_the_pictures_that_were_right_and_less_what_one_class_keeps():
    found = scored({"mean": [[0, 0, 1, 1, 0], [0, 1, 1, 0, 2]]})
    assert floor(WHOLE, LABELS) == 0.5  # right at first: 0, 0, 1, 2
    assert found["kept"][:3] == [1, 0, 1]
    assert torch.tensor(found["kept"]).isnan().tolist() == [False, False, False, True, False]
    assert found["kept"][4] == 0


def test_answers_that_are_no_class_are_wrong_and_do_not_agree():
    found = scored({"mean": [[-1] * 5, [-1] * 5]})
    assert found["half"] == found["agreement"] == [0] * 5


@pytest.mark.parametrize("whole", [[0, 0, 0, 0, 0], [2, 2, 2, 2, 2], [1, 2, 0, 0, 0]])
def test_where_nothing_can_be_lost_nothing_is_kept_either(whole):
    whole = torch.tensor(whole)
    assert torch.tensor(floor(whole, LABELS)).isnan()
    answers = {"mean": whole.expand(2, -1)}
    assert half_scores(answers, whole, LABELS)["kept"][1].isnan().all()
