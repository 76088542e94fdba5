"""Maps that are finer than the last features: LayerCAM of several stages, and occlusion that is refined."""

import pytest
import torch
from classifiers import B, Flat, K, LeftHalf, OnePixel, Plain, pictures, seeded, swin, timm_vit
from torch import Tensor, nn

from overfocus.attribution.capture import capture, capture_stages
from overfocus.attribution.catalogue import attribute, method, upsampled
from overfocus.attribution.methods.fused_layercam import FusedLayerCAM
from overfocus.attribution.methods.refined_occlusion import RefinedOcclusion
from overfocus.attribution.methods.smoothgrad import SmoothGrad
from overfocus.core.errors import OverfocusError
from overfocus.models.transformers_model import Logits
from overfocus.models.zoo import create_model

LABELS = torch.tensor([3, 0, 5])


def transformers_resnet() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic", num_labels=K
    )
    return Logits(transformers.AutoModelForImageClassification.from_config(config))


@pytest.mark.parametrize(
    ("make", "size", "grids"),
    [
        (Plain, (40, 56), [(20, 28), (10, 14)]),
        (Flat, (9, 11), [(9, 11)]),
        (timm_vit, (48, 80), [(3, 5)]),
        (swin, (40, 56), [(10, 14), (5, 7)]),
        (lambda: create_model("overfocus_cnn", K, widths=[4, 6, 8]), (24, 32), [(24, 32), (12, 16), (6, 8)]),
        pytest.param(transformers_resnet, (48, 64), [(24, 32), (12, 16), (6, 8)], marks=pytest.mark.slow),
        pytest.param(lambda: create_model("resnet18", K), (64, 96), [(8, 12), (4, 6), (2, 3)], marks=pytest.mark.slow),
        pytest.param(
            lambda: create_model("timm:tf_efficientnet_lite0", K), (64, 96), [(8, 12), (4, 6), (2, 3)],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda: create_model("timm:test_convnext", K), (64, 96), [(8, 12), (4, 6), (2, 3)], marks=pytest.mark.slow
        ),
    ],
)  # fmt: skip
def test_stages_are_the_last_layers_of_each_size_and_the_gradients_are_theirs(make, size, grids):
    model, images = seeded(make), pictures(size=size)
    seen = capture_stages(model, images, 3)
    assert [tuple(each.shape[2:]) for each in seen.features] == grids
    weights = torch.eye(K)[LABELS]
    for layer, features, gradient in zip(seen.layers, seen.features, seen.gradients_of(weights), strict=True):
        alone = capture(model, images, layer)
        assert torch.allclose(alone.features, features, atol=1e-6), layer
        assert torch.allclose(alone.gradient_of(weights), gradient, atol=1e-6), layer
        assert gradient.any(), layer
    assert seen.layers[-1] == capture(model, images).layer
    assert torch.allclose(seen.logits, model.eval()(images), atol=1e-6)


def test_in_plain_the_stages_end_before_the_convolution_that_strides():
    assert capture_stages(seeded(Plain), pictures(), 2).layers == ("relu1", "relu2")
    assert capture_stages(seeded(Plain), pictures(), 1).layers == ("relu2",)
    assert capture_stages(seeded(Plain), pictures(), 9, at="relu1").layers == ("relu1",)


def fused_slowly(model: nn.Module, images: Tensor, how: FusedLayerCAM) -> Tensor:
    one, two = (attribute(model, images, "layercam", target=LABELS, at=layer) for layer in ("relu1", "relu2"))
    rows = []
    for fine, coarse in zip(one, two, strict=True):
        fine = torch.tanh(how.gamma * fine / fine.max()) / torch.tanh(torch.tensor(how.gamma))
        coarse = upsampled((coarse / coarse.max())[None], (fine.shape[0], fine.shape[1]))[0]
        rows.append((fine + coarse) / 2 if how.fusion == "mean" else torch.maximum(fine, coarse))
    return torch.stack(rows)


@pytest.mark.parametrize("how", [FusedLayerCAM(), FusedLayerCAM(2, 5.0, "max")])
def test_fused_layercam_is_its_slow_reading(how):
    model, images = seeded(Plain), pictures()
    maps = how(model, images, LABELS)
    assert maps.shape == (B, 20, 28)
    assert torch.allclose(maps, fused_slowly(model, images, how), atol=1e-6)
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_of_one_stage_it_is_layercam_scaled():
    model, images = seeded(timm_vit), pictures(size=(48, 80))
    plain = attribute(model, images, "layercam", target=LABELS)
    assert torch.allclose(FusedLayerCAM()(model, images, LABELS), plain / plain.amax((1, 2), keepdim=True), atol=1e-6)


