"""Which folders are parts, which are classes, and what is not used."""

import unicodedata

import pytest

from overfocus.core.errors import OverfocusError
from overfocus.data import load
from overfocus.data.parts import part_of, parts_in


def counts(dataset):
    return {name: split.counts().tolist() for name, split in dataset.splits.items()}


def unused(dataset):
    return {(each.where, each.count) for each in dataset.inventory.not_used if each.what == "pictures"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Training", "train"), ("TRAIN", "train"), ("training_set", "train"), ("trainset", "train"),
        ("train_images", "train"), ("Train2017", "train"),
        ("train", "train"), ("TrainImages", "train"),
        ("Testing", "test"), ("test_set", "test"), ("test1", "test"), ("Test Images", "test"),
        ("evaluation", "test"),
        ("hold-out", None), ("holdout", "test"), ("Val", "val"), ("validation", "val"), ("valid", "val"),
        ("dev", "val"),
        ("cat", None), ("training shoes", None), ("trainer", None), ("bullet train", None), ("images", None),
        ("12", None),
    ],
)  # fmt: skip
def test_customary_words_in_any_case(name, part):
    assert part_of(name) == part


def test_words_behind_something_shared_are_parts_only_beside_one_another():
    assert parts_in(["seg_train", "seg_test", "seg_pred"]) == {"seg_train": "train", "seg_test": "test"}
    assert parts_in(["bullet train", "bus"]) == {}


@pytest.mark.parametrize(
    ("train", "test"),
    [("Training", "Testing"), ("train", "evaluation"), ("training_set", "test_set"), ("seg_train", "seg_test"),
     ("TRAIN", "Val")],
)  # fmt: skip
def test_the_users_own_test_set_is_the_test(tmp_path, write_classes, train, test):
    write_classes(tmp_path / train, {"cat": 5, "dog": 10})
    write_classes(tmp_path / test, {"cat": 2, "dog": 3})
    dataset = load(tmp_path)
    assert counts(dataset) == {"train": [5, 10], "test": [2, 3]}
    assert dict(dataset.inventory.parts) == {"train": train, "test": test}
    assert dataset.inventory.held_out == 0.0
    assert (f"{test} as test" in dataset.note) == (test != "test")


def test_a_part_in_a_folder_of_its_own_name(tmp_path, write_classes):
    for part in ("seg_train", "seg_test"):
        write_classes(tmp_path / "archive" / part / part, {"sea": 3, "ice": 2})
    assert counts(load(tmp_path)) == {"train": [2, 3], "test": [2, 3]}


def test_parts_without_training_images_are_examined_and_not_trained_on(tmp_path, write_classes):
    from overfocus import Experiment, train

    write_classes(tmp_path / "set" / "val", {"cat": 2, "dog": 3})
    write_classes(tmp_path / "set" / "test", {"cat": 4, "eel": 1})
    dataset = load(tmp_path / "set")
    assert dataset.classes == ("cat", "dog", "eel")
    assert counts(dataset) == {"test": [4, 0, 1], "val": [2, 3, 0]}
    settings = {"data": {"name": str(tmp_path / "set"), "size": 8}, "recipe": {"epochs": 1}}
    with pytest.raises(OverfocusError, match="no training images, only test and val"):
        list(train(Experiment.read(settings, "test"), tmp_path / "run"))
    with pytest.raises(OverfocusError, match="no training images"):
        load(tmp_path / "set", per_class=1)


def test_parts_inside_class_folders(tmp_path, write_classes):
    for name, few in (("cat", 2), ("dog", 4)):
        write_classes(tmp_path / name, {"Train": 2 * few, "Test": few, "valid": 1})
    dataset = load(tmp_path)
    assert counts(dataset) == {"train": [4, 8], "test": [2, 4], "val": [1, 1]}
    assert dataset.classes == ("cat", "dog")


