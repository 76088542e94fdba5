"""What does it lean on? Wide cues, shown alone and swapped for those of other pictures: the frame, the background, the
object and its parts, the colours, coarse light, texture, outlines.

Alone: how much of the accuracy is left when only this is shown. Swapped: what is lost when this, and only this, is
another class's, beside the control with another picture of the same class. `metrics.leaning` says how the two become a
share. No heat map is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.core.registry import classes_in
from overfocus.diagnosis import cues as folder
from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.cue import Cue, MarkedPictures
from overfocus.diagnosis.cue_sides import Side, sides
from overfocus.diagnosis.cues.part import Part
from overfocus.diagnosis.evidence import Evidence, joined
from overfocus.diagnosis.lean import Lean, ranked
from overfocus.diagnosis.mix import classmates, partners
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Examples, Finding, OnProgress, Section, Table
from overfocus.diagnosis.wording import percent
from overfocus.metrics.leaning import CueRule
from overfocus.metrics.score import Score

BATCH, PART = 64, Part.kind
KINDS = sorted(classes_in(folder, Cue).values(), key=lambda kind: kind.order)  # type: ignore[type-abstract]


@dataclass(frozen=True)
class Cues(Section):
    """Shares of the answers that wide cues carry."""

    name: ClassVar[str] = "cues"
    title: ClassVar[str] = "What it leans on"
    question: ClassVar[str] = "Which parts and properties of a picture does it read?"
    order: ClassVar[int] = 2
    passes: ClassVar[int] = 37
    needs: ClassVar[str] = "two classes"
    images: int = 300
    """At most this many, each shown in 26 ways, 32 where objects are marked, and 5 more for each of several parts."""
    donors: int = 2
    """Pictures of its class, and as many of others, that each picture is put together with."""

    def lacking(self, sample: Sample) -> str:
        """Need images of two classes."""
        return "" if len(sample.labels.unique()) > 1 else "the images are all of one class"

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return cues/: rows [n], donors/agree and donors/conflict [D, n] (places among the rows; -1 for none), and of
        each cue answers/NAME/: known [n] (whether the picture has it), the classes named with it alone, only [n], with
        its rest alone, rest [n], and in composites, agree and conflict [D, n]; toward [D, n], how much more the logit
        of the donor's class is in conflict than that of the picture's.
        """
        rows = sample.some(self.images, evidence.seed)
        pictures, labels = _pictures(classifier, sample, evidence, rows), sample.labels[rows]
        keys = [Key.seeded(evidence.seed).fold_in("cues").fold_in(number) for number in range(self.donors)]
        agree = torch.stack([classmates(labels, key) for key in keys])
        conflict = torch.stack([partners(labels, key) for key in keys])
        found = {
            "cues/rows": rows.numpy(),
            "cues/donors/agree": agree.numpy(),
            "cues/donors/conflict": conflict.numpy(),
        }
        cues = _cues(list(sample.masks), bool(pictures.objects.any()))
        for number, cue in enumerate(cues):
            parts = [
                _answers(classifier, cue, pictures, labels, some, agree, conflict)
                for some in torch.arange(len(rows)).split(BATCH)
            ]
            found |= joined(parts, f"cues/answers/{cue.name}/", dim=-1)
            on_progress(self.title, number + 1, len(cues))
        return found

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute the share of each cue and of its rest, rank them, and say which are findings."""
        known = evidence.below("cues/answers")
        cues = [cue for cue in _cues(evidence.below("masks"), True) if cue.name in known]
        every, rows = sides(cues, evidence, CueRule()), evidence.tensor("cues/rows").long()
        leans = ranked(side.lean for side in every if side.lean and side.ranked)
        shares = {side.name for side in every}  # first, as where there is no room for all the first are shown
        ordered = sorted(
            (each for side in every for each in side.scores.items()), key=lambda each: each[0] not in shares
        )
        chance = float(evidence.labels[rows].bincount().max()) / len(rows)
        return self.found(
            partial(_sentence, every, leans, chance), {}, evidence.seed, dict(ordered), rows=rows,
            tables=(_table(every, chance),), notes=_notes(every, evidence), leans=leans,
        )  # fmt: skip


def _cues(parts: list[str], marked: bool) -> list[Cue]:
    """Return the cues that pictures with masks of `parts` have; without those of objects where nothing is marked."""
    every = [cue for kind in KINDS for cue in kind.variants(parts)]
    return [cue for cue in every if marked or not cue.marks]


def _pictures(classifier: Classifier, sample: Sample, evidence: Evidence, rows: Tensor) -> MarkedPictures:
    device = classifier.device
    pixels = torch.cat([portion.pixels.to(device) for portion in sample.batches(rows)])
    parts = {part: mask.to(device) for part, mask in evidence.masks(rows).items()}
    key = evidence.key("cues", rows, device)
    return MarkedPictures(pixels, evidence.objects(rows).to(device), parts, classifier.fill, key)


@torch.no_grad()
def _answers(
    classifier: Classifier,
    cue: Cue,
    pictures: MarkedPictures,
    labels: Tensor,
    some: Tensor,
    agree: Tensor,
    conflict: Tensor,
) -> dict[str, Tensor]:
    """Return what `collect` keeps of a cue in the pictures `some` [b]."""
    own = pictures.at(some)
    found = {"known": cue.known(own), "only": named(classifier(cue.only(own)))}
    rest = cue.rest_only(own)
    if rest is not None:
        found["rest"] = named(classifier(rest))
    for name, donors in (("agree", agree), ("conflict", conflict)):
        composites = [cue.swapped(own, pictures.at(row[some].clamp(min=0))) for row in donors]
        logits = [classifier(each).cpu() for each in composites if each is not None]
        if not logits:
            return found
        found[name] = torch.stack([named(each) for each in logits])
    ours, theirs = labels[some][:, None], labels[conflict[:, some]][..., None]
    found["toward"] = torch.stack(
        [(each.gather(1, to) - each.gather(1, ours))[:, 0] for each, to in zip(logits, theirs, strict=True)]
    )
    return found


def _sentence(every: list[Side], leans: tuple[Lean, ...], chance: float, scores: Mapping[str, Score]) -> str:
    """Say the first finding, or that there is none; then which parts are used."""
    found, answered = [lean for lean in leans if lean.found], [lean for lean in leans if lean.share.answered]
    if not answered:
        return f"No answer: {next((lean.share.note for lean in leans), 'nothing could be swapped')}."
    if not found:
        said = f"Nothing is found that it should not read; the first of what was tried is {_share(answered[0])}."
        return " ".join(filter(None, (said, _parts(every, chance))))
    side = next(side for side in every if side.lean is found[0])
    assert side.taken is not None
    said = (
        f"{_capital(_share(found[0]))}. Swapped for that of another class, {percent(side.taken.value)} of the pictures "
        f"are named as that class and {percent(side.own)} as their own; for that of another picture of the class, "
        f"{percent(side.control)} are named rightly."
    )
    more = f"Then {'; '.join(map(_share, found[1:]))}." if found[1:] else ""
    return " ".join(filter(None, (said, more, _parts(every, chance))))


def _share(lean: Lean) -> str:
    return f"{lean.title}: {percent(lean.share.value)} of its answers go with it ({lean.share}, n = {lean.share.n})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _parts(every: list[Side], chance: float) -> str:
    """Say which parts of the object are used, and which are not; empty where there are no parts."""
    parts = [side for side in every if side.lean and side.lean.cue == PART and side.lean.share.answered]
    used = {side.title: CueRule().uses(side.lean.share, side.only, chance) for side in parts if side.lean}
    yes, no, open_ = ([title for title, answer in used.items() if answer is each] for each in (True, False, None))
    said = [f"It uses {', '.join(yes)}"] if yes else []
    said += [f"it does not use {', '.join(no)}"] if no else []
    said += [f"whether it uses {', '.join(open_)} is not shown"] if open_ else []
    return f"{_capital('; '.join(said))}." if said else ""


def _table(every: list[Side], chance: float) -> Table:
    """Return a row for each side, those that carry most first, those that are not swapped last."""
    place = {id(lean): number for number, lean in enumerate(ranked(side.lean for side in every if side.lean))}
    order = sorted(every, key=lambda side: place.get(id(side.lean), len(place)))
    heads = (
        "what", "finding?", "share of the answers", "only this shown", "another class's: named as that",
        "and as their own", "another picture's of the class: right",
    )  # fmt: skip
    title = f"What it reads: shown alone (by chance {percent(chance)}) and swapped for that of another picture"
    seen = tuple(Examples(side.lean.rows if side.lean else ()) for side in order)
    return Table(title, heads, tuple(map(_row, order)), seen)


def _row(side: Side) -> tuple[str, ...]:
    only = percent(side.only.value) if side.only else ""
    if side.lean is None or side.taken is None:
        return (side.title, "", "", only, "", "", "")
    kind = "found" if side.lean.found else "meant to be read" if side.lean.intended else "no"
    swapped = (percent(each) for each in (side.taken.value, side.own, side.control))
    return (side.title, kind, f"{side.lean.share}", only, *swapped)


def _notes(every: list[Side], evidence: Evidence) -> tuple[str, ...]:
    """Say how it is measured, and what stands for the background where nothing is marked."""
    marked = any(side.name == "background" for side in every)
    where = (
        "The background is all that no mask and no box marks." if marked else
        "Nothing is marked in these pictures, so the frame stands for the background; --boxes takes masks or boxes."
    )  # fmt: skip
    return (
        "Each picture gets this, and only this, of another picture: of another class, and as a control of its own, "
        "which pays for the cut itself. The share is of what is lost where the whole picture is another class's; 95 % "
        "intervals hold for all shares at once. They need not sum to 1: either of two may suffice, or both be needed.",
        f"{where} What files tell of the class (size, format) is not asked of the network: `overfocus check` does.",
    )
