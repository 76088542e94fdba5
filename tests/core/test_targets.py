import pytest
import torch
import torch.nn.functional as F

from overfocus.core.errors import OverfocusError
from overfocus.core.targets import Targets

K = 7


@pytest.fixture
def mixed() -> Targets:
    """Two labels a sample, once the same one twice."""
    first, second = Targets.of(torch.tensor([0, 3, 6, 2])), Targets.of(torch.tensor([5, 3, 1, 0]))
    return first.blend(second, torch.tensor([0.25, 0.5, 1.0, 0.9]))


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(4, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_plain_labels_are_one_label_of_full_weight():
    targets = Targets.of(torch.tensor([3, 1], dtype=torch.int32))
    assert targets.labels.tolist() == [[3], [1]]
    assert targets.labels.dtype == torch.int64
    assert targets.weights.tolist() == [[1.0], [1.0]]


def test_soft_labels_are_all_classes():
    soft = torch.tensor([[0.1, 0.7, 0.2], [0.0, 0.0, 1.0]])
    assert torch.equal(Targets.of(soft).dense(3), soft)


@pytest.mark.parametrize("labels", [torch.rand(4), torch.ones(4, 3, dtype=torch.int64), torch.rand(2, 3, 4)])
def test_what_are_no_labels_is_refused_with_what_to_give(labels):
    with pytest.raises(OverfocusError, match=r"give class indices \[B\]"):
        Targets.of(labels)


def test_a_blend_weighs_both_and_equal_labels_add_up(mixed):
    expected = torch.zeros(4, K)
    expected[0, 0], expected[0, 5] = 0.25, 0.75
    expected[1, 3] = 1.0
    expected[2, 6] = 1.0
    expected[3, 2], expected[3, 0] = 0.9, 0.1
    assert torch.allclose(mixed.dense(K), expected)
    assert mixed.labels.shape == (4, 2)


def test_a_blend_of_blends_is_still_a_distribution(mixed):
    twice = mixed.blend(mixed.take(torch.tensor([3, 2, 1, 0])), torch.tensor([0.3, 0.0, 0.6, 1.0]))
    assert twice.labels.shape == (4, 4)
    assert torch.allclose(twice.weights.sum(1), torch.ones(4))
    expected = 0.3 * mixed.dense(K)[0] + 0.7 * mixed.dense(K)[3]
    assert torch.allclose(twice.dense(K)[0], expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_that_of_dense_rows(mixed, logits, smoothing):
    expected = F.cross_entropy(logits.float(), mixed.dense(K), label_smoothing=smoothing)
    assert torch.allclose(mixed.cross_entropy(logits, smoothing), expected, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_plain_labels_is_that_of_pytorch(logits, smoothing):
    labels = torch.tensor([1, 6, 0, 3])
    expected = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
    assert torch.allclose(Targets.of(labels).cross_entropy(logits, smoothing), expected, atol=1e-6)


def test_the_gradient_is_that_of_dense_rows(mixed, logits):
    leaf = logits.float().requires_grad_()
    mine = torch.autograd.grad(mixed.cross_entropy(leaf, 0.1), leaf)[0]
    dense = torch.autograd.grad(F.cross_entropy(leaf, mixed.dense(K), label_smoothing=0.1), leaf)[0]
    assert torch.allclose(mine, dense, atol=1e-7)


def test_cross_entropy_of_half_precision_is_computed_in_float32(mixed, logits):
    loss = mixed.cross_entropy(logits.bfloat16())
    assert loss.dtype == torch.float32
    assert torch.allclose(loss, mixed.cross_entropy(logits.bfloat16().float()))


def test_accuracy_counts_every_label_by_its_share(mixed):
    logits = F.one_hot(torch.tensor([5, 3, 1, 2]), K).float()
    assert torch.allclose(mixed.accuracy(logits), torch.tensor([0.75, 1.0, 0.0, 0.9]))


def test_score_is_the_weighed_logit(mixed, logits):
    assert torch.allclose(mixed.score(logits), (logits * mixed.dense(K)).sum(1))


def test_where_takes_rows_of_either_whatever_their_widths(mixed):
    plain = Targets.of(torch.tensor([4, 4, 4, 4]))
    chosen = torch.tensor([True, False, False, True])
    for result in (mixed.where(chosen, plain), plain.where(~chosen, mixed)):
        expected = torch.where(chosen[:, None], mixed.dense(K), plain.dense(K))
        assert torch.equal(result.dense(K), expected)


def test_views_repeat_the_whole_batch(mixed):
    assert torch.equal(mixed.repeat(2).dense(K), mixed.dense(K).repeat(2, 1))


NO_ROWS = [
    [[0.0, 0.0, 0.0]],
    [[1.0, 1.0, 0.0]],
    [[1.5, -0.5, 0.0]],
    [[float("nan"), 0.5, 0.5]],
    [[0.2, 0.3, 0.5], [0.9, 0, 0]],
]


@pytest.mark.parametrize("rows", NO_ROWS, ids=str)
def test_rows_that_are_no_distribution_are_refused(rows):
    with pytest.raises(OverfocusError, match=rf"image {len(rows) - 1} .*sum to 1"):
        Targets.of(torch.tensor(rows))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rows_of_any_precision_that_sum_to_1_are_taken(dtype):
    rows = torch.randn(32, 100, generator=torch.Generator().manual_seed(0)).softmax(1).to(dtype)
    assert len(Targets.of(rows)) == 32


@pytest.mark.parametrize("labels", [torch.tensor([0, 1]), torch.tensor([0, 0])], ids=["0 and 1", "0"])
@pytest.mark.parametrize("logits", [torch.zeros(2, 1), torch.zeros(2)], ids=["column", "vector"])
def test_one_logit_has_no_cross_entropy(labels, logits):
    with pytest.raises(OverfocusError, match="two outputs"):
        Targets.of(labels).cross_entropy(logits)
