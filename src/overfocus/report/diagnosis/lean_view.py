"""What a page says of leans, as text: the template only lays it out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.lean import Lean
from overfocus.diagnosis.lean_wording import LETTERS, how_sure, in_words, listed, next_step, of_classes
from overfocus.diagnosis.section import SHOWN, Examples
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.metrics.score import Score
from overfocus.report.label import Label, label, visible
from overfocus.report.number import MINUS
from overfocus.report.scale import Scale, known

INTERVAL = re.compile(r"\[(\S+), (\S+)\]")


@dataclass(frozen=True)
class LeanRow:
    """One lean."""

    title: Label
    share: Score
    share_text: str
    classes: str
    how_sure: str
    advice: str
    """Code stands in backticks."""
    found: bool
    seen: Examples


@dataclass(frozen=True)
class LeanView:
    """The leans of one model, the first of them apart from the rest."""

    name: str
    number: int
    """Place among the models, from 0."""
    sentence: str
    """Its interval is not broken over lines."""
    first: list[LeanRow]
    rest: list[LeanRow]

    @property
    def rows(self) -> list[LeanRow]:
        """All of them."""
        return self.first + self.rest


def lean_views(comparison: SideBySide) -> list[LeanView]:
    """Return what each model leans on; nothing for one on which no section looked."""
    return [_view(each, number) for number, each in enumerate(comparison.diagnoses) if each.sentence]


def lean_scale(views: Iterable[LeanView]) -> Scale:
    """Return the scale of all shares: from 0 to 1, and further where one lies beyond."""
    numbers = known(row.share for view in views for row in view.rows)
    return Scale(min([0.0, *numbers]), max([1.0, *numbers]))


def _view(diagnosis: Diagnosis, number: int) -> LeanView:
    first = listed(diagnosis.leans)
    rest = [lean for lean in diagnosis.leans if not any(lean is other for other in first)]
    rows = ([_row(lean, diagnosis.evidence.classes) for lean in part] for part in (first, rest))
    sentence = INTERVAL.sub("[\\1,\u00a0\\2]", diagnosis.sentence)
    return LeanView(diagnosis.name, number, sentence, *rows)


def _row(lean: Lean, classes: list[str]) -> LeanRow:
    return LeanRow(
        label(lean.title, most=LETTERS), lean.share, in_words(lean.share).replace("-", MINUS),
        of_classes(lean, classes), how_sure(lean), visible(next_step(lean)), lean.found,
        Examples(lean.rows[:SHOWN], lean.box),
    )  # fmt: skip
