"""What does it answer? Accuracy beside that of one class for everything, classes one by one, and what is confused.

A network that gives one class to nearly all images is told so first: no other number of a diagnosis says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from torch import Tensor

from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.section import SHOWN, Examples, Finding, Matrix, Section, Table
from overfocus.diagnosis.wording import percent, quoted
from overfocus.metrics.answers import answer_scores, answers, class_scores, confused, confusion
from overfocus.metrics.confidence import ACCURACY
from overfocus.metrics.score import Score

ONE_CLASS, APART = 0.95, 0.05
"""Share of the images from which on one answer is given to nearly everything, where the share of the largest class is
smaller by so much.
"""
PAIRS, WORST, DRAWN = 5, 20, 12
"""Confused pairs and classes in tables, and classes in the picture, at most."""


@dataclass(frozen=True)
class AnswerSection(Section):
    """Accuracy, plain and balanced, F1, areas under curves; precision and recall by class; the confusion matrix."""

    name: ClassVar[str] = "answers"
    title: ClassVar[str] = "Answers"
    question: ClassVar[str] = "What does it get right, and what does it confuse?"
    order: ClassVar[int] = 0
    passes: ClassVar[int] = 0
    headline: ClassVar[tuple[str, ...]] = (
        "accuracy", "largest_class", "balanced_accuracy", "macro_f1", "auroc", "commonest_answer",
    )  # fmt: skip

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute all numbers from logits and labels."""
        labels, named, matrix = evidence.labels, answers(evidence.logits), confusion_of(evidence)
        scores = answer_scores(evidence.logits, labels, seed=evidence.seed)
        return self.found(
            partial(_sentence, matrix, evidence.classes), {"accuracy": (ACCURACY, (named == labels).double())},
            evidence.seed, scores, matrices=(drawn(matrix, evidence.classes),),
            tables=(_pairs(matrix, named, evidence), _classes(matrix, evidence)), notes=_notes(matrix),
        )  # fmt: skip


def confusion_of(evidence: Evidence) -> np.ndarray:
    """Return the confusion matrix, see `metrics.answers.confusion`."""
    return confusion(evidence.labels, answers(evidence.logits), len(evidence.classes))


def _answered(matrix: np.ndarray) -> np.ndarray:
    """Return how many images are given each class: [K]."""
    return matrix[:, : len(matrix)].sum(axis=0)


def one_class(matrix: np.ndarray) -> bool:
    """Say whether one class is given to nearly all images although they are of several."""
    count, support = matrix.sum(), matrix.sum(axis=1)
    share, largest = _answered(matrix).max() / count, support.max() / count
    return bool(share >= ONE_CLASS and (share - largest >= APART or (share == 1 and largest < 1)))


def _sentence(matrix: np.ndarray, classes: list[str], scores: Mapping[str, Score]) -> str:
    accuracy, largest, balanced = (scores[name] for name in ("accuracy", "largest_class", "balanced_accuracy"))
    largest_class = quoted(classes[int(matrix.sum(axis=1).argmax())])
    better = accuracy.bounded and accuracy.low > largest.value
    one = one_class(matrix)
    return (
        f"{_told(matrix, classes) if one else ''}It names {percent(accuracy.value)} of the images rightly ({accuracy}, "
        f"n = {accuracy.n:,}), {percent(balanced.value)} on average over classes; {largest_class} for everything would "
        f"be right on {percent(largest.value)}{'' if better else ', and it is not shown to be better than that'}."
        f"{'' if one else _confusions(matrix, classes)}{_lost(matrix)}"
    )


def _told(matrix: np.ndarray, classes: list[str]) -> str:
    given, count = _answered(matrix), matrix.sum()
    answer = int(given.argmax())
    share, own = given[answer] / count, matrix[answer].sum() / count
    return (
        f"It gives one class to {'everything' if share == 1 else 'nearly everything'}: {quoted(classes[answer])} to "
        f"{percent(share)} of the images, of which {percent(own)} are of that class. "
    )


