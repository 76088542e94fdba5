"""Spread: known answers, slow readings of every formula, and direction."""

import math

import pytest
import torch

from overfocus.metrics.spread import ALL, effective_area, entropy, gini, mass_area, participation

NAMES = list(ALL)
ONE = torch.zeros(1, 3, 5)
ONE[0, 1, 2] = 7.0
EVEN = torch.full((1, 3, 5), 0.2)


def by(name, maps):
    return ALL[name][1](maps)


def read_slowly(name: str, values: list[float]) -> float:
    """Compute a number of one map as its formula is printed."""
    n, total = len(values), sum(values)
    share = sorted(v / total for v in values)
    nats = -sum(p * math.log(p) for p in share if p > 0)
    if name == "gini":
        return sum(abs(a - b) for a in share for b in share) / (2 * n * n * (1 / n))
    if name == "entropy":
        return nats / math.log(n)
    if name == "effective_area":
        return math.exp(nats) / n
    if name == "participation":
        return total**2 / (n * sum(v * v for v in values))
    part, held = int(name.removeprefix("mass_")) / 100, 0.0
    for count, p in enumerate(reversed(share), start=1):
        held += p
        if held >= part - 1e-12:
            return count / n
    raise AssertionError


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_its_formula_says(name):
    maps = torch.rand(6, 4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    maps[0, :2] = 0
    slow = [read_slowly(name, row.flatten().tolist()) for row in maps]
    assert torch.allclose(by(name, maps), torch.tensor(slow, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(("name", "one", "even"), [
    ("gini", 1 - 1 / 15, 0.0), ("entropy", 0.0, 1.0), ("effective_area", 1 / 15, 1.0), ("participation", 1 / 15, 1.0),
    ("mass_50", 1 / 15, 8 / 15), ("mass_80", 1 / 15, 12 / 15), ("mass_90", 1 / 15, 14 / 15),
])  # fmt: skip
def test_one_point_and_an_even_map_have_known_numbers(name, one, even):
    assert float(by(name, ONE)) == pytest.approx(one, abs=1e-9)
    assert float(by(name, EVEN)) == pytest.approx(even, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_its_direction_is_that_of_its_card(name):
    metric = ALL[name][0]
    wider = float(by(name, EVEN)) > float(by(name, ONE))
    assert wider == (metric.better == "higher")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_map_without_mass_has_no_answer(name, bad):
    maps = torch.stack((torch.full((3, 4), bad), torch.ones(3, 4)))
    found = by(name, maps)
    assert found[0].isnan()
    assert found[1].isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_it_knows_neither_scale_nor_place_nor_what_speaks_against(name):
    maps = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1)) + 0.3
    found = by(name, maps)
    assert torch.allclose(by(name, 17 * maps), found)
    assert torch.allclose(by(name, maps.flip(1).roll(2, 2)), found)
    assert torch.allclose(by(name, maps.clamp(min=0)), found)


def test_the_input_is_not_written_to_and_half_precision_is_read():
    maps = torch.rand(2, 3, 4)
    before = maps.clone()
    for name in NAMES:
        by(name, maps)
        by(name, maps.bfloat16())
    assert torch.equal(maps, before)


def test_a_single_position_has_no_entropy_and_a_full_area():
    maps = torch.ones(2, 1, 1)
    assert entropy(maps).isnan().all()
    assert effective_area(maps).tolist() == [1, 1]
    assert gini(maps).tolist() == [0, 0]
    assert participation(maps).tolist() == [1, 1]


def test_a_part_that_is_held_exactly_needs_no_position_more():
    maps = torch.tensor([[5.0, 3.0, 1.0, 1.0]])
    assert mass_area(maps, 0.5).tolist() == [0.25]
    assert mass_area(maps, 0.8).tolist() == [0.5]
    assert mass_area(maps, 0.9).tolist() == [0.75]
