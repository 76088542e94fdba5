"""A method against the baseline: every number by hand, by listing all cases, or by another library."""

import json
from itertools import product
from math import isnan, nan

import numpy as np
import pytest
from scipy import stats
from study_noise import flip_p, philox

from overfocus.core.errors import OverfocusError
from overfocus.statistics.paired import (
    benjamini_hochberg,
    holm,
    improvement,
    mann_whitney_ends,
    paired,
    sign_flip,
    t_test,
)
from overfocus.statistics.power import power, seeds_to_flip, seeds_to_settle, smallest_detectable
from prose import numbers

multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
TTestPower = pytest.importorskip("statsmodels.stats.power").TTestPower

BASE = np.array([0.80, 0.82, 0.81, 0.79, 0.83])


def listed(differences):
    """The sign-flip p by going through all patterns."""
    seen = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences))) for signs in product((1, -1), repeat=len(differences))]
    return sum(each >= seen - 1e-12 for each in sums) / len(sums)


def test_sign_flips_of_three_listed():
    """1 + 2 + 3 = 6 is reached by two of the eight patterns; 3 + 2 - 1 = 4 by -4 and 6 too."""
    assert sign_flip(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert sign_flip(np.array([-1.0, 2.0, 3.0])) == 4 / 8
    assert sign_flip(np.array([1.0, 2.0, -3.0])) == 1


@pytest.mark.parametrize("n", [2, 5, 8, 12])
def test_sign_flips_are_exact_up_to_twelve(n):
    d = philox(n).integers(-4, 7, n) / 1000  # many ties
    assert sign_flip(d, seed=1) == pytest.approx(listed(d))
    assert sign_flip(d, seed=1) == sign_flip(d, seed=2)
    assert flip_p(d[None])[0] == pytest.approx(listed(d))


def test_least_p_of_five_seeds_is_one_in_sixteen():
    assert sign_flip(np.array([3.0, 4.0, 5.0, 6.0, 7.0])) == 2 / 32
    assert sign_flip(np.ones(6)) == 2 / 64


def test_sign_flips_beyond_twelve_are_drawn_from_the_seed():
    d = philox(0).standard_normal(14) + 0.4
    assert sign_flip(d, seed=3) == sign_flip(d, seed=3)
    assert sign_flip(d, seed=3) == pytest.approx(listed(d), abs=0.02)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 x 0.01, 2 x 0.03, max(0.06, 1 x 0.04)
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert list(holm([])) == []


def test_holm_leaves_out_what_was_not_asked():
    assert holm([0.01, nan, 0.04]) == pytest.approx([0.02, nan, 0.04], nan_ok=True)
    assert np.isnan(holm([nan, nan])).all()


def test_holm_is_that_of_statsmodels():
    generator = philox(5)
    for count in (1, 2, 4, 9):
        p = generator.choice([0.001, 0.01, 0.012, 0.04, 0.3, 0.9], count)
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_benjamini_hochberg_by_hand():
    """4 x 0.01 / 1, 4 x 0.02 / 2, 4 x 0.03 / 3, 4 x 0.5 / 4, none above the one behind it; NaN does not count."""
    assert benjamini_hochberg([0.02, 0.5, nan, 0.01, 0.03]) == pytest.approx([0.04, 0.5, nan, 0.04, 0.04], nan_ok=True)
    assert benjamini_hochberg([0.01, 0.06]) == pytest.approx([0.02, 0.06])
    assert np.isnan(benjamini_hochberg([nan])).all()
    assert list(benjamini_hochberg([])) == []


def test_benjamini_hochberg_is_that_of_statsmodels_and_never_above_holm():
    p = philox(6).random(30) ** 3
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])
    assert (benjamini_hochberg(p) <= holm(p) + 1e-12).all()


def test_false_discoveries_are_at_most_one_in_twenty():
    """Of 40 comparisons 10 are true: the mean share of false ones among those found is 0.05 x 30 / 40 at most."""
    draw, shares = philox(7), []
    for _ in range(2000):
        z = draw.standard_normal(40) + 4 * (np.arange(40) < 10)
        found = benjamini_hochberg(2 * stats.norm.sf(abs(z))) <= 0.05
        shares.append(found[10:].sum() / max(found.sum(), 1))
    assert np.mean(shares) == pytest.approx(0.0375, abs=0.006)


