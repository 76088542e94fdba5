"""Studies that may end early: planned looks hold the level, adding seeds until a verdict appears does not."""

from math import inf, isnan, nan

import numpy as np
import pytest
from scipy import stats
from stopping import PLANS, false_verdicts, lan_demets
from study_noise import KINDS, philox, runs

from overfocus.statistics.paired import paired
from overfocus.statistics.pictures import Pictures
from overfocus.statistics.sequential import Look, planned, shares, spent
from overfocus.statistics.verdict import compared

LOOKS = PLANS[0]


def test_planned_looks():
    assert planned(20) == LOOKS
    assert planned(12) == (3, 6, 9, 12)
    assert planned(5) == (3, 4, 5)
    assert planned(2) == (2,)
    assert planned(20, 2) == (10, 20)


@pytest.mark.parametrize("looks", PLANS)
def test_shares_are_those_of_the_spending_function(looks):
    found = shares(looks)
    assert found.sum() == pytest.approx(1)
    assert (np.diff(found) > 0).all()
    assert 0.05 * found[0] == pytest.approx(2 - 2 * stats.norm.cdf(1.959964 / np.sqrt(looks[0] / looks[-1])), rel=1e-4)
    assert 0.05 * shares(LOOKS) == pytest.approx([8.86e-5, 5.486e-3, 1.805e-2, 2.637e-2], rel=2e-3)


def test_a_look_of_a_plan():
    assert [Look(LOOKS, n).share for n in range(1, 5)] == pytest.approx(list(shares(LOOKS)))
    assert [(Look(LOOKS, n).seeds, Look(LOOKS, n).following) for n in range(5)] == [
        (0, 5), (5, 10), (10, 15), (15, 20), (20, 0)
    ]  # fmt: skip
    assert (Look().share, Look().following, Look(LOOKS).share) == (1, 0, 0)
    assert (spent(0.01, 0.5), spent(0.9, 0.5), spent(0.0, 0.0), spent(0.02, 1.0)) == (0.02, 1, 1, 0.02)
    assert isnan(spent(nan, 0.5))
    assert isnan(spent(nan, 0.0))


def test_numbers_of_a_look():
    """p over the share, and the interval whose ends are where that p is 0.05."""
    method, base = philox(3).standard_normal((2, 10))
    once, look = paired(method, base), paired(method, base, share=0.11)
    assert look.p == pytest.approx(min(1, once.p / 0.11))
    assert look.p_sign_flip == min(1, once.p_sign_flip / 0.11)
    for end in (look.difference.low, look.difference.high):
        assert paired(method - end, base, share=0.11).p == pytest.approx(0.05)
    assert look.difference.value == once.difference.value
    assert look.bootstrap == once.bootstrap
    before = paired(method, base, share=0.0)
    assert (before.p, before.difference.low, before.difference.high) == (1, -inf, inf)
    assert not before.difference.bounded


def test_verdicts_of_a_look():
    base = np.array([0.80, 0.82, 0.81, 0.79, 0.83])
    noise = np.array([0.001, -0.002, 0.0, 0.002, -0.001])
    one, none = base + 0.008 + 2 * noise, base + noise

    def verdicts(look):
        found = compared({"plain": base, "one": one, "none": none}, "plain", margin=0.01, look=look)
        return [effect.verdict for effect in found.effects.values()]

    assert verdicts(Look()) == ["better", "no difference"]
    assert verdicts(Look(LOOKS, 0)) == verdicts(Look(LOOKS, 1)) == ["too few seeds"] * 2
    assert verdicts(Look((3, 5), 2)) == ["better", "no difference"]
    goes_on = compared({"plain": base, "one": one}, "plain", margin=0.01, look=Look(LOOKS, 1)).effects["one"]
    assert "10 seeds" in goes_on.caveat
    assert "study of its own" not in goes_on.caveat
    alike = Pictures(np.eye(5, 40, dtype=int), np.eye(5, 40, 1, dtype=int), np.ones(40, int))
    assert alike.reach(0.1) > alike.reach() > 0
    apart = Pictures(np.eye(5, 40, dtype=int), np.zeros((5, 40), int), np.eye(1, 40, dtype=int)[0])
    assert apart.interval(0.1).high > apart.interval().high > apart.interval().value


@pytest.mark.parametrize("looks", PLANS)
@pytest.mark.parametrize("methods", [1, 4])
def test_false_verdicts_of_a_plan(looks, methods):
    """At most 5 % of studies without a difference, whatever look they stop at; Monte Carlo error 0.13 %."""
    assert 0.025 < false_verdicts("normal", looks, 0.05 * shares(looks), methods, 30_000) <= 0.05


def test_adding_seeds_until_a_verdict_appears():
    """The planted bug: the same looks, each at 5 %, are wrong in twice as many studies and more."""
    assert false_verdicts("normal", LOOKS, [0.05] * 4, studies=30_000) > 0.11
    assert false_verdicts("normal", (5, 10), [0.05] * 2, studies=30_000) > 0.075


def test_bounds_that_count_on_normal_looks_are_too_loose_for_few_seeds():
    """Why the parts are added up: Lan and DeMets' own bounds, exact for normal scores, miss the level with t tests."""
    assert lan_demets((1, 2, 3, 4, 5)) == pytest.approx([1.17e-5, 1.937e-3, 1.067e-2, 2.42e-2, 3.906e-2], rel=0.01)
    assert false_verdicts("normal", (3, 6, 9, 12), lan_demets((3, 6, 9, 12)), studies=100_000) > 0.0515


def test_intervals_of_all_looks_hold_the_truth():
    """Of a study that may stop anywhere, the interval shown holds the true difference in at least 95 %."""
    d = philox(8).standard_normal((30_000, 20))
    lost = np.zeros(len(d), bool)
    for n, share in zip(LOOKS, shares(LOOKS)):
        reach = stats.t.isf(0.025 * share, n - 1) * stats.sem(d[:, :n], axis=1)
        lost |= np.abs(d[:, :n].mean(axis=1)) > reach
        shown = paired(d[0, :n], np.zeros(n), share=share).difference
        assert shown.high - shown.value == pytest.approx(reach[0])
    assert 0.95 <= 1 - lost.mean() < 0.975


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("looks", PLANS)
def test_false_verdicts_of_all_kinds_of_noise(kind, looks):
    """Four idle methods against the same baseline runs; Monte Carlo error 0.07 %."""
    assert false_verdicts(kind, looks, 0.05 * shares(looks), methods=4) <= 0.05


@pytest.mark.slow
def test_studies_that_stop_when_settled():
    """Through `compared`, as a study does: go on until all is settled. Monte Carlo error 1.1 %."""
    wrong = {"planned": 0, "naive": 0}
    for study in runs("discrete", (400, 3, 12), philox(77)):
        for name in wrong:
            for number, n in enumerate((3, 6, 9, 12), 1):
                values = {str(k): row[:n] for k, row in enumerate(study)}
                look = Look((3, 6, 9, 12), number) if name == "planned" else Look()
                effects = compared(values, "0", margin=0.01, look=look).effects.values()
                if all(each.verdict != "too few seeds" for each in effects):
                    break
            wrong[name] += any(each.verdict in ("better", "worse") for each in effects)
    assert wrong["planned"] / 400 <= 0.05 + 2 * 0.011
    assert wrong["naive"] > wrong["planned"]
