"""Test images that are in the training part as well."""

from __future__ import annotations

from overfocus.checks.check import SHOWN, Check, DataFinding, Example, Severity
from overfocus.checks.survey import Survey

MUCH = 0.01
"""Share of a part from which on scores on it are too high by more than they vary."""


class Leaks(Check):
    """Pictures shared between training and other parts."""

    name = "leaks"
    title = "Test pictures in the training part"
    question = "Is a picture of the test part, or nearly the same one, in the training part too?"
    order = 50

    def evaluate(self, survey: Survey) -> DataFinding:
        """Count the test and validation images that the training part contains."""
        shared = [group for group in survey.same if len({picture.part == "train" for picture in group}) == 2]
        leaked = [picture for group in shared for picture in group if picture.part != "train"]
        counts = {part: sum(each.part == part for each in leaked) for part in survey.dataset.splits if part != "train"}
        value = {"leaked": counts, "images": [picture.name for picture in leaked]}
        if not leaked:
            return DataFinding(Severity.FINE, "No picture of another part is in the training part.", value)
        said = " and ".join(
            f"{count:,} of {len(survey.of(part)):,} {part} pictures" for part, count in counts.items() if count
        )
        much = any(count >= MUCH * len(survey.of(part)) for part, count in counts.items() if count)
        return DataFinding(
            Severity.PROBLEM if much else Severity.WARNING,
            f"{said} are in the training part too, or nearly so: scores on them are too high.",
            value,
            examples=[
                Example(" and ".join(sorted({picture.part for picture in group})), group) for group in shared[:SHOWN]
            ],
        )
