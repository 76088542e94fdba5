"""Running means: the same as at once, in constant memory, however the images are split."""

import math

import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics import focus, spread
from overfocus.metrics.running import Running
from overfocus.metrics.score import mean_score

MAPS = torch.rand(60, 4, 5, generator=torch.Generator().manual_seed(0))
MAPS[7] = 0


def test_it_is_the_mean_at_once_with_the_images_that_have_an_answer():
    running = Running(spread.ALL)
    for some in MAPS.split(13):
        running.update(some)
    for name, score in running.compute().items():
        metric, of = spread.ALL[name]
        whole = mean_score(metric, of(MAPS))
        assert (score.value, score.n, score.note) == (pytest.approx(whole.value, abs=1e-12), 59, whole.note)
        assert (score.low, score.high) == pytest.approx((whole.low, whole.high), abs=0.15 * (whole.high - whole.low))


def test_processes_add_up_in_any_order_and_are_left_alone():
    masks = MAPS > 0.5
    parts = []
    for rows in (slice(0, 20), slice(20, 21), slice(21, 60)):
        part = Running(focus.ALL)
        part.update(MAPS[rows], masks[rows])
        parts.append(part)
    first, second, third = parts
    before = {name: value.clone() for name, value in first.sums.items()}
    one, other = first.merge(second).merge(third).compute(), third.merge(first.merge(second)).compute()
    assert all(one[name].value == pytest.approx(other[name].value) and one[name].n == other[name].n for name in one)
    assert all(torch.equal(first.sums[name], before[name]) for name in before)
    assert one["energy_inside"].n == 59


def test_nothing_is_no_answer_and_an_empty_one_changes_nothing():
    empty, full = Running(spread.ALL), Running(spread.ALL)
    assert all(math.isnan(score.value) for score in empty.compute().values())
    full.update(MAPS)
    assert full.merge(empty).compute() == full.compute()


def test_its_size_does_not_grow():
    running = Running(spread.ALL)
    for _ in range(100):
        running.update(MAPS[:3])
    assert sum(value.numel() for value in running.sums.values()) == 4 * len(spread.ALL)


def test_other_metrics_are_not_merged():
    with pytest.raises(OverfocusError, match="one kind"):
        Running(spread.ALL).merge(Running(focus.ALL))
