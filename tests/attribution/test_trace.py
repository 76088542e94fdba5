"""Attribution leaves no trace: not in the model, not in the images, not in the global state, not in memory."""

import gc
from collections import OrderedDict

import pytest
import torch
from classifiers import B, Flat, K, Plain, pictures, seeded, timm_vit
from torch import Tensor, nn

from overfocus.attribution.capture import capture
from overfocus.attribution.catalogue import attribute, method, methods
from overfocus.core.errors import OverfocusError

QUICK = {
    "integrated_gradients": {"steps": 3}, "smoothgrad": {"samples": 2}, "occlusion": {"window": 0.5},
    "refined_occlusion": {"cells": 2, "split": 1},
}  # fmt: skip
ALL = [method(name, **QUICK.get(name, {})) for name in methods()]


def mixed(model: nn.Module) -> nn.Module:
    """Training, but for one frozen norm and one head that runs already."""
    model.train()
    model.bn1.eval()
    model.fc.eval()
    model.conv1.weight.requires_grad_(False)
    return model


def state(model: nn.Module) -> dict:
    return {
        "values": OrderedDict((name, value.clone()) for name, value in model.state_dict().items()),
        "modes": [module.training for module in model.modules()],
        "asked": [parameter.requires_grad for parameter in model.parameters()],
        "grads": [parameter.grad for parameter in model.parameters()],
        "hooks": [
            len(getattr(module, kind))
            for module in model.modules()
            for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        ],
        "forward": [vars(module).get("forward") for module in model.modules()],
        "random": torch.get_rng_state(),
        "global": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_cache_enabled()),
    }


def same(before: dict, after: dict) -> None:
    assert all(torch.equal(value, after["values"][name]) for name, value in before["values"].items())
    assert torch.equal(before.pop("random"), after.pop("random"))
    before.pop("values"), after.pop("values")
    assert before == after


@pytest.mark.parametrize("how", ALL, ids=methods())
def test_nothing_is_left_in_the_model_nor_in_the_images(how):
    model, images = mixed(seeded(Plain)), pictures().requires_grad_()
    before, pixels = state(model), images.detach().clone()
    maps = how(model, images)
    same(before, state(model))
    assert torch.equal(images, pixels)
    assert images.grad is None
    assert images.requires_grad
    assert not maps.requires_grad
    assert maps.dtype == torch.float32


class Breaks(Plain):
    """Fails in a forward with a larger first pixel than 1000, behind every layer."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if (x > 1000).any():
            raise ZeroDivisionError
        return y


@pytest.mark.parametrize("how", ALL, ids=methods())
def test_nothing_is_left_after_an_exception(how):
    model, images = mixed(seeded(Breaks)), pictures()
    images[:, 0, 0, 0] = 2000
    before = state(model)
    with pytest.raises(ZeroDivisionError):
        how(model, images)
    with pytest.raises(OverfocusError):
        how(model, images.abs().clamp(max=1), target=K)
    same(before, state(model))


@pytest.mark.parametrize("how", ALL, ids=methods())
def test_the_mode_of_the_model_does_not_change_the_map(how):
    images = pictures()
    training = how(mixed(seeded(Plain)), images, target=0)
    assert torch.equal(training, how(seeded(Plain).eval(), images, target=0))


@pytest.mark.parametrize("how", ALL, ids=methods())
def test_equal_calls_give_equal_maps_whatever_the_global_random_state(how):
    model, images = seeded(Plain), pictures()
    first = how(model, images)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert torch.equal(how(model, images), first)


def test_the_own_gradients_of_a_training_step_survive():
    model, images = seeded(Plain).train(), pictures()
    loss = model(images).square().mean()
    attribute(model, images)
    loss.backward()
    kept = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    attribute(model, images)
    assert all(torch.equal(parameter.grad, kept[name]) for name, parameter in model.named_parameters())


def test_autocast_keeps_no_weight_that_was_cast_without_a_gradient():
    model, images = seeded(Flat).train(), pictures(size=(9, 11))
    with torch.autocast("cpu", torch.bfloat16):
        attribute(model, images)
        loss = model(images).float().square().mean()
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def tensors(collect: bool = True) -> int:
    """How many tensors live that did not when the test began."""
    if collect:
        gc.collect()
    return sum(1 for each in gc.get_objects() if issubclass(type(each), Tensor))


@pytest.fixture(scope="module")
def counted():
    gc.collect()
    gc.freeze()  # what lives now is not counted, and the count is quick
    yield
    gc.unfreeze()


def test_no_tensor_stays_alive(counted):
    model, images = seeded(Plain), pictures(2, (16, 24))
    for how in ALL:
        how(model, images)
    before = tensors()
    for _ in range(200):
        attribute(model, images)
    assert tensors() == before
    for how in ALL:
        how(model, images)
    assert tensors() == before
    kept = attribute(model, images)
    assert tensors() == before + 1
    assert kept.numel()


def test_the_graph_goes_with_its_last_reference(counted):
    model, images = seeded(Plain), pictures(2, (16, 24))
    attribute(model, images)
    before = tensors()
    gc.disable()
    try:
        for _ in range(5):
            seen = capture(model, images)
            seen.gradient_of(torch.ones(2, K))
        assert tensors(collect=False) > before
        del seen
        assert tensors(collect=False) == before
    finally:
        gc.enable()


def test_no_tensor_stays_alive_after_an_exception(counted):
    model, images = seeded(Plain), pictures(2, (16, 24))
    before = tensors()
    for _ in range(5):
        with pytest.raises(OverfocusError):
            capture(model, images, "fc")
    assert tensors() == before


def test_it_works_on_images_and_models_of_every_kind_at_once():
    model, images = seeded(timm_vit).train(), pictures(1, (48, 80))
    for how in ALL:
        if type(how).__name__ == "CAM":
            continue
        maps = how(model, images)
        assert maps.shape[0] == 1
        assert maps.isfinite().all()
    assert B > 1
