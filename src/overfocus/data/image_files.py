"""Images in files and in tables: read with Pillow, brought to grey or RGB; errors name the image."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.data.images import Images
from overfocus.data.resize import Size, cover

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
REMEDY = "replace or remove it, or leave such images out with --on-bad-image skip"


class StoredImages(Images):
    """Images that are decoded as they are read; a dataclass below it says where they are."""

    channels: int

    @abstractmethod
    def encoded_at(self, index: int) -> str | bytes:
        """Return the path of the image file, or the encoded image itself."""

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        return _read(self.encoded_at(index), self.name(index), self.channels)

    def read_for(self, index: int, size: Size) -> Tensor:
        """Return the image, a large JPEG at a half, a quarter or an eighth: see `_draft`."""
        return _read(self.encoded_at(index), self.name(index), self.channels, size)

    def size(self, index: int) -> Size:
        """Return height and width in pixels, from the head of the image."""
        with opened(self.encoded_at(index), self.name(index)) as picture:
            return picture.height, picture.width


@dataclass(frozen=True, eq=False)
class FileImages(StoredImages):
    """Image files."""

    root: Path
    """The folder that fingerprints write their paths relative to."""
    paths: Sequence[str]
    channels: int = 3

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Return the path of the file."""
        return str(self.paths[index])

    def encoded_at(self, index: int) -> str:
        """Return the path of the file."""
        return self.paths[index]

    def stamp(self, index: int) -> bytes:
        """Return the path below the root, and how many bytes the file has; -1 where it is gone."""
        path = self.paths[index]
        length = os.path.getsize(path) if os.path.exists(path) else -1
        return f"{Path(os.path.relpath(path, self.root)).as_posix()}\0{length}\0".encode()


@dataclass(frozen=True, eq=False)
class EncodedImages(StoredImages):
    """Encoded images (JPEG, PNG, ...) in a table, one in each row."""

    encoded: Any
    """Row -> bytes, or {"bytes": bytes}, or {"path": file}; a column of pyarrow or of `datasets`."""
    source: str
    channels: int = 3

    def __len__(self) -> int:
        return len(self.encoded)

    def name(self, index: int) -> str:
        """Return the table and the row."""
        return f"{self.source}#{index}"

    def encoded_at(self, index: int) -> bytes:
        """Return the encoded image, empty where the table has none."""
        value = self.encoded[index]
        value = value.as_py() if hasattr(value, "as_py") else value
        if isinstance(value, dict):
            path = value.get("path")
            value = value.get("bytes") or (Path(path).read_bytes() if path and os.path.isfile(path) else b"")
        return value or b""

    def stamp(self, index: int) -> bytes:
        """Return the encoded bytes."""
        return self.encoded_at(index)


def is_grey(images: StoredImages, most: int = 64) -> bool:
    """Say whether about `most` of the images, evenly spaced, have no colour; unreadable ones do not count."""
    modes = set()
    for index in range(0, len(images), max(1, len(images) // most)):
        with suppress(OverfocusError), opened(images.encoded_at(index), images.name(index)) as picture:
            modes.add(picture.mode in GREY_MODES)
    return modes == {True}


@contextmanager
def opened(source: str | bytes, name: str) -> Iterator[Image.Image]:
    """Open an image; OverfocusError, which names it, for whatever is wrong with it here or in the block."""
    try:
        if not (len(source) if isinstance(source, bytes) else os.path.getsize(source)):
            raise OverfocusError(f"{name}: the file is empty; {REMEDY}")
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as picture:
            yield picture
    except Image.UnidentifiedImageError as error:
        raise OverfocusError(f"{name}: not an image that Pillow can read; {REMEDY}") from error
    except FileNotFoundError as error:
        what = "a link that leads nowhere" if os.path.islink(error.filename or "") else "no such file"
        raise OverfocusError(f"{name}: {what}; {REMEDY}") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise OverfocusError(f"{name}: damaged image ({error}); {REMEDY}") from error


def _read(source: str | bytes, name: str, channels: int, size: Size | None = None) -> Tensor:
    """Return the image [C, H, W], its colours side by side in memory, for `size` or for any."""
    with opened(source, name) as picture:
        if size is not None:
            _draft(picture, size)
        pixels = torch.from_numpy(np.array(_converted(picture, name, channels)))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def _draft(picture: Image.Image, size: Size) -> None:
    """Let a JPEG be decoded at a half, a quarter or an eighth, by leaving out its fine waves, where that still has at
    least twice the height and width that `fit` brings it to. The antialiased resize that follows hides nearly all of
    the difference: on photographs it is 0.3 to 0.8 of 255 levels on average, and up to 2.2 where a side does not divide
    evenly, since the image is then stretched by less than a pixel. Other images are decoded whole.
    """
    stored = (picture.height, picture.width)
    height, width = cover(stored, size)
    for part in (8, 4, 2):
        rows, columns = (-(-side // part) for side in stored)
        # Rounded up, the sides may have another aspect; then `fit` would cut at another place.
        if rows >= 2 * height and columns >= 2 * width and cover((rows, columns), size) == (height, width):
            picture.draft("RGB", (stored[1] // part, stored[0] // part))
            return


def _converted(picture: Image.Image, name: str, channels: int) -> Image.Image:
    """Bring any mode to 8 bits, grey or RGB; of 16 bits the upper eight stay, and transparency is dropped."""
    if channels not in (1, 3):
        raise OverfocusError(f"{name}: {channels} channels are requested; files give 1 (grey) or 3 (RGB)")
    if picture.mode == "F":
        raise OverfocusError(f"{name}: floating-point pixels; convert it to 8 or 16 bits, or use --on-bad-image skip")
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    mode = "L" if channels == 1 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def jpeg_quality(images: StoredImages, index: int) -> int | None:
    """Estimate the quality, 1 to 100, of a JPEG whose shorter side has at most 64 pixels; None for any other image.

    The Independent JPEG Group scales its table of luminance steps, which sums to 3,688, by 2 - quality / 50, and by
    50 / quality below 50.
    """
    with suppress(OverfocusError), opened(images.encoded_at(index), images.name(index)) as picture:
        tables = getattr(picture, "quantization", None)
        if tables and min(picture.size) <= 64:
            scale = sum(tables[0]) / 3688
            return round(100 - 50 * scale if scale <= 1 else 50 / scale)
    return None
