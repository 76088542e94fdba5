"""The default layer of every family of torchvision and timm at small and usual sizes: maps are about the picture."""

import pytest
import timm
import torch
from classifiers import K, seeded
from timm.models import list_modules
from torch import Tensor, nn

from overfocus.attribution.capture import Activations, capture
from overfocus.core.errors import OverfocusError
from overfocus.models.zoo import create_model, torchvision_names

SIDES = (32, 64, 96, 224)
TORCHVISION = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5",
    "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32",
]  # fmt: skip
TIMM = [
    "timm:halonet_h1", "timm:test_byobnet", "timm:cait_xxs24_224", "timm:coat_tiny", "timm:convit_tiny",
    "timm:convmixer_768_32", "timm:test_convnext", "timm:cpubone_nano", "timm:crossvit_tiny_240", "timm:csatv2",
    "timm:cs3darknet_focus_s", "timm:cspnext_tiny", "timm:davit_tiny", "timm:deit_tiny_patch16_224",
    "timm:densenet121", "timm:dla46x_c", "timm:dpn48b", "timm:edgenext_xx_small", "timm:efficientformer_l1",
    "timm:efficientformerv2_s0", "timm:test_efficientnet", "timm:efficientvim_m1", "timm:efficientvit_b0",
    "timm:efficientvit_m0", "timm:vit_tiny_patch16_dinov3_qkvb", "timm:fasternet_t0", "timm:fastvit_t8",
    "timm:focalnet_tiny_srf", "timm:gcvit_xxtiny", "timm:ghostnet_050", "timm:hardcorenas_b", "timm:hgnetv2_b0",
    "timm:hiera_tiny_224", "timm:sam2_hiera_tiny", "timm:hrnet_w18_small", "timm:iformer_t",
    "timm:inception_next_atto", "timm:inception_resnet_v2", "timm:inception_v3", "timm:inception_v4",
    "timm:lcnetv2_small", "timm:levit_128s", "timm:lowformer_b0", "timm:test_mambaout", "timm:test_coatnet",
    "timm:poolformerv2_s12", "timm:gmlp_ti16_224", "timm:lcnet_035", "timm:mobilevit_xxs", "timm:mvitv2_tiny",
    "timm:nest_tiny", "timm:nextvit_small", "timm:test_nfnet", "timm:pit_ti_224", "timm:pvt_v2_b0",
    "timm:rdnet_tiny", "timm:regnetx_002", "timm:repghostnet_050", "timm:repvit_m1", "timm:res2next50",
    "timm:resnest14d", "timm:test_resnet", "timm:resnetv2_18", "timm:rexnet_100", "timm:selecsls42",
    "timm:legacy_seresnet18", "timm:sequencer2d_s", "timm:shvit_s1", "timm:skresnet18", "timm:starnet_s050",
    "timm:swiftformer_xs", "timm:swin_tiny_patch4_window7_224", "timm:swinv2_tiny_window8_256",
    "timm:swinv2_cr_tiny_224", "timm:tiny_vit_5m_224", "timm:tnt_s_legacy_patch16_224", "timm:tresnet_m",
    "timm:twins_svt_small", "timm:visformer_tiny", "timm:test_vit", "timm:vit_tiny_r_s16_p8_224",
    "timm:test_vit_relpos", "timm:vitamin_small_224", "timm:volo_d1_224", "timm:ese_vovnet19b_slim_dw",
    "timm:legacy_xception", "timm:xception41p", "timm:xcit_nano_12_p8_224",
]  # fmt: skip
BIG = {"deepseek_vit", "gemma4_vit", "vgg", "nasnet", "pnasnet", "naflexvit", "qwen3_vit", "beit",
       "vision_transformer_sam", "mobilenetv5"}  # fmt: skip
"""Modules of timm whose smallest network has 80 million parameters or more."""
PARTIAL = {"timm:crossvit_tiny_240", "timm:coat_tiny"}
"""Two branches to the end: no layer holds all that the logits see."""
PROBLEMS = [("vgg11", 32), ("vgg11", 64), ("alexnet", 64), ("alexnet", 32), ("shufflenet_v2_x0_5", 32),
            ("regnet_y_400mf", 32), ("squeezenet1_1", 32), ("timm:efficientvim_m1", 64),
            ("timm:xception41p", 32)]  # fmt: skip
"""Where the layer was once a pool of copies, a branch, tokens in another order, or an identity on one of two ways; and
a size that does not run.
"""


def filled(name: str, **settings) -> nn.Module:
    """A random network none of whose parts is nothing, as norms and scales that begin at zero would be."""
    model = seeded(lambda: create_model(name, K, **settings)).eval()
    for value in model.parameters():
        if value.numel() and not value.any():
            nn.init.uniform_(value, 0.1, 0.3, generator=torch.Generator().manual_seed(0))
    return model


def pictures(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def looked_at(name: str, side: int) -> tuple[nn.Module, Activations] | str:
    """What is looked at; of a network of one size that of one made for this size; else why it is refused."""
    try:
        model = filled(name)
        return model, capture(model, pictures(side))
    except OverfocusError as error:
        refused = str(error)
    try:
        model = filled(name, img_size=side)
        return model, capture(model, pictures(side))
    except (OverfocusError, RuntimeError, AssertionError, ValueError, TypeError, IndexError, ZeroDivisionError):
        return refused


@torch.no_grad()
def goes_around(model: nn.Module, layer: str, images: Tensor) -> bool:
    """Whether the logits still depend on the picture where the layer's output is held."""
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda m, a, output: kept.append(output.clone()))
    logits = model(images)
    handle.remove()
    handle = model.get_submodule(layer).register_forward_hook(lambda m, a, output: kept[0].clone())
    held = model(images.flip(0))
    handle.remove()
    return not torch.allclose(held, logits, rtol=1e-3, atol=1e-4 * float(logits.abs().max()))


def check(name: str, side: int) -> None:
    found = looked_at(name, side)
    if isinstance(found, str):
        assert "cannot run on images" in found
        assert "pixels a side work" in found
        return
    model, seen = found
    assert seen.grid.positions > 1
    positions = seen.features.flatten(2).transpose(1, 2)
    assert all(len(each.unique(dim=0)) == len(each) for each in positions), "copies"
    maps = (seen.features * seen.gradient_of(torch.eye(K)[seen.logits.argmax(1)])).sum(1).flatten(1).detach()
    assert not torch.equal(*maps)
    assert (maps.std(1) > 0).all()
    if name not in PARTIAL and not seen.grid.prefix:
        assert not goes_around(model, seen.layer, pictures(side))


@pytest.mark.parametrize(("name", "side"), PROBLEMS)
def test_maps_of_families_that_went_wrong_are_about_the_picture(name, side):
    check(name, side)


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", [*TORCHVISION, *TIMM])
def test_maps_of_every_family_are_about_the_picture(name, side):
    check(name, side)


@pytest.mark.slow
def test_every_family_is_here():
    there = {timm.models.model_entrypoint(name[5:]).__module__.rpartition(".")[2] for name in TIMM}
    assert set(list_modules()) - BIG - there == set()
    families = {name.split("_")[0].rstrip("0123456789") for name in torchvision_names()}
    covered = {name.split("_")[0].rstrip("0123456789") for name in TORCHVISION}
    assert families - covered <= {"wide", "resnext"}, "resnets with other widths"
