"""What a small piece of an image says of its class wherever it goes: pieces are pasted into other images, at the place
where they were.

A class's evidence at a place is how much its log-odds rise, in images that are not named as it, with a piece of one
that is, less how much they rise with a piece of one that is not: what the paste hides is lost to both. Divided by the
log-odds between images that are named as the class and those that are not, it is the share of the class that a piece
carries, whatever the scale of the logits. Of two classes told apart by a linear network, the shares of all pieces of an
image sum to 1.

The parts of an object share its evidence, and neighbours carry about as much. A mark carries far more than any other
place: hence the rule for a flag. It asks the network and not a map of it, so it finds a mark that a coarse map cannot
show. Parts of objects that stand in the same place in every image may still be flagged, so a flag is a suspicion: look
at the place, hide it, and see. Found are only marks that the images have.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.score import Metric

FEWEST = 5
"""Pieces of a class at a place below which there is no answer."""
TAKEN = Metric(
    "taken over by a piece", "share of the pasted pieces after which the class of the piece is named", "lower"
)


@dataclass(frozen=True)
class TransplantRule:
    """What a flag takes: all four at once."""

    share: float = 0.1
    """Least share of the class's evidence that a piece of the place carries."""
    rival: float = 0.5
    """Largest evidence of a place that it does not touch, as a share of its own."""
    lead: float = 2 / 3
    """Least evidence as a share of the largest that any class has there: what speaks for one speaks against the rest,
    so a mark leaves a trace in all classes.
    """
    level: float = 0.05
    """Largest p-value, corrected over the classes and places."""


@dataclass(frozen=True)
class Carried:
    """What pieces of one class carry where they carry most; NaN where there is no answer."""

    label: int
    n: int = 0
    """Pieces pasted at the place."""
    place: int = -1
    """Index among the places."""
    evidence: float = nan
    """Rise of the class's log-odds above that with pieces of other classes, in nats."""
    share: float = nan
    """The same as a share of the log-odds between images named as the class and the others."""
    rival: float = nan
    """Largest evidence of a place that does not touch it, as a share of its own."""
    lead: float = nan
    """Its evidence as a share of the largest that any class has there."""
    p: float = nan
    """One-sided (Welch), corrected over all classes and places (Bonferroni)."""
    flagged: bool = False


@dataclass(frozen=True)
class Rises:
    """How much log-odds rose with pasted pieces, for each place and class of donors: count, mean, variance [P, K]."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    @staticmethod
    def of(rises: Tensor, donors: Tensor, classes: int) -> Rises:
        """Return those of `rises` [P, N], each of the class of its donor, `donors` [P, N] int64. NaN is left out."""
        kept = rises.isfinite()
        values, (places, _) = rises.double().where(kept, 0.0), rises.shape
        shape = (places, classes)

        def total(each: Tensor) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64).scatter_add_(1, donors, each.double())

        count = total(kept)
        mean = total(values) / count
        spread = (values - mean.gather(1, donors)).where(kept, 0.0)
        return Rises(count, mean, total(spread.square()) / (count - 1))


def log_odds(logits: Tensor) -> Tensor:
    """Return log p / (1 - p) of every class: [B, K] float64, from `logits` [B, K]; exact where p is close to 1, too."""
    values = logits.double()
    total, first = values.logsumexp(dim=1, keepdim=True), values.argmax(dim=1, keepdim=True)
    odds = values - total - torch.log1p(-(values - total).exp())
    rest = values.scatter(1, first, -torch.inf).logsumexp(dim=1, keepdim=True)
    return odds.scatter(1, first, values.gather(1, first) - rest)


def whole_of(odds: Tensor, predicted: Tensor) -> Tensor:
    """Return the mean log-odds `odds` [N, K] of each class in images that are named as it, `predicted` [N], less that
    in the others: [K].
    """
    is_it = torch.nn.functional.one_hot(predicted, odds.shape[1]).double()
    return (odds * is_it).sum(dim=0) / is_it.sum(dim=0) - (odds * (1 - is_it)).sum(dim=0) / (1 - is_it).sum(dim=0)


def carried(
    own: Rises, others: Rises, places: Tensor, whole: Tensor, rule: TransplantRule = TransplantRule()
) -> list[Carried]:
    """Return for each class the place whose pieces carry most of it.

    own: rises of the class of the donor. others: rises of each class with donors of other classes, images named as it
    left out. places: [P, 4] boxes. whole: [K], the log-odds of each class on images that are named as it, less on
    others. A class with fewer than five pieces at a place has no answer there.
    """
    if own.mean.shape != others.mean.shape or own.mean.shape != (len(places), len(whole)):
        raise OverfocusError(
            f"rises are {tuple(own.mean.shape)} and {tuple(others.mean.shape)}; give {len(places)} places x "
            f"{len(whole)} classes"
        )
    evidence = (own.mean - others.mean).where((own.count >= FEWEST) & (others.count >= FEWEST), torch.nan)
    p = _welch(own, others).where(evidence.isfinite(), torch.nan)
    tried = int(evidence.isfinite().sum())
    return [
        _carried(k, int(own.count[place, k]), place, evidence, float(p[place, k]) * tried, places, whole, rule)
        for k, place in enumerate(evidence.nan_to_num(-torch.inf).argmax(dim=0).tolist())
    ]  # fmt: skip


def _carried(
    label: int, n: int, place: int, evidence: Tensor, p: float, places: Tensor, whole: Tensor, rule: TransplantRule
) -> Carried:
    most = float(evidence[place, label])
    if isnan(most):
        return Carried(label)
    apart = evidence[~_touching(places[place], places), label].nan_to_num(-torch.inf)
    rival = float(apart.amax()) / most if len(apart) and most > 0 else nan
    share, lead = most / float(whole[label]), most / float(evidence[place].nan_to_num(-torch.inf).amax())
    flagged = share >= rule.share and rival <= rule.rival and lead >= rule.lead and p <= rule.level
    return Carried(label, n, place, most, share, rival, lead, min(1.0, p), flagged)


def _welch(own: Rises, others: Rises) -> Tensor:
    """Return the one-sided p-value of own above others at each place, for each class: [P, K]."""
    from scipy.special import stdtr

    first, second = own.variance / own.count, others.variance / others.count
    error = (first + second).clamp(min=1e-24)
    freedom = error.square() / (first.square() / (own.count - 1) + second.square() / (others.count - 1))
    t = (own.mean - others.mean) / error.sqrt()
    return torch.from_numpy(stdtr(freedom.numpy(), -t.numpy()))


def _touching(box: Tensor, places: Tensor) -> Tensor:
    """Return which of `places` [P, 4] share a pixel with `box` [4]: [P] bool."""
    x0, y0, x1, y1 = places.unbind(1)
    return (x0 < box[2]) & (x1 > box[0]) & (y0 < box[3]) & (y1 > box[1])
