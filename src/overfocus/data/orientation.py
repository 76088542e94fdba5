"""Turning pictures as viewers show them: by EXIF's tag of orientation, 1 to 8."""

from __future__ import annotations

import struct

from PIL import Image
from PIL.ExifTags import Base

from overfocus.core.preprocess import Orientation, Size

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""Tag -> what turns the stored pixels upright."""
BACK = {6: 8, 8: 6}
"""Tag -> that which undoes it; the others undo themselves."""
BROKEN = (SyntaxError, ValueError, TypeError, KeyError, OSError, EOFError, ZeroDivisionError, struct.error)


def exif_turn(picture: Image.Image) -> int:
    """Return the tag of a picture that is open and not yet loaded; 1 where it has none that can be read."""
    if picture.format == "PNG" and not {"exif", "Raw profile type exif"} & picture.info.keys():
        return 1  # Pillow would decode the whole picture to look behind its pixels
    try:
        tag = picture.getexif().get(Base.Orientation, 1)
    except BROKEN:
        return 1
    return tag if tag in TURNS else 1


def turn_left(picture: Image.Image, orientation: Orientation) -> int:
    """Return the tag by which a picture, not yet loaded, is still to be turned once it is. Pillow turns TIFF itself."""
    tag = exif_turn(picture)
    if picture.format == "TIFF":
        return BACK.get(tag, tag) if orientation == "stored" else 1
    return tag if orientation == "viewer" else 1


def turned(picture: Image.Image, tag: int) -> Image.Image:
    """Return the picture, turned by `tag`."""
    return picture.transpose(TURNS[tag]) if tag in TURNS else picture


def turned_size(size: Size, tag: int) -> Size:
    """Return height and width after a turn by `tag`."""
    return (size[1], size[0]) if tag >= 5 else size
