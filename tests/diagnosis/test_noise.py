"""Images of nothing."""

import pytest
import torch

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key
from overfocus.diagnosis.noise import NOISES, noise

DRAW = Key.seeded(3)


def images(batch=4, channels=3, height=24, width=19):
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NOISES)
class TestLaws:
    @pytest.mark.parametrize("shape", [(1, 1, 7, 12), (3, 3, 16, 11)])
    def test_shape_range_and_input(self, name, shape):
        like = images(*shape)
        before, state = like.clone(), torch.get_rng_state()
        found = noise(name, like, DRAW)
        assert found.shape == shape
        assert found.dtype == like.dtype
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        assert torch.equal(like, before)
        assert torch.equal(state, torch.get_rng_state())
        assert noise(name, like.bfloat16(), DRAW).dtype == torch.bfloat16

    def test_an_image_does_not_know_its_batch(self, name):
        like = images(5)
        whole = noise(name, like, DRAW)
        rest = noise(name, like[3:], Key(DRAW.words, first_row=3))
        torch.testing.assert_close(whole[3:], rest, rtol=0, atol=1e-5)

    def test_images_differ(self, name):
        found = noise(name, images(1).repeat(2, 1, 1, 1), DRAW)
        assert not torch.allclose(found[0], found[1], atol=1e-3)

    def test_black_images(self, name):
        found = noise(name, torch.zeros(2, 3, 16, 16), DRAW)
        assert bool((found == 0).all()) == (name in {"shuffled", "phase"})

    def test_bad_images(self, name):
        with pytest.raises(OverfocusError, match=r"\[0, 1\]"):
            noise(name, torch.full((1, 3, 8, 8), torch.nan), DRAW)


def test_unknown_names():
    with pytest.raises(UnknownName, match="uniform"):
        noise("unifrom", images(), DRAW)


def test_uniform_and_gaussian_have_their_moments():
    like = images(8, 3, 64, 64)
    even = noise("uniform", like, DRAW)
    assert float(even.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(even.var()) == pytest.approx(1 / 12, abs=0.002)
    bell = noise("gaussian", like, DRAW)
    tail = 0.5 * (1 + torch.erf(torch.tensor(-0.5 / 2**0.5)))  # of N(0.5, 1) below 0
    assert float((bell == 0).float().mean()) == pytest.approx(float(tail), abs=0.01)
    assert float((bell == 1).float().mean()) == pytest.approx(float(tail), abs=0.01)


def test_constant_is_one_colour():
    found = noise("constant", images(), DRAW)
    assert float(found.flatten(2).std(dim=2).max()) < 1e-6
    assert len(found[:, :, 0, 0].unique()) == 12


def test_shuffled_keeps_pixels_whole():
    like = images()
    found = noise("shuffled", like, DRAW)
    for before, after in zip(like.flatten(2), found.flatten(2)):
        assert sorted(map(tuple, before.T.tolist())) == sorted(map(tuple, after.T.tolist()))
    assert not torch.equal(like, found)


@pytest.mark.parametrize("size", [(16, 16), (15, 22)])
def test_phase_keeps_amplitudes_where_nothing_is_clipped(size):
    like = 0.5 + 0.02 * (images(2, 3, *size) - 0.5)
    found = noise("phase", like, DRAW)
    assert torch.allclose(torch.fft.fft2(found).abs(), torch.fft.fft2(like).abs(), atol=1e-3)
    assert not torch.allclose(found, like, atol=1e-3)
    turn = torch.fft.fft2(found) / torch.fft.fft2(like)
    assert torch.allclose(turn[:, 0], turn[:, 1], atol=0.05), "channels turn alike, so colours stay"


def test_blobs_have_sharp_edges():
    found = noise("blobs", images(4, 3, 32, 32), DRAW)
    assert bool(((found == 0) | (found >= 0.75)).all())
    assert 0.1 < float((found > 0).float().mean()) < 0.6
