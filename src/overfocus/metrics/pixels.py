"""PxAP: the area under the precision and recall of single pixels, pooled over images (Choe et al., 2001.07437).

Every map is brought to [0, 1]; at each threshold, the pixels at or above it are called object. Pooled: one curve for
all images, so an image with a large object counts for more. A map is evaluated at 1,000 thresholds and no image chooses
any. What an even map would have is the object's share of all pixels, given beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.iou_hits import SMALL, scaled
from overfocus.metrics.score import Metric, Score, percentiles

BINS = 1001
"""Between the thresholds 0, 0.001, ..., 0.999 and 1, and above: only the maximum of a map reaches 1."""
DRAWS = 200
PXAP = Metric("PxAP", "sum over thresholds of precision x gain of recall, of pixels pooled over images", "higher")
EVEN = Metric("PxAP of an even map", "pixels of the object / all pixels", "neither")


def _empty() -> np.ndarray:
    return np.zeros((2, 1 + DRAWS, 2, BINS))


@dataclass
class PxAP:
    """An accumulator of histograms, of the same size for any number of images: 6.4 MB.

    Its intervals are of a bootstrap that needs no second look: each image is counted in each of 200 resamples as often
    as a Poisson draw of mean 1 says (Hanley and MacGibbon 2006). The draw is keyed by the image's own histogram, so
    that neither the order nor the batches change anything.
    """

    counts: np.ndarray = field(default_factory=_empty)
    """[all and small, the images and the resamples, object and not, BINS]: pixels."""
    images: tuple[int, int] = (0, 0)
    """How many there are, and how many of them have an object under a third of the picture."""
    without_object: int = 0
    """Images whose mask is empty; they are left out."""
    without_answer: int = 0
    """Maps that are constant or have a value that is not finite; they count as 0 everywhere."""

    def update(self, maps: Tensor, masks: Tensor, ignored: Tensor | None = None) -> None:
        """Add images: `maps` [B, H, W], `masks` [B, H, W] bool, true on the object, and pixels to be `ignored` (the
        same; those of the object are not). Raises where shapes differ.
        """
        counted = torch.ones_like(masks) if ignored is None else masks | ~ignored
        if maps.ndim != 3 or not maps.shape == masks.shape == counted.shape or masks.dtype != torch.bool:
            raise OverfocusError(
                f"PxAP: maps {tuple(maps.shape)}, masks {tuple(masks.shape)} of {masks.dtype}, counted pixels "
                f"{tuple(counted.shape)}; give all as [B, H, W], masks as bool"
            )
        shares, usable = scaled(maps)
        kept = masks.flatten(1).any(dim=1)
        small = (masks.flatten(1).double().mean(dim=1) < SMALL)[kept].cpu().numpy()
        pixels = _histograms(shares[kept], masks[kept], counted[kept])
        weights = _weights(pixels)
        self.counts = self.counts + np.stack([_summed(weights, pixels), _summed(weights[small], pixels[small])])
        self.images = (self.images[0] + len(pixels), self.images[1] + int(small.sum()))
        self.without_object += int((~kept).sum())
        self.without_answer += int((kept & ~usable).sum())

    def compute(self) -> dict[str, Score]:
        """Return `pxap` and `pxap_even`, in [0, 1], higher is better, and both with `_small`: on the images whose
        object covers under a third of the picture.
        """
        counted = {f"{self.without_object} images without an object left out": self.without_object,
                   f"{self.without_answer} maps without an answer counted as even": self.without_answer}  # fmt: skip
        note = "; ".join(sentence for sentence, count in counted.items() if count)
        figures = {"pxap": (PXAP, _area), "pxap_even": (EVEN, _even)}
        return {
            f"{name}{suffix}": _score(metric, figure(counts), images, note)
            for suffix, counts, images in zip(("", "_small"), self.counts, self.images, strict=True)
            for name, (metric, figure) in figures.items()
        }


def _histograms(shares: Tensor, masks: Tensor, counted: Tensor) -> np.ndarray:
    """Return how many pixels of the object, and of the rest, each image has between two thresholds: [B, 2, BINS]."""
    edges = torch.from_numpy(np.append(np.arange(0, 1, 1 / (BINS - 1)), 1.0)).to(shares)
    bins = torch.bucketize(shares, edges, right=True) - 1
    row = torch.arange(len(shares), device=shares.device)[:, None, None]
    place = (row * 2 + (~masks).long()) * BINS + bins
    return place[counted].bincount(minlength=len(shares) * 2 * BINS).reshape(-1, 2, BINS).cpu().numpy()


def _weights(pixels: np.ndarray) -> np.ndarray:
    """Return how often each image counts: once, then as often as each resample has it: [B, 1 + DRAWS]."""
    keys = (crc32(np.ascontiguousarray(each, dtype="<i8").tobytes()) for each in pixels)
    drawn = [np.random.Generator(np.random.Philox(key)).poisson(1.0, DRAWS) for key in keys]
    return np.array([[1, *each] for each in drawn], np.float64).reshape(-1, 1 + DRAWS)


def _summed(weights: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return np.einsum("bd,bp->dp", weights, pixels.reshape(-1, 2 * BINS), optimize=True).reshape(-1, 2, BINS)


def _area(counts: np.ndarray) -> np.ndarray:
    """Return the area under the curve of each of `counts` [R, 2, BINS]: [R]."""
    right, wrong = counts[:, :, ::-1].cumsum(axis=2).swapaxes(0, 1)
    called, objects = right + wrong, right[:, -1:]
    precision = np.divide(right, called, out=np.zeros_like(right), where=called > 0)
    gained = np.diff(right, axis=1, prepend=0)
    area = (precision * gained).sum(axis=1, keepdims=True)
    return np.divide(area, objects, out=np.full_like(area, nan), where=objects > 0)[:, 0]


def _even(counts: np.ndarray) -> np.ndarray:
    right, pixels = counts[:, 0].sum(axis=1), counts.sum(axis=(1, 2))
    return np.divide(right, pixels, out=np.full_like(right, nan), where=pixels > 0)


def _score(metric: Metric, values: np.ndarray, images: int, note: str) -> Score:
    if not images:
        return Score(metric, nan, note=note or "no image has an answer")
    low, high = percentiles(values[1:]) if images > 1 else (nan, nan)
    return Score(metric, float(values[0]), low, high, images, note)
