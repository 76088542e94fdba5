"""Folders and tables damaged at random: a set whose images are where they were written, or one clear line."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.data import load

pytestmark = pytest.mark.slow

NAMES = (
    "train", "Test", "val", "Training", "cat", "dog", "Cat", "0", "1", "10", "images", "masks", "seg_train", "seg_test",
    "\u00e9", "e\u0301", ".hidden", "a b", "<b>", "test.csv", "%s",
)  # fmt: skip
KINDS = ("png", "JPG", "png", "JPG", "png", "txt", "cut", "void", "gone", "self", "back", "loop")
CELLS = (
    "0", "1", "2", "10", "a", "b", "a|b", "", "train", "Test", "0.5", "0.25", "-1", "nan", "inf", "1e9", '"', "x",
)  # fmt: skip
HEADS = ("file", "id", "label", "class", "split", "x0", "y0", "x1", "y1", "A", "B", "")


def drawn(random):
    """Return folders, files, and the head and the rows of a table."""

    def some(of, low, high):
        return [str(each) for each in random.choice(of, random.integers(low, high + 1))]

    names = some(NAMES, 2, 5)  # few, so that parts share classes
    folders = [some(names, 0, 3) for _ in range(random.integers(1, 9))]
    files = [(int(random.integers(len(folders))), str(random.choice(KINDS))) for _ in range(random.integers(0, 30))]
    heads = ["file", *some(HEADS, 0, 5)] if random.random() < 0.8 else some(HEADS, 1, 6)
    if random.random() < 0.6:
        heads = [["file", "x0", "y0", "x1", "y1"], ["file", "label"], ["id", "split", "class"]][random.integers(3)]
    cells = some(CELLS, 1, 4)
    return folders, files, heads, [some(cells, len(heads) - 1, len(heads) - 1) for _ in range(random.integers(0, 30))]


def write(root: Path, folders, files, heads, rows) -> Path:
    """Write what was drawn; return the table."""
    shutil.rmtree(root, ignore_errors=True)
    places = [root.joinpath(*parts) for parts in folders]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    for number, (where, kind) in enumerate(files):
        place = places[where % len(places)] / f"{number}.{kind if kind in ('JPG', 'txt') else 'png'}"
        if kind == "gone":
            place.symlink_to(root / "nowhere.png")
        elif kind == "self":
            place.symlink_to(place)
        elif kind in ("back", "loop"):
            place.with_name(f"link{number}").symlink_to(
                root if kind == "back" else place.parent, target_is_directory=True
            )
        else:
            Image.new("RGB", (9, 7), (number, 0, 0)).save(place, "JPEG" if kind == "JPG" else "PNG")
            if kind in ("cut", "void", "txt"):
                place.write_bytes(place.read_bytes()[: 40 if kind == "cut" else 0])
    lines = [",".join(heads), *(",".join([f"{n}.png", *row]) for n, row in enumerate(rows))]
    table = root / "labels.csv"
    if not table.exists():
        table.write_text("\n".join(lines), encoding="utf-8")
    return table


def test_a_set_or_a_line(tmp_path):
    """No traceback, no image in two places, and no label that is not where the image lies."""
    outcomes = Counter()
    for seed in range(500):
        random = np.random.default_rng(seed)
        how, on_bad_image = random.choice(["folder", "table", "boxes"]), random.choice(["skip", "error"])
        outcomes[how, outcome(tmp_path / "set", drawn(random), how, on_bad_image)] += 1
    assert {said for _, said in outcomes} == {"read", "refused"}
    assert min(outcomes[way, said] for way in ("folder", "table") for said in ("read", "refused")) > 10, outcomes


def outcome(root, what, how, on_bad_image):
    """Load what was drawn; return whether it was refused or read, after everything about it was checked."""
    folders, files, heads, rows = what
    table = write(root, folders, files, heads, rows)
    written = {number for number, (_, kind) in enumerate(files) if kind in ("png", "JPG")}
    try:
        boxes = table if how == "boxes" else None
        dataset = load(table if how == "table" else root, boxes=boxes, on_bad_image=on_bad_image)
    except OverfocusError as error:
        return "refused" if str(error).count("\n") == 0 else "told in several lines"
    dataset.fingerprint()
    seen = []
    for split in dataset.splits.values():
        for row in range(len(split)):
            path = Path(split.images.name(row))
            seen.append(path)
            name = split.classes[int(split.labels[row])]
            assert how == "table" or "labels.csv" in dataset.note or name in path.relative_to(root).parts, path
            if on_bad_image == "skip":
                number = int(split.images.read(row)[0].float().mean().round())
                assert int(path.stem) in written
                assert abs(number - int(path.stem)) <= 2
    assert len(seen) == len({*seen}), "an image is in two places"
    return "read"
