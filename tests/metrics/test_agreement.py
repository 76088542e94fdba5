import math

import pytest
import torch
from scipy import stats

from overfocus.core.errors import OverfocusError
from overfocus.metrics.agreement import agreement, chance_iou, rank_correlation, ranks, top_area, top_iou


def sample(b=6, h=5, w=8, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(b, h, w, generator=source), torch.randn(b, h, w, generator=source)


@pytest.mark.parametrize("steps", [0, 2, 1])
def test_parity_with_scipy(steps):
    first, second = sample()
    second = second + first
    if steps:
        first, second = (first * steps).round(), (second * steps).round()
    expected = [stats.spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second)]
    assert rank_correlation(first, second).tolist() == pytest.approx(expected)
    assert ranks(first)[0].tolist() == stats.rankdata(first[0].flatten()).tolist()


def test_top_area_by_hand():
    maps = torch.tensor([[[0.0, 4.0, 1.0, 3.0, -9.0]], [[2.0, 2.0, 2.0, 0.0, 5.0]], [[0.0, 0.0, 7.0, 0.0, -1.0]]])
    assert top_area(maps, 0.4).tolist() == [
        [0, 1, 0, 1, 0],
        pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 1]),
        [0, 0, 1, 0, 0],
    ]


def test_top_area_is_k_positions_where_enough_are_positive():
    maps = torch.rand(7, 5, 6, generator=torch.Generator().manual_seed(0)) + 0.1
    for q, count in ((0.001, 1), (0.2, 6), (0.5, 15), (1.0, 30)):
        torch.testing.assert_close(top_area(maps, q).sum(1), torch.full((7,), float(count)).double())
    torch.testing.assert_close(top_area((maps * 3).round(), 0.2).sum(1), torch.full((7,), 6.0).double())


def test_iou_read_literally():
    first, second = (maps.abs() for maps in sample())
    for q in (0.1, 0.2, 0.5):
        count = round(q * 40)
        for found, a, b in zip(top_iou(first, second, q), first, second):
            one, other = (set(each.flatten().topk(count).indices.tolist()) for each in (a, b))
            assert found.item() == pytest.approx(len(one & other) / len(one | other))


def test_the_same_map_agrees_and_its_negative_does_not():
    first = torch.rand(4, 3, 7, generator=torch.Generator().manual_seed(0)) + 0.1
    assert top_iou(first, first).tolist() == pytest.approx([1.0] * 4)
    assert rank_correlation(first, first * 3 + 1).tolist() == pytest.approx([1.0] * 4)
    assert rank_correlation(first, -first).tolist() == pytest.approx([-1.0] * 4)
    assert top_iou(first, 1.2 - first).tolist() == pytest.approx([0.0] * 4)


def test_maps_without_an_answer():
    first, _ = sample(5)
    second = first.abs()
    second[0], second[1], second[2, 0, 0], second[3] = 0, 2.5, torch.nan, -1
    second[4, 0, 0] = torch.inf
    assert top_iou(first, second).isnan().all()
    assert rank_correlation(first, second).isnan().all()
    assert rank_correlation(second, first).isnan().all()
    found = agreement(first, second)
    assert not found["iou"].answered
    assert not found["spearman"].answered


@pytest.mark.parametrize(("positions", "q"), [(10, 0.2), (7, 0.5), (5, 0.9), (49, 0.2), (4, 1.0), (3, 0.01)])
def test_chance_is_the_hypergeometric_mean(positions, q):
    count = max(1, round(q * positions))
    expected = sum(
        x / (2 * count - x) * stats.hypergeom.pmf(x, positions, count, count) for x in range(count + 1)
    )  # fmt: skip
    assert chance_iou(positions, q) == pytest.approx(expected)


def test_random_maps_agree_by_chance():
    source = torch.Generator().manual_seed(1)
    first, second = (torch.rand(4000, 4, 6, generator=source) for _ in range(2))
    found = agreement(first, second, q=0.25)
    assert found["iou"].value == pytest.approx(found["chance_iou"].value, abs=0.01)
    assert found["spearman"].value == pytest.approx(0, abs=0.02)
    assert math.isfinite(chance_iou(224 * 224))


def test_odd_inputs():
    first, second = sample(1)
    assert top_iou(first, second).shape == (1,)
    assert rank_correlation(first.bfloat16(), second).shape == (1,)
    kept = first.clone()
    agreement(first, second)
    assert torch.equal(first, kept)
    assert not agreement(first[:0], second[:0])["iou"].answered
    with pytest.raises(OverfocusError, match="resized"):
        top_iou(first, second[:, :3])
    with pytest.raises(OverfocusError, match="q = 0"):
        top_iou(first, second, 0)
