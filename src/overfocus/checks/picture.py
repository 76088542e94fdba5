"""What a check of data learns from one image file, with a single decode."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from io import BytesIO
from itertools import starmap
from math import nan
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

THUMBNAIL = 16
"""Side of the small copy by which near duplicates are confirmed."""
SMALL = 64
"""Pixels from which on a larger JPEG is decoded at a half, a quarter or an eighth."""
DEEP = ("I", "F")
"""First letters of Pillow's modes with more than 8 bits for a value."""
Work = tuple[str | bytes, str, str, int, int]
"""What `examined` takes."""
ORIENTATION = 0x0112
"""EXIF's tag of how a viewer turns the picture; 1 is upright."""


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
    transparent: bool = False
    fingerprint: int = 0
    """Perceptual hash, 64 bits: the signs of the lowest frequencies (imagehash.phash)."""
    thumbnail: np.ndarray = field(default_factory=lambda: np.zeros((THUMBNAIL, THUMBNAIL, 3), np.uint8), repr=False)
    """[16, 16, 3] uint8."""

    @property
    def suffix(self) -> str:
        """Ending of the file's name, as it is written."""
        return PurePath(self.name).suffix

    @property
    def deep(self) -> bool:
        """Whether a value has more than 8 bits."""
        return self.mode.startswith(DEEP)

    @cached_property
    def flat(self) -> bool:
        """Whether the small copy is of nearly one colour, so that its perceptual hash says nothing."""
        return float(np.ptp(self.thumbnail.astype(int), axis=(0, 1)).max()) < 8


def examined(source: str | bytes, name: str, part: str, label: int, row: int) -> Picture:
    """Return the facts of the image at the path, or in the bytes, `source`; what is wrong with it is a fact too."""
    stored = b""
    try:
        stored = source if isinstance(source, bytes) else Path(source).read_bytes()
        with Image.open(BytesIO(stored)) as picture:
            return _facts(picture, stored, name, part, label, row)
    except Image.UnidentifiedImageError:
        reason = "the file is empty" if not stored else "not an image that Pillow can read"
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error)
    return Picture(name, part, label, row, error=reason)


def all_examined(work: list[Work]) -> list[Picture]:
    """Return the facts of several images. It lies in this file so that a process that reads them needs no torch."""
    return list(starmap(examined, work))


def _facts(picture: Image.Image, stored: bytes, name: str, part: str, label: int, row: int) -> Picture:
    from imagehash import phash

    mode, width, height = picture.mode, *picture.size  # those of the file; a draft below changes them
    info, turn = picture.info, picture.getexif().get(ORIENTATION, 1)
    tables = getattr(picture, "quantization", None)
    picture.draft("RGB", (SMALL, SMALL))
    small = _eight_bits(picture)
    return Picture(
        name, part, label, row,
        bytes=len(stored),
        digest=blake2b(stored, digest_size=16).digest(),
        format=picture.format or "",
        mode=mode,
        height=height,
        width=width,
        turn=turn if turn in range(1, 9) else 1,
        quality=float(sum(tables[0])) if tables else nan,
        metadata=tuple(sorted(str(key) for key in info)),
        transparent="transparency" in info or mode in {"RGBA", "LA", "PA", "RGBa", "La"},
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
