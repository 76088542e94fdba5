"""What answers are read from: one thing in a picture is taken from a donor, and the answer stays or goes with it.

A composite shows a receiver, a picture of class a, with one thing (a region, a colour, a band of frequencies) of a
donor. In a conflict the donor is of another class b; in the control it is another picture of class a, so that what the
cut itself costs is lost to both. What is lost to the conflict alone is divided by what is lost where the whole picture
is the donor's: 0 where the thing says nothing, 1 where it says all. With K classes of one size that is the accuracy
above chance times K / (K - 1): replaced in full, a picture is not named at random but as another class.

The thing and the rest of the picture are two sides of one cut: the same composites, read as pictures of class b with
the rest from class a, give the share of the rest. The two need not sum to 1: where either suffices both are small,
where both are needed both are large.

Answers are decided, so the larger part of a picture may take them all. How far the logits of the two classes move says
how much each part weighs: the share of the log-odds, of a network whose logit is a sum over the picture its area.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.score import FEW, LEVEL, Metric, Score, mean_score, resample_counts

SHARE = Metric(
    "share of the answers that it carries",
    "(share named rightly with the cue of another picture of the class - the same with that of another class) / (share "
    "named rightly as they are - share of pictures of other classes that are named so)",
    low=-inf, high=inf,
)  # fmt: skip
LOG_ODDS = Metric(
    "share of the log-odds that it carries",
    "rise of the donor's logit above the receiver's with the cue of another class / the same with the whole picture",
    low=-inf, high=inf,
)  # fmt: skip
ONLY = Metric("accuracy, only it shown", "share named rightly with all else painted over")
TAKEN = Metric("named as its class", "share named as the donor's class with the cue of another class")


@dataclass(frozen=True)
class CueRule:
    """What it takes to call something that is not the object a finding: both at once, and enough pictures."""

    floor: float = 0.15
    """Least lower end of its share of the answers, of what may hold some of the object. Of a frame of an eighth one
    honest network had the share 0.06, one that leans on it 0.54, with a lower end of 0.38.
    """
    apart: float = 0.05
    """The same of what is known not to be the object, where every answer that goes with it is one too many. One honest
    network had the share -0.06 of the background, one whose background was tied to the class 0.18, with a lower end of
    0.10.
    """
    fewest: int = FEW
    """Pictures below which nothing is found."""

    def finds(self, share: Score, log_odds: Score, even: float) -> bool:
        """Say whether something is a finding: its `share` of the answers lies above the floor, and its share of the
        `log_odds` above what it would be if the network read the picture evenly, `even`.

        even: 0 where it is known not to be the object; the area of a frame, which may hold some of it; 1/2 of a
            property, which must carry more than all that it leaves. The answers alone would not do: where the larger
            part decides, it takes all of them.
        """
        floor = self.floor if even else self.apart
        return share.n >= self.fewest and share.low >= floor and log_odds.low > even

    def uses(self, share: Score, only: Score | None, chance: float) -> bool | None:
        """Say whether a part of the object is used: answers go with it, or it alone is named better than by `chance`.
        None where neither that nor the contrary is shown.
        """
        alone = only is not None and only.low > chance
        if share.low >= self.floor or alone:
            return True
        return False if share.high < self.floor else None


@dataclass(frozen=True, eq=False)
class Swaps:
    """Answers of a network of K classes to the composites of one cut, for n receivers with D donors each; NaN where
    there is no answer.
    """

    labels: Tensor
    """Classes of the pictures [n] int64."""
    logits: Tensor
    """Those of the pictures as they are [n, K]."""
    donors: Tensor
    """Which of the pictures is the donor in conflict [D, n] int64."""
    agree: Tensor
    """Classes named in the control [D, n]; floats, as the rest."""
    conflict: Tensor
    """Classes named in conflict [D, n]."""
    toward: Tensor
    """Logit of the donor's class less that of the receiver's in conflict [D, n]."""

    def __post_init__(self) -> None:
        shapes = {tuple(each.shape) for each in (self.donors, self.agree, self.conflict, self.toward)}
        if shapes != {(len(self.donors), len(self.labels))}:
            raise OverfocusError(f"swaps: answers are {sorted(shapes)}; give [D, {len(self.labels)}] each")

    @property
    def kept(self) -> Tensor:
        """Named rightly in the control: [D, n] float64, as the rest."""
        return _are(self.agree, self.labels.expand_as(self.donors))

    @property
    def own(self) -> Tensor:
        """Named as the receiver's class in conflict: [D, n]."""
        return _are(self.conflict, self.labels.expand_as(self.donors))

    @property
    def taken(self) -> Tensor:
        """Named as the donor's class in conflict: [D, n]."""
        return _are(self.conflict, self.labels[self.donors])

    def lost(self) -> Tensor:
        """Return what the cue costs each receiver in conflict, less what it costs in the control: [n]."""
        return (self.kept - self.own).nanmean(dim=0)

    def lost_by_rest(self) -> Tensor:
        """Return the same of the rest of the picture: [n]."""
        return (self.kept - self.taken).nanmean(dim=0)

    def lost_in_all(self) -> Tensor:
        """Return what each receiver loses where the whole picture is the donor's: [n]."""
        named = self.logits.argmax(dim=1).double().where(~self.logits.isnan().any(dim=1), -1)
        return _are(named, self.labels) - _are(named[self.donors], self.labels).mean(dim=0)

    def risen(self) -> Tensor:
        """Return how much the cue lifts the logit of the donor's class above that of the receiver's: [n]."""
        return (self.toward.double() - self._toward(torch.arange(len(self.labels)))).nanmean(dim=0)

    def risen_in_all(self) -> Tensor:
        """Return the same of the whole picture: [n]."""
        return (self._toward(self.donors) - self._toward(torch.arange(len(self.labels)))).mean(dim=0)

    def _toward(self, shown: Tensor) -> Tensor:
        """Return `toward` of the pictures `shown` ([n] or [D, n]) as they are: [D, n]."""
        ours, theirs = self.labels.expand_as(self.donors), self.labels[self.donors]
        shown = shown.expand_as(self.donors)
        return self.logits[shown, theirs].double() - self.logits[shown, ours].double()


