"""Predictions in a terminal: a line for each picture, and what they come to."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from overfocus.core.prediction import Prediction
from overfocus.report.label import visible

SHOWN = 10
"""Classes that are counted by name."""


def print_prediction(row: Prediction) -> None:
    """Print a line: file, class, confidence, the next classes, and whether that is unsure; or the labels given."""
    if row.error:
        print(f"{visible(row.file)}: not read: {visible(row.error)}")
        return
    given = {name: share for name, share in row.probabilities if name in (row.labels or ())}
    named = [(row.predicted, row.confidence), *row.runners_up] if row.labels is None else given.items()
    text = ", ".join(f"{visible(name)} {share:.3f}" for name, share in named)
    print(f"{visible(row.file)}: {text or 'no label'}{' (unsure)' if row.unsure else ''}")


def print_tally(total: int, classes: Mapping[str, int], unsure: int | None, failed: int) -> None:
    """Print on standard error how many pictures have which class, how many are answered, and how many not read.

    total: pictures that were read. unsure: how many are; None where no accuracy was wished.
    """
    most = sorted(classes.items(), key=lambda each: -each[1])
    few = ", ".join(f"{visible(name)} {count:,}" for name, count in most[:SHOWN]) + ", ..." * (len(most) > SHOWN)
    lines = [f"{total:,} pictures: {few or 'no label'}"] if total else []
    if unsure is not None and total:
        answered = total - unsure
        lines.append(f"answered: {answered:,} of {total:,} ({answered / total:.1%}); unsure: {unsure:,}")
    lines += [f"cannot be read: {failed:,}"] * bool(failed)
    print(*lines, sep="\n", file=sys.stderr)
