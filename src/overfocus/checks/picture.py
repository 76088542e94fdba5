"""What a check of data learns from one image file, with a single decode."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from math import nan
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.data.depth import is_deep
from overfocus.data.image_files import opened
from overfocus.data.orientation import exif_turn, turn_left, turned

THUMBNAIL = 16
"""Side of the small copy by which near duplicates are confirmed."""
SMALL = 64
"""Pixels from which on a larger JPEG is decoded at a half, a quarter or an eighth."""
DEEP = ("I", "F")
"""First letters of the modes of grey in more than 8 bits."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Facts of one stored image."""

    name: str
    """Its file, or its place in a table."""
    part: str
    """The split that it is in."""
    label: int
    row: int
    """Its position in the split."""
    error: str = ""
    """Why it cannot be read; the facts below are then empty."""
    bytes: int = 0
    digest: bytes = b""
    """Of the stored bytes."""
    format: str = ""
    mode: str = ""
    height: int = 0
    width: int = 0
    turn: int = 1
    """EXIF orientation, 1 to 8."""
    quality: float = nan
    """Sum of a JPEG's first quantization table, which stands for its quality; NaN for other formats."""
    metadata: tuple[str, ...] = ()
    """Names of what the file says besides the pixels, such as exif, dpi or icc_profile."""
    deep: bool = False
    """Whether it has more than 8 bits a channel."""
    transparent: bool = False
    fingerprint: int = 0
    """Perceptual hash, 64 bits: the signs of the lowest frequencies (imagehash.phash)."""
    thumbnail: np.ndarray = field(default_factory=lambda: np.zeros((THUMBNAIL, THUMBNAIL, 3), np.uint8), repr=False)
    """[16, 16, 3] uint8."""

    @property
    def suffix(self) -> str:
        """Ending of the file's name, as it is written."""
        return PurePath(self.name).suffix

    @cached_property
    def flat(self) -> bool:
        """Whether the small copy is of nearly one colour, so that its perceptual hash says nothing."""
        return float(np.ptp(self.thumbnail.astype(int), axis=(0, 1)).max()) < 8


def examined(source: str | bytes, name: str, part: str, label: int, row: int) -> Picture:
    """Return the facts of the image at the path, or in the bytes, `source`; what is wrong with it is a fact too."""
    try:
        stored = source if isinstance(source, bytes) else Path(source).read_bytes()
        with opened(stored, name) as picture:
            return _facts(picture, stored, name, part, label, row)
    except OSError as error:
        reason = error.strerror or str(error)
    except OverfocusError as error:
        reason = str(error).removeprefix(f"{name}: ").partition("; ")[0]
    return Picture(name, part, label, row, error=reason)


def _facts(picture: Image.Image, stored: bytes, name: str, part: str, label: int, row: int) -> Picture:
    from imagehash import phash

    # Before a draft and the decoding change what the file says.
    mode, width, height = picture.mode, *picture.size
    turn, left, deep = exif_turn(picture), turn_left(picture, "viewer"), is_deep(picture)
    transparent, metadata = picture.has_transparency_data, tuple(sorted(map(str, picture.info)))
    tables = getattr(picture, "quantization", None)
    picture.draft("RGB", (SMALL, SMALL))
    small = turned(_eight_bits(picture), left)
    return Picture(
        name, part, label, row,
        bytes=len(stored),
        digest=blake2b(stored, digest_size=16).digest(),
        format=picture.format or "",
        mode=mode,
        height=height,
        width=width,
        turn=turn,
        deep=deep,
        transparent=transparent,
        quality=float(sum(tables[0])) if tables else nan,
        metadata=metadata,
        fingerprint=int(str(phash(small)), 16),
        thumbnail=np.asarray(small.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
    )  # fmt: skip


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Return the picture in RGB; deep values are stretched over their own range, since only their pattern counts."""
    if not picture.mode.startswith(DEEP):
        return picture.convert("RGB")
    values = np.asarray(picture).astype(np.float64)
    low, high = np.nanmin(values), np.nanmax(values)
    return Image.fromarray(((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)).convert("RGB")
