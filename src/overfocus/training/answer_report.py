"""How good the answers of a network to images with one class each are, from the logits of one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overfocus.core.interval import finite, wilson
from overfocus.data.groups import ImageGroups
from overfocus.metrics.answers import answer_scores, answers, by_class, confused, confusion
from overfocus.metrics.groups import Cells, group_scores
from overfocus.metrics.score import Score

PAIRS = 20
"""Confused pairs that are listed."""
Rows = tuple[Tensor, Tensor, Tensor]
"""Logits [n, K], labels [n], and places in the split [n]."""


@dataclass(eq=False)
class Collected:
    """What an evaluation computes of each batch, kept where it is, without a synchronisation."""

    batches: list[Rows] = field(default_factory=list)

    def __call__(self, logits: Tensor, labels: Tensor, rows: Tensor) -> None:
        """Keep a batch."""
        self.batches.append((logits, labels, rows))

    def together(self) -> Rows:
        """Return all batches as one, on the processor."""
        logits, labels, rows = (torch.cat(each).cpu() for each in zip(*self.batches, strict=True))
        return logits, labels, rows


@dataclass(frozen=True, eq=False)
class AnswerReport:
    """The answers to N images of K classes."""

    classes: tuple[str, ...]
    scores: dict[str, Score]
    """See `metrics.answers.answer_scores`; the interval of the accuracy is Wilson's. Where groups are known also those
    of `metrics.groups.group_scores`.
    """
    matrix: np.ndarray
    """Images of a class (rows) that are named as a class (columns), as `metrics.answers.confusion` counts them."""
    groups: ImageGroups | None = None
    """Of the images of the split."""
    cells: Cells | None = None
    """The images of each class in each group, where these are known."""

    @staticmethod
    def of(parts: Sequence[Rows], classes: tuple[str, ...], groups: ImageGroups | None = None) -> AnswerReport:
        """Report on what processes collected of one split, in the order of its images, whose `groups` may be known."""
        logits, labels, rows = (torch.cat(each) for each in zip(*parts, strict=True))
        order = rows.argsort(stable=True)
        logits, labels = logits[order], labels[order]
        scores = answer_scores(logits, labels)
        accuracy = scores["accuracy"]
        if accuracy.answered:
            low, high = wilson(accuracy.value, len(labels))
            scores["accuracy"] = replace(accuracy, low=low, high=high)
        named, cells = answers(logits), None
        if groups is not None:
            own = groups.pick(rows[order]).places.numpy()
            cells = Cells.of(labels.numpy(), named.numpy(), own, len(classes), len(groups.names))
            scores |= group_scores(cells)
        return AnswerReport(classes, scores, confusion(labels, named, len(classes)), groups, cells)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: `answers`, name -> score; `classes`, class -> precision, recall, f1, support;
        `confused`, the pairs with most images; and where groups are known `groups`, see `_groups`.
        """
        each = by_class(self.matrix)
        numbers = {name: values.tolist() for name, values in each.items()}
        pairs = confused(self.matrix)[:PAIRS]
        return {
            "answers": {name: score.as_dict() for name, score in self.scores.items()},
            "classes": {
                of: {name: values[k] if name == "support" else finite(values[k]) for name, values in numbers.items()}
                for k, of in enumerate(self.classes)
            },
            "confused": [
                {"class": self.classes[own], "named": self.classes[other], "images": images}
                for own, other, images in pairs
            ],
            **({} if self.groups is None or self.cells is None else {"groups": self._groups(self.groups, self.cells)}),
        }

    def _groups(self, groups: ImageGroups, cells: Cells) -> dict[str, Any]:
        """Return `column`, and `cells`: each class in each group that has images, with its accuracy, Wilson's interval,
        and whether it is compared, the worst of these first.
        """
        places = [(int(k), int(g)) for k, g in zip(*np.nonzero(cells.count), strict=True)]
        accuracy = cells.accuracy()
        places.sort(key=lambda place: (not cells.compared[place], accuracy[place]))
        found = []
        for k, g in places:
            low, high = wilson(accuracy[k, g], int(cells.count[k, g]))
            found.append(
                {
                    "class": self.classes[k], "group": groups.names[g], "accuracy": float(accuracy[k, g]), "low": low,
                    "high": high, "images": int(cells.count[k, g]), "compared": bool(cells.compared[k, g]),
                }
            )  # fmt: skip
        return {"column": groups.column, "cells": found}
