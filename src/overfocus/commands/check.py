"""What is wrong with a data set, as far as its files tell."""

from __future__ import annotations

from pathlib import Path

from overfocus.checks.catalogue import DataReport, evaluate
from overfocus.checks.survey import OnProgress, from_files, survey
from overfocus.core.errors import OverfocusError
from overfocus.data import Dataset, load

MOST = 5000
"""Pictures that are read before a training or a diagnosis begins."""


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


def first_look(dataset: Dataset) -> str:
    """Return the findings that matter before a training or a diagnosis, in one paragraph; "" where there are none.

    At most 5,000 pictures are read, at random; of a set without image files, or with several labels for an image,
    nothing is said.
    """
    if dataset.multi_label or not all(from_files(split.images) for split in dataset.splits.values()):
        return ""
    report = evaluate(survey(dataset, MOST))
    of = f" (of {MOST:,} of {report.survey.total:,} pictures)" if report.survey.sampled else ""
    said = report.paragraph()
    return f"Check of the data{of}: {said} `overfocus check` shows more." if said else ""
