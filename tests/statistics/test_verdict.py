"""Verdicts follow from the numbers, in words, and are seldom wrong where nothing is to be found."""

import json
from math import inf, isnan, nan

import numpy as np
import pytest
from study_noise import KINDS, SEEDS, alarms, flip_p, null_family, philox, runs, t_p

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.metrics.score import Metric
from overfocus.statistics.paired import holm
from overfocus.statistics.pictures import Pictures, tie_reach
from overfocus.statistics.verdict import compared, per_class_effects
from prose import numbers

BASE = np.array([0.80, 0.82, 0.81, 0.79, 0.83])
NOISE = np.array([0.001, -0.002, 0.0, 0.002, -0.001])


def effect(method, base=BASE, **terms):
    return compared({"plain": base, "other": method}, "plain", **terms).effects["other"]


def accuracy(method, base=BASE):
    return effect(method, base, margin=0.01, unit="points")


def test_better():
    found = accuracy(BASE + 0.02 + NOISE)
    assert found.verdict == "better"
    assert numbers(found.claim) == ["2.0", "1.8", "2.2"]
    assert "sign-flip" in found.caveat
    assert numbers(found.caveat) == ["5", "6"]
    assert found.sentence == f"{found.claim}; {found.caveat}"
    assert found.new_seeds == 0


def test_worse():
    found = accuracy(BASE - 0.02 + NOISE)
    assert (found.verdict, numbers(found.claim)) == ("worse", ["2.0", "1.8", "2.2"])


def test_lower_is_better():
    found = effect(BASE - 0.02 + NOISE, better="lower")
    assert (found.verdict, numbers(found.claim)) == ("better", ["0.020", "0.018", "0.022"])
    assert "lower" in found.claim
    assert effect(BASE + 0.02 + NOISE, better="lower").verdict == "worse"


def test_neither_is_better():
    found = effect(BASE - 0.02 + NOISE, better="neither", unit="of the map")
    assert (found.verdict, numbers(found.claim)) == ("different", ["0.020", "0.018", "0.022"])
    assert "lower" in found.claim
    assert "of the map" in found.claim


def test_better_by_less_than_matters():
    found = accuracy(BASE + 0.003 + NOISE / 4)
    assert found.verdict == "better"
    assert found.paired.difference.high < 0.01
    assert "1 point " in found.caveat


def test_no_difference_larger_than_the_margin():
    found = accuracy(BASE + NOISE)
    assert (found.verdict, numbers(found.claim)) == ("no difference", ["1", "+0.0", "-0.2", "0.2"])
    assert found.caveat == ""


def test_without_a_margin_nothing_is_said_to_make_no_difference():
    found = effect(BASE + NOISE + 1e-4)
    assert found.verdict == "too few seeds"
    assert found.new_seeds > 100


def test_too_few_seeds_and_how_many_more():
    found = accuracy(BASE + 0.006 + 6 * NOISE)
    assert found.verdict == "too few seeds"
    assert numbers(found.claim) == ["+0.6", "-0.6", "1.8"]
    assert 21.5 <= found.new_seeds < 22.5
    assert numbers(found.caveat) == ["22"]
    with pytest.warns(DeprecationWarning, match="new_seeds"):
        assert found.more_seeds == found.new_seeds - 5


def test_the_smaller_question_counts():
    """As near to 0 as that, seeds settle sooner that there is no difference than that there is one."""
    assert accuracy(BASE + 0.0002 + 9 * NOISE).new_seeds < effect(BASE + 0.0002 + 9 * NOISE).new_seeds


def test_what_nobody_can_settle():
    found = effect(BASE + 9 * NOISE)
    assert found.new_seeds == inf
    assert numbers(found.caveat) == ["1,000", "0.024", "4", "5"]
    assert found.as_dict()["new_seeds"] is None


def test_lost_to_holm():
    """Alone it would have been found; among four methods it may be the luckiest."""
    one = BASE + 0.005 + 2 * NOISE
    assert accuracy(one).verdict == "better"
    idle = {f"idle {n}": BASE + 20 * NOISE[np.roll(np.arange(5), n)] for n in range(3)}
    found = compared({"plain": BASE, "one": one, **idle}, "plain", margin=0.001, unit="points").effects["one"]
    assert found.verdict == "too few seeds"
    assert found.p == pytest.approx(4 * found.paired.p)
    assert found.paired.p <= 0.05 < found.p
    assert "Holm" in found.caveat
    assert {f"{found.paired.p:.2g}", f"{found.p:.2g}", "4"} <= set(numbers(found.caveat))


def test_sign_flips_that_could_speak_and_do_not():
    d = np.array([-0.1, 0.4, 0.4, 0.8, 0.6, 0.7]) / 100
    found = accuracy(0.8 + d, np.full(6, 0.8))
    assert (found.verdict, found.p_sign_flip) == ("better", 4 / 64)
    assert "sign-flip" in found.caveat
    assert numbers(found.caveat)[-1] == "0.062"


