"""COCO and VOC as they are found, and as they are broken."""

import json

import pytest
import torch

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.data import load
from overfocus.downstream.load import load_objects
from overfocus.downstream.objects import objects_of


def listed(tensors):
    return [tensor.tolist() for tensor in tensors]


def test_coco_is_read_box_by_box(coco_folder):
    found = load_objects(str(coco_folder()))
    assert found.classes == ("cat", "dog"), "in the order of their ids"
    assert [found.train.images.name(row).rpartition("train2017")[2] for row in range(3)] == [
        "/a.png", "/deep/b.png", "/c.png",
    ]  # fmt: skip
    assert listed(found.train.boxes) == [[[1, 2, 11, 7], [20, 10, 30, 14]], [[0, 0, 4, 4]], []]
    assert listed(found.train.labels) == [[1, 0], [0], []]
    assert listed(found.test.boxes) == [[[0, 0, 8, 8]]]
    assert found.train.images.read(1).shape == (3, 20, 30)
    assert "1 objects that are crowds" in found.note
    assert "1 boxes without area" in found.note
    assert "1 boxes reach beyond" in found.note


def gone(content):
    content["images"][1]["file_name"] = "nowhere.png"


def out_of_the_folder(content):
    content["images"][1]["file_name"] = "../annotations/instances_val2017.json"


def absolute(content):
    content["images"][1]["file_name"] = "/etc/passwd"


def of_no_category(content):
    content["annotations"][0]["category_id"] = 99


def of_no_image(content):
    content["annotations"][3]["image_id"] = 99


def of_three_numbers(content):
    content["annotations"][0]["bbox"] = [1, 2, 3]


def without_end(content):
    content["annotations"][0]["bbox"] = [1, 2, float("inf"), 3]


def twice(content):
    content["images"][1]["id"] = 7


def renamed(content):
    content["categories"][0]["name"] = "wolf"


def a_list(content):
    content["images"] = [1]


def no_box(content):
    content["annotations"] = []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (gone, r"nowhere\.png' is not in"),
        (out_of_the_folder, "does not lie in"),
        (absolute, "does not lie in"),
        (of_no_category, "annotation 0 is of the category 99"),
        (of_no_image, "annotation 3 is of the image 99"),
        (of_three_numbers, "annotation 0: a box is"),
        (without_end, "four finite numbers"),
        (twice, "stands twice"),
        (renamed, "category 18 is 'dog', but 'wolf'"),
        (a_list, "cannot be read"),
        (no_box, "no box on any of its 3 train images"),
    ],
)
def test_a_broken_coco_is_told(coco_folder, change, told):
    with pytest.raises(OverfocusError, match=told):
        load_objects(str(coco_folder(change)))


def test_a_coco_without_its_parts_or_images_is_told(coco_folder):
    root = coco_folder()
    second = root / "annotations" / "instances_train2014.json"
    second.write_text("{}")
    with pytest.raises(OverfocusError, match="are both for train"):
        load_objects(str(root))
    second.unlink()
    (root / "images" / "val2017" / "v.png").unlink()
    with pytest.raises(OverfocusError, match=r"'v\.png' is missing; it was looked for in images/val2017"):
        load_objects(str(root))
    (root / "annotations" / "instances_val2017.json").write_text("{")
    with pytest.raises(OverfocusError, match=r"instances_val2017\.json cannot be read"):
        load_objects(str(root))
    (root / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(OverfocusError, match="no JSON for test"):
        load_objects(str(root))


def test_an_image_that_cannot_be_read_is_named(coco_folder):
    root = coco_folder()
    (root / "train2017" / "c.png").write_text("not an image")
    with pytest.raises(OverfocusError, match=r"c\.png: not an image"):
        load_objects(str(root))


def test_voc_is_read_box_by_box(voc_folder):
    found = load_objects(str(voc_folder()))
    assert found.classes == ("bird", "dog"), "the difficult person is no class"
    assert listed(found.train.boxes) == [[[0, 1, 10, 5], [8, 8, 9, 12]]] * 2, "from 1 and inclusive to ours"
    assert listed(found.train.labels) == [[1, 0]] * 2
    assert found.test.images.name(0).endswith("000003.jpg")
    assert "3 objects marked as difficult" in found.note
    assert "3 boxes without area" in found.note


ENTITIES = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "1"><!ENTITY y "&x;&x;">]>
<annotation><object><name>&y;</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object>
</annotation>"""
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ENTITIES, r"000001\.xml is not VOC XML \(a document type 'a'"),
        (OUTSIDE, "a document type 'a'"),
        ("<annotation><object>", "not VOC XML"),
        ("<annotation><object><name>dog</name></object></annotation>", "lacks its bndbox"),
        (ENTITIES[ENTITIES.index("<annotation>") :].replace("&y;", " "), r"000001\.xml: an object lacks its name"),
        ("<annotation><object><name>dog</name><bndbox><xmin>x</xmin></bndbox></object></annotation>", "not VOC XML"),
    ],
)
def test_a_broken_voc_is_told(voc_folder, text, told):
    with pytest.raises(OverfocusError, match=told):
        load_objects(str(voc_folder(text)))


def test_files_that_a_voc_lacks_are_told(voc_folder):
    root = voc_folder()
    (root / "JPEGImages" / "000002.jpg").unlink()
    with pytest.raises(OverfocusError, match=r"000002\.jpg is missing"):
        load_objects(str(root))
    (root / "ImageSets" / "Main" / "train.txt").write_text("../../coco\n")
    with pytest.raises(OverfocusError, match="does not lie in"):
        load_objects(str(root))
    (root / "ImageSets" / "Main" / "train.txt").write_text("000009\n")
    with pytest.raises(OverfocusError, match=r"000009\.xml is missing"):
        load_objects(str(root))
    (root / "ImageSets" / "Main" / "val.txt").unlink()
    with pytest.raises(OverfocusError, match=r"no ImageSets/Main/val\.txt"):
        load_objects(str(root))


def test_classified_images_with_boxes_are_objects_of_their_class():
    dataset = load("totem", per_class=2)
    found = objects_of(dataset)
    split = dataset.splits["train"]
    assert listed(found.train.labels) == [[label] for label in split.labels.tolist()]
    assert listed(found.train.boxes) == listed(split.boxes)
    with pytest.raises(OverfocusError, match="does not say where its objects are"):
        objects_of(dataset.with_splits(lambda each: type(each)(each.images, each.labels, each.classes)))


def test_a_wrong_name_is_told_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'totem-scenes'"):
        load_objects("totem-scene")
    with pytest.raises(OverfocusError, match="in colour"):
        load_objects("totem-scenes", channels=1)


def test_fewer_images_are_among_those_of_more_and_carry_their_objects(coco_folder):
    found = load_objects(str(coco_folder()))
    two, one = (found.train.at_most(count, seed=1) for count in (2, 1))
    assert one.images.name(0) == two.images.name(0)
    where = {found.train.images.name(row): row for row in range(3)}
    for row in range(2):
        origin = where[two.images.name(row)]
        assert torch.equal(two.boxes[row], found.train.boxes[origin])
        assert torch.equal(two.labels[row], found.train.labels[origin])
    assert json.dumps(found.thinned(None, None, 0).fingerprint()) == json.dumps(found.fingerprint())
    assert found.thinned(2, None, 1).fingerprint() != found.fingerprint()
