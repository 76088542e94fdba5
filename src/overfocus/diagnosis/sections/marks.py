"""Is there a mark that carries a class? Small pieces are pasted into other pictures, where something carries, in more
and smaller pieces; places are proposed on one half of the pictures and measured on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.core import boxes
from overfocus.core.key import Key
from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.lean import Lean
from overfocus.diagnosis.mark_search import Box, MarkSearch, Proposed, touching
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import SHOWN, Examples, Finding, OnProgress, Section, Table
from overfocus.diagnosis.wording import located, percent
from overfocus.metrics.marks import MarksRule, Measured, ahead, carried, chance, evidence, found, resemblance
from overfocus.metrics.score import LEVEL, Metric, Score, percentiles, resample_counts
from overfocus.metrics.transplant import log_odds, whole_of

BATCH = 64
FEWEST = 5
"""Pictures that are named as a class below which there is no answer for it."""
OWN, CONTROLS, CANVASES = 12, 12, 3
"""Pieces of a class at its place, of other classes beside them, and canvases of each, in the measurement."""
PLACES, REPEATS = 4, 2
"""Places whose share is measured, and donors for each picture."""
MARKS = Metric("marks", "classes that a piece of one place carries, the same in all of their pictures", "lower",
               "classes", high=float("inf"))  # fmt: skip
SHARE = Metric(
    "share of a place",
    "(accuracy with a piece of another picture of its class at the place - accuracy with one of another class) / "
    "(accuracy - 1 / classes)",
    "lower", low=-1.0,
)  # fmt: skip


@dataclass(frozen=True)
class Marks(Section):
    """Places whose small pieces carry a class, by the network and no map."""

    name: ClassVar[str] = "marks"
    title: ClassVar[str] = "Marks at a place"
    question: ClassVar[str] = "Does a small mark at one place tell it the class?"
    order: ClassVar[int] = 3
    passes: ClassVar[int] = 45
    headline: ClassVar[tuple[str, ...]] = ("marks", "share")
    needs: ClassVar[str] = "two classes, 5 pictures named as each"
    images: int = 300
    """At most this many: one half proposes places, the other measures them."""

    def lacking(self, sample: Sample) -> str:
        """Need images of two classes."""
        return "" if len(sample.labels.unique()) > 1 else "the images are all of one class"

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return marks/: rows [n], and for each class that is tested labels, n, share, rival, alike, p [m], places and
        rivals [m, 4]; for the places that are measured best [s, 4], measured [r] (rows), agree, conflict [s, r] (share
        of composites that are named right) and own [s, r] (named as the donor of conflict).
        """
        rows = sample.some(self.images, evidence.seed)
        rows = rows[evidence.logits[rows].isfinite().all(dim=1)]
        answers, key = evidence.logits[rows].argmax(dim=1), Key.seeded(evidence.seed).fold_in("marks")
        (first, few), (second, more) = halved(answers, Key.seeded(evidence.seed).fold_in("marks halves"))
        if not first or len(answers.unique()) < 2:
            on_progress(self.title, 1, 1)
            return {"marks/rows": rows.numpy(), **_arrays([], [])}
        pixels = torch.cat([portion.pixels.to(classifier.device) for portion in sample.batches(rows)])
        pasting = Pasting(classifier, pixels, on_progress, self)
        whole = whole_of(log_odds(evidence.logits[rows]), answers)
        proposed = MarkSearch(pasting.odds, first, answers, whole, key.fold_in("search"), pixels, few).propose()
        judge = MarkSearch(pasting.odds, second, answers, whole, key.fold_in("measure"), pixels, more)
        measured = measure(judge, proposed)
        arrays = _arrays(proposed, measured)
        best = _places(proposed, measured)[:PLACES]
        half = judge.everything.sort().values
        shares = pasting.shares(best, half, evidence.labels[rows], key.fold_in("shares"))
        on_progress(self.title, 1, 1)
        return {
            "marks/rows": rows.numpy(), **arrays, "marks/measured": rows[half].numpy(),
            "marks/best": np.array(best, np.int64).reshape(-1, 4),
            **{f"marks/{name}": values for name, values in shares.items()},
        }  # fmt: skip

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute which places are marks, and how much of the accuracy goes with them."""
        rows = evidence.tensor("marks/rows").long()
        measured, boxes_ = _measured(evidence), evidence.tensor("marks/places").tolist()
        flags = found(measured)
        leans = tuple(_lean(evidence, measured, flags, place) for place in range(len(evidence.arrays["marks/best"])))
        note = "" if measured else f"no class with {FEWEST} pictures that are named as it"
        count = Score(MARKS, float(sum(flags)) if measured else nan, n=len(rows), note=note)
        share = max((one.share for one in leans if one.found), key=lambda one: one.value, default=None)
        share = share or Score(SHARE, nan, n=len(rows), note=note or "no mark is found")
        classes = evidence.classes
        told = [one for one, flag in zip(measured, flags, strict=True) if flag]
        notes = (
            "A piece is pasted where it was, beside pieces of other classes in the same pictures. A mark carries twice "
            "what any place apart from it does, and looks the same in the pictures of its class.",
            "Marks that change their place, that these pictures do not bear, or that fewer than "
            f"{FEWEST} pictures of a class show, cannot be found.",
        )
        return Finding(
            self.name, self.title, self.question, _sentence(told, measured, classes), {"marks": count, "share": share},
            rows=rows, tables=(_table(evidence, measured, flags, boxes_),), notes=notes, leans=leans,
            flagged=frozenset(one.label for one in told),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pasting:
    """The network on pictures with pieces of others."""

    classifier: Classifier
    pixels: Tensor
    """[N, C, H, W]."""
    on_progress: OnProgress
    section: Section

    def odds(self, trials: Sequence[tuple[Box, Tensor, Tensor]]) -> list[Tensor]:
        """Return the log-odds [D, C, K] of each trial (place, donors [D], canvases [C])."""
        if not trials:
            return []
        donors = torch.cat([each.repeat_interleave(len(canvases)) for _, each, canvases in trials])
        canvases = torch.cat([each.repeat(len(donors)) for _, donors, each in trials])
        sizes = [(len(donors), len(canvases)) for _, donors, canvases in trials]
        places = torch.cat(
            [torch.tensor(box).expand(d * c, 4) for (box, _, _), (d, c) in zip(trials, sizes, strict=True)]
        )
        found = log_odds(self.logits(canvases, donors, places)).float()
        parts = found.split([d * c for d, c in sizes])
        return [part.view(d, c, -1) for part, (d, c) in zip(parts, sizes, strict=True)]

    @torch.no_grad()
    def logits(self, canvases: Tensor, donors: Tensor, places: Tensor) -> Tensor:
        """Return the logits [n, K] of pictures `canvases` [n] with what `donors` [n] show in `places` [n, 4]."""
        answers, device = [], self.pixels.device
        for some in torch.arange(len(donors)).split(BATCH):
            pasted = boxes.paste(
                self.pixels[canvases[some].to(device)], self.pixels, donors[some].to(device), places[some].to(device)
            )
            answers.append(self.classifier(pasted).cpu())
            self.on_progress(self.section.title, 0, 1)
        return torch.cat(answers)

    def shares(self, places: Sequence[Box], rows: Tensor, labels: Tensor, key: Key) -> dict[str, np.ndarray]:
        """Return for each place how often the pictures `rows` [r] are named right with a piece of their own class
        (agree) and with one of another (conflict), and as the class of that other (own): [s, r] each.
        """
        found = {name: np.zeros((len(places), len(rows)), np.float32) for name in ("agree", "conflict", "own")}
        for number, place in enumerate(places):
            for turn in range(REPEATS):
                for kind in ("agree", "conflict"):
                    donors = _donors(labels[rows], kind == "agree", key.fold_in(turn).fold_in(kind))
                    answers = self.answers(rows, torch.where(donors < 0, donors, rows[donors]), place)
                    found[kind][number] += _shares_of(answers, labels[rows], donors)
                    if kind == "conflict":
                        found["own"][number] += _shares_of(answers, labels[rows][donors], donors)
        return found

    def answers(self, canvases: Tensor, donors: Tensor, place: Box) -> Tensor:
        """Return the classes [n] that `canvases` [n] are named as with pieces of `donors` [n]; -1 where that is -1."""
        answers, asked = torch.full((len(donors),), -1), donors >= 0
        if asked.any():
            places = torch.tensor(place).expand(int(asked.sum()), 4)
            answers[asked] = named(self.logits(canvases[asked], donors[asked], places))
        return answers


def _shares_of(answers: Tensor, labels: Tensor, donors: Tensor) -> np.ndarray:
    return ((answers == labels).float() / REPEATS).where(donors >= 0, torch.nan).numpy()


Half = tuple[dict[int, Tensor], Tensor]
"""Class -> rows of the pictures that are named as it, of classes with enough of them, and rows of all others."""


def halved(answers: Tensor, key: Key) -> tuple[Half, Half]:
    """Return the half of the pictures, which are named `answers` [N], that proposes, and the one that measures: half of
    each class, the larger one measures, and of the classes with too few pictures whatever falls to it.
    """
    first, second, few = {}, {}, torch.ones(len(answers), dtype=torch.bool)
    for label in answers.unique().tolist():
        rows = (answers == label).nonzero()[:, 0]
        if len(rows) >= FEWEST:
            rows = rows[key.fold_in(label).order(len(rows))]
            first[label], second[label] = rows[: len(rows) // 2], rows[len(rows) // 2 :]
            few[rows] = False
    coin = key.uniform(len(answers))[:, 0] < 0.5
    return (first, (few & coin).nonzero()[:, 0]), (second, (few & ~coin).nonzero()[:, 0])


def measure(search: MarkSearch, proposed: Sequence[Proposed]) -> list[Measured]:
    """Return what the proposed places carry on the pictures of `search`."""
    everything, canvases = search.everything, search.canvases(CANVASES, search.key)
    trials = []
    for one in proposed:
        key = search.key.fold_in(one.label)
        own = search.rows[one.label]
        others = everything[search.named[everything] != one.label]
        donors = torch.cat(
            [own[key.order(len(own))[:OWN]], others[key.fold_in("controls").order(len(others))[:CONTROLS]]]
        )
        trials += [(one.box, donors, canvases), (one.rival, donors, canvases)]
    odds, found = search.paste(trials), []
    for number, one in enumerate(proposed):
        (box, donors, _), classes = trials[2 * number], search.named[trials[2 * number][1]]
        here, there = (carried(each, classes, search.named[canvases]) for each in odds[2 * number : 2 * number + 2])
        most, rival = (evidence(each, classes, one.label) for each in (here, there))
        values = ahead(here[:, one.label], there[:, one.label], MarksRule().rival)
        x0, y0, x1, y1 = box
        likeness = resemblance(search.pixels[donors][:, :, y0:y1, x0:x1].cpu(), classes == one.label)
        p = chance(values, classes == one.label, search.key.fold_in(one.label).fold_in("chance"))
        share = most / float(search.whole[one.label])
        found.append(Measured(one.label, int((classes == one.label).sum()), share, rival / most, likeness, p))
    return found


def _donors(labels: Tensor, same: bool, key: Key) -> Tensor:
    """Draw for each of `labels` [r] another picture of the same class, or one of another class: [r], -1 where there is
    none.
    """
    fits = (labels[:, None] == labels) == same
    fits &= ~torch.eye(len(labels), dtype=torch.bool)
    ranked = torch.where(fits, key.uniform(len(labels), len(labels)), -1.0)
    return torch.where(fits.any(dim=1), ranked.argmax(dim=1), -1)


def _arrays(proposed: Sequence[Proposed], measured: Sequence[Measured]) -> dict[str, np.ndarray]:
    numbers = {
        name: np.array([getattr(one, name) for one in measured], np.float64)
        for name in ("share", "rival", "alike", "p")
    }
    counts = {name: np.array([getattr(one, name) for one in measured], np.int64) for name in ("label", "n")}
    places = {name: np.array([getattr(one, kind) for one in proposed], np.int64).reshape(-1, 4)
              for name, kind in (("places", "box"), ("rivals", "rival"))}  # fmt: skip
    empty = {"measured": np.zeros(0, np.int64), "best": np.zeros((0, 4), np.int64)}
    empty |= {name: np.zeros((0, 0), np.float32) for name in ("agree", "conflict", "own")}
    return {f"marks/{name}": values for name, values in {**numbers, **counts, **places, **empty}.items()}


def _measured(evidence: Evidence) -> list[Measured]:
    names = ("label", "n", "share", "rival", "alike", "p")
    columns = (evidence.arrays[f"marks/{name}"].tolist() for name in names)
    return [Measured(*values) for values in zip(*columns, strict=True)]


def _places(proposed: Sequence[Proposed], measured: Sequence[Measured]) -> list[Box]:
    """Return the places of marks, those of most evidence first, one where several overlap; the strongest place where
    there is none.
    """
    pairs = sorted(
        zip(found(measured), measured, proposed, strict=True), key=lambda each: (not each[0], -each[1].share)
    )
    places: list[Box] = []
    for flag, _, one in pairs:
        if (flag or not places) and not any(touching(one.box, box) for box in places):
            places.append(one.box)
    return places


def _lean(evidence: Evidence, measured: Sequence[Measured], flags: Sequence[bool], place: int) -> Lean:
    """Return what is said of one place."""
    best = evidence.tensor("marks/best")
    box, places = tuple(best[place].tolist()), evidence.arrays["marks/places"].tolist()
    here = [
        one.label for one, flag, at in zip(measured, flags, places, strict=True) if flag and touching(tuple(at), box)
    ]
    agree, conflict = (evidence.tensor(f"marks/{name}")[place].double() for name in ("agree", "conflict"))
    accuracy = float((evidence.logits.argmax(dim=1) == evidence.labels).double().mean())
    falls = (agree - conflict) / max(accuracy - 1 / len(evidence.classes), 1e-9)
    share = _share(falls[falls.isfinite()], len(best), evidence.seed)
    shown = _box(box, evidence.size)
    names = ", ".join(repr(evidence.classes[k]) for k in here)
    rows = _examples(evidence, here)
    advice = f"look at {located(*shown)}; hide it or collect pictures without it, and diagnose again" if here else ""
    title = f"a mark at {located(*shown)}" + (f", for {names}" if here else "")
    return Lean("mark", title, share, bool(here), False, tuple(here), shown, rows, advice)


def _share(values: Tensor, tried: int, seed: int) -> Score:
    """Return the mean of `values` [n] with an interval that holds for all of `tried` places at once."""
    if len(values) < 2:
        return Score(SHARE, nan, note="too few pictures of the same class")
    means = np.sort(resample_counts(len(values), seed) @ values.numpy() / len(values))
    if tried < 2:
        low, high = percentiles(means)
    else:
        low, high = (float(end) for end in np.quantile(means, [(1 - LEVEL) / 2 / tried, 1 - (1 - LEVEL) / 2 / tried]))
    return Score(SHARE, float(values.mean()), low, high, len(values))


def _examples(evidence: Evidence, labels: Sequence[int]) -> tuple[int, ...]:
    """Return pictures that are named as these classes, some of each."""
    answers = evidence.logits.argmax(dim=1)
    return tuple(row for k in labels for row in (answers == k).nonzero()[:SHOWN, 0].tolist())


def _box(box: Sequence[int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    height, width = size
    x0, y0, x1, y1 = box
    return x0 / width, y0 / height, x1 / width, y1 / height


def _sentence(told: Sequence[Measured], measured: Sequence[Measured], classes: Sequence[str]) -> str:
    if not measured:
        return f"No class has {FEWEST} pictures that are named as it: too few to say anything."
    if not told:
        return f"None of {len(measured)} classes is carried by a mark at one place."
    names = ", ".join(repr(classes[one.label]) for one in told[:5])
    return f"{len(told)} of {len(measured)} classes are carried by a mark at one place: {names}."


def _table(
    evidence: Evidence, measured: Sequence[Measured], flags: Sequence[bool], places: Sequence[Sequence[int]]
) -> Table:
    """Return the classes, marks first."""
    order = sorted(zip(flags, measured, places, strict=True), key=lambda each: (not each[0], -each[1].share))[:12]
    rows = tuple(
        (evidence.classes[one.label], "mark" if flag else "no", located(*_box(box, evidence.size)), percent(one.share),
         percent(one.rival), f"{one.alike:.2f}", f"{one.p:.4f}", str(one.n))
        for flag, one, box in order
    )  # fmt: skip
    seen = tuple(Examples(_examples(evidence, [one.label]), _box(box, evidence.size)) for _, one, box in order)
    heads = ("class", "a mark?", "place, in shares of the image", "of the class in a piece",
             "of that apart from it", "alike", "p", "n")  # fmt: skip
    return Table("Where small pieces of each class carry most", heads, rows, seen)
