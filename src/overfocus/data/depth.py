"""Pictures of more than 8 bits, brought to 8 by a stated rule: see `Preprocess.intensity`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Intensity

PERCENTILES = (0.5, 99.5)
FEW = 32
"""Of 256 levels: a picture that spans fewer is almost constant."""
INSTEAD = "give --intensity percentile, or what is black and white, such as --intensity"


class AlmostConstant(UserWarning):
    """Pictures of more than 8 bits that come out in little more than one level."""


def is_deep(picture: Image.Image) -> bool:
    """Say whether a picture that is open and not yet loaded has more than 8 bits a channel."""
    return picture.mode[0] in "IF" or _raw_mode(picture)[-4:-1] == ";16"  # ;16B, ;16L, ;16N; but BGR;16 is 5-6-5 bits


def eight_bits(picture: Image.Image, source: str | bytes, name: str, intensity: Intensity) -> Image.Image:
    """Return a deep picture, whose file or bytes are `source`, in 8 bits; its alpha, where it has one, is kept.

    Warns of a picture that comes out almost constant. Raises OverfocusError for pixels that are not finite, and where
    `range` has no meaning, since the values lie outside of it.
    """
    values, alpha = _without_alpha(_values(picture, source, name, intensity), picture)
    levels = _levels(values, name, intensity)
    if np.ptp(levels) < FEW:
        # Without the name of the picture, so that Python shows it once for all of a folder.
        warn(
            f"pictures of more than 8 bits in {Path(name).parent} are almost constant, of fewer than {FEW} of 256 "
            f"levels; {INSTEAD} {_ends(values)}", AlmostConstant, stacklevel=2,
        )  # fmt: skip
    return Image.fromarray(levels if alpha is None else np.dstack((levels, alpha)))


def _raw_mode(picture: Image.Image) -> str:
    """Return how the pixels lie in the file, such as RGB;16B, as far as Pillow says it."""
    tiles: Any = getattr(picture, "tile", None)
    args = tiles[0][3] if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _values(picture: Image.Image, source: str | bytes, name: str, intensity: Intensity) -> np.ndarray:
    """Return the pixels [H, W] or [H, W, C] in their own depth; in `range`, of 16-bit colours the upper 8 bits."""
    if picture.mode[0] in "IF" or intensity == "range":  # Pillow itself keeps the upper 8 bits of colours
        return np.asarray(picture)
    if picture.format != "PNG":
        raise OverfocusError(
            f"{name}: of 16-bit colours in {picture.format} only the upper 8 bits can be read; save it as PNG, or take "
            "--intensity range"
        )
    from torchvision.io import ImageReadMode, decode_image

    encoded = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        pixels = decode_image(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    except RuntimeError as error:
        raise OverfocusError(f"{name}: damaged image ({str(error).splitlines()[0]}); replace or remove it") from error
    return pixels.permute(1, 2, 0).numpy()


def _without_alpha(values: np.ndarray, picture: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return colours and 8-bit alpha; a level of grey may be marked as transparent."""
    if values.ndim == 3 and values.shape[2] in (2, 4):
        alpha = values[..., -1] if values.dtype == np.uint8 else (values[..., -1] >> 8).astype(np.uint8)
        return (values[..., 0] if values.shape[2] == 2 else values[..., :3]), alpha
    clear = picture.info.get("transparency")
    if values.ndim == 2 and isinstance(clear, int):
        return values, np.where(values == clear, 0, 255).astype(np.uint8)
    return values, None


def _levels(values: np.ndarray, name: str, intensity: Intensity) -> np.ndarray:
    """Return `values` as uint8."""
    if values.dtype == np.uint8:
        return values
    if not np.isfinite(values).all():
        raise OverfocusError(f"{name}: some pixels are not finite; replace them, or use --on-bad-image skip")
    if intensity == "range":
        return _in_range(values, name)
    low, high = np.percentile(values, PERCENTILES) if intensity == "percentile" else intensity
    scaled = (values.astype(np.float64) - low) * (255 / max(high - low, 1e-12))
    return scaled.clip(0, 255).round().astype(np.uint8)


def _in_range(values: np.ndarray, name: str) -> np.ndarray:
    floats = values.dtype.kind == "f"
    low, high, top = values.min(), values.max(), 1 if floats else 65535
    if low < 0 or high > top:
        raise OverfocusError(
            f"{name}: pixels from {low:g} to {high:g}, which are no {'floats' if floats else 'integers'} from 0 to "
            f"{top}; {INSTEAD} {low:g},{high:g}"
        )
    return (values * 255).round().astype(np.uint8) if floats else (values >> 8).astype(np.uint8)


def _ends(values: np.ndarray) -> str:
    """Return what to give for black and white: from 0 to the end of as many bits as the pixels use."""
    if values.dtype == np.uint8:
        return "0,4095"
    return f"0,{2 ** max(int(values.max()), 1).bit_length() - 1}" if values.dtype.kind in "iu" else "0,1"
