"""Files and folders that lie there and are not used."""

from __future__ import annotations

from overfocus.checks.check import NAMED, Check, DataFinding, Severity
from overfocus.checks.survey import Survey
from overfocus.core.words import counted, listed

ANNOTATIONS = ("boxes", "annotations", "masks")
"""What of an inventory another check reports."""


class Unused(Check):
    """What was left out when the data was read."""

    name = "unused"
    title = "Files that are not used"
    question = "Which files and folders are not used, and how were the parts recognised?"
    order = 15

    def evaluate(self, survey: Survey) -> DataFinding:
        """Name what was left out, with the reasons, and what may be meant otherwise."""
        inventory = survey.dataset.inventory
        left_out = [each for each in inventory.not_used if each.what not in ANNOTATIONS]
        pictures = inventory.unused_pictures
        unused = f"Not used: {listed([*map(str, left_out)], NAMED)}." if left_out else ""
        said = " ".join(filter(None, (unused, *inventory.warnings)))
        severity = Severity.WARNING if pictures or inventory.warnings else Severity.NOTE if said else Severity.FINE
        return DataFinding(
            severity,
            said or f"Every file is used: {counted(survey.total, 'picture')}.",
            {
                "pictures": pictures,
                "not_used": [{"where": e.where, "why": e.why, "count": e.count, "what": e.what} for e in left_out],
                "parts": dict(inventory.parts),
                "held_out": inventory.held_out,
            },
            ("where", "what", "why", "how many"),
            [(each.where or ".", each.what, each.why, f"{each.count:,}") for each in left_out],
        )
