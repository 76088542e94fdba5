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
TORCHVISION = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 maxvit_t mnasnet0_5 mobilenet_v2 "
    "mobilenet_v3_small regnet_y_400mf resnet18 shufflenet_v2_x0_5 squeezenet1_1 swin_t swin_v2_t vgg11 vit_b_32"
).split()  # noqa: SIM905
TIMM = [
    f"timm:{name}"
    for name in """
    halonet_h1 test_byobnet cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 test_convnext cpubone_nano
    crossvit_tiny_240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny deit_tiny_patch16_224 densenet121 dla46x_c
    dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0 test_efficientnet efficientvim_m1
    efficientvit_b0 efficientvit_m0 vit_tiny_patch16_dinov3_qkvb fasternet_t0 fastvit_t8 focalnet_tiny_srf
    gcvit_xxtiny ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny hrnet_w18_small iformer_t
    inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small levit_128s lowformer_b0
    test_mambaout test_coatnet poolformerv2_s12 gmlp_ti16_224 lcnet_035 mobilevit_xxs mvitv2_tiny nest_tiny
    nextvit_small test_nfnet pit_ti_224 pvt_v2_b0 rdnet_tiny regnetx_002 repghostnet_050 repvit_m1 res2next50
    resnest14d test_resnet resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18
    starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224
    tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small visformer_tiny test_vit vit_tiny_r_s16_p8_224
    test_vit_relpos vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw legacy_xception xception41p
    xcit_nano_12_p8_224
""".split()  # noqa: SIM905
]
BIG = {"deepseek_vit", "gemma4_vit", "vgg", "nasnet", "pnasnet", "naflexvit", "qwen3_vit", "beit",
       "vision_transformer_sam", "mobilenetv5"}  # fmt: skip
"""Modules of timm whose smallest network has 80 million parameters or more."""
PARTIAL = {"timm:crossvit_tiny_240", "timm:coat_tiny"}
"""Two branches to the end: no layer holds all that the logits see."""
PROBLEMS = [("vgg11", 32), ("vgg11", 64), ("alexnet", 64), ("alexnet", 32), ("shufflenet_v2_x0_5", 32),
            ("regnet_y_400mf", 32), ("squeezenet1_1", 32), ("timm:efficientvim_m1", 64)]  # fmt: skip
"""Where the layer was once a pool of copies, a branch, or tokens in another order; and a size that does not run."""


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
