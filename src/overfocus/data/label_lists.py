"""Labels in a column of parquet or of a hub set: one value for each image, or a list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError

REMEDY = "give the positions or names of the labels that an image has, each once, and [] for none"


def as_lists(where: str, labels: Sequence[Any], multi: bool) -> list[Sequence[Any]]:
    """Return the labels of each image as a list, of one label unless `multi`.

    Raises OverfocusError where the column is not of that kind, and for a list that is missing or names a label twice,
    as one of zeros and ones does.
    """
    if not multi:
        listed = next((label for label in labels if isinstance(label, Sequence) and not isinstance(label, str)), None)
        if listed is None:
            return [(label,) for label in labels]
        raise OverfocusError(
            f"{where}: the label of an image is a list, {str(listed)[:60]}; several labels of an image are read with "
            "--labels multi (data.labels), and one class each needs one value"
        )
    for row, label in enumerate(labels):
        if not isinstance(label, Sequence) or isinstance(label, str):
            raise OverfocusError(f"{where}: the labels of image {row} are {label!r} and no list; {REMEDY}")
        if len({*label}) < len(label):
            raise OverfocusError(f"{where}: the labels of image {row}, {str(label)[:60]}, name one twice; {REMEDY}")
    return list(labels)


def flags(lists: Sequence[Sequence[Any]], number: Mapping[Any, int]) -> Tensor:
    """Return which labels each image has, [N, K] bool; `number`: a label -> its place."""
    found = torch.zeros(len(lists), len(number), dtype=torch.bool)
    for row, labels in enumerate(lists):
        found[row, [number[label] for label in labels]] = True
    return found


def how_many_have_none(lists: Mapping[str, Sequence[Sequence[Any]]]) -> str:
    """Say how many images have no label."""
    every = [each for part in lists.values() for each in part]
    return f"An image may have several labels; {sum(not each for each in every)} of {len(every)} have none."


def element(feature: Any) -> Any:
    """Return the type of the elements where `feature`, as `datasets` has it or as JSON, is of lists; else itself."""
    if isinstance(feature, list):
        return feature[0] if feature else None
    inner = feature.get("feature") if isinstance(feature, dict) else getattr(feature, "feature", None)
    return feature if inner is None else inner
