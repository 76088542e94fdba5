"""Files that cannot be read."""

from __future__ import annotations

from overfocus.checks.check import NAMED, Check, DataFinding, Severity
from overfocus.checks.survey import Survey
from overfocus.core.words import counted, listed


class Unreadable(Check):
    """Damaged, empty and missing files."""

    name = "unreadable"
    title = "Unreadable files"
    question = "Can every file be read to its end?"
    order = 30

    def evaluate(self, survey: Survey) -> DataFinding:
        """Name the files that cannot be read, with the reasons."""
        broken = [picture for picture in survey.pictures if picture.error]
        value = {"images": {picture.name: picture.error for picture in broken}}
        if not broken:
            return DataFinding(Severity.FINE, f"All {counted(len(survey.pictures), 'file')} can be read.", value)
        names = listed([f"{picture.name} ({picture.error})" for picture in broken], NAMED)
        return DataFinding(
            Severity.PROBLEM,
            f"{counted(len(broken), 'file')} cannot be read: {names}; replace them, or use --on-bad-image skip.",
            value,
            ("file", "why"),
            [(picture.name, picture.error) for picture in broken],
        )
