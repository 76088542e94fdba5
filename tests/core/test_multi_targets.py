"""Any number of labels for each image: loss, mixing and what is attributed, against PyTorch and by hand."""

import pytest
import torch
import torch.nn.functional as F

from overfocus.core.errors import OverfocusError
from overfocus.core.targets import MultiTargets, Targets

B, K = 4, 7


@pytest.fixture
def labels() -> torch.Tensor:
    """Some labels, none, all, and one."""
    rows = torch.zeros(B, K)
    rows[0, [1, 4, 6]], rows[2], rows[3, 0] = 1.0, 1.0, 1.0
    return rows


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(B, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64])
def test_labels_of_any_dtype_are_shares(labels, dtype):
    targets = Targets.multi(labels.to(dtype))
    assert torch.equal(targets.weights, labels)
    assert torch.equal(targets.dense(K), labels)
    assert targets.labels.tolist() == [list(range(K))] * B


def test_the_same_rows_are_never_taken_for_several_labels_by_their_numbers(labels):
    with pytest.raises(OverfocusError, match=r"Targets\.multi"):
        Targets.of(labels)
    with pytest.raises(OverfocusError, match=r"Targets\.multi"):
        Targets.of(labels.long())


WRONG = [
    torch.tensor([[0.0, 2.0]]),
    torch.tensor([3, 1, 0]),
    torch.tensor([[-0.5, 0.0]]),
    torch.tensor([[float("nan")]]),
]


@pytest.mark.parametrize("labels", WRONG, ids=str)
def test_what_is_no_share_is_refused(labels):
    with pytest.raises(OverfocusError, match="not as class indices"):
        Targets.multi(labels)


@pytest.mark.parametrize("shape", [(B, K + 1), (B, 1), (B,), (B - 1, K)])
def test_logits_of_another_shape_are_refused(labels, shape):
    with pytest.raises(OverfocusError, match="one logit for each label"):
        Targets.multi(labels).cross_entropy(torch.zeros(shape))


def test_the_loss_is_that_of_pytorch(labels, logits):
    targets = Targets.multi(labels)
    assert torch.allclose(targets.cross_entropy(logits), F.binary_cross_entropy_with_logits(logits.float(), labels))
    smooth = F.binary_cross_entropy_with_logits(logits.float(), labels * 0.8 + 0.1)
    assert torch.allclose(targets.cross_entropy(logits, 0.2), smooth)
    assert targets.cross_entropy(logits.bfloat16()).dtype == torch.float32


def test_a_blend_gives_every_label_its_share_of_both(labels):
    targets, kept = Targets.multi(labels), torch.tensor([0.25, 0.5, 1.0, 0.0])
    partners = torch.tensor([2, 0, 1, 1])
    mixed = targets.blend(targets.take(partners), kept)
    assert isinstance(mixed, MultiTargets)
    assert torch.allclose(mixed.dense(K), kept[:, None] * labels + (1 - kept[:, None]) * labels[partners])
    assert mixed.dense(K)[0].tolist() == [0.75, 1.0, 0.75, 0.75, 1.0, 0.75, 1.0]
    again = mixed.blend(mixed.take(partners), torch.full((B,), 0.5))
    assert again.labels.shape == (B, K)
    assert torch.allclose(again.dense(K)[1], (mixed.dense(K)[1] + mixed.dense(K)[0]) / 2)


def test_a_union_is_a_logical_or_of_what_is_seen(labels):
    targets, partners = Targets.multi(labels), torch.tensor([3, 0, 1, 0])
    mine, theirs = torch.tensor([True, True, False, True]), torch.tensor([True, False, True, True])
    found = targets.union(targets.take(partners), mine, theirs).dense(K)
    assert found[0].tolist() == [1, 1, 0, 0, 1, 0, 1]
    assert found[1].tolist() == [0] * K
    assert found[2].tolist() == [0] * K  # wholly covered by an image without labels
    assert found[3].tolist() == [1, 1, 0, 0, 1, 0, 1]
    with pytest.raises(OverfocusError, match=r"Targets\.multi"):
        Targets.of(torch.arange(B)).union(Targets.of(torch.arange(B)), mine, theirs)


def test_kinds_are_not_mixed_with_one_another(labels):
    with pytest.raises(OverfocusError, match="one kind"):
        Targets.multi(labels).blend(Targets.of(torch.arange(B)), torch.ones(B))


def test_rows_views_and_choices_keep_the_kind(labels):
    targets, other = Targets.multi(labels), Targets.multi(1 - labels)
    assert torch.equal(targets.take(torch.tensor([2, 0])).dense(K), labels[[2, 0]])
    assert torch.equal(targets.repeat(2).dense(K), labels.repeat(2, 1))
    chosen = torch.tensor([True, False, False, True])
    found = targets.where(chosen, other)
    assert isinstance(found, MultiTargets)
    assert torch.equal(found.dense(K), torch.where(chosen[:, None], labels, 1 - labels))


def test_accuracy_counts_every_label_alike(labels, logits):
    right = ((logits > 0) == (labels > 0)).float().mean(1)
    assert torch.allclose(Targets.multi(labels).accuracy(logits), right)
    assert Targets.multi(labels[:1] * 0.25).accuracy(torch.full((1, K), -1.0)).item() == pytest.approx(1 - 0.25 * 3 / K)


def test_what_is_attributed_is_the_sum_of_the_present_labels(labels, logits):
    targets = Targets.multi(labels)
    expected = torch.stack([logits[0, [1, 4, 6]].sum(), torch.tensor(0.0).double(), logits[2].sum(), logits[3, 0]])
    assert torch.allclose(targets.score(logits), expected)
    rows = torch.randn(K, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(targets.weigh(rows)[0], rows[1] + rows[4] + rows[6])
    assert torch.equal(targets.answered(logits, "predicted").dense(K), (logits > 0).float())
    assert torch.equal(targets.answered(logits, "soft").dense(K), logits.float().sigmoid())


def test_one_logit_speaks_for_two_classes():
    targets = Targets.multi(torch.tensor([1, 0, 1]))
    logits = torch.tensor([[2.0], [3.0], [-1.0]])
    pair = torch.cat((torch.zeros(3, 1), logits), dim=1)
    assert torch.allclose(targets.cross_entropy(logits), F.cross_entropy(pair, torch.tensor([1, 0, 1])))
    assert targets.accuracy(logits).tolist() == [1.0, 0.0, 0.0]
    assert targets.score(logits).tolist() == [2.0, -3.0, -1.0]
