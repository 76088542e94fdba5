"""The stages of a network: every parameter in one, in order, and rates that fall from the head to the image."""

import pytest
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from overfocus.models.stages import lr_scales, staged_groups, stages
from overfocus.models.surgery import decays
from overfocus.models.zoo import create_model

HEADS = {
    "overfocus_cnn": ("fc.weight", 3),
    "resnet18": ("fc.weight", 6),
    "efficientnet_b0": ("classifier.1.weight", 10),
    "convnext_tiny": ("classifier.2.weight", 10),
    "swin_t": ("head.weight", 9),
    "vgg11_bn": ("classifier.6.weight", 10),
    "efficientnet_lite0": ("classifier.weight", 9),
    "timm:vit_tiny_patch16_224": ("head.weight", 14),
}


def on_paper(name):
    with torch.device("meta"):
        return create_model(name, 7)


@pytest.mark.parametrize("name", HEADS)
def test_every_parameter_is_in_one_stage_and_the_heads_is_the_last(name):
    model, (head, count) = on_paper(name), HEADS[name]
    numbers = stages(model)
    assert list(numbers) == [each for each, _ in model.named_parameters()]
    assert {*numbers.values()} == {*range(count)}
    assert next(each for each, number in numbers.items() if number == count - 1) == head
    assert numbers[next(iter(numbers))] == 0


@pytest.mark.parametrize("name", HEADS)
def test_groups_hold_every_parameter_once_at_the_rate_of_its_stage(name):
    model = on_paper(name)
    scales, parameters = lr_scales(model, 0.5), dict(model.named_parameters())
    groups = staged_groups(model, lr=2.0, weight_decay=0.1, layer_decay=0.5)
    rates = {id(each): (group["lr"], group["weight_decay"]) for group in groups for each in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(parameters) == len(rates)
    spared = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    for each, parameter in parameters.items():
        assert rates[id(parameter)] == (2 * scales[each], 0.1 if decays(each, parameter, spared) else 0.0), each
    assert groups[0]["lr"] == 2.0


@pytest.mark.parametrize("name", ["efficientnet_lite0", "timm:vit_tiny_patch16_224", "timm:resnet18"])
def test_rates_are_timms_where_its_layers_are_our_stages(name, monkeypatch):
    """timm's `param_groups_layer_decay`, told to take stages: every parameter has its rate and its weight decay."""
    model = on_paper(name)
    fine = model.group_matcher
    monkeypatch.setattr(model, "group_matcher", lambda coarse: fine(coarse=True), raising=False)
    spared = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    theirs = param_groups_layer_decay(model, weight_decay=0.1, no_weight_decay_list=spared, layer_decay=0.8)
    ours = staged_groups(model, lr=1.0, weight_decay=0.1, layer_decay=0.8)
    expected = {id(each): (group["lr_scale"], group["weight_decay"]) for group in theirs for each in group["params"]}
    rates = {id(each): (group["lr"], group["weight_decay"]) for group in ours for each in group["params"]}
    assert rates.keys() == expected.keys()
    for parameter, (rate, decay) in rates.items():
        assert (pytest.approx(rate), decay) == expected[parameter]


def test_a_vits_stages_are_its_blocks_as_timm_has_them():
    model = on_paper("timm:vit_tiny_patch16_224")
    theirs = param_groups_layer_decay(model, no_weight_decay_list=model.no_weight_decay(), layer_decay=0.8)
    expected = {id(each): group["lr_scale"] for group in theirs for each in group["params"]}
    scales = lr_scales(model, 0.8)
    assert {name: pytest.approx(scales[name]) for name in scales} == {
        name: expected[id(parameter)] for name, parameter in model.named_parameters()
    }


def test_the_stages_of_a_resnet_are_its_layers():
    model = on_paper("resnet18")
    scales = lr_scales(model, 0.8)
    named = {"conv1.weight": 5, "bn1.bias": 5, "layer1.0.conv1.weight": 4, "layer4.1.bn2.weight": 1, "fc.bias": 0}
    assert {name: scales[name] for name in named} == {name: pytest.approx(0.8**power) for name, power in named.items()}


def test_what_is_frozen_is_in_no_group():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    held = [each for group in staged_groups(model, lr=1, weight_decay=0, layer_decay=0.5) for each in group["params"]]
    assert len(held) == 7
    assert all(each is not model[0].weight for each in held)
    assert stages(model) == {
        "0.weight": 0, "0.bias": 0, "1.weight": 0, "1.bias": 0, "2.weight": 1, "2.bias": 1, "4.weight": 2, "4.bias": 2
    }  # fmt: skip
