"""Corruptions: laws, slow readings of the published code, and the libraries that it used."""

import colorsys
import io
from math import ceil, cos, radians, sin

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key
from overfocus.diagnosis.corruptions import blur, corruption, weather
from overfocus.diagnosis.corruptions import sensor_noise as grain
from overfocus.diagnosis.corruptions.corruption import CORRUPTIONS, corrupted
from overfocus.diagnosis.pixels import normal, uniform
from overfocus.metrics.corruption import NAMES

DRAW = Key.seeded(7)
UNORDERED = {
    "glass_blur": "smoothing and moves are traded against each other",
    "snow": "fewer flakes fall at severity 3, from a brighter sky",
    "frost": "the published constants for small images brighten less at severities 4 and 5; it hides more, see below",
    "fog": "a softer cloud may differ less from a bright image",
    "elastic": "the affine part shrinks as the bending grows",
    "pixelate": "the blocks fall differently on the edges",
}


def picture(batch=3, channels=3, height=32, width=32, seed=0) -> torch.Tensor:
    """Make images with flat parts, slopes and edges."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, channels, 5, 5, generator=generator)
    images = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    images[:, :, height // 4 : height // 2, width // 3 :] = torch.rand(batch, channels, 1, 1, generator=generator)
    return images.clamp(0, 1)


def test_the_names_are_those_of_the_metric_in_its_order():
    assert tuple(CORRUPTIONS) == NAMES
    assert all(len(each.small) == len(each.large) == 5 for each in CORRUPTIONS.values())


@pytest.mark.parametrize("name", CORRUPTIONS)
class TestLaws:
    @pytest.mark.parametrize("shape", [(1, 3, 8, 13), (2, 1, 33, 24), (1, 3, 97, 110)])
    def test_any_size_and_grey(self, name, shape):
        images = picture(*shape)
        before = images.clone()
        for severity in (1, 3, 5):
            found = corrupted(name, images, severity, DRAW)
            assert found.shape == shape
            assert found.dtype == torch.float32
            assert float(found.min()) >= 0
            assert float(found.max()) <= 1
            assert not torch.equal(found, images)
        assert torch.equal(images, before)

    def test_an_image_does_not_know_its_batch(self, name):
        images = picture(5, height=20, width=27)
        state = torch.get_rng_state()
        whole = corrupted(name, images, 4, DRAW)
        rest = corrupted(name, images[2:4], 4, Key(DRAW.words, first_row=2))
        torch.testing.assert_close(whole[2:4], rest, rtol=0, atol=1e-6)
        assert torch.equal(whole, corrupted(name, images, 4, DRAW))
        assert torch.equal(state, torch.get_rng_state())

    def test_draws_are_each_images_own(self, name):
        images = picture(1).repeat(2, 1, 1, 1)
        found = corrupted(name, images, 5, DRAW)
        fixed = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg"}
        assert torch.allclose(found[0], found[1], atol=1e-6) == (name in fixed)

    @pytest.mark.parametrize("side", [32, 96])
    def test_severities_change_more(self, name, side):
        images = picture(2 if side > 32 else 8, height=side, width=side)
        change = [float((corrupted(name, images, each, DRAW) - images).abs().mean()) for each in range(1, 6)]
        assert min(change) > 0
        if name not in UNORDERED:
            assert change == sorted(change), change

    def test_black_and_bfloat16(self, name):
        black = torch.zeros(1, 3, 16, 12, dtype=torch.bfloat16)
        found = corrupted(name, black, 2, DRAW)
        assert found.dtype == torch.bfloat16
        assert bool(found.isfinite().all())
        stays = name not in {"gaussian_noise", "impulse_noise", "snow", "frost", "brightness"}
        assert bool((found.float().abs() < 1e-3).all()) == stays

    def test_bad_images_are_told(self, name):
        for bad in (torch.full((1, 3, 9, 9), torch.nan), torch.full((1, 3, 9, 9), 1.5)):
            with pytest.raises(OverfocusError, match=r"\[0, 1\]"):
                corrupted(name, bad, 1, DRAW)


def test_errors_say_what_instead():
    images = picture(1)
    with pytest.raises(UnknownName, match="fog"):
        corrupted("fogg", images, 1, DRAW)
    with pytest.raises(OverfocusError, match="severity is 0"):
        corrupted("fog", images, 0, DRAW)
    with pytest.raises(OverfocusError, match="at least 8"):
        corrupted("fog", images[..., :7], 1, DRAW)
    with pytest.raises(OverfocusError, match="give floats"):
        corrupted("fog", (images * 255).byte(), 1, DRAW)


def test_the_constants_change_at_96_pixels():
    small, large = picture(1, height=95, width=200), picture(1, height=96, width=200)
    mean = [each.mean(dim=(2, 3), keepdim=True) for each in (small, large)]
    assert torch.allclose(corrupted("contrast", small, 5, DRAW), mean[0] + 0.15 * (small - mean[0]), atol=1e-6)
    assert torch.allclose(corrupted("contrast", large, 5, DRAW), mean[1] + 0.05 * (large - mean[1]), atol=1e-6)


class TestReadings:
    def test_brightness_adds_to_v_of_hsv(self):
        images = picture(1, height=9, width=8)
        images[:, :, 0, 0] = 0
        found = corrupted("brightness", images, 4, DRAW)
        for y in range(9):
            for x in range(8):
                hue, saturation, value = colorsys.rgb_to_hsv(*images[0, :, y, x].tolist())
                expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.2))
                assert found[0, :, y, x].tolist() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("size", [(32, 32), (48, 40), (224, 224)])
    @pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
    def test_pixelate_is_pillows_box_filter(self, size, severity):
        image = (picture(1, height=size[0], width=size[1]) * 255).round()
        share = (
            [0.95, 0.9, 0.85, 0.75, 0.65][severity - 1] if size[0] < 96 else [0.6, 0.5, 0.4, 0.3, 0.25][severity - 1]
        )
        pillow = Image.fromarray(image[0].permute(1, 2, 0).byte().numpy())
        pillow = pillow.resize((int(size[1] * share), int(size[0] * share)), Image.Resampling.BOX)
        expected = np.asarray(pillow.resize((size[1], size[0]), Image.Resampling.BOX), dtype=np.float32)
        found = corrupted("pixelate", image / 255, severity, DRAW)[0].permute(1, 2, 0).numpy() * 255
        assert np.abs(found - expected).max() <= 1.01  # Pillow rounds after each of its passes

    @pytest.mark.parametrize("channels", [1, 3])
    def test_jpeg_is_pillows(self, channels):
        image = (picture(1, channels, 24, 40) * 255).round()
        array = image[0].permute(1, 2, 0).byte().numpy()
        file = io.BytesIO()
        Image.fromarray(array[..., 0] if channels == 1 else array).save(file, "JPEG", quality=58)
        expected = np.asarray(Image.open(file), dtype=np.float32).reshape(array.shape)
        found = corrupted("jpeg", image / 255, 3, DRAW)[0].permute(1, 2, 0).numpy() * 255
        assert np.abs(found - expected).max() < 0.01

    @pytest.mark.parametrize("factor", [1.0, 1.06, 1.13, 2.25, 4.5])
    def test_magnified_is_scipys_zoom(self, factor):
        image = picture(1, 2, 32, 32, seed=3)
        part = ceil(32 / factor)
        top = (32 - part) // 2
        cut = image[0, :, top : top + part, top : top + part].numpy()
        large = ndimage.zoom(cut, (1, factor, factor), order=1)
        trim = (large.shape[1] - 32) // 2
        expected = large[:, trim : trim + 32, trim : trim + 32]
        assert np.abs(blur.magnified(image, factor)[0].numpy() - expected).max() < 1e-5

    def test_zoom_blur_counts_the_image_twice(self):
        image = picture(1)
        factors = np.arange(1, 1.06, 0.01)
        assert len(factors) == 7
        expected = (image + sum(blur.magnified(image, float(each)) for each in factors)) / 8
        assert torch.allclose(corrupted("zoom_blur", image, 1, DRAW), expected, atol=1e-6)

    @pytest.mark.parametrize(("side", "severity"), [(32, 1), (32, 5), (96, 1), (96, 4), (96, 5)])
    def test_defocus_is_opencvs_filter(self, side, severity):
        cv2 = pytest.importorskip("cv2")
        image = picture(1, 1, side, side + 5)
        radius, alias = CORRUPTIONS["defocus_blur"].small[severity - 1]
        if side == 96:
            radius, alias = CORRUPTIONS["defocus_blur"].large[severity - 1]
        reach, size = (8, 3) if radius <= 8 else (radius, 5)
        line = np.arange(-reach, reach + 1)
        disk = ((line[:, None] ** 2 + line**2) <= radius**2).astype(np.float32)
        kernel = cv2.GaussianBlur(disk / disk.sum(), ksize=(size, size), sigmaX=alias)
        expected = cv2.filter2D(image[0, 0].numpy(), -1, kernel)
        found = corrupted("defocus_blur", image, severity, DRAW)[0, 0].numpy()
        assert np.abs(found - expected).max() < 1e-5

    @pytest.mark.parametrize("degrees", [-135.0, -61.0, 0.0, 31.0, 44.0])
    def test_smear_pixel_by_pixel(self, degrees):
        image, radius, sigma = picture(1, 1, 11, 14), 4, 2.0
        weights = np.exp(-(np.arange(9) ** 2) / (2 * sigma**2))
        weights /= weights.sum()
        expected = np.zeros((11, 14))
        for y in range(11):
            for x in range(14):
                for tap in range(9):
                    row = min(max(y + ceil(tap * sin(radians(degrees)) - 0.5), 0), 10)
                    column = min(max(x + ceil(tap * cos(radians(degrees)) - 0.5), 0), 13)
                    expected[y, x] += weights[tap] * image[0, 0, row, column].item()
        found = blur.smeared(image, radius, sigma, torch.tensor([degrees]))[0, 0].numpy()
        assert np.abs(found - expected).max() < 1e-6

    @pytest.mark.parametrize("reach", [1, 2, 4])
    def test_glass_moves_pixels_as_the_published_loop(self, reach):
        height, width = 21, 26
        shift = torch.randint(-reach, reach, (2, 2, height, width), generator=torch.Generator().manual_seed(reach))
        found = blur.origins(shift, reach)
        for row in range(2):
            array = np.stack([np.arange(height * width).reshape(height, width)] * 3, axis=-1)
            for h in range(height - reach, reach, -1):
                for w in range(width - reach, reach, -1):
                    down, along = shift[row, :, h, w].tolist()
                    other = (h + down, w + along)
                    # Both sides are views, so that the second half writes back what it just got.
                    array[h, w], array[other] = array[other], array[h, w]
            assert np.array_equal(found[row].numpy(), array[..., 0])
            assert len(np.unique(array)) < height * width, "the swap copies"

    @pytest.mark.parametrize(
        ("border", "scipys"), [("nearest", "nearest"), ("reflect", "reflect"), ("mirror", "mirror")]
    )
    @pytest.mark.parametrize("sigma", [0.05, 0.4, 1.5, 9.0])
    def test_smooth_is_scipys(self, border, scipys, sigma):
        image = picture(1, 1, 12, 17)
        expected = ndimage.gaussian_filter(image[0, 0].double().numpy(), sigma, mode=scipys, truncate=3)
        assert np.abs(blur.smooth(image, sigma, 3, border)[0, 0].numpy() - expected).max() < 1e-5

    def test_elastic_in_two_samplings_by_scipy(self):
        image = torch.rand(2, 1, 30, 41, generator=torch.Generator().manual_seed(0))
        key = DRAW.fold_in("elastic")
        strength, sigma, shift = (30 * each for each in CORRUPTIONS["elastic"].small[3])
        corners = np.array([[30, 25], [30, 5], [10, 5]], dtype=float)  # around (20, 15), 10 away, as x and y
        moved = corners + shift * (2 * uniform(key.fold_in("points"), torch.zeros(2, 3, 2)).double().numpy() - 1)
        noise = 2 * uniform(key.fold_in("bend"), torch.zeros(2, 2, 30, 41)).double().numpy() - 1
        y, x = np.mgrid[:30, :41].astype(float)
        found = corrupted("elastic", image, 4, DRAW)
        for row in range(2):
            back = np.linalg.solve(np.hstack([moved[row], np.ones((3, 1))]), corners)
            source = np.stack([x, y, np.ones_like(x)], axis=-1) @ back
            once = ndimage.map_coordinates(
                image[row, 0].numpy(), [source[..., 1], source[..., 0]], order=1, mode="mirror"
            )
            bend = [
                strength * ndimage.gaussian_filter(noise[row, axis], sigma, mode="reflect", truncate=3)
                for axis in (0, 1)
            ]
            twice = ndimage.map_coordinates(once, [y + bend[1], x + bend[0]], order=1, mode="reflect")
            assert np.abs(found[row, 0].numpy() - twice).max() < 1e-4

    def test_cloud_is_diamond_and_square(self):
        key, side, decay = DRAW.fold_in("fog"), 16, 2.5
        grid, step, swing = np.zeros((side, side)), side, 100.0
        while step >= 2:
            half, points = step // 2, side // step
            added = swing**2 * (2 * uniform(key.fold_in(points), torch.zeros(1, 3, points, points))[0].numpy() - 1)
            at = lambda y, x: grid[y % side, x % side]  # noqa: E731
            for i in range(points):
                for j in range(points):
                    y, x = i * step, j * step
                    corners = at(y, x) + at(y + step, x) + at(y, x + step) + at(y + step, x + step)
                    grid[y + half, x + half] = corners / 4 + added[0, i, j]
            for i in range(points):
                for j in range(points):
                    y, x = i * step, j * step
                    above = at(y, x) + at(y, x + step) + at(y + half, x + half) + at(y - half, x + half)
                    beside = at(y, x) + at(y + step, x) + at(y + half, x + half) + at(y + half, x - half)
                    grid[y, x + half], grid[y + half, x] = above / 4 + added[1, i, j], beside / 4 + added[2, i, j]
            step, swing = half, swing / decay
        grid = (grid - grid.min()) / (grid.max() - grid.min())
        found = weather.cloud(torch.zeros(1, 1, 11, 16), key, decay)[0, 0].numpy()
        assert np.abs(found - grid[:11]).max() < 1e-5

    def test_fog_keeps_the_brightest_value_in_scale(self):
        image = picture(2)
        cloud = weather.cloud(image, DRAW.fold_in("fog"), 2.5)
        top = image.flatten(1).max(dim=1).values.view(-1, 1, 1, 1)
        expected = (image + 0.75 * cloud) * top / (top + 0.75)
        assert torch.allclose(corrupted("fog", image, 3, DRAW), expected, atol=1e-6)

    def test_snow_without_flakes_whitens(self):
        image = picture(1)
        found = weather.snow(image, DRAW, 0.0, 0.0, 1.0, 0.5, (3, 1.0), 0.75)
        luma = 0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2]
        expected = 0.75 * image + 0.25 * torch.maximum(image, 1.5 * luma[:, None] + 0.5)
        assert torch.allclose(found, expected, atol=1e-6)

    def test_flakes_fall_twice(self):
        found = weather.snow(torch.zeros(1, 1, 24, 24), DRAW, 0.2, 0.3, 1.0, 0.6, (3, 1.0), 1.0)
        assert float(found.max()) > 0
        assert torch.allclose(found, found.flip((2, 3)), atol=1e-6)

    @pytest.mark.parametrize("side", [32, 96])
    def test_more_frost_leaves_less_of_the_image(self, side):
        """The correlation of what comes out with the image falls, although the mean change need not rise."""
        images = picture(16, height=side, width=side)
        left = []
        for severity in range(1, 6):
            found = corrupted("frost", images, severity, DRAW)
            centred = [each - each.mean(dim=(2, 3), keepdim=True) for each in (images, found)]
            left.append(float(torch.cosine_similarity(*(each.flatten(1) for each in centred)).mean()))
        assert left == sorted(left, reverse=True), left
        assert left[0] - left[-1] > 0.05

    def test_the_pane_is_bluish_and_neither_black_nor_white(self):
        panes = weather.pane(torch.zeros(64, 3, 32, 32), DRAW)
        red, green, blue = panes.mean(dim=(0, 2, 3)).tolist()
        assert red < green < blue
        assert 0.5 < green < 0.75
        assert float(panes.std(dim=(2, 3)).min()) > 0.05
        assert float(panes.mean(dim=(1, 2, 3)).std()) > 0.08


class TestGrain:
    def test_gaussian_is_the_image_and_a_scaled_draw(self):
        image = picture(2)
        expected = (image + 0.09 * normal(DRAW.fold_in("gaussian_noise"), image)).clamp(0, 1)
        assert torch.equal(corrupted("gaussian_noise", image, 4, DRAW), expected)
        middle = torch.full((4, 3, 64, 64), 0.5)
        assert float((corrupted("gaussian_noise", middle, 4, DRAW) - 0.5).std()) == pytest.approx(0.09, rel=0.02)

    @pytest.mark.parametrize("mean", [0.0, 0.01, 0.7, 3.0, 7.99, 8.01, 20.0, 60.0, 500.0])
    def test_poisson_is_scipys_inverse(self, mean):
        chance = (torch.arange(2**14) + 0.5) / 2**14
        found = grain.poisson(chance, torch.full_like(chance, mean)).numpy()
        expected = stats.poisson.ppf(chance.double().numpy(), mean)
        assert (found != expected).mean() < 1e-3
        assert np.abs(found - expected).max() <= 1

    def test_poisson_at_the_ends(self):
        chance = torch.tensor([0.0, 0.0, 1 - 2.0**-24, 1 - 2.0**-24])
        found = grain.poisson(chance, torch.tensor([3.0, 20.0, 8.0, 20.0]))
        expected = stats.poisson.ppf([1e-12, 2.0**-25, 1 - 2.0**-24, 1 - 2.0**-24], [3.0, 20.0, 8.0, 20.0])
        assert np.abs(found.numpy() - expected).max() <= 1

    def test_shot_noise_has_the_variance_of_counts(self):
        found = corrupted("shot_noise", torch.full((8, 1, 64, 64), 0.3), 5, DRAW)
        assert float(found.mean()) == pytest.approx(0.3, abs=0.002)
        assert float(found.var()) == pytest.approx(0.3 / 50, rel=0.05)

    def test_impulse_noise_is_half_black_half_white(self):
        found = corrupted("impulse_noise", torch.full((8, 3, 64, 64), 0.4), 5, DRAW)
        assert float((found == 0).float().mean()) == pytest.approx(0.035, abs=0.003)
        assert float((found == 1).float().mean()) == pytest.approx(0.035, abs=0.003)
        assert found.unique().tolist() == pytest.approx([0.0, 0.4, 1.0])


def test_elastic_lengths_are_shares_of_the_side():
    assert CORRUPTIONS["elastic"].large[1] == pytest.approx((244 * 2 / 224, 244 * 0.08 / 224, 244 * 0.2 / 224))
    assert corruption.LARGE == 96
