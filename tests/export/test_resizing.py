"""The resize of exported programs against that of training, for odd sizes and every way to fit."""

import pytest
import torch

from overfocus.core.preprocess import Preprocess
from overfocus.data.resize import fit
from overfocus.export.resizing import Fitting

STORED = [(37, 53), (53, 37), (19, 23), (9, 7), (200, 31), (23, 18), (40, 36), (1, 5)]


def smooth(size, channels=3):
    source = torch.Generator().manual_seed(size[0])
    small = torch.rand(1, channels, 4, 4, generator=source)
    large = torch.nn.functional.interpolate(small, size, mode="bicubic").clamp(0, 1)
    return ((large * 0.8 + torch.rand(large.shape, generator=source) * 0.2) * 255).round().to(torch.uint8)


@pytest.mark.parametrize("way", ["crop", "pad", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("share", [1.0, 0.875])
def test_it_does_what_training_does(way, interpolation, share):
    how = Preprocess(size=(23, 18), fit=way, interpolation=interpolation, crop_share=share, background=(9, 200, 30))
    for stored in STORED:
        pixels = smooth(stored)
        expected, found = fit(pixels, how).float(), Fitting(how, 3)(pixels.float() / 255) * 255
        assert found.shape == expected.shape == (1, 3, 23, 18)
        off = (found - expected).abs()
        assert float(off.max()) < (1e-3 if interpolation == "nearest" else 1.6), (stored, way)
        assert float(off.mean()) < 0.6


def test_pictures_of_the_size_and_of_one_channel_stay_as_they_are():
    how = Preprocess(size=(23, 18), crop_share=0.5, interpolation="bicubic")
    pixels = smooth((23, 18), 1).float() / 255
    torch.testing.assert_close(Fitting(how, 1)(pixels), pixels, atol=1e-6, rtol=0)


def test_a_shifted_cut_would_be_seen(monkeypatch):
    how = Preprocess(size=(23, 18))
    pixels = smooth((37, 53))
    monkeypatch.setattr(torch.Tensor, "floor", torch.Tensor.ceil)
    assert float((Fitting(how, 3)(pixels.float() / 255) * 255 - fit(pixels, how)).abs().mean()) > 1
