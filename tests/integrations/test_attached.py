"""A method on a model whose loop is somebody else's."""

import copy

import pytest
import torch
from torch import nn

import laws
import overfocus as of
from overfocus.core.errors import OverfocusError
from overfocus.integrations.attached import Attached


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


IMAGES = torch.randn(8, 3, 9, 7, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8) % 5


def test_batches_that_never_reach_the_model_are_told():
    attached = Attached(net(), "sgdrop")
    for _ in range(3):
        attached.prepare(IMAGES, LABELS)
    with pytest.warns(UserWarning, match="2 prepared batches never reached the model"):
        attached.report()


def test_a_model_that_was_in_evaluation_is_told():
    model = net()
    attached = Attached(model, "sgdrop")
    attached.prepare(IMAGES, LABELS)
    model.eval()
    model(IMAGES)
    with pytest.warns(UserWarning, match="1 prepared batches never reached"):
        attached.report()


def test_another_batch_than_the_prepared_one_is_refused():
    model = net()
    Attached(model, "sgdrop").prepare(IMAGES, LABELS)
    with pytest.raises(OverfocusError, match=r"8 images were prepared and the model got \(3, 3, 9, 7\)"):
        model(IMAGES[:3])


@pytest.mark.parametrize(
    "method", ["sgdrop(views='both')", "cutout + mixup(at='features')", "oneof(cutmix(at='0'), plain)"]
)
def test_what_changes_targets_inside_the_model_is_refused(method):
    with pytest.raises(OverfocusError, match="changes the targets inside the model"):
        Attached(net(), method)


def test_weights_and_copies_know_nothing_of_it():
    model = net()
    names = list(model.state_dict())
    attached = Attached(model, of.parse("cutmix + sgdrop"))
    assert list(model.state_dict()) == names
    twin = copy.deepcopy(model).eval()
    assert torch.equal(twin(IMAGES), net().eval()(IMAGES))
    assert attached.detach() is model
    assert "forward" not in vars(model)


@laws.traced
def test_it_runs_compiled():
    model, plain = net(), net()
    attached, other = Attached(model, "sgdrop", seed=2), Attached(plain, "sgdrop", seed=2)
    compiled = torch.compile(model, backend="aot_eager")
    for _ in range(2):
        logits = [call(each.prepare(IMAGES, LABELS).images) for call, each in ((compiled, attached), (plain, other))]
        torch.testing.assert_close(*logits)


def test_gradients_flow_and_are_those_of_the_objective():
    model, objective = net(), of.Objective(net(), of.parse("sgdrop(prob=1.0)"), seed=4)
    prepared = Attached(model, "sgdrop(prob=1.0)", seed=4).prepare(IMAGES, LABELS)
    torch.nn.functional.cross_entropy(model(prepared.images), prepared.targets.dense(5)).backward()
    objective(IMAGES, LABELS).backward()
    for ours, theirs in zip(model.parameters(), objective.model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
