"""How a stored picture becomes what a network is given: one value, which belongs to the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import floor, isfinite
from typing import Any, Literal, get_args

from overfocus.core.errors import OverfocusError, UnknownName

Size = tuple[int, int]
"""Height and width in pixels."""
Fit = Literal["crop", "pad", "squash"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]
Orientation = Literal["viewer", "stored"]
ChannelOrder = Literal["rgb", "bgr"]
Intensity = Literal["range", "percentile"] | tuple[float, float]
Colour = tuple[int, int, int]

GREY: Colour = (128, 128, 128)
"""On which neither a white nor a black drawing vanishes."""


@dataclass(frozen=True)
class Preprocess:
    """How a stored picture becomes what a network is given.

    In this order: turned, mapped to 8 bits, laid on the background, resized, cut or padded, normalised.
    Raises OverfocusError for a value that is none of these.
    """

    size: Size | None = None
    """Height and width in pixels that pictures are brought to; None leaves them as they are stored."""
    fit: Fit = "crop"
    """`crop`: the shorter side fits, and the centre is cut out. `pad`: the longer side fits, and the rest is
    background. `squash`: both sides fit, whatever the aspect.
    """
    crop_share: float = 1.0
    """Pictures are fitted to `size / crop_share` first, of which the centre is cut out; in (0, 1]. ImageNet's
    customary 224 of 256 is 0.875.
    """
    interpolation: Interpolation = "bilinear"
    """How pictures are resized; the first two are antialiased. Masks take the nearest pixel."""
    orientation: Orientation = "viewer"
    """`viewer`: as EXIF says and viewers show it; `stored`: as the pixels lie in the file. Boxes and masks are those of
    the same picture.
    """
    intensity: Intensity = "range"
    """What becomes black and white in pictures of more than 8 bits. `range`: the ends of the type, 0 and 65535 for 16
    bits, 0 and 1 for floats. `percentile`: the 0.5th and the 99.5th percentile of each picture. Else two numbers.
    """
    background: Colour = GREY
    """Red, green and blue, 0 to 255, behind what is transparent, and beside what is padded."""
    mean: tuple[float, ...] = ()
    """Of each channel, in [0, 1]; empty where it is not known."""
    std: tuple[float, ...] = ()
    channel_order: ChannelOrder = "rgb"
    """How the network wants its channels; mean and std are of red, green and blue either way."""

    def __post_init__(self) -> None:
        for name, known in (("fit", Fit), ("interpolation", Interpolation), ("orientation", Orientation),
                            ("channel_order", ChannelOrder)):  # fmt: skip
            if getattr(self, name) not in get_args(known):
                raise UnknownName(name, str(getattr(self, name)), get_args(known))
        for name, check in (("size", _size), ("intensity", _intensity), ("background", _colour)):
            object.__setattr__(self, name, check(getattr(self, name)))
        if not 0 < self.crop_share <= 1:
            raise OverfocusError(f"crop_share={self.crop_share}; give more than 0 and at most 1")
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.mean) != len(self.std):
            raise OverfocusError(f"mean={self.mean} and std={self.std}; give one of each for every channel")

    def resized(self, stored: Size) -> Size:
        """Return the height and width that a picture of the size `stored` is resized to before the centre is cut out
        of it, or bars are laid beside it.
        """
        assert self.size is not None
        rows, columns = (floor(side / self.crop_share) for side in self.size)
        height, width = stored
        if self.fit == "squash":
            return rows, columns
        tall = rows * width >= columns * height
        if tall == (self.fit == "crop"):
            columns_then = round(width * rows / height)
            return rows, max(columns, columns_then) if self.fit == "crop" else max(1, min(columns, columns_then))
        rows_then = round(height * columns / width)
        return max(rows, rows_then) if self.fit == "crop" else max(1, min(rows, rows_then)), columns

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON and TOML can hold, without what is not known."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items() if v not in (None, ())}

    @staticmethod
    def read(values: Mapping[str, Any], where: str = "preprocess") -> Preprocess:
        """Return what `as_dict` gave; OverfocusError, which names `where`, for anything else."""
        known = [each.name for each in fields(Preprocess)]
        for name in values:
            if name not in known:
                raise UnknownName(f"setting of {where}", name, known)
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return Preprocess(**given)

    @staticmethod
    def of_manifest(manifest: Mapping[str, Any]) -> Preprocess:
        """Return what a run was trained with; runs that do not say it were trained on pictures as they are stored."""
        if "preprocess" in manifest:
            return Preprocess.read(manifest["preprocess"], "preprocess in manifest.json")
        size, mean, std = (tuple(manifest[name]) for name in ("size", "mean", "std"))
        return Preprocess(size=size, orientation="stored", mean=mean, std=std)


def fitting(to: Size | Preprocess) -> Preprocess:
    """Return how pictures are brought to a size, by default as `Preprocess` does; OverfocusError where it has none."""
    how = to if isinstance(to, Preprocess) else Preprocess(size=to)
    if how.size is None:
        raise OverfocusError("preprocess: no size is given that pictures could be brought to; give height and width")
    return how


def _size(value: Any) -> Size | None:
    if value is None:
        return None
    height, width = (value, value) if isinstance(value, int) else value
    if min(height, width) < 1:
        raise OverfocusError(f"size {value!r}: height and width must be at least 1 pixel")
    return int(height), int(width)


def _intensity(value: Any) -> Intensity:
    if isinstance(value, str):
        if value not in ("range", "percentile"):
            raise OverfocusError(f"intensity={value!r}; give range, percentile, or two numbers such as 0,4095")
        return value  # pyright: ignore[reportReturnType]
    low, high = value if len(value) == 2 else (0, 0)
    if not (isfinite(low) and isfinite(high) and low < high):
        raise OverfocusError(f"intensity={value!r}; give two numbers, the lower first, such as 0,4095")
    return float(low), float(high)


def _colour(value: Any) -> Colour:
    if len(value) != 3 or not all(isinstance(each, int) and 0 <= each <= 255 for each in value):
        raise OverfocusError(f"background={value!r}; give red, green and blue from 0 to 255, such as 255,255,255")
    red, green, blue = value
    return red, green, blue


DEFAULT = Preprocess()
