import pytest
import torch

from overfocus.attribution.target import target_weights
from overfocus.core.errors import OverfocusError, UnknownName

LOGITS = torch.tensor([[1.0, 3.0, 2.0], [5.0, -1.0, 0.0]])


def one_hot(*classes):
    return torch.eye(3)[list(classes)]


def test_each_kind_of_target_is_the_weights_of_the_logits():
    labels = torch.tensor([2, 1])
    soft = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])
    assert torch.equal(target_weights(LOGITS), one_hot(1, 0))
    assert torch.equal(target_weights(LOGITS, "label", labels), one_hot(2, 1))
    assert torch.equal(target_weights(LOGITS, "label", soft), soft)
    assert torch.equal(target_weights(LOGITS, 2), one_hot(2, 2))
    assert torch.equal(target_weights(LOGITS, labels), one_hot(2, 1))
    assert torch.equal(target_weights(LOGITS, labels.int()), one_hot(2, 1))
    assert torch.equal(target_weights(LOGITS, soft.double()), soft)
    difference = one_hot(0, 0) - one_hot(1, 1)
    assert torch.equal(target_weights(LOGITS, difference), difference)


def test_weights_are_float32_without_a_graph():
    weights = target_weights(LOGITS.bfloat16().requires_grad_())
    assert weights.dtype == torch.float32
    assert not weights.requires_grad


@pytest.mark.parametrize(
    ("target", "labels", "says"),
    [
        ("label", None, "labels"),
        (3, None, "classes 0 to 2"),
        (-1, None, "class -1"),
        (torch.tensor([0, 7]), None, "class 7"),
        ("label", torch.tensor([0, 3]), "labels names class 3"),
        (torch.tensor([0, 1, 2]), None, "(3,)"),
        (torch.tensor([0.0, 1.0]), None, "float32"),
        (torch.tensor([True, False]), None, "bool"),
        (torch.zeros(2, 4), None, "(2, 4)"),
        (torch.full((2, 3), torch.nan), None, "no numbers"),
        (1.5, None, "float"),
        (True, None, "bool"),
        (None, None, "NoneType"),
    ],
)
def test_a_wrong_target_is_named(target, labels, says):
    with pytest.raises(OverfocusError) as error:
        target_weights(LOGITS, target, labels)
    assert says in str(error.value)


def test_an_unknown_word_gets_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'predicted'"):
        target_weights(LOGITS, "predict")
