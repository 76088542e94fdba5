"""Whether a study or a search can be judged by the worst group."""

from __future__ import annotations

from overfocus.core.errors import OverfocusError
from overfocus.data import Split
from overfocus.metrics.groups import LEAST, Cells
from overfocus.training.group_sums import WORST_GROUP


def check_groups(split: Split) -> None:
    """Raise OverfocusError where no class of `split` has images enough in a group, or no groups are known."""
    if split.groups is None:
        raise OverfocusError(
            f"metric = {WORST_GROUP!r}: the data has no groups; name the column that they stand in with data.group, "
            "COLUMN or FILE.csv:COLUMN"
        )
    labels = split.labels.numpy()
    cells = Cells.of(labels, labels, split.groups.places.numpy(), len(split.classes), len(split.groups.names))
    if not cells.compared.any():
        raise OverfocusError(
            f"metric = {WORST_GROUP!r}: no class has {LEAST} of the {len(split):,} images that are judged in one "
            "group; give more of them, or another metric"
        )
