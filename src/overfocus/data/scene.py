"""Cluttered colour scenes for the embedded set, in integers only, so that every machine paints the same pixels.

Nothing in a scene depends on a class: random colours, small shapes, hatching in any direction, pen strokes.
"""

import torch
from torch import Tensor

from overfocus.core.key import Key

SIDE = 40
CELL = 8
COSINE = (256, 253, 243, 228, 207, 181, 150, 116, 79, 40, 0, -40, -79, -116, -150, -181, -207, -228, -243, -253)
"""256 cos(9 degrees * i), rounded; the sine of i is the cosine of 10 - i."""


def direction(ninths: Tensor) -> tuple[Tensor, Tensor]:
    """Return 256 times (cosine, sine) of `ninths` [B] steps of nine degrees, 0 to 19: int64 [B, 1, 1] each."""
    table = torch.tensor(COSINE)
    cosine, sine = table[ninths], table[(10 - ninths).abs()]
    return cosine[:, None, None], sine[:, None, None]


def grid(side: int) -> tuple[Tensor, Tensor]:
    """Return the (y, x) of a square of `side` pixels, doubled and centred: int64 [1, side, 1] and [1, 1, side]."""
    steps = 2 * torch.arange(side) - (side - 1)
    return steps[None, :, None], steps[None, None, :]


def stamp(scenes: Tensor, patch: Tensor, mask: Tensor, y: Tensor, x: Tensor) -> None:
    """Write `patch` [B, C, s, s] where `mask` [B, s, s] holds into `scenes` [B, C, H, W] at `y`, `x` [B], in place."""
    fresh = torch.where(mask[:, None], patch, window(scenes, patch.shape[-1], y, x))
    scenes.view(*scenes.shape[:2], scenes.shape[2] * scenes.shape[3]).scatter_(
        2, _pixels(scenes, patch.shape[-1], y, x), fresh.flatten(2)
    )


def window(scenes: Tensor, side: int, y: Tensor, x: Tensor) -> Tensor:
    """Return the squares of `side` pixels at (`y`, `x`) [B] of `scenes` [B, C, H, W]: [B, C, side, side]."""
    return scenes.flatten(2).gather(2, _pixels(scenes, side, y, x)).unflatten(2, (side, side))


def _pixels(scenes: Tensor, side: int, y: Tensor, x: Tensor) -> Tensor:
    """Return where the pixels of squares lie in a flattened scene: [B, C, side * side] int64."""
    width = scenes.shape[-1]
    inner = (torch.arange(side)[:, None] * width + torch.arange(side)).reshape(1, 1, -1)
    return ((y * width + x)[:, None, None] + inner).expand(-1, scenes.shape[1], -1)


def below(bits: Tensor, limit: int | Tensor) -> Tensor:
    """Turn 32 random bits into whole numbers from 0 to `limit` - 1."""
    return bits * limit >> 32


def clutter(key: Key, count: int) -> Tensor:
    """Paint `count` scenes: [count, 3, 40, 40] uint8."""
    scenes = _field(key.fold_in("field"), count)
    for number in range(3):
        _hatch(scenes, key.fold_in("hatch").fold_in(number))
    for number in range(7):
        _shape(scenes, key.fold_in("shape").fold_in(number))
    for number in range(4):
        _stroke(scenes, key.fold_in("stroke").fold_in(number))
    return scenes


def _field(key: Key, count: int) -> Tensor:
    """Blend a coarse grid of colours and add grey grain."""
    knots = SIDE // CELL + 1
    colours = 40 + below(key.fold_in("colours").bits(count, 3 * knots * knots), 112).to(torch.int16)
    colours = colours.view(count, 3, knots, knots)
    colours = _stretch(_stretch(colours, 3).transpose(2, 3), 3).transpose(2, 3) >> 6
    words = key.fold_in("grain").bits(count, SIDE * SIDE // 4)
    grain = torch.stack([words >> shift & 0xFF for shift in (0, 8, 16, 24)], dim=2).to(torch.int16)
    return (colours + ((grain - 128) >> 3).view(count, 1, SIDE, SIDE)).to(torch.uint8).contiguous()


def _stretch(knots: Tensor, dim: int) -> Tensor:
    """Interpolate between neighbours along the last dimension, eightfold, times 8."""
    left, right = knots[..., :-1, None], knots[..., 1:, None]
    step = torch.arange(CELL, dtype=knots.dtype)
    return (left * (CELL - step) + right * step).flatten(dim)


def _place(key: Key, count: int, side: int) -> tuple[Tensor, Tensor]:
    y, x = below(key.fold_in("place").bits(count, 2), SIDE - side + 1).unbind(1)
    return y, x


def _colour(key: Key, count: int, low: int = 0, high: int = 256) -> Tensor:
    """Draw colours [count, 3, 1, 1] uint8 from `low` to `high` - 1."""
    return (low + below(key.fold_in("colour").bits(count, 3), high - low)).to(torch.uint8)[:, :, None, None]


def _shape(scenes: Tensor, key: Key) -> None:
    """Add a square or a diamond of any colour, 3 to 7 pixels wide."""
    count, side = len(scenes), 7
    y, x = grid(side)
    radius, kind = key.fold_in("form").bits(count, 2)[:, :, None, None].unbind(1)
    radius, diamond = 2 + 2 * below(radius, 3), below(kind, 2) == 1
    square = (y.abs() <= radius) & (x.abs() <= radius)
    mask = torch.where(diamond, y.abs() + x.abs() <= radius + 1, square)
    patch = _colour(key, count).expand(-1, -1, side, side)
    stamp(scenes, patch, mask, *_place(key, count, side))


def _hatch(scenes: Tensor, key: Key) -> None:
    """Add parallel lines in any of twenty directions and two colours, on 6 to 10 pixels."""
    count, side = len(scenes), 10
    y, x = grid(side)
    bits = key.fold_in("lines").bits(count, 3)
    cosine, sine = direction(below(bits[:, 0], 20))
    phase = below(bits[:, 1], 1024)[:, None, None]
    reach = 5 + 2 * below(bits[:, 2], 3)[:, None, None]
    light = (x * cosine + y * sine + phase) >> 9 & 1 == 1
    first, second = _colour(key.fold_in(1), count, 40, 180), _colour(key.fold_in(2), count, 40, 180)
    mask = (y.abs() <= reach) & (x.abs() <= reach)
    stamp(scenes, torch.where(light[:, None], first, second), mask, *_place(key, count, side))


def _stroke(scenes: Tensor, key: Key) -> None:
    """Add a light stroke of a pen, 3 to 10 pixels long and 2 wide."""
    count, side = len(scenes), 10
    y, x = grid(side)
    bits = key.fold_in("pen").bits(count, 3)
    cosine, sine = direction(below(bits[:, 0], 20))
    reach = (3 + below(bits[:, 1], 7))[:, None, None] * 256
    mask = ((x * cosine + y * sine).abs() <= reach) & ((y * cosine - x * sine).abs() <= 512)
    patch = (150 + below(bits[:, 2], 106)).to(torch.uint8)[:, None, None, None].expand(-1, 3, side, side)
    stamp(scenes, patch, mask, *_place(key, count, side))
