import json

import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.data import load


@pytest.fixture
def folder(tmp_path, write_classes):
    """Pictures of 7 x 11 pixels; 0.jpg stands in every class and part."""
    write_classes(tmp_path / "set" / "train", {"cat": 3, "dog": 3})
    write_classes(tmp_path / "set" / "test", {"cat": 1, "dog": 1})
    return tmp_path / "set"


def boxes_of(dataset, split, ending):
    part = dataset.splits[split]
    return next(part.boxes[row].tolist() for row in range(len(part)) if part.images.name(row).endswith(ending))


def test_csv(folder, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        "file,x0,y0,x1,y1\n"
        "train/cat/1.jpg,2,1,5,6\n"
        "train/cat/1.jpg,0,0,4,4\n"
        "somewhere/test/dog/0.jpg,-3,2,20,5\n"
        "train/dog/2.jpg,4,4,4,6\n"
        "0.jpg,1,1,2,2\n"
        "train/eel/9.jpg,1,1,2,2\n"
    )
    dataset = load(str(folder), boxes=path)
    assert boxes_of(dataset, "train", "cat/1.jpg") == [[2, 1, 5, 6], [0, 0, 4, 4]]
    assert boxes_of(dataset, "test", "dog/0.jpg") == [[0, 2, 11, 5]]
    assert boxes_of(dataset, "train", "dog/2.jpg") == []
    assert boxes_of(dataset, "train", "dog/1.jpg") == []
    assert "2 annotations name no file of the set, or more than one (such as 0.jpg)" in dataset.note
    assert "1 boxes without area" in dataset.note
    assert "1 boxes reach beyond" in dataset.note


def write_boxes(path, *rows):
    path.write_text("\n".join(["file,x0,y0,x1,y1", *rows]))
    return path


def test_shares_of_width_and_height_are_recognised(folder, tmp_path):
    """The pictures have 7 x 11 pixels."""
    rows = ["train/cat/1.jpg,0.3,0.25,0.6,1", "train/cat/1.jpg,0,0,1,1", "test/dog/0.jpg,0.91,0.5,1.004,0.9"]
    dataset = load(str(folder), boxes=write_boxes(tmp_path / "boxes.csv", *rows))
    assert boxes_of(dataset, "train", "cat/1.jpg") == [[3, 1, 7, 7], [0, 0, 11, 7]]
    assert boxes_of(dataset, "test", "dog/0.jpg") == [[10, 3, 11, 7]]
    assert "shares of width and height" in dataset.note
    images = [{"id": 7, "file_name": "train/cat/2.jpg"}]
    annotations = [{"image_id": 7, "bbox": [0.5, 0.5, 0.25, 0.5]}]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    dataset = load(str(folder), boxes=tmp_path / "coco.json")
    assert boxes_of(dataset, "train", "cat/2.jpg") == [[5, 3, 9, 7]]


def test_shares_that_are_whole_numbers_are_exact(tmp_path, write_classes):
    write_classes(tmp_path / "set", {"cat": 5, "dog": 5}, height=10, width=10)
    rows = [f"cat/{n}.jpg,0.{n + 1},0.3,0.{n + 3},0.7" for n in range(5)]
    dataset = load(str(tmp_path / "set"), boxes=write_boxes(tmp_path / "boxes.csv", *rows))
    found = sorted(box.tolist()[0] for split in dataset.splits.values() for box in split.boxes if len(box))
    assert found == [[n + 1, 3, n + 3, 7] for n in range(5)]


@pytest.mark.parametrize(
    "rows",
    [
        ["train/cat/1.jpg,0,0,1,1"],  # the whole picture, or one pixel
        ["train/cat/1.jpg,0.2,0.2,1.5,0.9"],
        ["train/cat/1.jpg,-0.5,0.2,0.5,0.9"],
        ["train/cat/1.jpg,5,4,3,2", "train/cat/2.jpg,6,5,2,2", "train/dog/1.jpg,1,1,5,5"],  # x, y, width, height
    ],
)
def test_units_that_may_be_either_are_refused(folder, tmp_path, rows):
    with pytest.raises(OverfocusError, match=r"boxes\.csv.*; give"):
        load(str(folder), boxes=write_boxes(tmp_path / "boxes.csv", *rows))


