"""The result of an examination, as a value: the evidence, what each section found, what could not be evaluated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.core.files import replacing_folder, write
from overfocus.diagnosis import lean_wording
from overfocus.diagnosis.catalogue import SECTIONS, doubted, headline
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.lean import Lean, ranked
from overfocus.diagnosis.section import Finding
from overfocus.metrics.score import Score
from overfocus.metrics.trust import trusted

EVIDENCE, SCORES = "evidence.npz", "scores.json"
DOUBTED = "Its maps do not tell where it looks, so what is read from them here is no finding."
"""The sentence of a section that reads maps which are no better than chance."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """An examination of one model on one sample of images."""

    evidence: Evidence

    @property
    def name(self) -> str:
        """What the model is called."""
        return str(self.evidence.about["model"])

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What each section found, computed from the evidence; of those that read maps which are no better than chance
        only that.
        """
        evaluated = self.evidence.about["sections"]
        found = [section.evaluate(self.evidence) for name, section in SECTIONS.items() if name in evaluated]
        return tuple(replace(each, sentence=DOUBTED) if doubted(each.name, self.trusted) else each for each in found)

    @cached_property
    def trusted(self) -> bool | None:
        """Whether its maps order pixels better than chance (section `trust`); None where that was not measured."""
        if "trust" not in self.evidence.about["sections"]:
            return None
        return trusted(SECTIONS["trust"].evaluate(self.evidence).scores["gap"])

    @cached_property
    def leans(self) -> tuple[Lean, ...]:
        """What the model leans on, as far as any section looked: the largest sure share first."""
        return ranked(lean for finding in self.findings for lean in finding.leans or ())

    @property
    def sentence(self) -> str:
        """What the model leans on, in one sentence; empty where no section looked for that."""
        if all(finding.leans is None for finding in self.findings):
            return ""
        return lean_wording.sentence(self.leans, self.evidence.classes)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Section -> why it was not evaluated."""
        return dict(self.evidence.about["skipped"])

    def __getitem__(self, section: str) -> Mapping[str, Score]:
        """Return the scores of a section."""
        for finding in self.findings:
            if finding.name == section:
                return finding.scores
        known = [finding.name for finding in self.findings]
        raise KeyError(f"{section!r} is not in this diagnosis ({self.skipped.get(section, f'there are {known}')})")

    def as_dict(self, per_class: bool = False) -> dict[str, Any]:
        """Return what JSON can hold: about, what the model leans on in a sentence and by rank, and for each section its
        sentence and scores; no answer is null.
        """
        sections = {}
        for finding in self.findings:
            sections[finding.name] = {
                "title": finding.title, "sentence": finding.sentence, "scores": _numbers(finding.scores),
                "notes": list(finding.notes),
            }  # fmt: skip
            if per_class and finding.per_image:
                classes = finding.per_class(self.evidence.labels, self.evidence.classes, self.evidence.seed)
                sections[finding.name]["per_class"] = {name: _numbers(scores) for name, scores in classes.items()}
        leans = [lean.as_dict(self.evidence.classes) for lean in self.leans]
        about, trusted = dict(self.evidence.about), self.trusted
        return {"about": about, "sentence": self.sentence, "trusted": trusted, "leans": leans, "sections": sections}

    def save(self, folder: str | Path, per_class: bool = False) -> Path:
        """Write `scores.json` and `evidence.npz` into a new folder, whole or not at all; return it.

        An older diagnosis in its place is replaced; a folder that holds anything else is not touched.
        """
        folder = Path(folder)
        check_free(folder)
        with replacing_folder(folder) as aside:
            self.write(aside, per_class)
        return folder

    def write(self, folder: Path, per_class: bool = False) -> None:
        """Write the files into `folder`."""
        self.evidence.save(folder / EVIDENCE)
        write(folder / SCORES, json.dumps(self.as_dict(per_class), indent=2) + "\n")

    @staticmethod
    def load(folder: str | Path) -> Diagnosis:
        """Read what `save` wrote; the numbers are computed anew from the evidence."""
        path = Path(folder) / EVIDENCE
        if not path.is_file():
            raise OverfocusError(f"{folder} holds no {EVIDENCE}; give a folder that `overfocus diagnose` wrote")
        return Diagnosis(Evidence.load(path))

    def __str__(self) -> str:
        about = self.evidence.about
        lines = [f"{self.name} on {about['data']}, {about['sample']}"]
        lines += ["", self.sentence] * bool(self.sentence) + _ranking(self.leans, self.evidence.classes)
        for finding in self.findings:
            names = finding.scores
            if doubted(finding.name, self.trusted):
                names = headline(finding.name, names, self.trusted)
            scores = ((name, finding.scores[name]) for name in names)
            lines += ["", f"{finding.title}: {finding.sentence}", *_rows(scores)]
        lines += ["", *(f"{name} was not evaluated: {why}" for name, why in self.skipped.items())]
        return "\n".join(lines).rstrip()


def check_free(folder: Path) -> None:
    """Raise OverfocusError where `folder` holds something that is no diagnosis."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_diagnosis(folder)):
        raise OverfocusError(f"{folder} holds something else than a diagnosis; give an --out that is new or empty")


def _is_diagnosis(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("diagnosis.html", SCORES, EVIDENCE))


def _numbers(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {name: score.as_dict() for name, score in scores.items()}


def _ranking(leans: Iterable[Lean], classes: list[str]) -> list[str]:
    """Return one line for each lean: what, its share, how sure, which classes."""
    rows = [
        (lean_wording.short(lean.title), lean_wording.in_words(lean.share), lean_wording.how_sure(lean),
         f"classes: {lean_wording.of_classes(lean, classes)}")
        for lean in leans
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [f"  {'  '.join(map(str.ljust, row, widths))}".rstrip() for row in rows]


def _rows(scores: Iterable[tuple[str, Score]]) -> list[str]:
    """Return one line for each score: name, direction, value with interval, n."""
    rows = [(f"{name} {score.metric.arrow}".rstrip(), str(score), f"n = {score.n:,}") for name, score in scores]
    width = max((len(name) for name, _, _ in rows), default=0)
    return [f"  {name:<{width}}  {value:<28} {count}".rstrip() for name, value, count in rows]
