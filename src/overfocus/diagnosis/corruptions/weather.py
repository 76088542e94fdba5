"""Snow, frost and fog on images [B, C, H, W] in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.corruptions.blur import magnified, smeared
from overfocus.diagnosis.pixels import normal, uniform, within


def fog(pixels: Tensor, key: Key, amount: float, decay: float) -> Tensor:
    """Add `amount` times a cloud, and scale so that the brightest value stays; a black image stays black."""
    brightest = pixels.amax(dim=(1, 2, 3), keepdim=True)
    return (pixels + amount * cloud(pixels, key, decay)) * brightest / (brightest + amount)


def frost(pixels: Tensor, key: Key, kept: float, amount: float) -> Tensor:
    """Return `kept` times the image and `amount` times a pane of frost.

    Below 96 pixels the published constants brighten less at severities 4 and 5 than at 3, with the published
    photographs too: the mean change of 500 images of 32 pixels is 0.199, 0.180 and 0.173 with those and 0.165, 0.147
    and 0.140 with the pane. What is left of the image falls: its correlation with what comes out is 0.937, 0.932 and
    0.900.
    """
    return kept * pixels + amount * pane(pixels, key)


def pane(pixels: Tensor, key: Key) -> Tensor:
    """Draw frost for each image: [B, C, H, W] in [0, 1], bluish white; its mean is about 0.3 to 0.8.

    The published corruption takes photographs of frosted glass, which have means between 0.35 and 0.81. This is not
    that: it is a cloud that is bright along its level lines, like the edges of crystals, and a finer one over it.
    """
    coarse, fine = cloud(pixels, key.fold_in("coarse"), 1.7), cloud(pixels, key.fold_in("fine"), 1.2)
    # Level lines at several heights, so that edges run everywhere and not only where the cloud is halfway up.
    edges = 1 - (2 * ((3 * coarse) % 1) - 1).abs()
    level = within(key.fold_in("level"), pixels, 0.35, 0.85).view(-1, 1, 1, 1)
    light = (level + 0.4 * edges**2 + 0.6 * fine - 0.43).clamp(0, 1)
    tint = torch.tensor([0.82, 0.95, 1.0] if pixels.shape[1] == 3 else [0.93]).to(pixels)
    return light * tint.view(1, -1, 1, 1)


def cloud(pixels: Tensor, key: Key, decay: float) -> Tensor:
    """Draw a fractal height map for each image: [B, 1, H, W], cut from a square that spans [0, 1].

    Diamond and square (Fournier et al., 1982), joined at the edges. Each halving of the grid adds U(-s, s), where s
    begins at 10,000 and is divided by the square of `decay`: the larger, the softer.
    """
    grid = torch.zeros(len(pixels), 1, 1, 1, device=pixels.device)
    swing = 100.0
    while grid.shape[-1] < max(pixels.shape[-2:]):
        added = swing**2 * (2 * uniform(key.fold_in(grid.shape[-1]), grid.expand(-1, 3, -1, -1)) - 1)
        grid = _halved(grid, added)
        swing /= decay
    grid = grid - grid.amin(dim=(2, 3), keepdim=True)
    grid = grid / grid.amax(dim=(2, 3), keepdim=True)
    return grid[:, :, : pixels.shape[-2], : pixels.shape[-1]]


def _halved(grid: Tensor, added: Tensor) -> Tensor:
    """Put a point between any two of `grid` [B, 1, n, n], the mean of four neighbours and of `added` [B, 3, n, n]."""
    centre_added, along_added, down_added = added[:, 0:1], added[:, 1:2], added[:, 2:3]
    right = grid.roll(-1, 3)
    centre = (grid + right + grid.roll(-1, 2) + right.roll(-1, 2)) / 4 + centre_added
    along = (grid + right + centre + centre.roll(1, 2)) / 4 + along_added
    down = (grid + grid.roll(-1, 2) + centre + centre.roll(1, 3)) / 4 + down_added
    even, odd = (torch.stack(pair, dim=-1).flatten(-2) for pair in ((grid, along), (down, centre)))
    return torch.stack((even, odd), dim=-2).flatten(-3, -2)


def snow(
    pixels: Tensor,
    key: Key,
    level: float,
    spread: float,
    size: float,
    least: float,
    smear: tuple[int, float],
    kept: float,
) -> Tensor:
    """Whiten the image by 1 - `kept` and let flakes of `size` fall, smeared, once as drawn and once turned by 180
    degrees. Flakes are where N(level, spread) is at least `least`.
    """
    flakes = magnified(level + spread * normal(key.fold_in("flakes"), pixels[:, :1]), size)
    flakes = torch.where(flakes < least, 0.0, flakes).clamp(0, 1)
    flakes = smeared(flakes, *smear, within(key.fold_in("wind"), pixels, -135, -45))
    pale = torch.maximum(pixels, 1.5 * grey(pixels) + 0.5)
    return kept * pixels + (1 - kept) * pale + flakes + flakes.flip((2, 3))


def grey(pixels: Tensor) -> Tensor:
    """Return the luma of images [B, C, H, W] as of ITU-R BT.601: [B, 1, H, W]; a grey image is its own."""
    if pixels.shape[1] == 1:
        return pixels
    return torch.einsum("bchw,c->bhw", pixels, torch.tensor([0.299, 0.587, 0.114]).to(pixels))[:, None]
