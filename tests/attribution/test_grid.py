import pytest
import torch
from classifiers import Plain, timm_vit
from torch import nn

from overfocus.attribution.grid import Grid, grid_of, patch_of

TABLE = [
    # (output shape, image, patch) -> (order, h, w, prefix)
    ((2, 512, 7, 7), (224, 224), None, ("channels first", 7, 7, 0)),
    ((2, 7, 7, 768), (224, 224), None, ("channels last", 7, 7, 0)),
    ((2, 7, 7, 7), (224, 224), None, ("channels first", 7, 7, 0)),
    ((2, 4, 4, 8), (64, 64), None, ("channels last", 4, 4, 0)),
    ((2, 6, 5, 9), (40, 72), None, ("channels first", 5, 9, 0)),
    ((2, 5, 9, 6), (40, 72), None, ("channels last", 5, 9, 0)),
    ((2, 16, 1, 1), (40, 72), None, ("channels first", 1, 1, 0)),
    ((2, 16, 2, 1), (33, 20), None, ("channels first", 2, 1, 0)),
    ((2, 197, 768), (224, 224), None, ("tokens", 14, 14, 1)),
    ((2, 196, 768), (224, 224), None, ("tokens", 14, 14, 0)),
    ((2, 201, 384), (224, 224), (16, 16), ("tokens", 14, 14, 5)),
    ((2, 20, 24), (48, 80), (16, 16), ("tokens", 3, 5, 5)),
    ((2, 14, 24), (50, 50), (14, 14), ("tokens", 3, 3, 5)),
    ((2, 64, 24), (64, 64), (4, 4), ("tokens", 8, 8, 0)),  # patches that were merged since
    ((2, 16, 24), (48, 80), None, ("tokens", 3, 5, 1)),
]


@pytest.mark.parametrize(("shape", "image", "patch", "expected"), TABLE)
def test_shapes_are_read_by_the_image(shape, image, patch, expected):
    assert grid_of(shape, image, patch) == Grid(*expected)


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 197, 64), (2, 3, 17, 64), (2, 1000, 8), (2, 3, 4, 5, 6), (2,)])
def test_what_is_no_grid_is_none(shape):
    assert grid_of(shape, (64, 64), None) is None


@pytest.mark.parametrize("order", ["channels first", "channels last", "tokens"])
def test_every_position_lands_at_its_place(order):
    truth = torch.arange(2 * 4 * 3 * 5.0).view(2, 4, 3, 5)
    grid = Grid(order, 3, 5, 2 if order == "tokens" else 0)
    raw = {"channels first": truth, "channels last": truth.permute(0, 2, 3, 1)}.get(order)
    if raw is None:
        raw = torch.full((2, 17, 4), -1.0)
        for y in range(3):
            for x in range(5):
                raw[:, 2 + 5 * y + x] = truth[:, :, y, x]
    assert torch.equal(grid.shaped(raw), truth)
    assert torch.equal(grid.shaped(grid.laid_out(truth)), truth)
    assert grid.laid_out(truth).shape == raw.shape


def test_the_patch_is_that_of_the_first_convolution():
    assert patch_of(timm_vit()) == (16, 16)
    assert patch_of(Plain()) is None
    assert patch_of(nn.Linear(2, 3)) is None
    assert patch_of(nn.Conv2d(3, 4, 1)) is None