def test_t_test_is_the_paired_one_of_scipy():
    method = BASE + np.array([0.01, 0.02, 0.00, 0.03, 0.01])
    found, peer = paired(method, BASE), stats.ttest_rel(method, BASE)
    ends = peer.confidence_interval(0.95)
    assert found.p == pytest.approx(peer.pvalue)
    assert (found.difference.low, found.difference.high) == pytest.approx((ends.low, ends.high))
    assert found.difference.value == pytest.approx(0.014)
    assert found.noise == pytest.approx(0.0114017543)
    assert (found.n, found.wins, found.ties) == (5, 4, 1)


def test_pairs_share_a_seed():
    """A planted bug: the method's runs in another order would lose the pairing, and with it the effect."""
    noise = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    apart = np.array([0.010, 0.011, 0.009, 0.012, 0.010])
    assert paired(BASE + noise + apart, BASE + noise).p < 1e-3
    assert paired((BASE + noise + apart)[::-1], BASE + noise).p > 0.5


def test_bootstrap_of_two_seeds_by_hand():
    """Of two differences a resample has the mean of one, of the other, or of both; a quarter is each end."""
    found = paired(np.array([1.0, 3.0]), np.zeros(2)).bootstrap
    assert (found.low, found.value, found.high) == (1, 2, 3)


def test_bootstrap_is_of_the_seed():
    method, base = philox(1).standard_normal((2, 9))
    assert paired(method, base, seed=4) == paired(method, base, seed=4)
    assert paired(method, base, seed=4).bootstrap != paired(method, base, seed=5).bootstrap
    state = np.random.get_state()[1].tolist()
    paired(method, base)
    assert np.random.get_state()[1].tolist() == state


def test_probability_of_improvement_by_hand():
    """Of nine pairs (2, 3, 3) x (1, 2, 3): wins 1 + 2 + 2, ties 1 + 1 + 1."""
    assert improvement(np.array([2.0, 3, 3]), np.array([1.0, 2, 3])).value == pytest.approx((5 + 1.5) / 9)
    assert improvement(np.array([2.0, 3, 3]), np.array([1.0, 2, 3]), "lower").value == pytest.approx(2.5 / 9)
    assert improvement(np.array([1.0]), np.array([0.0])).note


def test_probability_of_improvement_is_that_of_mann_whitney():
    generator = philox(6)
    x, y = generator.integers(0, 9, 7).astype(float), generator.integers(0, 9, 7).astype(float)
    assert improvement(x, y).value == pytest.approx(stats.mannwhitneyu(x, y).statistic / 49)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_newcombe_by_search(share):
    """The ends by trying a million values of the formula."""
    true = np.linspace(0, 1, 1_000_001)
    variance = true * (1 - true) / 25 * (1 + 4 * ((1 - true) / (2 - true) + true / (1 + true)))
    inside = true[np.abs(true - share) <= 1.959964 * np.sqrt(variance)]
    assert mann_whitney_ends(share, 5, 5) == pytest.approx((inside[0], inside[-1]), abs=2e-6)


def test_complete_separation_has_an_interval():
    low, high = mann_whitney_ends(1.0, 5, 5)
    assert 0.5 < low < 0.8
    assert high == 1.0
    assert mann_whitney_ends(0.0, 5, 5) == pytest.approx((0, 1 - low))


def test_missing_runs_drop_the_pair():
    method, base = np.array([0.9, nan, 0.7, 0.8, 0.6]), np.array([0.8, 0.8, nan, 0.6, 0.5])
    found = paired(method, base)
    assert found.n == 3
    assert numbers(found.difference.note) == ["2", "5"]
    assert found.difference.value == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert found.p == pytest.approx(paired(method[[0, 3, 4]], base[[0, 3, 4]]).p)


def test_one_seed_has_a_difference_and_no_more():
    found = paired(np.array([0.9]), np.array([0.8]))
    assert found.difference.value == pytest.approx(0.1)
    assert "one seed" in found.difference.note
    for number in (found.noise, found.p, found.p_sign_flip, found.detectable, found.bootstrap.low):
        assert isnan(number)