def test_sign_flips_that_confirm_are_no_caveat():
    found = accuracy(0.8 + np.array([0.2, 0.4, 0.4, 0.8, 0.6, 0.7]) / 100, np.full(6, 0.8))
    assert (found.verdict, found.p_sign_flip) == ("better", 2 / 64)
    assert "sign-flip" not in found.caveat


def test_one_seed():
    found = accuracy(BASE[:1] + 0.02, BASE[:1])
    assert (found.verdict, isnan(found.p), isnan(found.new_seeds)) == ("too few seeds", True, True)
    assert (numbers(found.claim), found.caveat) == (["+2.0"], found.paired.difference.note)
    assert found.caveat


def test_no_seed():
    found = accuracy(np.full(5, nan))
    assert (found.verdict, found.paired.n) == ("too few seeds", 0)
    assert (numbers(found.claim), numbers(found.caveat)) == ([], ["5", "5"])


def test_a_missing_run_is_told():
    method = BASE + 0.02 + NOISE
    method[1] = nan
    found = accuracy(method)
    assert found.paired.n == 4
    assert numbers(found.caveat)[:2] == ["1", "5"]


def test_the_same_difference_on_every_seed_is_no_certainty():
    found = accuracy(BASE + 0.01)
    assert found.verdict == "too few seeds"
    assert numbers(found.claim) == ["+1.0"]
    assert found.new_seeds == 6
    eight = np.linspace(0.8, 0.87, 8)
    found = accuracy(eight + 0.01, eight)
    assert (found.verdict, found.p) == ("better", 2 / 2**8)
    assert "sign-flip" in found.caveat


@pytest.mark.parametrize(
    ("reach", "verdict"),
    [(0.0, "no difference"), (0.009, "no difference"), (0.011, "too few seeds"), (nan, "too few seeds")],
)
def test_the_same_numbers_on_every_seed(reach, verdict):
    class Reaching(Pictures):
        def reach(self, share: float = 1.0) -> float:
            return reach

    same = np.zeros((5, 4), int)
    pictures = Reaching(same, same, same[0])
    found = compared({"plain": BASE, "a": BASE.copy()}, "plain", margin=0.01, pictures=lambda method: pictures)
    found = found.effects["a"]
    assert found.verdict == verdict
    assert numbers(found.claim) == ["5"]
    assert found.caveat


def test_how_far_a_tie_reaches():
    labels = np.arange(20) % 4
    right = np.stack([labels, labels])
    assert tie_reach(right, right.copy(), labels) == 0
    swapped = right.copy()
    swapped[0, :2] = labels[[1, 0]]  # as many right as before would need another image to be right instead
    wrong = right.copy()
    wrong[0, 2:4] = labels[[3, 2]]
    # Two images lost and two won, each on one of two seeds: 4 x 0.5^2 = 1, and 1 more.
    assert tie_reach(swapped, wrong, labels) == pytest.approx(1.959964 * 2**0.5 / 22)
    assert tie_reach(right, np.stack([labels, (labels + 1) % 4]), labels) > tie_reach(swapped, wrong, labels)


def test_a_tie_on_few_images_is_no_proof():
    """Two seeds, 20 images, a true difference of 1.5 points: studies that agree to the last image decide nothing."""
    random = np.random.default_rng(0)
    labels, ties = np.zeros(20, int), 0

    def predictions(accuracy: float) -> np.ndarray:
        return np.where(random.random((2, 20)) < accuracy, 0, 1 + (random.random((2, 20)) < 0.5))

    for _ in range(600):
        base, better = predictions(0.9), predictions(0.915)
        values = {"plain": (base == labels).mean(axis=1), "a": (better == labels).mean(axis=1)}
        pictures = Pictures(better, base, labels)
        found = compared(values, "plain", margin=0.01, pictures=lambda _, p=pictures: p).effects["a"]
        ties += found.paired.constant and found.paired.difference.value == 0
        assert found.verdict != "no difference" or np.array_equal(base, better)
    assert ties > 10


def test_all_of_a_study():
    found = compared({"plain": BASE, "a": BASE + 0.02 + NOISE, "b": np.full(5, nan)}, "plain", margin=0.01)
    assert list(found.means) == ["plain", "a", "b"]
    assert list(found.effects) == ["a", "b"]
    assert found.means["plain"].value == pytest.approx(0.81)
    assert found.effects["a"].p == pytest.approx(found.effects["a"].paired.p)  # b is not in the family
    there = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert there["effects"]["a"]["verdict"] == "better"
    assert there["effects"]["b"]["paired"]["difference"]["value"] is None


def test_the_order_of_methods_changes_nothing():
    values = {
        name: BASE + shift + NOISE * k for k, (name, shift) in enumerate({"a": 0.01, "b": 0.02, "c": 0.0}.items())
    }
    there = compared({"plain": BASE, **values}, "plain").effects
    back = compared({**dict(reversed(values.items())), "plain": BASE}, "plain").effects
    for name in values:
        assert repr(there[name]) == repr(back[name]), "some numbers are NaN, which is not equal to itself"