def _lost(matrix: np.ndarray) -> str:
    lost = matrix.sum() - _answered(matrix).sum()
    return f" {lost:,} images have no answer, as their logits are not numbers, and count as wrong." if lost else ""


def _confusions(matrix: np.ndarray, classes: list[str]) -> str:
    if not (pairs := confused(matrix)):
        return " No class is named as another."
    own, other, count = pairs[0]
    one, two, support = quoted(classes[own]), quoted(classes[other]), matrix.sum(axis=1)
    back = f", and {matrix[other, own]:,} of {support[other]:,} the other way" if support[other] else ""
    return f" Most often it names {one} as {two}: {count:,} of {support[own]:,}{back}."


def _notes(matrix: np.ndarray) -> tuple[str, ...]:
    one = (
        "A network that gives one class to nearly everything has not learned, or is shown other pixels or classes than "
        "it was trained on: look at mean and std, the order of channels and of classes, the learning rate, and how "
        "unequal the classes are in training. What the sections below say of hiding, maps and attacks means little.",
    )
    return (
        *(one if one_class(matrix) else ()),
        "Intervals are over images; a class with few has a wide one. confusion.csv and classes.csv have all classes.",
    )


def _pairs(matrix: np.ndarray, named: Tensor, evidence: Evidence) -> Table:
    """Return the pairs that are confused most, each with the images of which it is surest."""
    support, seen, rows = matrix.sum(axis=1), [], []
    confidence = evidence.logits.double().softmax(dim=1).amax(dim=1)
    for own, other, count in confused(matrix)[:PAIRS]:
        which = ((evidence.labels == own) & (named == other)).nonzero()[:, 0]
        surest = which[confidence[which].argsort(descending=True, stable=True)[:SHOWN]]
        seen.append(Examples(tuple(surest.tolist())))
        share = percent(count / support[own])
        rows.append((evidence.classes[own], evidence.classes[other], f"{count:,} of {support[own]:,}", share))
    heads = ("class", "named as", "of its images", "share")
    return Table("Most confused classes, with the images where it is surest", heads, tuple(rows), tuple(seen))


def _classes(matrix: np.ndarray, evidence: Evidence) -> Table:
    """Return the classes, the least F1 first; those without images last."""
    each, given = class_scores(matrix, seed=evidence.seed), _answered(matrix)
    order = np.argsort([scores["f1"].value for scores in each], kind="stable")[:WORST]
    rows = tuple(
        (
            evidence.classes[k], *(str(score) if score.answered else "-" for score in each[k].values()),
            f"{matrix[k].sum():,}", f"{given[k]:,}",
        )
        for k in order
    )  # fmt: skip
    title = "Classes, the least F1 first" + (f": {WORST} of {len(matrix):,}" if len(matrix) > WORST else "")
    return Table(title, ("class", "precision", "recall", "F1", "images", "named so"), rows)


def drawn(matrix: np.ndarray, classes: list[str]) -> Matrix:
    """Return the matrix of all classes that occur, or of those that are confused most."""
    used = np.flatnonzero(matrix.sum(axis=1) + _answered(matrix)).tolist()
    worst = [k for own, other, _ in confused(matrix) for k in (own, other)]
    shown = sorted(list(dict.fromkeys([*worst, *used]))[:DRAWN])
    rest = np.setdiff1d(np.arange(len(matrix)), shown)
    parts = (matrix[:, shown], matrix[:, rest].sum(axis=1), matrix[:, len(matrix) :].sum(axis=1))
    counts, names = np.column_stack(parts)[shown], [classes[k] for k in shown]
    heads = [*names, "any other class", "no answer"]
    kept = [k for k in range(len(heads)) if k < len(shown) or counts[:, k].any()]
    title = "Confusion matrix" + (f": {len(shown)} of {len(used):,} classes" if len(shown) < len(used) else "")
    cells = tuple(tuple(row) for row in counts[:, kept].tolist())
    return Matrix(title, "named as", "class", tuple(names), tuple(heads[k] for k in kept), cells)