def test_no_seed_in_common():
    found = paired(np.array([0.9, nan]), np.array([nan, 0.8]))
    assert (found.n, found.wins) == (0, 0)
    assert isnan(found.difference.value)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["p"] is None


@pytest.mark.parametrize("base", [BASE, BASE * 1e9, BASE * 1e-9])
def test_equal_differences_leave_the_t_test_without_an_answer(base):
    """0.85 - 0.84 is not 0.86 - 0.85 in floating point; a t test of that rounding would be sure of everything."""
    found = paired(base + base.max() / 100, base)
    assert found.constant
    assert isnan(found.p)
    assert not found.difference.bounded
    assert not found.bootstrap.bounded
    assert found.p_sign_flip == 2 / 32
    assert "noise" in found.difference.note


def test_the_same_runs_differ_by_nothing():
    found = paired(BASE, BASE.copy())
    assert (found.difference.value, found.wins, found.ties, found.p_sign_flip) == (0, 0, 5, 1)
    assert found.improvement.value == 0.5


def test_lower_is_better_turns_wins_and_not_the_difference():
    higher, lower = paired(BASE + 0.01 * np.arange(5), BASE), paired(BASE + 0.01 * np.arange(5), BASE, better="lower")
    assert higher.difference == lower.difference
    assert (higher.wins, lower.wins) == (4, 0)
    assert lower.improvement.value == pytest.approx(1 - higher.improvement.value)


def test_lengths_must_match():
    with pytest.raises(OverfocusError, match=r"5 .* 4\b"):
        paired(BASE, BASE[:4])


def test_t_test_of_one_number():
    assert isnan(t_test(np.array([1.0])))


@pytest.mark.parametrize("n", [3, 5, 20])
@pytest.mark.parametrize("size", [0.2, 0.7, 1.2])
def test_power_is_that_of_statsmodels(n, size):
    assert power(size, n) == pytest.approx(TTestPower().power(size, n, 0.05))


def test_power_has_no_holes():
    """scipy's noncentral t is NaN here and there, and a search over it would end early."""
    n = np.arange(2, 1000)
    found = np.array([power(size, n, level) for size in (0.1, 2.0, 20.0, 1e4) for level in (0.05, 0.0125, 0.00025)])
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=1) >= -1e-9).all()


@pytest.mark.parametrize("n", [3, 5, 10, 50])
def test_smallest_detectable_is_that_of_statsmodels(n):
    expected = TTestPower().solve_power(effect_size=None, nobs=n, alpha=0.05, power=0.8)
    assert smallest_detectable(2.0, n) == pytest.approx(2 * expected)


def test_smallest_detectable_is_detected_four_times_in_five():
    d = philox(9).standard_normal((10_000, 5)) + smallest_detectable(1.0, 5)
    assert np.mean(stats.ttest_1samp(d, 0, axis=1).pvalue <= 0.05) == pytest.approx(0.8, abs=0.015)


def test_seeds_to_settle_a_difference():
    peer = int(np.ceil(TTestPower().solve_power(effect_size=0.5, nobs=None, alpha=0.05, power=0.8)))
    assert seeds_to_settle(0.01, 0.02) == seeds_to_settle(-0.01, 0.02) == peer
    assert seeds_to_settle(0.01, 0.02, level=0.0125) > peer
    assert seeds_to_settle(100.0, 0.001) == 2


def test_seeds_to_settle_that_there_is_none():
    n = seeds_to_settle(0.0, 0.01, margin=0.01)
    d = 0.01 * philox(2).standard_normal((5000, int(n)))
    ends = stats.ttest_1samp(d, 0, axis=1).confidence_interval()
    assert 0.5 < np.mean((ends.low > -0.01) & (ends.high < 0.01)) < 0.9
    assert seeds_to_settle(0.0, 0.01) == np.inf
    assert isnan(seeds_to_settle(0.01, nan))
    assert isnan(seeds_to_settle(0.01, 0.0))


def test_seeds_that_a_sign_flip_test_needs():
    assert [seeds_to_flip(family) for family in (1, 4)] == [6, 8]
    for family in range(1, 30):
        n = seeds_to_flip(family)
        assert family * 2 / 2**n <= 0.05 < family * 2 / 2 ** (n - 1)
