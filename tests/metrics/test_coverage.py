import math

import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics.coverage import coverage, coverage_scores


def test_by_hand():
    used = torch.tensor([[3.0, 0, 0, 1], [1.0, 0, 0, 3], [0, 5, 0, 0]])
    found = coverage(used, torch.tensor([0, 0, 2]), 4)
    assert found.count.tolist() == [2, 0, 1, 0]
    assert found.participation[[0, 2]].tolist() == pytest.approx([16 / (4 * 8), 1 / 4])
    assert found.share_90[[0, 2]].tolist() == pytest.approx([2 / 4, 1 / 4])
    assert found.participation[[1, 3]].isnan().all()
    assert found.share_90[[1, 3]].isnan().all()


def test_read_literally():
    source = torch.Generator().manual_seed(0)
    used, labels = torch.rand(30, 11, generator=source) ** 3, torch.randint(4, (30,), generator=source)
    found = coverage(used, labels, 4)
    for label in range(4):
        mean = used[labels == label].double().mean(0)
        assert found.participation[label].item() == pytest.approx(float(mean.sum() ** 2 / (11 * mean.square().sum())))
        held, needed = 0.0, 0
        for value in sorted(mean.tolist(), reverse=True):
            held, needed = held + value, needed + 1
            if held >= 0.9 * float(mean.sum()):
                break
        assert found.share_90[label].item() == pytest.approx(needed / 11)


@pytest.mark.parametrize("channels", [1, 8])
def test_bounds(channels):
    even, single = torch.ones(2, channels), torch.eye(channels)[:1].expand(2, -1)
    assert coverage(even, torch.tensor([0, 0]), 1).participation.item() == pytest.approx(1)
    assert coverage(single, torch.tensor([0, 0]), 1).participation.item() == pytest.approx(1 / channels)


def test_what_has_no_answer():
    used = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [torch.inf, 1.0], [1.0, 1.0]])
    found = coverage(used, torch.tensor([0, 1, 2, 2]), 3)
    assert found.participation.isnan().tolist() == [True, True, False]
    assert found.participation[2] == 1
    assert found.count.tolist() == [1, 0, 1]
    assert coverage(used[:0], torch.zeros(0).long(), 2).participation.isnan().all()


def test_scores_are_means_over_classes():
    source = torch.Generator().manual_seed(0)
    used, labels = torch.rand(40, 6, generator=source) ** 4, torch.arange(40) % 4
    found, own = coverage_scores(used, labels, 5), coverage(used, labels, 5)
    assert found["participation"].value == pytest.approx(own.participation[:4].mean().item())
    assert found["share_90"].value == pytest.approx(own.share_90[:4].mean().item())
    assert found["participation"].low < found["participation"].value < found["participation"].high
    assert found["participation"].n == 4
    assert "1 without" in found["participation"].note
    assert math.isnan(coverage_scores(used[:0], labels[:0], 5)["participation"].value)


def test_low_precision_and_inputs_kept():
    used = torch.rand(9, 5, generator=torch.Generator().manual_seed(1)).bfloat16()
    kept, labels = used.clone(), torch.zeros(9).long()
    torch.testing.assert_close(coverage(used, labels, 1).participation, coverage(used.float(), labels, 1).participation)
    assert torch.equal(used, kept)


def test_errors():
    with pytest.raises(OverfocusError, match=r"\[N, C\]"):
        coverage(torch.zeros(3, 2, 2), torch.zeros(3).long(), 2)
    with pytest.raises(OverfocusError, match="2 classes"):
        coverage(torch.zeros(1, 2), torch.tensor([2]), 2)
    with pytest.raises(OverfocusError, match="ReLU"):
        coverage(-torch.ones(1, 2), torch.tensor([0]), 2)
