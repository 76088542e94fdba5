"""Boxes and masks that do not fit their images."""

from __future__ import annotations

from overfocus.checks.check import SHOWN, Check, DataFinding, Example, Severity
from overfocus.checks.survey import Survey
from overfocus.checks.unused import ANNOTATIONS
from overfocus.core.words import counted

WHOLE = 0.95
"""Share of the picture from which on a box says nothing of where the object is."""


class Annotations(Check):
    """Where the objects are said to be."""

    name = "annotations"
    title = "Boxes and masks"
    question = "Has every picture its box or mask, and do these fit? Of masks some 500 are looked at."
    order = 45

    def evaluate(self, survey: Survey) -> DataFinding:
        """Count boxes that were left out, pictures without any, and boxes that are the whole picture."""
        splits = survey.dataset.splits
        left_out = [each for each in survey.dataset.inventory.not_used if each.what in ANNOTATIONS]
        if not left_out and not any(split.boxes or split.masks for split in splits.values()):
            return DataFinding(Severity.FINE, "No boxes or masks came along.")
        boxed = [picture for picture in survey.readable if splits[picture.part].boxes is not None]
        boxes = [splits[picture.part].boxes[picture.row] for picture in boxed]  # type: ignore[index]
        bare = [picture for picture, own in zip(boxed, boxes, strict=True) if not len(own)]
        sizes = [splits[each.part].images.size(each.row) for each in boxed]
        whole = [each for each, own, (height, width) in zip(boxed, boxes, sizes, strict=True)
                 if ((own[:, 2:] - own[:, :2]).prod(dim=1) >= WHOLE * height * width).any()]  # fmt: skip
        misfits = [share for share in survey.masks.values() if isinstance(share, str)]
        bare += [each for each, share in survey.masks.items() if share == 0]
        whole += [each for each, share in survey.masks.items() if isinstance(share, float) and share >= WHOLE]
        said = " ".join(
            filter(None, (
                f"Left out: {', '.join(map(str, left_out))}." if left_out else "",
                f"{counted(len(misfits), 'mask')} cannot be used: {misfits[0]}." if misfits else "",
                f"{counted(len(bare), 'picture')} without a box or with an empty mask." if bare else "",
                f"{counted(len(whole), 'picture')} with a box or mask of everything." if whole else "",
            ))
        )  # fmt: skip
        looked_at = len(boxed) + len(survey.masks)
        serious = left_out or misfits or len(bare) > looked_at / 2
        return DataFinding(
            Severity.WARNING if serious else Severity.NOTE if said else Severity.FINE,
            said or f"The boxes and masks that were looked at fit: those of {counted(looked_at, 'picture')}.",
            {
                "left_out": {each.why: each.count for each in left_out},
                "misfits": len(misfits),
                "without": len(bare),
                "whole_picture": len(whole),
                "boxes": sum(map(len, boxes)),
                "masks_looked_at": len(survey.masks),
            },
            examples=[Example(f"{len(whole):,} with a box or mask of everything", whole[:SHOWN])] if whole else (),
        )
