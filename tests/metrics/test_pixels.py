"""PxAP, against a loop over thresholds, cases made by hand, and torchmetrics."""

import numpy as np
import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics.iou_hits import scaled
from overfocus.metrics.pixels import PxAP


def drawn(seed=0, count=5, size=(9, 13)):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(count, *size, generator=generator) < torch.linspace(0.1, 0.6, count)[:, None, None]
    return torch.randn(count, *size, generator=generator, dtype=torch.float64) + masks, masks


def accumulated(*inputs):
    precision = PxAP()
    precision.update(*inputs)
    return precision


def slow(maps, masks, ignored=None):
    """The area under the pooled curve, threshold by threshold."""
    scores = [(each - each.min()) / (each - each.min()).max() for each in maps.numpy()]
    counted = np.ones(masks.shape, bool) if ignored is None else ~(ignored & ~masks).numpy()
    scores, truth = np.stack(scores)[counted], masks.numpy()[counted]
    area, before = 0.0, 0.0
    for threshold in [1.0, *np.arange(0, 1, 0.001)[::-1]]:
        called = scores >= threshold
        recall = (called & truth).sum() / truth.sum()
        if called.any():
            area += (called & truth).sum() / called.sum() * (recall - before)
        before = recall
    return area


def test_every_threshold_by_itself():
    maps, masks = drawn()
    assert accumulated(maps, masks).compute()["pxap"].value == pytest.approx(slow(maps, masks), abs=1e-12)


def test_ignored_pixels_do_not_count_but_those_of_the_object_do():
    maps, masks = drawn(1)
    ignored = torch.rand(maps.shape, generator=torch.Generator().manual_seed(2)) < 0.4
    found = accumulated(maps, masks, ignored).compute()["pxap"].value
    assert found == pytest.approx(slow(maps, masks, ignored), abs=1e-12)
    assert found != pytest.approx(slow(maps, masks), abs=1e-3)


@pytest.mark.slow  # importing torchmetrics takes seconds
def test_as_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    maps, masks = drawn(3)
    thresholds = torch.from_numpy(np.append(np.arange(0, 1, 0.001), 1.0))
    expected = functional.binary_average_precision(scaled(maps)[0].flatten(), masks.flatten().long(), thresholds)
    assert accumulated(maps, masks).compute()["pxap"].value == pytest.approx(expected.item(), abs=1e-6)


def test_a_perfect_map_has_1_and_an_even_one_the_share_of_the_object():
    _, masks = drawn(4)
    assert accumulated(masks.float(), masks).compute()["pxap"].value == 1
    even = accumulated(torch.ones(masks.shape), masks)
    share = masks.double().mean().item()
    assert even.compute()["pxap"].value == pytest.approx(share)
    assert even.compute()["pxap_even"].value == pytest.approx(share)
    assert even.without_answer == 5
    assert "5 maps without an answer counted as even" in even.compute()["pxap"].note


def test_by_hand():
    """At 1: one pixel, right. At 0.5: three pixels, two right. At 0: four pixels, two right."""
    maps, masks = torch.tensor([[[2.0, 1.0], [1.0, 0.0]]]), torch.tensor([[[True, True], [False, False]]])
    assert accumulated(maps, masks).compute()["pxap"].value == pytest.approx(1 * 0.5 + 2 / 3 * 0.5)


def test_images_without_an_object_are_left_out_and_told():
    maps, masks = drawn(5)
    empty = masks.clone()
    empty[1] = False
    found = accumulated(maps, empty).compute()["pxap"]
    kept = torch.tensor([0, 2, 3, 4])
    assert found.value == pytest.approx(slow(maps[kept], masks[kept]))
    assert found.n == 4
    assert "1 images without an object left out" in found.note


def test_small_objects_are_judged_apart():
    maps, masks = drawn(6)
    small = masks.double().mean(dim=(1, 2)) < 1 / 3
    assert 0 < small.sum() < 5
    found = accumulated(maps, masks).compute()
    assert found["pxap_small"].value == pytest.approx(slow(maps[small], masks[small]))
    assert found["pxap_small"].n == small.sum()


def test_nothing_at_all_has_no_answer():
    assert not any(score.answered for score in PxAP().compute().values())
    none = accumulated(torch.rand(2, 3, 4), torch.zeros(2, 3, 4, dtype=torch.bool))
    assert not none.compute()["pxap"].answered
    assert none.without_object == 2


def test_a_map_that_is_not_finite_counts_as_even():
    maps, masks = drawn(7, 1)
    maps[0, 2, 3] = torch.nan
    assert accumulated(maps, masks).compute()["pxap"].value == pytest.approx(masks.double().mean().item())


def test_order_and_batches_change_nothing_even_in_the_interval():
    maps, masks = drawn(8, 6)
    whole = accumulated(maps, masks)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    parts = accumulated(maps[order[:1]], masks[order[:1]])
    parts.update(maps[order[1:]], masks[order[1:]])
    np.testing.assert_array_equal(parts.counts, whole.counts)
    for name, score in whole.compute().items():
        again = parts.compute()[name]
        assert (again.value, again.low, again.high) == pytest.approx((score.value, score.low, score.high))


def test_the_interval_is_that_of_a_bootstrap_over_images():
    maps, masks = drawn(9, 40)
    precision = accumulated(maps, masks)
    found = precision.compute()["pxap"]
    resampled = precision.counts[0, 1:].sum(axis=(1, 2)) / precision.counts[0, 0].sum()
    assert resampled.mean() == pytest.approx(1, abs=0.05), "each image is drawn once on average"
    assert resampled.std() == pytest.approx(40**-0.5, rel=0.2)
    random = np.random.Generator(np.random.Philox(0))
    drawn_again = [slow(maps[rows], masks[rows]) for rows in random.integers(0, 40, (25, 40))]
    assert found.low < found.value < found.high
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(np.std(drawn_again), rel=0.4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_precisions_and_inputs_unchanged(dtype):
    maps, masks = drawn(10)
    maps = maps.to(dtype)
    before = maps.clone(), masks.clone()
    assert accumulated(maps, masks).compute()["pxap"].value == pytest.approx(slow(maps.double(), masks))
    assert torch.equal(maps, before[0])
    assert torch.equal(masks, before[1])


def test_errors_name_the_shapes():
    maps, masks = drawn()
    with pytest.raises(OverfocusError, match="bool"):
        PxAP().update(maps, masks.float())
    with pytest.raises(OverfocusError, match=r"\(4, 9, 13\)"):
        PxAP().update(maps, masks[:4])
