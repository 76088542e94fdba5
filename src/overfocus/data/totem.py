"""The embedded set `totem`: pictures that name their class three times over, by a colour, a direction, and handwriting.

40 x 40 RGB, 10 classes. In a cluttered scene stands a stack of three parts of 12 pixels, in any order and at any place:

- `disc`: its hue is the class (36 degrees apart),
- `stripes`: their direction is the class (18 degrees apart),
- `digit`: a handwritten one, from scikit-learn's `load_digits`; no writer is in both train and test.

Each part alone suffices. All three are shown in training, so a network may stop at the easiest. Test splits hide parts,
or show parts that name different classes: what it answers without a part, and which part it follows. `totem-digit` is
the same set with nothing but the digit in its training images. Made in memory from a seed, with integers only: bit for
bit the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from gzip import open as unzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key
from overfocus.data.images import TensorImages
from overfocus.data.scene import SIDE, below, clutter, direction, grid, stamp, window
from overfocus.data.split import Dataset, Split

CARD = (
    "embedded: 10 classes, 40 x 40 RGB, 3,000 + 1,000; each of three parts names the class; test splits hide parts, or "
    "let them name different classes"
)
DIGIT_CARD = "embedded: the images of totem, with the digit alone in training: what can be learned from it"
PARTS = ("disc", "stripes", "digit")
CLASSES = tuple(str(digit) for digit in range(10))
SPLITS = {
    "all": PARTS,
    "no-disc": ("stripes", "digit"),
    "no-stripes": ("disc", "digit"),
    "no-digit": ("disc", "stripes"),
    "disc-only": ("disc",),
    "stripes-only": ("stripes",),
    "digit-only": ("digit",),
}
"""Name of a test split -> the parts it shows. All of them have the same scenes."""
CONFLICTS = {"disc-vs-digit": ("disc", "digit"), "conflict": PARTS}
"""Name of a test split whose parts name different classes -> the parts it shows. Scenes and digits are the same again;
the label is the digit's class.
"""

PART = 12
HUES = (
    (255, 0, 0), (255, 153, 0), (204, 255, 0), (51, 255, 0), (0, 255, 102),
    (0, 255, 255), (0, 102, 255), (51, 0, 255), (204, 0, 255), (255, 0, 153),
)  # fmt: skip
ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
FIRST_TEST_DIGIT = 1287
"""The digits stand form by form, each by one writer and begun with 0 to 9 three times; here begins the eleventh."""

# Of the training images of `totem`; `totem-digit` keeps them, so that networks of both see the same inputs.
MEAN = (0.41, 0.41, 0.41)
STD = (0.21, 0.21, 0.21)

Patch = tuple[Tensor, Tensor]
"""What a part paints [N, 3, 12, 12] uint8, and where [N, 12, 12] bool."""


def totem(train: int = 3000, test: int = 1000, seed: int = 0, *, shown: Sequence[str] = PARTS) -> Dataset:
    """Make the set: `train` images with the parts `shown`, and `test` images for each of the test splits.

    Raises UnknownName for a part that there is not, OverfocusError where none is shown.
    """
    for part in shown:
        if part not in PARTS:
            raise UnknownName("part of totem", part, PARTS)
    if not shown:
        raise OverfocusError(f"totem: no part is shown in training; give some of {', '.join(PARTS)}")
    key = Key.seeded(seed).fold_in("totem")
    splits = _paint(key.fold_in("train"), train, slice(None, FIRST_TEST_DIGIT), {"train": shown}, {})
    splits |= _paint(key.fold_in("test"), test, slice(FIRST_TEST_DIGIT, None), SPLITS, CONFLICTS)
    note = "Handwriting: optdigits (E. Alpaydin, C. Kaynak; CC BY 4.0) as scikit-learn ships it."
    name = "-".join(("totem", *(() if set(shown) == set(PARTS) else shown)))
    return Dataset(name, splits, CLASSES, MEAN, STD, note)


def _paint(
    key: Key,
    count: int,
    written: slice,
    agreeing: Mapping[str, Iterable[str]],
    conflicting: Mapping[str, Iterable[str]],
) -> dict[str, Split]:
    """Paint one row of scenes with different parts shown, which name one class or several."""
    scenes = clutter(key.fold_in("scene"), count)
    labels = key.fold_in("labels").order(count) % len(CLASSES)
    room = torch.tensor((SIDE - len(PARTS) * PART + 1, SIDE - PART + 1))
    corner = below(key.fold_in("place").bits(count, 2), room)
    order = torch.tensor(ORDERS)[below(key.fold_in("order").bits(count)[:, 0], len(ORDERS))]
    y, x = corner[:, :1] + PART * order, corner[:, 1]
    patches = paint_parts(key, labels, window(scenes, PART, y[:, 2], x), written)
    places = {part: (y[:, row], x) for row, part in enumerate(PARTS)}
    cues = _other_classes(key.fold_in("conflict"), labels)
    others = {
        "disc": _disc(key.fold_in("disc"), cues["disc"]),
        "stripes": _stripes(key.fold_in("stripes"), cues["stripes"]),
        "digit": patches["digit"],
    }
    splits = {name: _compose(name, scenes, labels, patches, places, tuple(parts)) for name, parts in agreeing.items()}
    for name, parts in conflicting.items():
        split = _compose(name, scenes, labels, others, places, tuple(parts))
        splits[name] = replace(split, cues={part: cues[part] for part in parts})
    return splits


def _other_classes(key: Key, labels: Tensor) -> dict[str, Tensor]:
    """Draw the class that each part names: the digit that of `labels` [N], disc and stripes two others, evenly."""
    count, classes = len(labels), len(CLASSES)
    disc = key.fold_in("disc").order(count) % (classes - 1)
    stripes = (disc + 1 + key.fold_in("stripes").order(count) % (classes - 2)) % (classes - 1)
    return {"disc": (labels + 1 + disc) % classes, "stripes": (labels + 1 + stripes) % classes, "digit": labels}


def paint_parts(key: Key, labels: Tensor, behind: Tensor, written: slice) -> dict[str, Patch]:
    """Paint the three parts of totems of the classes `labels` [N].

    behind: what the digit is written over, [N, 3, 12, 12] uint8; written: whose handwriting it is.
    """
    return {
        "disc": _disc(key.fold_in("disc"), labels),
        "stripes": _stripes(key.fold_in("stripes"), labels),
        "digit": _digit(key.fold_in("digit"), labels, behind, written),
    }


def _compose(
    name: str,
    scenes: Tensor,
    labels: Tensor,
    patches: dict[str, Patch],
    places: dict[str, Patch],
    parts: tuple[str, ...],
) -> Split:
    """Put `parts` into a copy of the scenes; the masks of the parts that stay hidden are empty."""
    pixels, masks = scenes.clone(), {}
    for part in PARTS:
        masks[part] = torch.zeros(len(scenes), SIDE, SIDE, dtype=torch.bool)
        if part in parts:
            patch, mask = patches[part]
            stamp(pixels, patch, mask, *places[part])
            stamp(masks[part][:, None], mask[:, None], mask, *places[part])
    rows = torch.stack([places[part][0] for part in parts], dim=1)
    x = places[PARTS[0]][1]
    boxes = torch.stack((x, rows.amin(dim=1), x + PART, rows.amax(dim=1) + PART), dim=1)
    return Split(TensorImages(pixels, f"totem/{name}"), labels, CLASSES, list(boxes[:, None]), masks)


def _disc(key: Key, labels: Tensor) -> Patch:
    """Paint discs of 12 pixels whose hue is the class, at 70 to 100 % of full brightness."""
    y, x = grid(PART)
    mask = (y * y + x * x <= PART * PART).expand(len(labels), -1, -1)
    light = 180 + below(key.bits(len(labels)), 76)
    colour = torch.tensor(HUES)[labels] * light >> 8
    return colour.to(torch.uint8)[:, :, None, None].expand(-1, -1, PART, PART), mask


def _stripes(key: Key, labels: Tensor) -> Patch:
    """Paint dark and light stripes, 4 pixels from one to the next, whose direction is the class, at any phase."""
    y, x = grid(PART)
    cosine, sine = direction(2 * labels)
    phase = below(key.bits(len(labels))[:, 0], 2048)[:, None, None]
    wave = (x * cosine + y * sine + phase & 2047) - 1024
    tone = (wave.abs() >> 2).clamp(max=255).to(torch.uint8)
    return tone[:, None].expand(-1, 3, -1, -1), torch.ones_like(tone, dtype=torch.bool)


def _digit(key: Key, labels: Tensor, behind: Tensor, written: slice) -> Patch:
    """Write digits of the class in white over the darkened scene `behind` [N, 3, 12, 12]."""
    ink, names = _handwriting()
    ink, names = ink[written], names[written]
    each = torch.bincount(names, minlength=len(CLASSES))
    first = each.cumsum(0) - each
    chosen = names.argsort(stable=True)[first[labels] + below(key.bits(len(labels))[:, 0], each[labels])]
    cover = ink[chosen][:, None]
    paper = behind.to(torch.int64) >> 2
    tone = (paper * (255 - cover) + 255 * cover) // 255
    return tone.to(torch.uint8), torch.ones(len(labels), PART, PART, dtype=torch.bool)


@lru_cache(maxsize=1)
def _handwriting() -> tuple[Tensor, Tensor]:
    """Return the digits enlarged from 8 to 12 pixels, [1797, 12, 12] int64 in 0..255, and their names [1797]."""
    table = _table()
    small, names = table[:, :-1].view(-1, 8, 8), table[:, -1]
    # Pixel i of 12 lies at (4 i - 1) / 6 of 8: a blend of two neighbours in sixths.
    place = (4 * torch.arange(PART) - 1).clamp(0, 42)
    left, share = (place // 6).clamp(max=6), place - 6 * (place // 6).clamp(max=6)
    wide = small[:, :, left] * (6 - share) + small[:, :, left + 1] * share
    large = wide[:, left] * (6 - share)[:, None] + wide[:, left + 1] * share[:, None]
    return large * 255 // (16 * 36), names


def _table() -> Tensor:
    """Read the file of `load_digits` without importing scikit-learn, which takes seconds: [1797, 65] int64."""
    spec = find_spec("sklearn")
    path = Path(spec.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if spec else Path()
    if not path.is_file():
        from sklearn.datasets import load_digits

        pixels, names = load_digits(return_X_y=True)
        return torch.from_numpy(np.column_stack((pixels, names))).long()
    with unzip(path, "rt") as lines:
        return torch.from_numpy(np.loadtxt(lines, delimiter=",")).long()
