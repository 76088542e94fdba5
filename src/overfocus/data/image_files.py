"""Images in files and in tables: read with Pillow, turned upright, brought to grey or RGB; errors name the image."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import DEFAULT, Colour, Preprocess, Size, fitting
from overfocus.data.depth import eight_bits, is_deep
from overfocus.data.images import Header, Images
from overfocus.data.orientation import exif_turn, turn_left, turned, turned_size
from overfocus.data.suffixes import suffixes

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
REMEDY = "replace or remove it, or leave such images out with --on-bad-image skip"


class StoredImages(Images):
    """Images that are decoded as they are read; a dataclass below it says where they are."""

    channels: int
    preprocess: Preprocess
    """How stored pixels become 8 bits upright: orientation, intensity, background. The rest of it is not done here."""

    @abstractmethod
    def encoded_at(self, index: int) -> str | bytes:
        """Return the path of the image file, or the encoded image itself."""

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        return self._read(index, None)

    def read_for(self, index: int, to: Size | Preprocess) -> Tensor:
        """Return the image, a large JPEG at a half, a quarter or an eighth: see `_draft`."""
        return self._read(index, fitting(to))

    def _read(self, index: int, to: Preprocess | None) -> Tensor:
        """Return the image, its colours side by side in memory, for `to` or for any size."""
        source, name = self.encoded_at(index), self.name(index)
        with opened(source, name) as picture:
            if to is not None:
                _draft(picture, to, turn_left(picture, self.preprocess.orientation))
            return pixels_of(picture, source, name, self.channels, self.preprocess)

    def size(self, index: int) -> Size:
        """Return height and width in pixels, turned as the image is, from the header of the image."""
        return self.header(index).size

    def header(self, index: int) -> Header:
        """Return what the header of the image says."""
        with opened(self.encoded_at(index), self.name(index)) as picture:
            size = turned_size((picture.height, picture.width), turn_left(picture, self.preprocess.orientation))
            return Header(size, exif_turn(picture), is_deep(picture), picture.has_transparency_data)

    def decoded_as(self, preprocess: Preprocess) -> Images:
        """Return the same images, read with the orientation, intensity and background of `preprocess`."""
        return replace(self, preprocess=preprocess)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, eq=False)
class FileImages(StoredImages):
    """Image files."""

    root: Path
    """The folder that fingerprints write their paths relative to."""
    paths: Sequence[str]
    channels: int = 3
    preprocess: Preprocess = DEFAULT

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
    preprocess: Preprocess = DEFAULT

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


def pixels_of(picture: Image.Image, source: str | bytes, name: str, channels: int, how: Preprocess) -> Tensor:
    """Return an open picture as [C, H, W] uint8 with the orientation, intensity and background of `how`, not resized.

    source: its file or bytes, from which 16-bit colours are read again.
    """
    turn = turn_left(picture, how.orientation)
    flat = eight_bits(picture, source, name, how.intensity) if is_deep(picture) else picture
    flat = on_background(flat, how.background)
    pixels = torch.from_numpy(np.array(turned(_converted(flat, name, channels), turn)))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


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
    suffixes()  # registers HEIF
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


def _draft(picture: Image.Image, to: Preprocess, turn: int) -> None:
    """Let a JPEG, which is still to be turned, be decoded at a half, a quarter or an eighth, by leaving out its fine
    waves, where that still has at least twice the height and width that `fit` brings it to. The antialiased resize that
    follows hides nearly all of the difference: on photographs it is 0.3 to 0.8 of 255 levels on average, and up to 2.2
    where a side does not divide evenly, since the image is then stretched by less than a pixel. Other images are
    decoded whole.
    """
    stored = (picture.height, picture.width)
    upright = turned_size(stored, turn)
    height, width = to.resized(upright)
    for part in (8, 4, 2):
        rows, columns = (-(-side // part) for side in upright)
        # Rounded up, the sides may have another aspect; then `fit` would cut at another place.
        if rows >= 2 * height and columns >= 2 * width and to.resized((rows, columns)) == (height, width):
            picture.draft("RGB", (stored[1] // part, stored[0] // part))
            return


def on_background(picture: Image.Image, background: Colour) -> Image.Image:
    """Return the picture as it is where nothing in it is transparent, else laid on a `background`, in RGB."""
    if not picture.has_transparency_data:
        return picture
    layer = picture.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return picture
    return Image.alpha_composite(Image.new("RGBA", layer.size, (*background, 255)), layer).convert("RGB")


def _converted(picture: Image.Image, name: str, channels: int) -> Image.Image:
    """Bring any mode of 8 bits to grey or RGB."""
    if channels not in (1, 3):
        raise OverfocusError(f"{name}: {channels} channels are requested; files give 1 (grey) or 3 (RGB)")
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
