from fnmatch import fnmatchcase

import pytest
import torch
from timm.models import adapt_input_conv
from torch import nn

from overfocus.core.errors import OverfocusError
from overfocus.models.overfocus_cnn import OverfocusCNN
from overfocus.models.surgery import classifier_name, fit_channels, parameter_groups, replace_head
from overfocus.models.zoo import create_model

HEADS = {
    "overfocus_cnn": "fc",
    "resnet18": "fc",
    "vgg11_bn": "classifier.6",
    "densenet121": "classifier",
    "convnext_tiny": "classifier.2",
    "efficientnet_b0": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "squeezenet1_0": "classifier.1",
    "vit_b_16": "heads.head",
    "swin_t": "head",
    "maxvit_t": "classifier.5",
    "googlenet": "fc",
    "timm:resnet18": "fc",
    "timm:convnext_atto": "head.fc",
    "timm:vit_tiny_patch16_224": "head",
    "timm:resnetv2_50": "head.fc",
}


@pytest.mark.parametrize("name", HEADS)
def test_the_head_is_found_and_replaced(name):
    with torch.device("meta"):
        model = create_model(name, 7).eval()
        assert classifier_name(model) == HEADS[name]
        assert replace_head(model, 5) is model
        side = 224 if "vit" in name else 64
        assert model(torch.randn(1, 3, side, side)).shape == (1, 5)


def test_a_new_head_keeps_place_dtype_mode_and_lack_of_bias():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4, bias=False)).to(torch.bfloat16).eval()
    head = replace_head(model, 3)[1]
    assert (head.out_features, head.bias, head.weight.dtype, head.training) == (3, None, torch.bfloat16, False)


def test_a_head_registered_first_is_found_by_its_name():
    model = nn.ModuleDict({"fc": nn.Linear(4, 2), "encoder": nn.Sequential(nn.Linear(3, 4))})
    assert classifier_name(model) == "fc"


def test_a_model_without_linear_layers():
    with pytest.raises(OverfocusError, match=r"ReLU has no linear layer"):
        classifier_name(nn.ReLU())


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_every_parameter_is_in_one_group(scale):
    model = OverfocusCNN(7)
    groups = parameter_groups(model, lr=0.5, weight_decay=0.01, encoder_lr_scale=scale)
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    torch.optim.SGD(groups, momentum=0.9)


def test_norms_and_biases_do_not_decay_and_the_encoder_is_slower():
    model = OverfocusCNN(7)
    groups = {g["name"]: g for g in parameter_groups(model, lr=0.5, weight_decay=0.01, encoder_lr_scale=0.1)}
    assert {name: (g["lr"], g["weight_decay"]) for name, g in groups.items()} == {
        "encoder": (0.05, 0.01),
        "encoder, no decay": (0.05, 0.0),
        "head": (0.5, 0.01),
        "head, no decay": (0.5, 0.0),
    }
    assert [p is q for p, q in zip(groups["head"]["params"], [model.fc.weight], strict=True)] == [True]
    assert all(p.ndim == 4 for p in groups["encoder"]["params"])
    assert all(p.ndim == 1 for p in groups["encoder, no decay"]["params"])


NO_DECAY = {
    "convnext_tiny": {"layer_scale"},
    "vit_b_16": {"class_token", "pos_embedding"},
    "swin_t": {"relative_position_bias_table"},
    "swin_v2_t": {"logit_scale"},
    "maxvit_t": {"relative_position_bias_table"},
    "efficientnet_b0": set(),
    "timm:deit_tiny_distilled_patch16_224": {"cls_token", "dist_token", "pos_embed"},
    "timm:vit_small_patch14_reg4_dinov2": {"cls_token", "reg_token", "pos_embed"},
    "timm:beit_base_patch16_224": {"cls_token", "relative_position_bias_table"},
    "timm:levit_128s": {"attention_biases"},
    "timm:mvitv2_tiny": {"rel_pos_h", "rel_pos_w"},
    "timm:xcit_nano_12_p16_224": {"cls_token", "temperature"},
    "timm:resmlp_12_224": {"alpha", "beta"},
    "timm:fastvit_t8": {"gamma"},
    "timm:tnt_s_patch16_224": {"cls_token", "patch_pos", "pixel_pos"},
    "timm:sequencer2d_s": set(),
}
"""Model -> last parts of the names of its parameters of several dimensions that are neither matrices nor kernels."""


@pytest.mark.parametrize("name", NO_DECAY)
def test_only_matrices_and_kernels_decay(name):
    with torch.device("meta"):
        model = create_model(name, 7)
    groups = parameter_groups(model, lr=1.0, weight_decay=0.1)
    spared = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    patterns = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    own = {n for n, _ in model.named_parameters() if any(fnmatchcase(n, pattern) for pattern in patterns)}
    several = {n: p for n, p in model.named_parameters() if p.ndim > 1}
    assert {n.rpartition(".")[2] for n, p in several.items() if id(p) in spared and n not in own} <= NO_DECAY[name]
    assert {n for n, p in several.items() if n.rpartition(".")[2] in NO_DECAY[name] and id(p) not in spared} == set()
    assert all(id(p) not in spared for n, p in several.items() if n.endswith("weight") and n not in own)
    assert all(id(p) in spared for n, p in model.named_parameters() if p.ndim < 2 or n in own)


def test_at_one_rate_there_are_two_groups():
    groups = parameter_groups(OverfocusCNN(7), lr=0.5, weight_decay=0.01)
    assert [(g["name"], g["lr"]) for g in groups] == [("all", 0.5), ("all, no decay", 0.5)]


def test_frozen_parameters_are_left_out():
    model = OverfocusCNN(7).requires_grad_(False)
    model.fc.requires_grad_(True)
    groups = parameter_groups(model, lr=0.5, weight_decay=0.01, encoder_lr_scale=0.1)
    assert [g["name"] for g in groups] == ["head", "head, no decay"]


def test_head_prefixes_end_at_a_dot():
    model = nn.ModuleDict({"fc": nn.Linear(4, 2), "fc2": nn.Linear(2, 3)})
    groups = parameter_groups(model, lr=1.0, weight_decay=0.1, encoder_lr_scale=0.5, head_prefixes=["fc"])
    lrs = {tuple(p.shape): g["lr"] for g in groups for p in g["params"]}
    assert lrs == {(2, 4): 1.0, (2,): 1.0, (3, 2): 0.5, (3,): 0.5}


def test_a_prefix_that_names_nothing():
    with pytest.raises(OverfocusError, match=r"'head'.*stem, stages, norm"):
        parameter_groups(OverfocusCNN(7), lr=1.0, weight_decay=0.0, encoder_lr_scale=0.1, head_prefixes=["head"])


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 7])
def test_channels_are_fitted_as_timm_does(channels):
    weight = torch.randn(4, 3, 5, 3)
    torch.testing.assert_close(fit_channels(weight, channels), adapt_input_conv(channels, weight))


def test_grey_weights_answer_alike_to_the_same_grey_in_three_channels():
    weight, grey = torch.randn(4, 1, 3, 3), torch.randn(2, 1, 6, 5)
    fitted = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), fit_channels(weight, 3))
    torch.testing.assert_close(fitted, nn.functional.conv2d(grey, weight), rtol=1e-4, atol=1e-5)
