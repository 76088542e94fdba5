"""Whether two checkpoints look at the same place: maps [B, h, w] of the same images, by two models.

Two questions, both of the maps at the size the networks have: do the areas of strongest evidence overlap (IoU), and do
the maps order all positions alike (Spearman). A map that is flat, or holds a value that is not finite, has no answer.
Agreement is no virtue by itself: two models may share a shortcut. Between seeds of one recipe it says how far one
model's map speaks for the recipe. Neighbouring positions are alike in every map, so read it beside the agreement of
maps of different images, not only beside that of random areas.
"""

from __future__ import annotations

from math import nan

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.score import Metric, Score, mean_score

TOP = 0.2
IOU = Metric("agreement of top areas (IoU)", "|A and B| / |A or B|, A, B the top share q of each map", "neither")
SPEARMAN = Metric(
    "rank correlation of maps", "Spearman's rho over positions, ties at their mean rank", "neither", low=-1.0
)


def top_area(maps: Tensor, q: float = TOP) -> Tensor:
    """Return how far each position is in the top share `q` of its map: [B, N] float64 in [0, 1], N = h * w.

    The k = max(1, round(q N)) largest positions, of which only those above 0 count: where nothing speaks for the class,
    nobody looks. Positions that tie for the last places share them, so no answer hangs on their order. NaN rows for a
    map without a place: flat, without positive values, or not finite. Raises OverfocusError for q outside (0, 1].
    """
    values = maps.detach().double().flatten(1)
    count = top_count(values.shape[1], q)
    usable = values.isfinite().all(dim=1, keepdim=True)
    values = values.where(usable, 0.0).relu()
    last = values.topk(count, dim=1).values[:, -1:]
    above, tied = values > last, (values == last) & (values > 0)
    room = (count - above.double().sum(dim=1, keepdim=True)) / tied.sum(dim=1, keepdim=True).clamp(min=1)
    usable &= values.amax(dim=1, keepdim=True) > values.amin(dim=1, keepdim=True)
    return torch.where(usable, above + tied * room, torch.nan)


def top_count(positions: int, q: float) -> int:
    """Return how many of `positions` the top share `q` holds, at least one."""
    if not 0 < q <= 1:
        raise OverfocusError(f"top area of q = {q}; give a share in (0, 1]")
    return max(1, round(q * positions))


def top_iou(first: Tensor, second: Tensor, q: float = TOP) -> Tensor:
    """Return the IoU of the top areas of `first` and `second`, both [B, h, w]: [B] in [0, 1]; 1 is the same place.

    Shared places count by their share: sum of minima over sum of maxima. For chance see `chance_iou`.
    """
    _check(first, second)
    one, other = top_area(first, q), top_area(second, q)
    return torch.minimum(one, other).sum(dim=1) / torch.maximum(one, other).sum(dim=1)


def chance_iou(positions: int, q: float = TOP) -> float:
    """Return the expected IoU of two areas of k = round(q N) of N `positions` drawn at random.

    sum_x x / (2 k - x) times the hypergeometric probability of x common positions; near q / (2 - q) on large maps.
    """
    count = top_count(positions, q)
    common = torch.arange(max(0, 2 * count - positions), count + 1, dtype=torch.float64)
    log = _log_choose(count, common) + _log_choose(positions - count, count - common)
    return float((common / (2 * count - common) * log.softmax(dim=0)).sum())


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's rank correlation of `first` and `second`, both [B, h, w], over positions: [B] in [-1, 1];
    1 is the same order. All values count, negative ones too.
    """
    _check(first, second)
    one, other = (_centred(ranks(maps)) for maps in (first, second))
    return (one * other).sum(dim=1) / (one.square().sum(dim=1) * other.square().sum(dim=1)).sqrt()


def ranks(values: Tensor) -> Tensor:
    """Return the rank of each position in its row of `values` [B, ...]: [B, N] float64 from 1 to N, equal values at the
    mean of their ranks; NaN rows where a value is not finite.
    """
    values = values.detach().double().flatten(1)
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values)
    to = torch.searchsorted(ordered, values, right=True)
    return torch.where(values.isfinite().all(dim=1, keepdim=True), (below + to + 1) / 2, torch.nan).double()


def agreement(first: Tensor, second: Tensor, *, q: float = TOP, seed: int = 0) -> dict[str, Score]:
    """Return iou, spearman and chance_iou of two sets of maps [B, h, w] of the same images, with intervals over images.

    Raises OverfocusError where the maps differ in shape, or for q outside (0, 1].
    """
    chance = chance_iou(first[0].numel(), q) if len(first) else nan
    return {
        "iou": mean_score(IOU, top_iou(first, second, q), seed=seed, note=f"q = {q:g}, random areas {chance:.3f}"),
        "spearman": mean_score(SPEARMAN, rank_correlation(first, second), seed=seed),
        "chance_iou": Score(IOU, chance, n=len(first), note="expected of random areas"),
    }


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim < 2:
        raise OverfocusError(
            f"maps of shapes {tuple(first.shape)} and {tuple(second.shape)} are not of the same positions; "
            "give both as [B, h, w], resized to the smaller size"
        )


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(dim=1, keepdim=True)


def _log_choose(total: int, part: Tensor) -> Tensor:
    """Return log of `total` over `part`."""
    whole = torch.tensor(float(total), dtype=torch.float64)
    return torch.lgamma(whole + 1) - torch.lgamma(part + 1) - torch.lgamma(whole - part + 1)
