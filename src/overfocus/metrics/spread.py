"""How narrowly a map looks: numbers of the mass of one map, for every image.

`maps` is [B, h, w] (or [B, N]), at the size that the network has: an upsampled map looks wider than the network does.
Negative attribution speaks against the class and is no place where it looks: only the positive part has mass. A map
without any, or with a value that is not finite, has no answer (NaN).

Concentration is what this package calls the disease. Libraries that judge explanations, such as Quantus, call the same
Gini index good when it is high; here lower is wider. A wider map is no better model by itself: it can widen onto the
background, so read these beside what lies on the object and what hiding costs.

A map at a layer is measured where methods such as SGDrop act, and widens more there than in the picture. `OCCLUSION` is
the effective area of what hiding each cell of the picture costs, which no layer and no gradient defines. Cells hide one
by one, so evidence that two cells hold counts for neither.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from overfocus.metrics.score import Metric

GINI = Metric("Gini index", "sum_i (2 i - N - 1) a_(i) / (N sum a), a_(i) ascending", "lower")
ENTROPY = Metric("normalised entropy", "-sum p log p / log N, p = a / sum a", "higher")
AREA = Metric("effective area", "exp(-sum p log p) / N", "higher", "of the map")
PARTICIPATION = Metric("participation ratio", "(sum a)^2 / (N sum a^2)", "higher", "of the map")
MASS_50, MASS_80, MASS_90 = (
    Metric(f"area of {percent} % of the mass", f"least share of positions that holds {percent} % of sum a", "higher",
           "of the map")
    for percent in (50, 80, 90)
)  # fmt: skip
OCCLUSION = Metric(
    "effective area by occlusion",
    "exp(-sum p log p) / N over N cells, p = a / sum a, a = max(fall of the log-odds with the cell hidden, 0)",
    "higher", "of the picture",
)  # fmt: skip


def mass(maps: Tensor) -> Tensor:
    """Return the positive part of `maps` [B, ...] as shares p [B, N] float64 that sum to 1; rows without mass, or with
    values that are not finite, are NaN.
    """
    positive = maps.detach().double().flatten(1).relu()
    total = positive.sum(dim=1, keepdim=True)
    usable = (total > 0) & maps.flatten(1).isfinite().all(dim=1, keepdim=True)
    return torch.where(usable, positive / total, torch.nan)


def gini(maps: Tensor) -> Tensor:
    """Return the Gini index of each map: [B] in [0, 1 - 1/N]; 0 is even, lower is wider."""
    ordered = mass(maps).sort(dim=1).values
    count = ordered.shape[1]
    rank = 2 * torch.arange(1, count + 1, device=maps.device, dtype=ordered.dtype) - count - 1
    return (ordered * rank).sum(dim=1) / count


def entropy(maps: Tensor) -> Tensor:
    """Return the entropy of each map over that of an even one: [B] in [0, 1], higher is wider. One position has no
    answer.
    """
    share = mass(maps)
    nats = torch.special.entr(share).sum(dim=1)
    count = share.shape[1]
    return nats / log(count) if count > 1 else torch.full_like(nats, torch.nan)


def effective_area(maps: Tensor) -> Tensor:
    """Return exp(entropy) / N of each map: [B] in [1/N, 1], the share of positions that an even map of the same entropy
    would cover; higher is wider.
    """
    share = mass(maps)
    return torch.special.entr(share).sum(dim=1).exp() / share.shape[1]


def participation(maps: Tensor) -> Tensor:
    """Return the participation ratio 1 / (N sum p^2) of each map: [B] in [1/N, 1]; higher is wider."""
    share = mass(maps)
    return 1 / (share.shape[1] * share.square().sum(dim=1))


def mass_area(maps: Tensor, part: float) -> Tensor:
    """Return the least share of positions that holds `part` of each map's mass: [B] in [1/N, 1]; higher is wider."""
    share = mass(maps).sort(dim=1, descending=True).values
    held = share.cumsum(dim=1)
    # Half a rounding error: a part that is held exactly must not need one position more.
    needed = (held < part - 1e-12).sum(dim=1) + 1
    return torch.where(held[:, -1].isnan(), torch.nan, needed.clamp(max=share.shape[1]).double() / share.shape[1])


ALL = {
    "gini": (GINI, gini),
    "entropy": (ENTROPY, entropy),
    "effective_area": (AREA, effective_area),
    "participation": (PARTICIPATION, participation),
    "mass_50": (MASS_50, lambda maps: mass_area(maps, 0.5)),
    "mass_80": (MASS_80, lambda maps: mass_area(maps, 0.8)),
    "mass_90": (MASS_90, lambda maps: mass_area(maps, 0.9)),
}
"""Name -> what it means, and the function of maps [B, h, w] that computes it."""
