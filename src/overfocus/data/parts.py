"""The customary names of the parts of a set of images: of folders, files, and values in a column."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

WORDS = {
    **dict.fromkeys(("train", "training", "trn", "learning"), "train"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout", "heldout"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "dev"), "val"),
}
"""Customary word, in lower case -> the split that it names."""
FILLERS = ("set", "data", "dataset", "split", "part", "subset", "image", "images", "img", "imgs", "pictures", "photos")
"""Words that may stand beside it: `training_set`, `Test Images`."""
EDGE = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])")


def part_of(name: str) -> str | None:
    """Return the split that `name` customarily stands for, in any case: "Testing", "train_images", "val2017"."""
    before, part = _words(name)
    return None if before else part


def parts_in(names: Iterable[str]) -> dict[str, str]:
    """Return name -> split of those that name one, also behind something that they share: `seg_train`, `seg_test`."""
    names = list(names)
    found = {name: part for name in names if (part := part_of(name))}
    behind: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        before, part = _words(name)
        if part and before:
            behind[before][name] = part
    for shared in behind.values():
        if len({*shared.values()}) > 1:
            found |= shared
    return found


def _words(name: str) -> tuple[tuple[str, ...], str | None]:
    """Return the words before the last one, and the split that this one names; fillers and numbers do not count."""
    words = [word.lower() for word in EDGE.split(name) if word]
    words = [word for word in words if word not in FILLERS and not word.isdecimal()]
    if not words:
        return (), None
    last = words[-1].removesuffix("set") or words[-1]
    return tuple(words[:-1]), WORDS.get(last)
