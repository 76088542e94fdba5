"""What pieces carry: slow readings, laws, and planted marks."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import ttest_ind

from overfocus.core.errors import OverfocusError
from overfocus.metrics.transplant import FEWEST, Rises, TransplantRule, carried, log_odds

PLACES = torch.tensor([[x, y, x + 2, y + 2] for y in (0, 1, 2) for x in (0, 1, 2, 3)])
"""3 x 4 places of 2 x 2, half over one another, on images of 4 x 5."""


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def planted(place=3, label=2, rise=4.0, classes=3, count=40, noise=1.0):
    """Return rises of own and of other pieces: `label` rises at `place`, and nothing else does anywhere."""
    donors = torch.arange(count).expand(len(PLACES), count) % classes
    own = noise * normal(len(PLACES), count)
    own[place, donors[place] == label] += rise
    others = Rises.of(noise * normal(len(PLACES), count, seed=1), donors, classes)
    return Rises.of(own, donors, classes), others


@pytest.mark.parametrize("shape", [(1, 2), (7, 5), (3, 11)])
@pytest.mark.parametrize("scale", [1, 30])
def test_log_odds_are_those_of_the_softmax(shape, scale):
    logits = scale * normal(*shape)
    for row, found in zip(logits, log_odds(logits), strict=True):
        for k in range(len(row)):
            rest = torch.cat((row[:k], row[k + 1 :])).logsumexp(dim=0)
            assert float(found[k]) == pytest.approx(float(row[k] - rest), rel=1e-9, abs=1e-9)


def test_log_odds_of_the_very_sure_are_numbers():
    assert log_odds(torch.tensor([[1000.0, 0.0, 0.0]]))[0, 0] == pytest.approx(1000 - torch.tensor(2.0).log().item())
    assert log_odds(torch.tensor([[1000.0, 0.0]])).tolist() == [[1000.0, -1000.0]]


def test_rises_are_counted_by_place_and_class_without_what_is_not_a_number():
    values, donors = normal(5, 23), torch.arange(5 * 23).reshape(5, 23) % 4
    values[1, 3] = torch.nan
    found = Rises.of(values, donors, 4)
    for place in range(5):
        for k in range(4):
            row = values[place][(donors[place] == k) & values[place].isfinite()]
            assert found.count[place, k] == len(row)
            assert float(found.mean[place, k]) == pytest.approx(float(row.mean()))
            assert float(found.variance[place, k]) == pytest.approx(float(row.var()))


def test_a_mark_is_found_at_its_place_and_flagged_alone():
    found = carried(*planted(), PLACES, torch.full((3,), 20.0))
    assert [one.flagged for one in found] == [False, False, True]
    mark = found[2]
    assert mark.place == 3
    assert mark.n == 13
    assert mark.evidence == pytest.approx(4, abs=1)
    assert mark.share == mark.evidence / 20
    assert mark.p < 1e-4


def test_p_is_welchs_corrected_for_every_place_and_class():
    donors = torch.arange(40).expand(len(PLACES), 40) % 3
    own, others = normal(len(PLACES), 40), 2 * normal(len(PLACES), 40, seed=1)
    own[3, donors[3] == 2] += 3
    found = carried(Rises.of(own, donors, 3), Rises.of(others, donors, 3), PLACES, torch.full((3,), 9.0))[2]
    ours, theirs = (each[found.place][donors[0] == 2].numpy() for each in (own, others))
    expected = ttest_ind(ours, theirs, equal_var=False, alternative="greater").pvalue * len(PLACES) * 3
    assert found.p == pytest.approx(min(1.0, expected))
    assert 0 < found.p < 1


def test_what_neighbours_carry_as_well_is_no_mark():
    """An object's parts share its evidence: a place apart that carries more than half as much keeps the flag down."""
    own, others = planted(place=0)
    apart = own.mean.clone()
    apart[10, 2] = apart[0, 2] * 0.7
    found = carried(Rises(own.count, apart, own.variance), others, PLACES, torch.full((3,), 20.0))[2]
    assert found.place == 0
    assert found.rival > 0.5
    assert not found.flagged
    touching = own.mean.clone()
    touching[1, 2] = touching[0, 2] * 0.7  # half of it lies on the mark
    assert carried(Rises(own.count, touching, own.variance), others, PLACES, torch.full((3,), 20.0))[2].flagged


@pytest.mark.parametrize(
    "rule",
    [TransplantRule(share=0.5), TransplantRule(rival=-1.0), TransplantRule(lead=1.01), TransplantRule(level=0.0)],
)
def test_a_flag_takes_all_four(rule):
    assert not carried(*planted(), PLACES, torch.full((3,), 20.0), rule)[2].flagged


def test_the_trace_that_a_mark_leaves_in_other_classes_is_no_mark_of_theirs():
    own, others = planted(rise=8.0)
    trace = own.mean.clone()
    trace[3, 0] += 3.0
    found = carried(Rises(own.count, trace, own.variance), others, PLACES, torch.full((3,), 20.0))
    assert [one.place for one in found] == [3, found[1].place, 3]
    assert found[0].lead == pytest.approx(found[0].evidence / found[2].evidence)
    assert [one.flagged for one in found] == [False, False, True]


def test_pure_noise_is_flagged_no_more_often_than_told():
    flags = 0
    for seed in range(60):
        donors = torch.arange(60).expand(len(PLACES), 60) % 3
        own, others = (Rises.of(normal(len(PLACES), 60, seed=2 * seed + k), donors, 3) for k in (0, 1))
        flags += any(one.p <= 0.05 for one in carried(own, others, PLACES, torch.ones(3)))
    assert flags <= 8  # 60 x 0.05 = 3 expected at most; beyond 8 with a chance of 0.4 %


def test_too_few_pieces_have_no_answer():
    own, others = planted(count=3 * FEWEST)
    own.count[:, 1] = FEWEST - 1
    found = carried(own, others, PLACES, torch.full((3,), 20.0))
    assert found[1].n == 0
    assert found[1].share != found[1].share
    assert not found[1].flagged
    assert found[2].n == FEWEST


def test_a_place_that_all_others_touch_is_not_flagged():
    own, others = planted(place=0)
    one = PLACES[:1].expand(len(PLACES), 4)
    assert not carried(own, others, one, torch.full((3,), 20.0))[2].flagged


def test_shapes_that_do_not_fit_are_told():
    own, others = planted()
    with pytest.raises(OverfocusError, match="give 11 places x 3 classes"):
        carried(own, others, PLACES[1:], torch.ones(3))