def test_what_is_not_used_is_said(tmp_path, write_classes, write_image):
    write_classes(tmp_path / "train", {"cat": 2, "dog": 2})
    write_classes(tmp_path / "test", {"cat": 1, "dog": 1})
    write_classes(tmp_path, {"extra": 4, "unlabelled": 3})
    write_classes(tmp_path / "extra", {"cat": 1})
    for where in (tmp_path, tmp_path / "train", tmp_path / "train"):
        write_image(where / f"loose{where.name[:2]}.jpg")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("x")
    (tmp_path / "train" / "cat" / ".DS_Store").write_text("x")
    dataset = load(tmp_path)
    assert counts(dataset) == {"train": [2, 2], "test": [1, 1]}
    assert unused(dataset) == {("extra/", 5), ("unlabelled/", 3), ("", 1), ("train/", 1)}
    assert dataset.inventory.unused_pictures == 10
    assert {(each.what, each.count) for each in dataset.inventory.not_used} >= {("other files", 1), ("hidden files", 1)}
    for each in ("5 pictures in extra/", "1 picture in train/", ".txt 1"):
        assert each in dataset.note


def test_a_flat_test_folder_has_no_labels(tmp_path, write_classes):
    write_classes(tmp_path / "train", {"cat": 5, "dog": 5})
    write_classes(tmp_path, {"test": 7})
    dataset = load(tmp_path)
    assert counts(dataset) == {"train": [4, 4], "test": [1, 1]}
    assert unused(dataset) == {("test/", 7)}
    assert dataset.inventory.held_out == 0.2


def test_loose_pictures_beside_class_folders(tmp_path, write_classes, write_image):
    write_classes(tmp_path, {"cat": 5, "dog": 5})
    write_image(tmp_path / "loose.png")
    dataset = load(tmp_path)
    assert sum(map(sum, counts(dataset).values())) == 10
    assert unused(dataset) == {("", 1)}


@pytest.mark.parametrize(
    ("folders", "named"),
    [
        ({"train/cat": 2, "train/dog": 2, "Training/cat": 2, "Training/dog": 2}, ("train/", "Training/")),
        ({"cat": 2, "dog": 2, "test": 2}, ("test/", "cat/")),
        ({"cat": 2, "dog": 2, "test/cat": 2, "test/dog": 2}, ("test/", "cat/")),
        ({"bus": 2, "car": 2, "train": 2}, ("train/", "bus/")),
        ({"train": 2, "val": 2}, ("train/", "val/")),
        ({"cat/train": 2, "cat/test": 2, "dog": 2}, ("cat/", "'dog'")),
        ({"cat/train": 2, "cat/more": 2, "dog/train": 2}, ("cat/",)),
        ({"images/cat": 2, "images/dog": 2, "masks/cat": 2, "masks/dog": 2}, ("images/", "--boxes")),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_both(tmp_path, write_classes, folders, named):
    write_classes(tmp_path, folders)
    with pytest.raises(OverfocusError) as caught:
        load(tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert all(name in text for name in named)
    assert "as parts" in text or "both" in text or "two ways" in text or "as two classes" in text


def test_a_class_may_be_called_train_inside_train(tmp_path, write_classes):
    write_classes(tmp_path / "train", {"train": 5, "bus": 5})
    assert load(tmp_path).classes == ("bus", "train")


def test_class_names_are_compared_in_nfc_and_a_difference_of_case_is_named(tmp_path, write_classes):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    write_classes(tmp_path / "one" / "train", {apart: 3, "tea": 2})
    write_classes(tmp_path / "one" / "test", {composed: 2, "tea": 1})
    dataset = load(tmp_path / "one")
    assert dataset.classes == (apart, "tea")
    assert counts(dataset)["test"] == [2, 1]
    write_classes(tmp_path / "two", {apart: 3, composed: 2})
    with pytest.raises(OverfocusError, match="stands there twice"):
        load(tmp_path / "two")
    write_classes(tmp_path / "three" / "train", {"Cat": 3, "dog": 2})
    write_classes(tmp_path / "three" / "test", {"cat": 3, "dog": 2})
    with pytest.raises(OverfocusError, match="'cat', which train lacks; train has 'Cat', which differs in case only"):
        load(tmp_path / "three")


def test_numbers_keep_the_order_of_runs_and_are_warned_of(tmp_path, write_classes):
    write_classes(tmp_path, {str(number): 2 for number in range(12)})
    dataset = load(tmp_path)
    assert dataset.classes == ("0", "1", "10", "11", *map(str, range(2, 10)))
    (warning,) = dataset.inventory.warnings
    assert "0, 1, 10, 11, 2" in warning
    assert warning in dataset.note