def test_small_boxes_in_pixels_stay_pixels(folder, tmp_path):
    rows = ["train/cat/1.jpg,0.2,0.2,0.9,0.9", "train/cat/2.jpg,1,1,6,5"]
    dataset = load(str(folder), boxes=write_boxes(tmp_path / "boxes.csv", *rows))
    assert boxes_of(dataset, "train", "cat/1.jpg") == [[0, 0, 1, 1]]


def test_every_box_left_out_is_counted_with_its_reason(tmp_path, write_classes):
    write_classes(tmp_path / "set" / "train", {"cat": 3, "dog": 3}, height=20, width=60)
    write_classes(tmp_path / "set" / "test", {"cat": 1, "dog": 1}, height=20, width=60)
    (tmp_path / "set" / "train" / "cat" / "2.jpg").write_bytes(b"no picture")
    rows = [
        "train/cat/0.jpg,2,2,8,9", "train/cat/0.jpg,25,4,35,12", "train/cat/1.jpg,70,2,90,9",
        "train/cat/1.jpg,3,-9,8,0", "train/cat/2.jpg,1,1,9,9",
        "train/dog/0.jpg,5,5,5,9", "train/dog/0.jpg,30,5,70,9", "train/dog/9.jpg,1,1,5,5",
        "train/dog/1.jpg,8,8,5,9",
    ]  # fmt: skip
    boxes = write_boxes(tmp_path / "boxes.csv", *rows)
    dataset = load(tmp_path / "set", boxes=boxes, size=20)
    left_out = {each.why: each.count for each in dataset.inventory.not_used if each.what in ("boxes", "annotations")}
    assert left_out == {
        "name no file of the set, or more than one (such as train/dog/9.jpg)": 1, "without area": 2,
        "wholly outside their image": 2, "of unreadable images": 1,
    }  # fmt: skip
    for words in (
        "2 boxes without area",
        "2 boxes lie outside",
        "1 boxes reach beyond",
        "1 boxes lie wholly in what is cut",
    ):
        assert words in dataset.note
    assert sum(len(each) for each in dataset.splits["train"].boxes) == 2  # of 9


def write_masks(root, labels, mode="L"):
    for name, values in labels.items():
        path = root / "train" / "cat" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(np.asarray(values, dtype=np.uint8))
        if mode == "P":
            picture = (
                picture.convert("P") if picture.mode == "P" else Image.fromarray(np.asarray(values, np.uint8), "P")
            )
            picture.putpalette([0, 0, 0] * 256)
        picture.save(path)
    return root


def labels_with_border(label=15):
    values = np.zeros((7, 11), dtype=np.uint8)
    values[1:5, 2:8] = 255
    values[2:4, 3:7] = label
    return values


@pytest.mark.parametrize("mode", ["L", "P"])
def test_the_border_label_of_voc_is_no_object(folder, tmp_path, mode):
    values = labels_with_border()
    dataset = load(str(folder), boxes=write_masks(tmp_path / "masks", {"1": values}, mode))
    mask = dataset.splits["train"].masks["object"][1]
    assert torch.equal(mask, torch.from_numpy(values == 15))
    assert int(mask.sum()) == 8
    assert "border" in dataset.note


def test_255_alone_and_soft_edges_are_the_object(folder, tmp_path):
    whole = (labels_with_border(255) > 0) * np.uint8(255)
    soft = whole.copy()
    soft[1, 2:8] = np.arange(40, 240, 34)[:6]
    for name, values in (("whole", whole), ("soft", soft)):
        dataset = load(str(folder), boxes=write_masks(tmp_path / name, {"1": values}))
        assert torch.equal(dataset.splits["train"].masks["object"][1], torch.from_numpy(values > 0))
        assert "border" not in dataset.note


def test_masks_of_two_kinds_or_without_a_background_are_refused(folder, tmp_path):
    soft = labels_with_border(200)
    with pytest.raises(OverfocusError, match="masks of one kind"):
        load(str(folder), boxes=write_masks(tmp_path / "two", {"1": labels_with_border(), "2": soft}))
    trimap = np.full((7, 11), 2, dtype=np.uint8)
    trimap[2:5, 2:5] = 1
    with pytest.raises(OverfocusError, match="no pixel of 0"):
        load(str(folder), boxes=write_masks(tmp_path / "trimap", {"1": trimap}))