def test_a_study_of_the_baseline_alone():
    found = compared({"plain": BASE}, "plain")
    assert found.effects == {}


def test_wrong_terms_are_refused():
    with pytest.raises(UnknownName, match="plan"):
        compared({"plain": BASE}, "plan")
    with pytest.raises(UnknownName, match="highest"):
        compared({"plain": BASE}, "plain", better="highest")
    with pytest.raises(OverfocusError, match="margin"):
        compared({"plain": BASE}, "plain", margin=-0.01)
    with pytest.raises(OverfocusError, match=r"\[S, K\]"):
        per_class_effects(BASE, BASE)


def test_directions_are_those_of_metrics():
    for better in ("higher", "lower", "neither"):
        assert compared({"plain": BASE}, "plain", better=Metric("t", "f", better).better).better == better


def test_ends_are_not_rounded_to_nothing():
    """An interval that leaves 0 out must not be shown as one that begins at 0.0."""
    found = accuracy(BASE + 0.0021 + NOISE)
    assert found.verdict == "better"
    assert numbers(found.claim) == ["0.21", "0.01", "0.41"]


def test_effects_by_class():
    base = np.stack([BASE, BASE, np.full(5, nan)], axis=1)
    method = base + np.stack([0.02 + NOISE, 3 * NOISE, NOISE], axis=1)
    found = per_class_effects(method, base)
    assert [each.verdict for each in found] == ["better", "too few seeds", "too few seeds"]
    assert found[0].p == pytest.approx(2 * found[0].paired.p)  # the class without images is not in the family
    assert isnan(found[2].p)


def test_classes_are_a_family():
    """Twenty classes of which nothing is true: the luckiest is not called better."""
    generator = philox(1)
    base = generator.standard_normal((5, 20))
    found = per_class_effects(base + generator.standard_normal((5, 20)), base)
    assert min(each.paired.p for each in found) < 0.05
    assert {each.verdict for each in found} == {"too few seeds"}
    assert not any("methods" in each.sentence for each in found)


@pytest.mark.parametrize("n", SEEDS)
def test_false_alarms(n):
    """At most 5 % of studies call one of four idle methods better or worse; Monte Carlo error 0.12 %."""
    assert 0.03 < alarms(t_p(null_family("normal", 30_000, n, 4, philox(n)))) < 0.0525


def test_alarms_are_those_of_holm():
    p = t_p(null_family("normal", 200, 5, 4, philox(2)))
    assert alarms(p) == np.mean([(holm(each) <= 0.05).any() for each in p])


def test_without_holm_there_would_be_too_many():
    p = t_p(null_family("normal", 5000, 5, 4, philox(3)))
    assert np.mean((p <= 0.05).any(axis=1)) > 0.1


def test_sign_flips_over_four_methods_cannot_speak_below_eight_seeds():
    d = null_family("normal", 500, 7, 4, philox(1)) + 100
    assert alarms(flip_p(d)) == 0
    d = null_family("normal", 500, 8, 4, philox(1)) + 100
    assert alarms(flip_p(d)) == 1


def test_verdicts_are_those_of_the_simulation():
    """What the figures are simulated with is what a study is judged by."""
    d = null_family("normal", 12, 5, 4, philox(4)) + 1.5
    for each in d:
        found = compared({"plain": np.zeros(5), **{str(k): row for k, row in enumerate(each)}}, "plain")
        assert [effect.p for effect in found.effects.values()] == pytest.approx(list(holm(t_p(each))))
        assert [effect.p_sign_flip for effect in found.effects.values()] == pytest.approx(list(holm(flip_p(each))))


@pytest.mark.slow
@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_false_alarms_of_all_kinds_of_noise(kind, n):
    """Four idle methods, all against the same baseline runs; Monte Carlo error 0.07 %."""
    assert alarms(t_p(null_family(kind, 100_000, n, 4, philox(n)))) < 0.052


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10])
def test_false_alarms_of_the_code_itself(n):
    """As above, through `compared`; Monte Carlo error 1.3 %."""
    said = []
    for study in runs("discrete", (300, 5, n), philox(50 + n)):
        found = compared({str(k): row for k, row in enumerate(study)}, "0", margin=0.01)
        said.append(any(each.verdict in ("better", "worse") for each in found.effects.values()))
    assert np.mean(said) <= 0.05 + 2 * 0.013


@pytest.mark.slow
def test_no_difference_is_seldom_said_of_one_as_large_as_the_margin():
    """At most 2.5 % for a true difference at the margin; Monte Carlo error 0.5 %."""
    said = []
    for d in 0.01 + 0.004 * philox(7).standard_normal((1000, 5)):
        said.append(compared({"plain": np.zeros(5), "a": d}, "plain", margin=0.01).effects["a"].verdict)
    assert said.count("no difference") / len(said) <= 0.025 + 0.01
