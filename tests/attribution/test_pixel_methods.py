"""Methods that ask about changed images: integrated gradients, SmoothGrad, occlusion."""

import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIG
from captum.attr import Occlusion as CaptumOcclusion
from classifiers import B, Flat, K, LeftHalf, OnePixel, Plain, pictures, seeded
from torch import Tensor, nn

from overfocus.attribution.catalogue import attribute
from overfocus.attribution.methods.integrated_gradients import IntegratedGradients
from overfocus.attribution.methods.occlusion import Occlusion
from overfocus.attribution.methods.smoothgrad import SmoothGrad
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.models.zoo import create_model

SIZE = (9, 11)
LABELS = torch.tensor([3, 0, 5])


def flat() -> nn.Module:
    return seeded(Flat).eval()


def logit(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images)[torch.arange(len(images)), LABELS[: len(images)]]


@pytest.mark.parametrize("baseline", [0.0, -1.5])
def test_integrated_gradients_add_up_to_the_change_of_the_logit(baseline):
    model, images = flat(), pictures(size=SIZE)
    maps = IntegratedGradients(steps=64, baseline=baseline)(model, images, LABELS)
    assert maps.shape == (B, *SIZE)
    change = logit(model, images) - logit(model, torch.full_like(images, baseline))
    assert torch.allclose(maps.sum((1, 2)), change, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_integrated_gradients_are_the_integral(chunk):
    model, images = flat(), pictures(size=SIZE)
    total = torch.zeros_like(images)
    for i in range(100):
        leaf = (images * (i + 0.5) / 100).requires_grad_()
        total += torch.autograd.grad(model(leaf)[torch.arange(B), LABELS].sum(), leaf)[0]
    maps = IntegratedGradients(steps=32, chunk=chunk)(model, images, LABELS)
    assert torch.allclose(maps, (total / 100 * images).sum(1), atol=1e-4)
    theirs = CaptumIG(model).attribute(images, target=LABELS, n_steps=32)
    assert torch.allclose(maps, theirs.sum(1), atol=1e-5)


class Normalised(nn.Module):
    """The start of ConvNeXt: patches, and each position normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.LayerNorm(8, 1e-12), nn.Linear(8, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.norm(self.conv(x).permute(0, 2, 3, 1))).mean((1, 2)))


def test_the_convergence_delta_is_that_of_captum_relative_to_the_change():
    model, images = flat(), pictures(size=SIZE)
    found = IntegratedGradients(steps=2, baseline=0.7, limit=1e9).integrate(model, images, LABELS)
    _, delta = CaptumIG(model).attribute(images, 0.7, LABELS, n_steps=2, return_convergence_delta=True)
    change = logit(model, images) - logit(model, torch.full_like(images, 0.7))
    assert torch.allclose(found.delta, (delta / change).abs().float(), rtol=1e-3)
    assert (found.delta > 1e-4).any()
    assert found.baseline == ("0.7",) * B
    assert found.steps == (2,) * B


@pytest.mark.parametrize(
    "make", [Normalised, pytest.param(lambda: create_model("convnext_tiny", K), marks=pytest.mark.slow)]
)
def test_a_baseline_that_does_not_converge_is_left_for_one_that_does(make):
    model, images = seeded(make).eval(), pictures(size=(32, 40))
    from_zero = IntegratedGradients(steps=8, baseline=0.0)
    with pytest.warns(UserWarning, match="3 of 3 images .* does not add up.* do not read"):
        from_zero(model, images, LABELS)
    stuck = from_zero.integrate(model, images, LABELS)
    assert (stuck.delta > 0.5).all()
    found = IntegratedGradients(steps=8).integrate(model, images, LABELS)
    assert (found.delta <= 0.05).all()
    assert set(found.baseline) <= {"mean", "blur"}
    maps, notes = IntegratedGradients(steps=8).with_notes(model, images, LABELS)
    assert torch.equal(maps, found.maps)
    assert all(name in note for name, note in zip(found.baseline, notes, strict=True))
    assert "delta" in from_zero.with_notes(model, images, LABELS)[1][0]


def test_what_converges_from_zero_is_the_map_from_zero_for_each_image_by_itself():
    model, images = seeded(Normalised).eval(), pictures(size=(32, 40))
    both = IntegratedGradients(steps=8).integrate(model, images, LABELS)
    for row in range(B):
        alone = IntegratedGradients(steps=8).integrate(model, images[row : row + 1], LABELS[row : row + 1])
        assert torch.allclose(alone.maps[0], both.maps[row], atol=1e-5)
        assert alone.baseline[0] == both.baseline[row]
    easy, plain = IntegratedGradients().integrate(flat(), pictures(size=SIZE), LABELS), IntegratedGradients(baseline=0)
    assert easy.baseline == ("0",) * B
    assert torch.equal(easy.maps, plain(flat(), pictures(size=SIZE), LABELS))


def smoothgrad_slowly(model: nn.Module, images: Tensor, how: SmoothGrad) -> Tensor:
    rows = []
    for row, image in enumerate(images):
        gradients = []
        for i in range(how.samples):
            noise = Key.seeded(how.seed).fold_in(i).normal(len(images), image.numel())[row].view(image.shape)
            leaf = (image + how.noise * (image.max() - image.min()) * noise)[None].requires_grad_()
            gradients.append(torch.autograd.grad(model(leaf)[0, LABELS[row]], leaf)[0][0])
        mean = torch.stack(gradients).mean(0)
        rows.append((mean.abs() if how.absolute else mean).sum(0))
    return torch.stack(rows)


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_smoothgrad_is_its_slow_reading_whatever_the_chunk(absolute, chunk):
    model, images, how = flat(), pictures(size=SIZE), SmoothGrad(5, 0.2, absolute, chunk, seed=3)
    assert torch.allclose(how(model, images, LABELS), smoothgrad_slowly(model, images, how), atol=1e-6)


def test_smoothgrad_without_noise_is_the_gradient_and_its_seed_decides():
    model, images = flat(), pictures(size=SIZE)
    leaf = images.clone().requires_grad_()
    gradient = torch.autograd.grad(model(leaf)[torch.arange(B), LABELS].sum(), leaf)[0]
    assert torch.allclose(SmoothGrad(2, 0)(model, images, LABELS), gradient.abs().sum(1), atol=1e-6)
    assert torch.equal(SmoothGrad(2, seed=1)(model, images), SmoothGrad(2, seed=1)(model, images))
    assert not torch.equal(SmoothGrad(2, seed=1)(model, images), SmoothGrad(2, seed=2)(model, images))


def test_smoothgrad_of_many_samples_is_that_of_captum():
    """Other draws of the same noise: both are means of 300, within four standard errors of each other."""
    from captum.attr import NoiseTunnel, Saliency

    model, image = flat(), pictures(1, SIZE)
    ours = SmoothGrad(300, 0.1, absolute=False)(model, image, 2)
    spread = 0.1 * (image.max() - image.min()).item()
    singles = torch.stack([SmoothGrad(1, 0.1, absolute=False, seed=i)(model, image, 2) for i in range(30)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tunnel = NoiseTunnel(Saliency(model))
        theirs = tunnel.attribute(image, nt_samples=300, stdevs=spread, target=2, abs=False).sum(1)
    error = singles.std(0) * (2 / 300) ** 0.5
    assert ((ours - theirs).abs() < 4.5 * error + 1e-6).all()
    assert (error > 0).any()


@pytest.mark.parametrize("chunk", [1, 64])
def test_occlusion_is_the_mean_fall_under_the_windows_that_cover_a_pixel(chunk):
    model, images = flat(), pictures(size=SIZE)
    maps = Occlusion(window=4, stride=3, fill=0.5, chunk=chunk)(model, images, LABELS)
    fall, cover = torch.zeros(B, *SIZE), torch.zeros(SIZE)
    for top in range(0, SIZE[0], 3):
        for left in range(0, SIZE[1], 3):
            if top - 3 + 4 >= SIZE[0] or left - 3 + 4 >= SIZE[1]:
                continue  # the window before has reached the edge
            covered = images.clone()
            covered[:, :, top : top + 4, left : left + 4] = 0.5
            fall[:, top : top + 4, left : left + 4] += (logit(model, images) - logit(model, covered))[:, None, None]
            cover[top : top + 4, left : left + 4] += 1
    assert torch.allclose(maps, fall / cover, atol=1e-5)
    theirs = CaptumOcclusion(model).attribute(images, (3, 4, 4), (3, 3, 3), 0.5, LABELS)
    assert torch.allclose(maps, theirs[:, 1], atol=1e-5)


def test_occlusion_of_a_share_is_that_of_its_pixels():
    model, images = seeded(Plain), pictures(size=(16, 24))
    assert torch.equal(Occlusion(0.25, 0.5)(model, images), Occlusion(4, 2)(model, images))
    assert torch.equal(Occlusion(100, 100)(model, images), Occlusion(16, 16)(model, images))


@pytest.mark.parametrize("how", [IntegratedGradients(4), SmoothGrad(3), Occlusion(1, 1)])
def test_a_planted_pixel_and_a_planted_half_are_found(how):
    images = pictures(size=(6, 10)).abs() + 1
    pixel = how(seeded(OnePixel), images, 1)
    assert pixel.count_nonzero() == B
    assert (pixel[:, 2, 5] > 0).all()
    half = how(seeded(LeftHalf), images, 0)
    assert (half[..., :5] > 0).all()
    assert not half[..., 5:].any()


def test_a_pixel_is_worth_its_own_value():
    images = pictures(size=(6, 10))
    expected = images.sum(1)[:, 2, 5]
    for how in (IntegratedGradients(4), Occlusion(1, 1)):
        assert torch.allclose(how(seeded(OnePixel), images, 1)[:, 2, 5], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["integrated_gradients", "smoothgrad", "occlusion"])
def test_half_precision_and_one_image(name):
    model, image = flat(), pictures(1, SIZE)
    expected = attribute(model, image, name, target=K - 1)
    maps = attribute(model.bfloat16(), image.bfloat16(), name, target=K - 1)
    assert maps.dtype == torch.float32
    assert (maps - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.parametrize("name", ["integrated_gradients", "smoothgrad", "occlusion"])
def test_an_image_without_numbers_spoils_only_its_own_map(name):
    model, images = flat(), pictures(size=SIZE)
    images[1, 0, 0, 0] = torch.nan
    maps = attribute(model, images, name, target=0)
    assert maps[[0, 2]].isfinite().all()
    assert maps[1].isnan().any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: IntegratedGradients(steps=0),
        lambda: IntegratedGradients(baseline="man"),
        lambda: IntegratedGradients(limit=-1),
        lambda: SmoothGrad(samples=2.5),
        lambda: SmoothGrad(noise=-0.1),
        lambda: Occlusion(window=0),
        lambda: Occlusion(stride=True),
        lambda: Occlusion(chunk=0),
    ],
)
def test_a_setting_out_of_its_range_is_named(make):
    with pytest.raises(OverfocusError, match=r"=.* must be"):
        make()
