"""How many images each class has."""

from __future__ import annotations

from overfocus.checks.check import NAMED, Check, DataFinding, Severity
from overfocus.checks.survey import Survey
from overfocus.core.words import counted, listed

FEW = 10
"""Training images below which a class can hardly be learned or held out."""
UNEVEN = 3.0
"""Largest class as a multiple of the smallest from which on accuracy is no fair summary."""


class Classes(Check):
    """Counts of images by class and part."""

    name = "classes"
    title = "Classes"
    question = "How many images has each class, and are there enough of each?"
    order = 20

    def evaluate(self, survey: Survey) -> DataFinding:
        """Warn of classes with few training images, without test images, and of uneven sizes."""
        dataset = survey.dataset
        counts = {part: split.counts().tolist() for part, split in dataset.splits.items()}
        train = counts["train"]
        few = [f"{name} ({n})" for name, n in zip(dataset.classes, train, strict=True) if n < FEW]
        untested = [name for name, n in zip(dataset.classes, counts.get("test", train), strict=True) if n == 0]
        ratio = max(train) / max(min(train), 1)
        share = max(train) / max(sum(train), 1)
        sentences = [
            f"{counted(len(few), 'class', 'classes')} with fewer than {FEW} training images: {listed(few, NAMED)}."
            if few else "",
            f"Without test images: {listed(untested, NAMED)}." if untested else "",
            f"The largest class has {ratio:.1f} times as many training images as the smallest; one answer for all "
            f"would have an accuracy of {share:.2f}, so read balanced accuracy." if ratio >= UNEVEN else "",
        ]  # fmt: skip
        said = " ".join(filter(None, sentences))
        return DataFinding(
            Severity.WARNING if said else Severity.FINE,
            said or f"{counted(len(train), 'class', 'classes')} of {min(train):,} to {max(train):,} training images.",
            {
                "classes": {
                    name: {part: n[k] for part, n in counts.items()} for k, name in enumerate(dataset.classes)
                },
                "ratio": ratio,
                "largest_share": share,
                "few": FEW,
            },
            ("class", *counts),
            [(name, *(f"{n[k]:,}" for n in counts.values())) for k, name in enumerate(dataset.classes)],
        )  # fmt: skip
