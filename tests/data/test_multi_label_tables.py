"""Tables in which an image has any number of labels."""

import pytest
import torch
from test_kaggle import IDS, table, write_flat

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data import load
from overfocus.data.subset import balanced, by_label, few
from overfocus.training.experiment import Experiment

LABELS = ("haze", "road", "water")


def has(row: int) -> tuple[str, ...]:
    """The labels of image `row`: none at 0, all at 7."""
    return tuple(name for place, name in enumerate(LABELS) if row >> place & 1)


def found(dataset) -> dict[str, tuple[str, ...]]:
    rows = {}
    for split in dataset.splits.values():
        assert split.multi_label
        assert split.labels.shape == (len(split), len(dataset.classes))
        for row, labels in enumerate(split.labels.tolist()):
            stem = split.images.name(row).replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
            rows[stem] = tuple(name for name, here in zip(split.classes, labels, strict=True) if here)
    return rows


TRUTH = {name: has(row % 8) for row, name in enumerate(IDS)}


def columns(path, one="1", zero="0"):
    rows = (f"{name},{','.join(one if each in has(n % 8) else zero for each in LABELS)}" for n, name in enumerate(IDS))
    return table(path, f"image,{','.join(LABELS)}", *rows)


def listed(path, mark, head="image_name,tags"):
    return table(path, head, *(f'{name},"{mark.join(has(n % 8))}"' for n, name in enumerate(IDS)))


@pytest.mark.parametrize("form", ["columns", "floats", "|", ";", ", ", " "])
def test_both_forms_of_several_labels(tmp_path, write_image, form):
    write_flat(tmp_path / "img", write_image, IDS)
    path = tmp_path / "truth.csv"
    if form in ("columns", "floats"):
        columns(path, *(("1", "0") if form == "columns" else ("1.0", "0.0")))
    else:
        listed(path, form)
    for data in (path, tmp_path):
        dataset = load(data, labels="multi")
        assert dataset.classes == LABELS
        assert found(dataset) == TRUTH
        assert dataset.multi_label
        assert "2 of 12 have none" in dataset.note
    assert {*dataset.splits} == {"train", "test"}


def test_names_in_a_column_that_is_called_labels_go_before_flags(tmp_path, write_image):
    write_flat(tmp_path, write_image, IDS)
    table(tmp_path / "t.csv", "file,Finding Labels,male,adult", *(
        f"{name},{'|'.join(has(n % 8))},{n % 2},{n % 3 % 2}" for n, name in enumerate(IDS)
    ))  # fmt: skip
    assert found(load(tmp_path / "t.csv", labels="multi")) == TRUTH


def test_several_labels_are_never_guessed_and_both_readings_are_named(tmp_path, write_image):
    write_flat(tmp_path / "img", write_image, IDS)
    with pytest.raises(OverfocusError, match=r"--labels multi.*one class each"):
        load(columns(tmp_path / "truth.csv"))
    listed(tmp_path / "truth.csv", "|", "image,label")
    with pytest.raises(OverfocusError, match=r"--labels multi.*one class each"):
        load(tmp_path / "truth.csv")


def test_what_holds_no_several_labels_is_refused(tmp_path, write_image):
    write_flat(tmp_path / "img", write_image, IDS)
    path = table(tmp_path / "truth.csv", "image,smiles", *(f"{name},{n % 2}" for n, name in enumerate(IDS)))
    with pytest.raises(OverfocusError, match="neither a column that lists them"):
        load(path, labels="multi")
    with pytest.raises(OverfocusError, match="CSV"):
        load("totem", labels="multi")
    columns(path)
    path.write_text(path.read_text() + f"{IDS[0]},1,1,1\n")
    with pytest.raises(OverfocusError, match="all labels of an image in one row"):
        load(path, labels="multi")


def test_parts_sizes_and_subsets_keep_the_labels(tmp_path, write_image):
    write_flat(tmp_path / "img", write_image, IDS)
    parts = ["train", "test", "val"]
    rows = (
        f"{name},{parts[n % 3]},{int('haze' in has(n % 8))},{int('road' in has(n % 8))}" for n, name in enumerate(IDS)
    )
    dataset = load(table(tmp_path / "truth.csv", "image,split,haze,road", *rows), labels="multi", size=(8, 16))
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "test": 4, "val": 4}
    split = dataset.splits["train"]
    assert torch.equal(split.subset([2, 0]).labels, split.labels[[2, 0]])
    assert split.counts().tolist() == [int(split.labels[:, 0].sum()), int(split.labels[:, 1].sum())]
    moved = split.relabelled(("a", "road", "b", "haze"), (3, 1))
    assert torch.equal(moved.labels[:, [3, 1]], split.labels)
    assert not moved.labels[:, [0, 2]].any()
    assert len(few(split, 0, fraction=0.5)) == 2
    assert balanced(split.labels, 3, 0).tolist() == balanced(split.labels, 3, 0).tolist()
    assert len(balanced(split.labels, 3, 0)) == 3
    with pytest.raises(OverfocusError, match="one class each"):
        few(split, 0, per_class=1)


def test_every_label_is_held_out_by_its_share_and_never_whole():
    """K = 5 labels of quite different frequency, some images without any."""
    random = torch.Generator().manual_seed(0)
    labels = torch.rand(400, 5, generator=random) < torch.tensor([0.5, 0.2, 0.1, 0.04, 0.0])
    labels[3, 4] = True  # one image alone has the last label, and stays
    wanted = (labels.sum(0) * 0.2).round().long()
    rows = by_label(labels, wanted, 0.2, Key.seeded(0))
    held = labels[rows].sum(0)
    assert len(rows) == pytest.approx(80, abs=8)
    assert int(held[4]) == 0
    assert ((held - wanted).abs() <= torch.tensor([10, 8, 6, 2, 0])).all()
    none = ~labels.any(1)
    assert int(none[rows].sum()) == round(0.2 * int(none.sum()))
    assert torch.equal(rows, by_label(labels, wanted, 0.2, Key.seeded(0)))
    assert not torch.equal(rows, by_label(labels, wanted, 0.2, Key.seeded(1)))


@pytest.mark.parametrize("other", [{"per_class": 3}, {"shortcut": {}}])
def test_settings_for_one_class_are_refused_before_data_is_read(other):
    with pytest.raises(OverfocusError, match="one class each"):
        Experiment.read({"data": {"name": "nowhere.csv", "labels": "multi", **other}}, "test")


def test_what_is_for_one_class_refuses_in_one_sentence(tmp_path, write_image):
    from overfocus.commands.check import check, first_look
    from overfocus.diagnosis.checkpoints import split_of
    from overfocus.diagnosis.sample import from_split
    from overfocus.study.study import Study

    write_flat(tmp_path / "img", write_image, IDS)
    dataset = load(columns(tmp_path / "truth.csv"), labels="multi", size=8)
    for work in (
        lambda: check(dataset),
        lambda: split_of(dataset),
        lambda: from_split(dataset.splits["test"]),
        lambda: Study.read({"data": {"name": "nowhere.csv", "labels": "multi"}, "methods": ["plain"]}, "test"),
    ):
        with pytest.raises(OverfocusError, match="one class each"):
            work()
    assert first_look(dataset) == ""
