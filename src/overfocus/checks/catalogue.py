"""All checks, in the order in which they are reported, and their findings on a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import overfocus.checks as folder
from overfocus.checks.check import Check, DataFinding, Severity
from overfocus.checks.survey import Survey
from overfocus.core.registry import classes_in


def checks() -> dict[str, Check]:
    """Return name -> check."""
    kinds: dict[str, Callable[[], Check]] = {**classes_in(folder, Check)}
    found = [kind() for kind in kinds.values()]
    return {check.name: check for check in sorted(found, key=lambda check: check.order)}


@dataclass(frozen=True, eq=False)
class DataReport:
    """What the checks found in a data set."""

    survey: Survey
    findings: Mapping[str, DataFinding]
    """Name of the check -> its finding, in the order of reports."""

    @property
    def severity(self) -> Severity:
        """The worst of all findings."""
        return max(finding.severity for finding in self.findings.values())

    @property
    def worst_first(self) -> list[tuple[Check, DataFinding]]:
        """Checks with their findings, the worst first."""
        known = checks()
        order = sorted(self.findings.items(), key=lambda item: -item[1].severity)
        return [(known[name], finding) for name, finding in order]

    def paragraph(self) -> str:
        """Return the findings that matter as one paragraph, empty where there are none; what the note of the data says
        already is left out.
        """
        serious = [finding.sentence for _, finding in self.worst_first if finding.severity >= Severity.WARNING]
        return " ".join(sentence for sentence in serious if sentence not in self.survey.dataset.note)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "data": self.survey.dataset.name,
            "images": self.survey.total,
            "read": len(self.survey.pictures),
            "severity": self.severity.name.lower(),
            "findings": {
                name: {
                    "severity": finding.severity.name.lower(),
                    "sentence": finding.sentence,
                    "value": finding.value,
                    "examples": [
                        {"caption": example.caption, "images": [picture.name for picture in example.pictures]}
                        for example in finding.examples
                    ],
                }
                for name, finding in self.findings.items()
            },
        }


def evaluate(survey: Survey) -> DataReport:
    """Run every check on a survey."""
    return DataReport(survey, {name: check.evaluate(survey) for name, check in checks().items()})