def share_score(lost: Tensor, whole: Tensor, tried: int, seed: int = 0, metric: Metric = SHARE) -> Score:
    """Return mean `lost` [n] over mean `whole` [n], with a simultaneous 95 % interval for `tried` shares (Bonferroni):
    the standard error of the ratio is bootstrapped over pictures. Pictures whose `lost` is NaN are left out.

    There is no answer where `whole` is not shown to lie above 0: the network names no class better than by chance.
    """
    answered = lost.isfinite() & whole.isfinite()
    lost, whole = lost[answered].double(), whole[answered].double()
    if len(lost) < 2:
        return Score(metric, nan, n=len(lost), note="no picture has an answer")
    if not mean_score(metric, whole, seed=seed).low > 0:
        return Score(metric, nan, n=len(lost), note="it is not shown to name classes better than by chance")
    counts = torch.from_numpy(resample_counts(len(lost), seed))
    error = float(((counts @ lost) / (counts @ whole)).std())
    value, half = float(lost.mean() / whole.mean()), _deviations(tried) * error
    return Score(metric, value, value - half, value + half, len(lost))


def _deviations(tried: int) -> float:
    """Return the standard deviations on each side that hold `tried` normal numbers at once in 95 % of the cases."""
    from scipy.special import ndtri

    return float(ndtri(1 - (1 - LEVEL) / (2 * max(1, tried))))


def _are(answers: Tensor, classes: Tensor) -> Tensor:
    """Return whether `answers` are `classes`: float64, NaN where there is no answer."""
    return torch.where(answers.isnan(), torch.nan, (answers == classes).double())
