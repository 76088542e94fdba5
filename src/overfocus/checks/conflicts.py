"""The same picture with different classes."""

from __future__ import annotations

from overfocus.checks.check import SHOWN, Check, DataFinding, Example, Severity
from overfocus.checks.survey import Survey
from overfocus.core.words import counted


class Conflicts(Check):
    """Pictures that have several classes."""

    name = "conflicts"
    title = "Conflicting labels"
    question = "Does the same picture stand in several classes?"
    order = 60

    def evaluate(self, survey: Survey) -> DataFinding:
        """Count the pictures of which copies have different labels."""
        conflicting = [group for group in survey.same if len({picture.label for picture in group}) > 1]
        value = {"groups": len(conflicting), "images": [[each.name for each in group] for group in conflicting]}
        if not conflicting:
            return DataFinding(Severity.FINE, "No picture stands in several classes.", value)
        return DataFinding(
            Severity.WARNING,
            f"{counted(len(conflicting), 'picture')} in several classes at once: one of the labels is wrong.",
            value,
            examples=[
                Example(" / ".join(sorted({survey.class_name(each) for each in group})), group)
                for group in conflicting[:SHOWN]
            ],
        )
