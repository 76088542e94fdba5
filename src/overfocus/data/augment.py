"""Random changes of training images, each image its own, for a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key

Policy = Literal["none", "randaugment", "trivialaugment", "autoaugment"]
POLICIES = ("none", "randaugment", "trivialaugment", "autoaugment")


@dataclass(frozen=True)
class Augment:
    """What may happen to a training image.

    The first three are tensor operations on the device for a whole batch; the others run image by image.
    """

    flip: bool = False
    """Mirror left and right, half of the time."""
    crop: int = 0
    """Largest shift in pixels, in both directions; what comes in is reflected at the border. 0 for none."""
    jitter: float = 0.0
    """Brightness, contrast and saturation are multiplied by U[1 - jitter, 1 + jitter] each; in [0, 1]."""
    policy: Policy = "none"
    """torchvision's RandAugment, TrivialAugmentWide or AutoAugment (ImageNet's policy)."""
    resized_crop: bool = False
    """Cut out a part of the image at an aspect of 3/4 to 4/3 and resize that (Szegedy et al., 1409.4842)."""
    area: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of the image that a resized crop cuts out."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UnknownName("augmentation policy", self.policy, POLICIES)
        if self.crop < 0:
            raise OverfocusError(f"augment: crop is {self.crop} pixels; give 0 or more")
        if not 0 <= self.jitter <= 1:
            raise OverfocusError(f"augment: jitter is {self.jitter}; give 0 to 1")

        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise OverfocusError(f"augment: area is {self.area}; give two shares, the smaller first, up to 1")

    @staticmethod
    def default_for(name: str, size: int, tuned: bool = False) -> Augment:
        """Return the usual changes for the set `name` at `size` pixels; none that would change an image's class.

        tuned: for a pretrained network, crops that keep most of the object, resized.
        """
        usual = {
            "totem": Augment(),
            "totem-digit": Augment(),
            "fashion_mnist": Augment(flip=True, crop=2),
            "svhn": Augment(crop=4),
            "imagenet": Augment(flip=True, resized_crop=True),
        }
        if tuned and name not in usual:
            return Augment(flip=True, resized_crop=True, area=(0.5, 1.0), jitter=0.1)
        return usual.get(name, Augment(flip=True, crop=max(size // 8, 1)))

    @property
    def by_image(self) -> bool:
        """Whether some of it runs image by image, on the processor."""
        return self.policy != "none" or self.resized_crop

    def plan(self, key: Key, count: int) -> Changes:
        """Draw what happens to each of the `count` images of an epoch, by their place in it."""
        flips = shifts = tones = None
        if self.flip:
            flips = key.fold_in("flip").bits(count)[:, 0] >= 2**31
        if self.crop:
            shifts = (key.fold_in("crop").bits(count, 2) * (2 * self.crop + 1) >> 32) - self.crop
        if self.jitter:
            tones = 1 + self.jitter * (2 * key.fold_in("jitter").uniform(count, 3) - 1)
        return Changes(flips, shifts, tones)


@dataclass(frozen=True)
class Changes:
    """What was drawn for N images."""

    flips: Tensor | None = None
    """[N] bool."""
    shifts: Tensor | None = None
    """[N, 2] int64 (down, right) in pixels."""
    tones: Tensor | None = None
    """[N, 3] float32, factors of brightness, contrast and saturation."""

    def __getitem__(self, rows: slice | Tensor) -> Changes:
        drawn = (getattr(self, each.name) for each in fields(self))
        return Changes(*(None if values is None else values[rows] for values in drawn))

    def move(self, images: Tensor) -> Tensor:
        """Shift and flip `images` [N, C, H, W]; the input is not written to."""
        if self.flips is None and self.shifts is None:
            return images
        if self.shifts is not None:
            images = self._take_rows(images)
        columns = self._columns(images.shape[3], images.device)
        return images.gather(3, columns[:, None, None].expand(-1, *images.shape[1:3], -1))

    def _take_rows(self, images: Tensor) -> Tensor:
        """Take every row of `images` [N, C, H, W] from where it is shifted from, whole rows at once."""
        count, channels, height, width = images.shape
        first = height * torch.arange(count * channels, device=images.device).view(count, channels, 1)
        rows = first + self._rows(height, images.device)[:, None]
        return images.reshape(-1, width).index_select(0, rows.view(-1)).view(images.shape)

    def _rows(self, height: int, device: torch.device) -> Tensor:
        """Return from which row each row is taken: [N, H]."""
        assert self.shifts is not None
        return _reflect(torch.arange(height, device=device) - self.shifts[:, :1], height)

    def _columns(self, width: int, device: torch.device) -> Tensor:
        """Return from which column each column is taken: [N, W]; [1, W] for none."""
        columns = torch.arange(width, device=device)[None]
        if self.shifts is not None:
            columns = _reflect(columns - self.shifts[:, 1:], width)
        return columns if self.flips is None else torch.where(self.flips[:, None], width - 1 - columns, columns)

    def tint(self, images: Tensor) -> Tensor:
        """Scale brightness, contrast and saturation of `images` [N, C, H, W] with values in [0, 255], in this order."""
        if self.tones is None:
            return images
        brightness, contrast, saturation = self.tones[:, :, None, None, None].unbind(1)
        images = (images * brightness).clamp(0, 255)
        middle = _grey(images).mean(dim=(2, 3), keepdim=True)
        images = torch.lerp(middle, images, contrast).clamp(0, 255)
        return images if images.shape[1] != 3 else torch.lerp(_grey(images), images, saturation).clamp(0, 255)


def _reflect(index: Tensor, length: int) -> Tensor:
    """Bring indices less than `length` outside back inside, mirrored at the first and the last."""
    last = length - 1
    return last - (last - index.abs()).abs()


def _grey(images: Tensor) -> Tensor:
    """Return the luma (ITU-R 601) of RGB images, or the mean of other channels: [N, 1, H, W]."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    weights = images.new_tensor((0.299, 0.587, 0.114))
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True)
