"""Studies whose methods do nothing, from predictions on few test pictures up: verdicts are wrong in at most 5 %.

Runs are right on a picture with a chance that depends on the picture and a little on the seed, so that seeds tie, as
they do with 20 test pictures. What `compared` says is simulated at once for many studies, and checked against it.
"""

import numpy as np
import pytest
from scipy import stats
from study_noise import philox, t_p

from overfocus.metrics.score import NORMAL
from overfocus.statistics.paired import holm
from overfocus.statistics.pictures import Pictures
from overfocus.statistics.verdict import compared, per_class_effects

MARGIN = 0.01
GRID = [(2, 20), (3, 20), (5, 20), (5, 200), (10, 100)]


def predictions(draw, studies, methods, seeds, pictures, gain=0.0):
    """Whether runs are right: [studies, methods + 1, seeds, pictures]; the methods are `gain` better than the first."""
    ease = np.clip(draw.beta(9, 1, (studies, 1, 1, pictures)), 0, 1 - gain)
    skill = draw.normal(0, 0.01, (studies, methods + 1, seeds, 1))
    better = gain * (np.arange(methods + 1) > 0)[:, None, None]
    return draw.random((studies, methods + 1, seeds, pictures)) < ease + skill + better


def verdicts_at_once(right):
    """What is said of every method: [studies, methods], 1 for better or worse, -1 for no difference, 0 otherwise."""
    accuracy = right.mean(axis=-1)
    d = np.round(accuracy[:, 1:] - accuracy[:, :1], 12)
    n, flat = d.shape[-1], np.ptp(d, axis=-1) == 0
    flips = np.where(d[..., 0] == 0, 1.0, 2.0 / 2**n)
    p = np.where(flat, flips, t_p(d))
    said = np.stack([holm(each) <= 0.05 for each in p]).astype(int)
    reach = np.abs(d.mean(axis=-1)) + stats.t.isf(0.025, n - 1) * stats.sem(d, axis=-1)
    within = ~flat & (reach <= MARGIN)
    each = (right[:, 1:].astype(float) - right[:, :1]).mean(axis=2)
    tied = NORMAL * np.sqrt(np.square(each).sum(axis=-1) + 1) / (right.shape[-1] + 2)
    alike = (right[:, 1:] == right[:, :1]).all(axis=(2, 3))
    within |= flat & (d[..., 0] == 0) & (alike | (tied <= MARGIN))
    return np.where(said == 1, 1, -within.astype(int))


def said_by_the_code(right):
    labels = np.zeros(right.shape[-1], int)
    values = {str(k): each.mean(axis=-1) for k, each in enumerate(right)}
    wrong = (~right).astype(int)
    found = compared(values, "0", margin=MARGIN, pictures=lambda k: Pictures(wrong[int(k)], wrong[0], labels)).effects
    return [{"better": 1, "worse": 1, "no difference": -1, "too few seeds": 0}[e.verdict] for e in found.values()]


@pytest.mark.parametrize(("seeds", "pictures"), GRID)
def test_what_is_simulated_is_what_is_said(seeds, pictures):
    right = predictions(philox(pictures), 40, 2, seeds, pictures)
    assert verdicts_at_once(right).tolist() == [said_by_the_code(study) for study in right]


@pytest.mark.parametrize("methods", [1, 4])
@pytest.mark.parametrize(("seeds", "pictures"), GRID)
def test_no_method_that_does_nothing_is_better_or_worse(seeds, pictures, methods):
    """Monte Carlo error 0.4 % at most."""
    said = verdicts_at_once(predictions(philox(seeds), 3000, methods, seeds, pictures))
    assert (said == 1).any(axis=1).mean() <= 0.05 + 2 * 0.004


@pytest.mark.parametrize(("seeds", "pictures"), GRID)
def test_no_difference_is_seldom_said_of_one_that_matters(seeds, pictures):
    """A true difference of 1.5 points, with a margin of 1: at most 2.5 %; Monte Carlo error 0.3 %."""
    right = predictions(philox(seeds), 3000, 1, seeds, pictures, gain=0.015)
    assert (verdicts_at_once(right) == -1).mean() <= 0.025 + 2 * 0.003


def test_a_tie_taken_as_no_difference_is_wrong_too_often():
    """The planted bug: equal numbers on both seeds, taken as proof, where the code says "too few seeds"."""
    right = predictions(philox(9), 3000, 1, 2, 20, gain=0.015)
    accuracy = right.mean(axis=-1)
    ties = (accuracy[:, 0] == accuracy[:, 1]).all(axis=-1)
    assert ties.mean() > 0.025 + 4 * 0.003
    alike = (right[:, 0] == right[:, 1]).all(axis=(1, 2))
    assert not verdicts_at_once(right)[ties & ~alike].any()


@pytest.mark.parametrize(("seeds", "pictures"), GRID)
def test_no_class_gains_or_pays_where_nothing_is_done(seeds, pictures):
    """Five classes of a method that does nothing, one family; Monte Carlo error 0.4 %. A class has few pictures."""
    right = predictions(philox(pictures), 3000, 1, seeds, 5 * pictures)
    by_class = right.reshape(3000, 2, seeds, 5, pictures).transpose(0, 3, 1, 2, 4)
    accuracy = by_class.mean(axis=-1)
    d = np.round(accuracy[:, :, 1] - accuracy[:, :, 0], 12)
    flat = np.ptp(d, axis=-1) == 0
    p = np.where(flat, np.where(d[..., 0] == 0, 1.0, 2.0 / 2**seeds), t_p(d))
    shown = np.stack([holm(each) <= 0.05 for each in p])
    assert shown.any(axis=1).mean() <= 0.05 + 2 * 0.004
    for study, expected in zip(range(20), shown):
        found = per_class_effects(accuracy[study, :, 1].T, accuracy[study, :, 0].T)
        assert [each.verdict in ("better", "worse") for each in found] == expected.tolist()
        assert not [each for each in found if each.verdict == "no difference" and each.paired.constant]
