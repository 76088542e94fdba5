"""What parts a mark from a part of the object: a small piece that carries a class, far more than any piece apart from
it does, and that looks the same in all pictures of the class.

A piece is pasted into pictures that are named otherwise, and beside it, into the same pictures, pieces of other classes
from the same place. A class's evidence is how much its log-odds rise with a piece of its own above that; divided by the
log-odds between pictures that are named as the class and the others, it is the share of the class that the piece
carries. Where a mark is, nothing is assumed: a permutation test over the pieces, whose classes are drawn anew, says
whether the place carries more than the strongest place apart from it by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from overfocus.core.key import Key

DRAWS = 2000
"""Permutations behind a p-value."""


@dataclass(frozen=True)
class MarksRule:
    """What a finding takes: all of it at once. Chosen on `experiments/marks.py`, seeds 100 and above."""

    level: float = 0.1
    """Share of false findings among all (Benjamini and Hochberg 1995), over the classes that are tested."""
    share: float = 0.05
    """Least share of the class that a piece carries."""
    rival: float = 0.5
    """Largest evidence of a place apart from it, as a share of its own."""
    alike: float = 0.5
    """Least resemblance of the class's pieces, in [0, 1]."""


@dataclass(frozen=True)
class Measured:
    """What the pieces of one class carry at the place that was proposed for it."""

    label: int
    n: int
    """Pieces of the class."""
    share: float
    """Share of the class that a piece carries."""
    rival: float
    """Evidence of the strongest place apart from it, as a share of its own."""
    alike: float
    """Resemblance of the pieces; 1 where all are the same."""
    p: float
    """Of carrying more than the rival allows, one-sided."""


def carried(odds: Tensor, donors: Tensor, canvases: Tensor) -> Tensor:
    """Return what each piece carries of each class: [D, K] nats, NaN where a class has no canvas or no control.

    odds: log-odds [D, C, K] of C canvases with each of D pieces at one place. donors [D], canvases [C]: the classes of
    the pictures that the pieces are from, and of the canvases. A class is asked for in canvases that are not named as
    it. What is subtracted is the median of pieces of third classes, since what a mark says for its own class it says
    against all others, and a piece without it must not seem to carry them; of two classes there is no third, and the
    canvas's own class stands in.
    """
    classes = torch.arange(odds.shape[2])
    other = (donors[:, None] != classes)[:, None]
    if len(classes) > 2:
        other = other & (donors[:, None] != canvases)[:, :, None]
    control = odds.where(other, torch.nan).nanquantile(0.5, dim=0)
    return (odds - control).where(canvases[:, None] != classes, torch.nan).nanmean(dim=1)


def evidence(scores: Tensor, donors: Tensor, label: int) -> float:
    """Return the mean of `scores` [D, K] of pieces of class `label` for it, in nats."""
    return float(scores[donors == label, label].nanmean())


def ahead(here: Tensor, there: Tensor, rival: float) -> Tensor:
    """Return by how much each piece carries more at one place than the share `rival` of its own allows at another, from
    what it carries `here` and `there` [D].
    """
    return here - there.clamp(min=0) / rival


def chance(values: Tensor, own: Tensor, key: Key) -> float:
    """Return the one-sided p-value of the mean of `values` [D] of the pieces `own` [D] above that of the others, among
    permutations of what is own; 1 where there is no answer.
    """
    kept = values.isfinite()
    values, own = values[kept].double(), own[kept]
    count = int(own.sum())
    if not 0 < count < len(values):
        return 1.0
    drawn = key.uniform(DRAWS, len(values)).argsort(dim=1)[:, :count]
    return float(1 + (values[drawn].sum(dim=1) >= values[own].sum() - 1e-9).sum()) / (1 + DRAWS)


def resemblance(pieces: Tensor, own: Tensor) -> float:
    """Return how alike the pieces `own` [D] are among `pieces` [D, ...]: one less the median distance of two of them as
    a share of the median distance of one of them and another piece; 1 where all are the same, 0 where they are no more
    alike than any; NaN for fewer than two, or where nothing differs.
    """
    flat = pieces.flatten(1).float()
    between = torch.cdist(flat[own], flat)
    among = between[:, own]
    pairs = among[torch.ones_like(among).triu(1).bool()]
    apart = between[:, ~own]
    if not len(pairs) or not apart.numel() or not float(apart.median()) > 0:
        return nan
    return float(1 - pairs.median() / apart.median())


def found(measured: Sequence[Measured], rule: MarksRule = MarksRule()) -> list[bool]:
    """Return which of the places are marks."""
    ordered = sorted(one.p for one in measured)
    passed = [p for rank, p in enumerate(ordered, 1) if p <= rule.level * rank / len(ordered)]
    most = max(passed, default=-1.0)
    return [
        one.p <= most and one.share >= rule.share and one.rival <= rule.rival and one.alike >= rule.alike
        for one in measured
    ]
