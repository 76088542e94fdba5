"""Images that occur more than once in one part."""

from __future__ import annotations

from collections import Counter

from overfocus.checks.check import SHOWN, Check, DataFinding, Example, Severity
from overfocus.checks.same_picture import exact
from overfocus.checks.survey import Survey
from overfocus.core.words import counted


class Duplicates(Check):
    """Repeated pictures within a part."""

    name = "duplicates"
    title = "Duplicates"
    question = "Does a picture occur more than once in the same part?"
    order = 70

    def evaluate(self, survey: Survey) -> DataFinding:
        """Count the files that repeat another one of their part."""
        repeated = [group for group in survey.same if max(Counter(picture.part for picture in group).values()) > 1]
        surplus = sum(count - 1 for group in repeated for count in Counter(each.part for each in group).values())
        value = {"groups": len(repeated), "exact_groups": sum(map(exact, repeated)), "surplus": surplus}
        if not repeated:
            return DataFinding(Severity.FINE, "No picture occurs twice in the same part.", value)
        return DataFinding(
            Severity.NOTE,
            f"{counted(surplus, 'picture')} repeat another one of the same part, {value['exact_groups']:,} of "
            f"{counted(len(repeated), 'group')} byte for byte.",
            value,
            examples=[Example("equal files" if exact(group) else "nearly equal", group) for group in repeated[:SHOWN]],
        )
