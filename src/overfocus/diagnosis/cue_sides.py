"""What was answered to a cue, and to the rest of the picture, which is the other side of the same cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan

import torch
from torch import Tensor

from overfocus.diagnosis.cue import Cue
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.lean import Lean
from overfocus.diagnosis.section import SHOWN
from overfocus.metrics.leaning import LOG_ODDS, ONLY, SHARE, TAKEN, CueRule, Swaps, share_score
from overfocus.metrics.score import Metric, Score, mean_score


@dataclass(frozen=True)
class Side:
    """A cue, or the rest of the pictures, with its numbers."""

    name: str
    title: str
    only: Score | None = None
    """Accuracy with nothing else shown."""
    lean: Lean | None = None
    """Its share of the answers; None for what cannot be swapped."""
    log_odds: Score | None = None
    """Its share of the log-odds."""
    taken: Score | None = None
    """Share of the conflicts that are named as the class that this is of."""
    own: float = nan
    """Share of them that are named as the class that all else is of."""
    control: float = nan
    """Share that is named rightly where both are of one class."""
    ranked: bool = True
    """Whether it is a thing to be ranked by itself."""

    @property
    def scores(self) -> dict[str, Score]:
        """Name -> score."""
        share = self.lean.share if self.lean else None
        named = {"": share, "_log_odds": self.log_odds, "_only": self.only, "_taken": self.taken}
        return {self.name + ending: score for ending, score in named.items() if score is not None}


def sides(cues: list[Cue], evidence: Evidence, rule: CueRule) -> list[Side]:
    """Return the sides of every cue, in their order, with intervals that hold for all of them at once."""
    asked = [(cue, _Asked.of(cue, evidence)) for cue in cues]
    tried = sum(1 + (cue.rest is not None) for cue, one in asked if one.swaps)
    return [side for cue, one in asked for side in _sides(cue, one, tried, rule)]


@dataclass(frozen=True, eq=False)
class _Asked:
    """Answers to one cue."""

    arrays: Mapping[str, Tensor]
    labels: Tensor
    rows: Tensor
    """Of the pictures in the sample [n]."""
    swaps: Swaps | None
    seed: int

    @staticmethod
    def of(cue: Cue, evidence: Evidence) -> _Asked:
        """Read the evidence of a cue."""
        rows, place = evidence.tensor("cues/rows").long(), f"cues/answers/{cue.name}"
        arrays = {name: evidence.tensor(f"{place}/{name}") for name in evidence.below(place)}
        labels, known, swaps = evidence.labels[rows], arrays["known"], None
        if "conflict" in arrays:
            agree, donors = (evidence.tensor(f"cues/donors/{name}").long() for name in ("agree", "conflict"))
            both = known & known[donors]
            swaps = Swaps(
                labels, evidence.logits[rows], donors,
                arrays["agree"].double().where(known & known[agree.clamp(min=0)] & (agree >= 0), nan),
                arrays["conflict"].double().where(both, nan), arrays["toward"].double().where(both, nan),
            )  # fmt: skip
        return _Asked(arrays, labels, rows, swaps, evidence.seed)

    def only(self, name: str, title: str) -> Score | None:
        """Return the accuracy of the answers `name`; None where there are none."""
        if name not in self.arrays:
            return None
        right = (self.arrays[name] == self.labels).double().where(self.arrays["known"], nan)
        return mean_score(_titled(ONLY, title), right, seed=self.seed)

    def clearest(self) -> tuple[int, ...]:
        """Return the pictures that are named most clearly as the donor's class, of those that are named so."""
        assert self.swaps is not None
        sure = self.swaps.toward.where(self.swaps.taken == 1, -torch.inf).amax(dim=0)
        order = sure.argsort(descending=True, stable=True)[:SHOWN]
        return tuple(self.rows[order[sure[order] > -torch.inf]].tolist())


def _sides(cue: Cue, asked: _Asked, tried: int, rule: CueRule) -> list[Side]:
    """Return the cue and, where that is a thing of its own, the rest."""
    swaps, seed, rest = asked.swaps, asked.seed, cue.rest
    side = Side(cue.name, cue.title, asked.only("only", cue.title))
    if swaps is None:
        return [side]
    whole, own, taken = swaps.lost_in_all(), swaps.own.nanmean(dim=0), swaps.taken.nanmean(dim=0)
    share = share_score(swaps.lost(), whole, tried, seed, _titled(SHARE, cue.title))
    log_odds = share_score(swaps.risen(), swaps.risen_in_all(), tried, seed, _titled(LOG_ODDS, cue.title))
    found = not cue.intended and rule.finds(share, log_odds, cue.even)
    side = replace(
        side, log_odds=log_odds, control=float(swaps.kept.nanmean()), own=float(own.nanmean()),
        taken=mean_score(_titled(TAKEN, cue.title), taken, seed=seed),
        lean=Lean(cue.kind, cue.title, share, found, cue.intended, rows=asked.clearest(), advice=cue.advice),
    )  # fmt: skip
    if rest is None:
        return [side]
    of_rest = share_score(swaps.lost_by_rest(), whole, tried, seed, _titled(SHARE, rest.title))
    other = Side(
        rest.name, rest.title, asked.only("rest", rest.title),
        Lean(rest.kind, rest.title, of_rest, intended=True, box=rest.box),
        taken=mean_score(_titled(TAKEN, rest.title), own, seed=seed), own=float(taken.nanmean()), control=side.control,
        ranked=rest.ranked,
    )  # fmt: skip
    return [side, other]


def _titled(metric: Metric, title: str) -> Metric:
    return replace(metric, title=f"{metric.title}: {title}")
