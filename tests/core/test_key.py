from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from overfocus.core import key as draw_module
from overfocus.core.key import Key, beta


def test_the_first_numbers_are_pinned():
    """A changed number changes every run that was ever recorded."""
    key = Key.seeded(0, 1, 2).fold_in("name")
    assert key.words.tolist() == PINNED_KEY
    assert key.bits(2, 3).tolist() == PINNED_BITS
    assert key.order(6).tolist() == PINNED_ORDER
    assert key.derangement(5).tolist() == PINNED_PARTNERS
    assert Key.seeded(-1).fold_in(2**40 + 7).bits(1).item() == PINNED_FAR


PINNED_KEY = [2757093096, 1077578832]
PINNED_BITS = [[3121398213, 2867912297, 411624704], [558467593, 187457445, 1513398297]]
PINNED_ORDER = [1, 5, 4, 2, 0, 3]
PINNED_PARTNERS = [2, 3, 4, 0, 1]
PINNED_FAR = 2069411445


def test_uniform_is_uniform():
    sample = Key.seeded(3).uniform(300, 300).double()
    assert sample.min() >= 0
    assert sample.max() < 1
    assert stats.kstest(sample.flatten().numpy(), "uniform").pvalue > 0.01


def test_normal_is_normal():
    assert stats.kstest(Key.seeded(4).normal(200, 200).flatten().numpy(), "norm").pvalue > 0.01


def test_every_bit_is_fair():
    bits = Key.seeded(5).bits(500, 200)
    shares = torch.stack([((bits >> place) & 1).double().mean() for place in range(32)])
    assert (shares - 0.5).abs().max() < 5 * 0.5 / bits.numel() ** 0.5


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_and_columns_are_independent(axis):
    sample = (Key.seeded(6).uniform(256, 256).double() - 0.5) * 12**0.5
    sample = sample if axis else sample.T
    correlations = (sample @ sample.T / 256)[~torch.eye(256, dtype=torch.bool)]
    assert correlations.abs().max() < 6 / 256**0.5
    assert correlations.std() == pytest.approx(1 / 256**0.5, rel=0.05)


def test_no_row_is_another_one_shifted():
    bits = Key.seeded(7).bits(200, 200)
    assert bits.unique().numel() >= bits.numel() - 5  # by chance 0.2 pairs are equal


def test_steps_seeds_and_names_are_independent():
    steps = torch.stack([Key.seeded(0, epoch, step).uniform(1, 1)[0, 0] for epoch in range(20) for step in range(30)])
    seeds = torch.stack([Key.seeded(seed).uniform(1, 1)[0, 0] for seed in range(600)])
    names = torch.stack([Key.seeded(0).fold_in(f"layer{number}").uniform(1, 1)[0, 0] for number in range(600)])
    for sample in (steps, seeds, names):
        assert stats.kstest(sample.numpy(), "uniform").pvalue > 0.01
        centred = (sample.double() - 0.5) * 12**0.5
        for lag in (1, 2, 50):
            assert (centred[lag:] * centred[:-lag]).mean().abs() < 4 / len(sample) ** 0.5


def test_a_counter_may_be_a_number_or_a_tensor():
    for counter in (0, 5, 2**33 + 1, -3):
        assert torch.equal(Key.seeded(1, counter).words, Key.seeded(1, torch.tensor(counter)).words)


def test_no_two_counters_make_the_same_key():
    keys = {tuple(Key.seeded(0).fold_in(counter).words.tolist()) for counter in range(500)}
    assert len(keys) == 500


def test_rows_of_a_part_are_those_of_the_whole():
    whole = Key.seeded(8)
    part = Key(whole.words, first_row=5)
    assert torch.equal(whole.uniform(12, 3)[5:9], part.uniform(4, 3))
    assert torch.equal(whole.normal(12, 3)[5:9], part.normal(4, 3))


def test_more_columns_leave_the_first_as_they_were():
    assert torch.equal(Key.seeded(8).uniform(4, 7)[:, :3], Key.seeded(8).uniform(4, 3))


@pytest.mark.parametrize("rows", [2, 3, 4, 7, 64])
def test_partners_are_others_and_each_is_used_once(rows):
    for seed in range(10):
        partners = Key.seeded(seed).derangement(rows)
        assert (partners != torch.arange(rows)).all()
        assert torch.equal(partners.sort().values, torch.arange(rows))


def test_a_batch_of_one_is_its_own_partner():
    assert Key.seeded(0).derangement(1).tolist() == [0]


def test_every_other_row_is_a_partner_equally_often():
    partners = torch.stack([Key.seeded(seed).derangement(5) for seed in range(1000)])
    counts = torch.stack([(partners == other).sum(0) for other in range(5)])[~torch.eye(5, dtype=torch.bool)]
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_the_global_random_state_is_neither_read_nor_moved():
    torch.manual_seed(1)
    before, first = torch.get_rng_state(), Key.seeded(2).normal(3, 3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, Key.seeded(2).normal(3, 3))


def test_seeds_for_others_are_non_negative_and_differ():
    seeds = [Key.seeded(0, number).seed() for number in range(100)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == 100


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 2.0, 8.0])
def test_beta_is_the_beta_distribution(alpha):
    uniform = Key.seeded(9).uniform(40_000)[:, 0]
    sample = beta(uniform, alpha)
    assert ((sample >= 0) & (sample <= 1)).all()
    law, x, u = stats.beta(alpha, alpha), sample.double().numpy(), uniform.double().numpy()
    nearest = 2.0**-24  # two numbers below 1 that float32 cannot tell apart
    assert (law.cdf(np.clip(x - nearest, 0, 1)) - 2**-12 <= u).all()
    assert (u <= law.cdf(np.clip(x + nearest, 0, 1)) + 2**-12).all()


@pytest.mark.parametrize("first", [0, 7, torch.tensor([5, 0, 2**31, 9])])
def test_processors_and_devices_draw_the_same_bits(monkeypatch, first):
    """On a processor NumPy does it; what every other device does is the other way."""

    def drawn() -> list[torch.Tensor]:
        key = replace(Key.seeded(3).fold_in("cutmix").fold_in(2**40 + 1), first_row=first)
        return [key.words, key.bits(4, 5), key.uniform(4, 5), key.normal(4, 3)]

    by_numpy = drawn()
    monkeypatch.setattr(draw_module, "by_hand", lambda *_: False)
    for one, other in zip(by_numpy, drawn(), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
