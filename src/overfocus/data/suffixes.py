"""Which files are pictures: all that Pillow can open, whatever the case of their suffix."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache

from PIL import Image

NO_PICTURES = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
"""What Pillow opens and cannot decode by itself."""
NEEDS = {".heic": "heif", ".heif": "heif", ".hif": "heif", ".avif": "heif"}
"""Suffix -> what `pip install 'overfocus[...]'` adds to read it, where the installed Pillow cannot."""


@cache
def suffixes() -> tuple[str, ...]:
    """Return the suffixes, in lower case with their dot, that the installed Pillow reads; HEIF's too where pillow-heif
    is installed.
    """
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    known = Image.registered_extensions().items()
    return tuple(sorted(suffix for suffix, kind in known if kind in Image.OPEN and kind not in NO_PICTURES))


def is_picture(name: str) -> bool:
    """Say whether a file called so is read as a picture."""
    return os.path.splitext(name)[1].lower() in suffixes()


def described(suffix: str) -> str:
    """Return a suffix that is not read, with what would read it."""
    needed = NEEDS.get(suffix) if suffix not in suffixes() else None
    return f"{suffix} (needs overfocus[{needed}])" if needed else suffix or "no suffix"
