"""What pieces carry beside others in the same canvases: a slow reading, exact chances, and a rule that takes all."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch

from overfocus.core.key import Key
from overfocus.metrics import marks
from overfocus.metrics.marks import MarksRule, Measured, carried, chance, evidence, found, resemblance

MARK = Measured(label=2, n=6, share=0.3, rival=0.2, alike=0.9, p=0.001)


def reading(odds, donors, canvases):
    """Piece by piece, in the words of the docstring."""
    pieces, _, classes = odds.shape
    result = torch.full((pieces, classes), torch.nan)
    for d in range(pieces):
        for k in range(classes):
            values = []
            for c, canvas in enumerate(canvases.tolist()):
                third = [e for e in range(pieces) if donors[e] != k and (classes == 2 or donors[e] != canvas)]
                if canvas != k and third:
                    values.append(odds[d, c, k] - torch.stack([odds[e, c, k] for e in third]).quantile(0.5))
            if values:
                result[d, k] = torch.stack(values).mean()
    return result


@pytest.mark.parametrize(
    ("pieces", "classes", "canvases"), [(7, 4, [0, 2, 3]), (5, 2, [0, 1]), (4, 3, [1]), (1, 3, [0])]
)
def test_what_a_piece_carries_is_its_rise_above_third_classes_in_the_same_canvas(pieces, classes, canvases):
    odds = torch.randn(pieces, len(canvases), classes, generator=torch.Generator().manual_seed(0))
    donors, named = torch.arange(pieces) % classes, torch.tensor(canvases)
    torch.testing.assert_close(carried(odds, donors, named), reading(odds, donors, named), equal_nan=True)


def test_what_a_canvas_does_to_every_piece_alike_does_not_count():
    odds = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1))
    donors, named = torch.arange(6) % 4, torch.tensor([0, 1, 2])
    moved = odds + 10 * torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(2))
    assert evidence(carried(moved, donors, named), donors, 3) == pytest.approx(
        evidence(carried(odds, donors, named), donors, 3), abs=1e-5
    )


def test_a_mark_of_another_class_does_not_make_what_lacks_it_carry_the_rest():
    donors, named = torch.arange(15) % 5, torch.tensor([0, 1, 2])
    odds = torch.zeros(15, 3, 5)
    odds[donors == 4] = torch.tensor([-6.0, -6.0, -6.0, -6.0, 9.0])
    scores = carried(odds, donors, named)
    assert [evidence(scores, donors, k) for k in range(5)] == [0, 0, 0, 0, 9]


def test_a_piece_is_ahead_by_what_the_rival_leaves():
    here, there = torch.tensor([3.0, 1.0, 0.0]), torch.tensor([1.0, -5.0, 2.0])
    assert marks.ahead(here, there, 0.5).tolist() == [1, 1, -4]


def test_a_chance_is_the_share_of_choices_that_carry_as_much():
    values, own = torch.tensor([3.0, 0.5, 1.0, 0.1, 0.2, -1.0]), torch.tensor([True, False, True, False, False, False])
    every = [values[list(pair)].mean() >= 2.0 for pair in combinations(range(6), 2)]
    exact = sum(map(float, every)) / len(every)
    assert exact == 1 / 15
    assert chance(values, own, Key.seeded(0)) == pytest.approx(exact, abs=0.02)
    assert chance(values, ~own, Key.seeded(0)) == pytest.approx(1.0)
    assert chance(values, own, Key.seeded(0)) == chance(values, own, Key.seeded(0))


def test_without_an_answer_nothing_is_unlikely():
    nothing = torch.full((4,), torch.nan)
    assert chance(nothing, torch.tensor([True, False, True, False]), Key.seeded(0)) == 1
    assert chance(torch.arange(3.0), torch.tensor([True] * 3), Key.seeded(0)) == 1


def test_chance_is_right_where_classes_say_nothing():
    keys = [Key.seeded(seed) for seed in range(200)]
    below = [chance(key.normal(14, 1)[:, 0], torch.arange(14) < 4, key.fold_in("drawn")) <= 0.1 for key in keys]
    assert 6 <= sum(below) <= 36, "20 expected; outside with a chance of 0.1 %"


@pytest.mark.parametrize("shape", [(3, 5, 2), (1, 1, 7)])
def test_pieces_that_are_the_same_are_wholly_alike_and_others_are_not(shape):
    pieces = torch.rand(12, *shape, generator=torch.Generator().manual_seed(0))
    own = torch.arange(12) < 5
    assert abs(resemblance(pieces, own)) < 0.35
    pieces[own] = pieces[0].clone()
    assert resemblance(pieces, own) == 1
    pieces[0] = pieces[11]
    assert resemblance(pieces, own) == 1, "one of five does not bear the mark"
    assert resemblance(pieces[:1], own[:1]) != resemblance(pieces[:1], own[:1]), "NaN: one piece is like nothing"


def test_a_mark_takes_all_of_the_rule():
    others = [replace(MARK, label=k, p=0.9) for k in range(4)]
    assert found([MARK, *others]) == [True] + [False] * 4
    for worse in ({"share": 0.01}, {"rival": 0.9}, {"alike": 0.1}, {"p": 0.3}, {"alike": float("nan")}):
        assert found([replace(MARK, **worse), *others]) == [False] * 5
    assert found([]) == []


def test_what_is_tried_more_often_must_be_rarer():
    """Benjamini and Hochberg: of m, the j-th smallest p passes below j level / m, and all smaller ones with it."""
    p = [0.04, 0.9, 0.011, 0.05, 0.9]
    assert found([replace(MARK, p=each) for each in p]) == [True, False, True, True, False]
    assert found([replace(MARK, p=each) for each in [0.021, *[0.9] * 4]])[0] is False
    assert found([replace(MARK, p=0.021)]) == [True]


def test_a_control_that_is_left_out_is_noticed(monkeypatch):
    """A planted bug: the same canvases without pieces of other classes."""
    monkeypatch.setattr(marks, "carried", lambda odds, donors, canvases: odds.mean(dim=1))
    odds = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0))
    donors, named = torch.arange(6) % 3, torch.tensor([0, 1])
    assert not torch.allclose(marks.carried(odds, donors, named), reading(odds, donors, named), equal_nan=True)


def test_the_rule_is_what_was_chosen():
    assert MarksRule() == MarksRule(level=0.1, share=0.05, rival=0.5, alike=0.5)
