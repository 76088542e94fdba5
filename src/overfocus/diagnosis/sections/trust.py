"""Do its maps say where it looks? What they show first is hidden, and as much elsewhere, before any map is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence, joined
from overfocus.diagnosis.map_trust import SHARES, probabilities
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import Chart, Finding, OnProgress, Section, Table, curve, scattered
from overfocus.metrics.score import Score
from overfocus.metrics.trust import FEWEST, GAP, gap_score, gaps, trusted

ORDERS = {"salient": "by the map", "control": "the same shape elsewhere"}


@dataclass(frozen=True)
class Trust(Section):
    """Whether the map of the predicted class orders pixels better than chance, picture by picture."""

    name: ClassVar[str] = "trust"
    title: ClassVar[str] = "Its maps"
    question: ClassVar[str] = "Do its maps tell where it looks, better than chance?"
    order: ClassVar[int] = 9
    passes: ClassVar[int] = 11
    headline: ClassVar[tuple[str, ...]] = ("gap",)
    shares: tuple[float, ...] = SHARES
    images: int = 100
    """At most this many, none of which chose the map: each needs 2 x shares + 1 passes."""

    def price(self, sample: Sample) -> int:
        """Count the whole picture and two orders at each share."""
        return (1 + len(ORDERS) * len(self.shares)) * self.count(sample)

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return trust/rows [n], trust/shares [S], trust/salient and trust/control [S, n]: the probability of the first
        prediction with each share hidden; NaN without a map.
        """
        rows = self._rows(sample, evidence)
        shares = np.array(self.shares, np.float32)
        portions = sample.portions(rows, self.title, on_progress)
        parts = [self._portion(classifier, sample, evidence, portion) for portion in portions]
        return {"trust/rows": rows.numpy(), "trust/shares": shares, **joined(parts, "trust/", dim=1)}

    def _rows(self, sample: Sample, evidence: Evidence) -> Tensor:
        """Return pictures that did not choose the map."""
        chose = torch.tensor(_choice(evidence).get("rows", []), dtype=torch.int64)
        rows = sample.some(self.images + len(chose), evidence.seed)  # the few that chose are among them
        return rows[~torch.isin(rows, chose)]

    def _portion(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, portion: Portion
    ) -> dict[str, Tensor]:
        pixels = portion.pixels.to(classifier.device)
        maps = evidence.predicted_maps(portion.rows, sample.size).to(classifier.device)
        key = evidence.key("trust", portion.rows, classifier.device)
        return probabilities(classifier, pixels, maps, key, self.shares)

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute the gap to chance, and say whether the maps are to be believed."""
        shares, rows = evidence.tensor("trust/shares"), evidence.tensor("trust/rows").long()
        kept = {order: evidence.tensor(f"trust/{order}") for order in ORDERS}
        each = gaps(kept["salient"], kept["control"])
        score = gap_score(each)
        lines = (curve(text, shares, kept[order], order != "salient", evidence.seed) for order, text in ORDERS.items())
        title, x, y = "Its answer as more is hidden", "hidden share of the pixels", "p(first prediction)"
        per_image = {"gap": (GAP, scattered(each, rows, len(evidence.labels)))}
        notes = (
            "What is hidden takes the mean colour that the model was normalised with. The same shape elsewhere is the "
            "map itself, turned over and moved to a random place across the edges: noise is worth 0, and a map that "
            "always shows the middle is worth something where the objects stand there.",
        )
        return self.found(
            lambda scores: _sentence(scores["gap"], evidence), per_image, evidence.seed, {"gap": score}, rows=rows,
            charts=(Chart(title, x, y, tuple(lines)),), tables=_tables(evidence), notes=notes,
        )  # fmt: skip


def _choice(evidence: Evidence) -> Mapping:
    return evidence.about.get("map_choice") or {}


def _sentence(score: Score, evidence: Evidence) -> str:
    name, tried = (
        _choice(evidence).get("chosen") or evidence.about.get("map", ""),
        len(_choice(evidence).get("tried", [])),
    )
    which = f"{name}, the best of {tried} on other pictures," if tried else name
    verdict = trusted(score)
    if verdict is None:
        return f"{score.n} pictures have a map ({name}); {FEWEST} are needed to say whether it tells where it looks."
    cost = (
        f"hiding what they show first costs {score} more of its answer than hiding as much elsewhere (n = {score.n:,})"
    )
    if verdict:
        return f"Its maps ({which}) order the pixels better than chance: {cost}."
    then = "" if tried else " `--map auto` tries others."
    return f"Its maps ({which}) do not tell where it looks: {cost}. What is read from them is no finding.{then}"


def _tables(evidence: Evidence) -> tuple[Table, ...]:
    tried = _choice(evidence).get("tried", [])
    if not tried:
        return ()
    rows = tuple((each["map"], _number(each["gap"]), str(each["gap"]["n"])) for each in tried)
    count = len(tried)
    heads = ("map", f"gap to chance, interval for {count} tried", "n")
    return (Table("Maps that were tried", heads, rows),)


def _number(gap: Mapping) -> str:
    value, low, high = (gap[name] for name in ("value", "low", "high"))
    return "-" if value is None else f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