def test_a_map_of_nothing_stays_nothing():
    model, images = seeded(Plain), pictures()
    nn.init.zeros_(model.get_parameter("fc.weight"))
    assert not FusedLayerCAM()(model, images, 2).any()


def occluded_slowly(model: nn.Module, image: Tensor, label: int, how: RefinedOcclusion) -> Tensor:
    """One image [C, H, W], cell by cell with loops: the value of each pixel."""
    height, width = image.shape[1:]

    def fall(row: int, column: int, side: int) -> float:
        covered = image.clone()
        for y in range(height):
            for x in range(width):
                if (y * side // height, x * side // width) == (row, column):
                    covered[:, y, x] = how.fill
        with torch.no_grad():
            return float(model(image[None])[0, label] - model(covered[None])[0, label])

    side = how.cells
    values = {(r, c): fall(r, c, side) for r in range(side) for c in range(side)}
    fresh = set(values)
    for _ in range(how.rounds):
        chosen = sorted(fresh, key=lambda cell: -values[cell])[: how.split]
        values = {(r, c): values[r // 2, c // 2] for r in range(2 * side) for c in range(2 * side)}
        side, fresh = 2 * side, set()
        for r, c in chosen:
            four = [(2 * r + i, 2 * c + j) for i in (0, 1) for j in (0, 1)]
            falls = [fall(*each, side) for each in four]
            for each, own in zip(four, falls, strict=True):
                values[each] += how.weight * (own - sum(falls) / 4)
            fresh |= set(four)
    return torch.tensor([[values[y * side // height, x * side // width] for x in range(width)] for y in range(height)])


@pytest.mark.parametrize("how", [RefinedOcclusion(3, 2, 2, chunk=4), RefinedOcclusion(1, 2, 5, 1.0, fill=0.3)])
def test_refined_occlusion_is_its_slow_reading(how):
    model, images = seeded(Flat).eval(), pictures(size=(9, 11))
    maps = how(model, images, LABELS)
    slowly = [occluded_slowly(model, image, int(k), how) for image, k in zip(images, LABELS, strict=True)]
    assert torch.allclose(maps, torch.stack(slowly), atol=1e-5)


def test_refined_occlusion_finds_a_planted_pixel_and_a_planted_half():
    images = pictures(size=(8, 16)).abs() + 1
    pixel = RefinedOcclusion(split=1)(seeded(OnePixel), images, 1)
    assert (pixel.flatten(1).argmax(1) == 2 * 16 + 5).all()
    assert (pixel == pixel.amax((1, 2), keepdim=True)).sum() == B, "no wider than a pixel"
    half = RefinedOcclusion()(seeded(LeftHalf), images, 0)
    assert (half[..., :8].mean((1, 2)) > 0).all()
    assert not half[..., 8:].any()


def test_it_takes_the_passes_that_its_card_says():
    model, shown = seeded(Flat).eval(), []
    model.register_forward_hook(lambda _, images, output: shown.append(len(images[0])))
    RefinedOcclusion()(model, pictures(1, (9, 11)), 0)
    assert sum(shown) == 16 + 2 * 16 + 2, "cells, and the whole picture twice"


def test_shared_noise_makes_a_map_of_smoothgrad_the_same_in_any_batch():
    model, images, how = seeded(Flat), pictures(size=(9, 11)), SmoothGrad(4, shared=True)
    together = how(model, images, LABELS)
    assert torch.allclose(how(model, images[1:2], LABELS[1:2])[0], together[1], atol=1e-6)
    assert not torch.allclose(
        SmoothGrad(4)(model, images[1:2], LABELS[1:2])[0], SmoothGrad(4)(model, images, LABELS)[1]
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [("fused_layercam", {"stages": 0}), ("fused_layercam", {"fusion": "sum"}), ("refined_occlusion", {"cells": 0}),
     ("refined_occlusion", {"rounds": 9}), ("refined_occlusion", {"split": 1.5})],
)  # fmt: skip
def test_wrong_settings_are_told(name, settings):
    with pytest.raises(OverfocusError, match=next(iter(settings))):
        method(name, **settings)