def test_boxes_stay_with_their_images_in_subsets(folder, tmp_path):
    path = tmp_path / "boxes.csv"
    rows = [f"train/{name}/{n}.jpg,{n},0,{n + 1},{k + 1}" for k, name in enumerate(("cat", "dog")) for n in range(3)]
    path.write_text("\n".join(["file,x0,y0,x1,y1", *rows]))
    dataset = load(str(folder), boxes=path, per_class=2)
    train = dataset.splits["train"]
    for row in range(len(train)):
        number = int(train.images.name(row).split("/")[-1][0])
        assert train.boxes[row].tolist() == [[number, 0, number + 1, int(train.labels[row]) + 1]]


def test_coco(folder, tmp_path):
    path = tmp_path / "coco.json"
    images = [{"id": 7, "file_name": "train/cat/2.jpg"}]
    annotations = [{"image_id": 7, "bbox": [1, 2, 3.5, 4]}, {"image_id": 8, "bbox": [0, 0, 1, 1]}]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    dataset = load(str(folder), boxes=path)
    assert boxes_of(dataset, "train", "cat/2.jpg") == [[1, 2, 5, 6]]
    assert "image id 8" in dataset.note


def test_voc(tmp_path, write_image):
    for name in ("cat", "dog"):
        for number in range(5):
            write_image(tmp_path / "set" / name / f"{name}{number}.jpg")
    (tmp_path / "xml").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>11</xmax><ymax>7</ymax></bndbox>"
    (tmp_path / "xml" / "dog3.xml").write_text(f"<annotation><object><name>dog</name>{box}</object></annotation>")
    dataset = load(str(tmp_path / "set"), boxes=tmp_path / "xml")
    found = [box.tolist() for split in dataset.splits.values() for box in split.boxes if len(box)]
    assert found == [[[0, 2, 11, 7]]]
    bomb = f'<!DOCTYPE a [<!ENTITY e "1">]><annotation><object>{box.replace(">1<", ">&e;<")}</object></annotation>'
    (tmp_path / "xml" / "dog3.xml").write_text(bomb)
    with pytest.raises(OverfocusError, match=r"dog3.xml is not VOC XML \(a document type 'a'"):
        load(str(tmp_path / "set"), boxes=tmp_path / "xml")


def test_masks(folder, tmp_path):
    mask = np.zeros((7, 11), dtype=np.uint8)
    mask[2:4, 5:9] = 255
    (tmp_path / "masks" / "train" / "cat").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "masks" / "train" / "cat" / "1.png")
    train = load(str(folder), boxes=tmp_path / "masks").splits["train"]
    assert torch.equal(train.masks["object"][1], torch.from_numpy(mask > 0))
    assert not train.masks["object"][0].any()
    assert torch.equal(train.subset([2, 1]).masks["object"][1], torch.from_numpy(mask > 0))
    small = load(str(folder), boxes=tmp_path / "masks", size=5).splits["train"]
    assert small.masks["object"][1].shape == (5, 5)
    Image.fromarray(mask[1:]).save(tmp_path / "masks" / "train" / "cat" / "1.png")
    with pytest.raises(OverfocusError, match="a mask of 6 x 11 pixels for an image of 7 x 11"):
        train.masks["object"][1]


