"""What is wrong with a data set, as far as its files tell."""

from __future__ import annotations

from pathlib import Path

from overfocus.checks.catalogue import DataReport, evaluate
from overfocus.checks.survey import OnProgress, survey
from overfocus.core.errors import OverfocusError
from overfocus.data import Dataset, load


def check(
    data: str | Path | Dataset,
    *,
    root: str | Path | None = None,
    boxes: str | Path | None = None,
    most: int | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> DataReport:
    """Check a data set: what its files say, which repeat, which cannot be read, what gives the class away.

    data, root, boxes: as in `load`, or a set that is loaded. most: read a random sample of this many images only.
    Raises OverfocusError for data that is not found, and for sets that are no files.
    """
    if most is not None and most < 1:
        raise OverfocusError(f"check: most={most}; give 1 image at least, or None for all")
    dataset = data if isinstance(data, Dataset) else load(data, root=root, boxes=boxes)
    return evaluate(survey(dataset, most, on_progress))