def test_what_is_refused(folder, tmp_path):
    with pytest.raises(OverfocusError, match="nothing at"):
        load(str(folder), boxes=tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_text("file,x,y\n")
    with pytest.raises(OverfocusError, match="no column 'x0'"):
        load(str(folder), boxes=tmp_path / "bad.csv")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(OverfocusError, match="cannot be read"):
        load(str(folder), boxes=tmp_path / "bad.json")
    (tmp_path / "bad.txt").write_text("")
    with pytest.raises(OverfocusError, match="neither"):
        load(str(folder), boxes=tmp_path / "bad.txt")
    with pytest.raises(OverfocusError, match="totem has no files"):
        load("totem", boxes=tmp_path / "bad.csv")


def write_tiny(root, write_image):
    root.mkdir()
    (root / "wnids.txt").write_text("n02\nn01\nn03\n")
    (root / "words.txt").write_text("n01\tgoldfish, Carassius\nn02\tnewt\n")
    for wnid in ("n01", "n02"):
        lines = []
        for number in range(2):
            write_image(root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", 64, 64)
            lines.append(f"{wnid}_{number}.JPEG\t{number}\t10\t{63 * number}\t58\n")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(lines))
    write_image(root / "val" / "images" / "val_0.JPEG", 64, 64)
    (root / "val" / "val_annotations.txt").write_text(
        "val_0.JPEG\tn02\t0\t31\t60\t60\nval_1.JPEG\tn09\t0\t31\t60\t60\n"
    )
    return root


def test_tiny_imagenet_layout(tmp_path, write_image):
    dataset = load(str(write_tiny(tmp_path / "tiny", write_image)))
    assert dataset.classes == ("goldfish", "newt")
    assert dataset.splits["train"].labels.tolist() == [0, 0, 1, 1]
    assert [box.tolist() for box in dataset.splits["train"].boxes[:2]] == [[], [[1, 10, 64, 59]]]
    assert dataset.splits["test"].labels.tolist() == [1]
    assert dataset.splits["test"].boxes[0].tolist() == [[0, 31, 61, 61]]
    assert "2 boxes without area" in dataset.note


@pytest.mark.slow
def test_tiny_imagenet(tiny):
    dataset = load(str(tiny))
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (len(dataset.classes), len(train), len(test)) == (50, 25000, 2500)
    assert "51 boxes without area" in dataset.note
    assert sum(len(box) == 0 for box in train.boxes) == 44
    areas = torch.tensor([float((b[0, 2] - b[0, 0]) * (b[0, 3] - b[0, 1])) for b in test.boxes if len(b)]) / 64**2
    assert 0.5 < areas.median() < 0.66
    assert train.images.read(0).shape == (3, 64, 64)


def write_cub(root, write_image):
    rows = []
    for number, (folder, train) in enumerate([("001.Auk", 1), ("001.Auk", 0), ("002.Tit", 1), ("002.Tit", 0)], start=1):
        write_image(root / "images" / folder / f"{number}.jpg", 20, 30)
        rows.append((number, f"{folder}/{number}.jpg", int(folder[:3]), train, f"{number}.0 2.0 10.0 40.0"))
    for name, column in (("images", 1), ("image_class_labels", 2), ("train_test_split", 3), ("bounding_boxes", 4)):
        (root / f"{name}.txt").write_text("".join(f"{row[0]} {row[column]}\n" for row in rows))
    (root / "classes.txt").write_text("1 001.Auk\n2 002.Tit\n")
    return root


def test_cub_layout(tmp_path, write_image):
    root = write_cub(tmp_path / "cub", write_image)
    dataset = load(str(root))
    assert dataset.classes == ("Auk", "Tit")
    assert dataset.splits["train"].labels.tolist() == dataset.splits["test"].labels.tolist() == [0, 1]
    assert [box.tolist() for box in dataset.splits["train"].boxes] == [[[1, 2, 11, 20]], [[3, 2, 13, 20]]]
    assert "4 boxes reach beyond" in dataset.note
    (root / "train_test_split.txt").unlink()
    with pytest.raises(OverfocusError, match=r"without train_test_split\.txt"):
        load(str(root))


@pytest.mark.parametrize("border", [True, False])
def test_the_border_colour_of_voc_is_no_object(folder, tmp_path, border):
    values = labels_with_border()
    colours = np.zeros((*values.shape, 3), dtype=np.uint8)
    colours[values == 15] = (192, 128, 128)
    colours[values == 255] = (224, 224, 192) if border else (224, 224, 64)
    dataset = load(str(folder), boxes=write_masks(tmp_path / "masks", {"1": colours}))
    split = dataset.splits["train"]
    row = next(row for row in range(len(split)) if split.images.name(row).endswith("cat/1.jpg"))
    expected = values == 15 if border else values > 0
    assert torch.equal(split.masks["object"][row], torch.from_numpy(expected))
    assert ("border" in dataset.note) is border
