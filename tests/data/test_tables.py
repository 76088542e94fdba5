import io
import json

import pytest
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.data import Stream, load

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["ant", "bee", "cow"]
HUGGINGFACE = {"huggingface": json.dumps({"info": {"features": {"label": {"names": NAMES, "_type": "ClassLabel"}}}})}


def encoded(tone, height=6, width=9):
    data = io.BytesIO()
    Image.new("RGB", (width, height), (tone, 0, 0)).save(data, "PNG")
    return data.getvalue()


def table(labels, column="image", label="label", metadata=HUGGINGFACE, broken=()):
    images = [{"bytes": b"junk" if row in broken else encoded(row), "path": None} for row in range(len(labels))]
    made = pa.table({column: images, label: labels})
    return made.replace_schema_metadata(metadata) if metadata else made


def test_a_folder_of_parquet(tmp_path):
    pq.write_table(table([0, 1]), tmp_path / "train-00000-of-00002.parquet")
    pq.write_table(table([2, 0]), tmp_path / "train-00001-of-00002.parquet")
    pq.write_table(table([1, 1, 2]), tmp_path / "test-00000-of-00001.parquet")
    dataset = load(str(tmp_path))
    assert dataset.classes == tuple(NAMES)
    assert dataset.splits["train"].labels.tolist() == [0, 1, 2, 0]
    assert dataset.splits["test"].labels.tolist() == [1, 1, 2]
    assert dataset.splits["train"].images.read(3).shape == (3, 6, 9)
    assert dataset.splits["train"].images.read(3)[0, 0, 0] == 1


def test_one_file_with_words_for_labels(tmp_path):
    pq.write_table(table(["cow", "ant"] * 5, "img", "labels", None), tmp_path / "mine.parquet")
    dataset = load(str(tmp_path / "mine.parquet"))
    assert dataset.name == "mine"
    assert dataset.classes == ("ant", "cow")
    assert dataset.splits["train"].counts().tolist() == [4, 4]
    assert dataset.splits["test"].counts().tolist() == [1, 1]


def test_validation_serves_as_test(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(table([0, 1, 2]), tmp_path / "data" / "train-0.parquet")
    pq.write_table(table([2, 1]), tmp_path / "data" / "validation-0.parquet")
    assert load(str(tmp_path)).splits["test"].labels.tolist() == [2, 1]


def test_workers_read_tables(tmp_path):
    pq.write_table(table([0, 1, 2, 1]), tmp_path / "train.parquet")
    pq.write_table(table([0]), tmp_path / "test.parquet")
    dataset = load(str(tmp_path))
    batches = [
        list(
            Stream(
                dataset.splits["train"], batch=2, mean=dataset.mean, std=dataset.std, memory_budget_bytes=0, workers=n
            ).epoch()
        )
        for n in (0, 1)
    ]
    assert all(torch.equal(a.images, b.images) for a, b in zip(*batches, strict=True))


def test_a_bad_row_is_named(tmp_path):
    pq.write_table(table([0, 1, 2], broken=(1,)), tmp_path / "train.parquet")
    pq.write_table(table([0, 1]), tmp_path / "test.parquet")
    dataset = load(str(tmp_path))
    with pytest.raises(OverfocusError, match="/train#1: not an image"):
        dataset.splits["train"].images.read(1)
    assert len(load(str(tmp_path), on_bad_image="skip").splits["train"]) == 2


def test_what_is_refused(tmp_path):
    pq.write_table(table([0, 1], "photo"), tmp_path / "a.parquet")
    with pytest.raises(OverfocusError, match="no column of images; there are photo, label"):
        load(str(tmp_path / "a.parquet"))
    pq.write_table(table([0, -1]), tmp_path / "b.parquet")
    with pytest.raises(
        OverfocusError, match="1 train images have no label that is known, such as -1; labels go from 0 to 2"
    ):
        load(str(tmp_path / "b.parquet"))
    (tmp_path / "c.parquet").write_bytes(b"no parquet")
    with pytest.raises(OverfocusError, match=r"c\.parquet: not a parquet file"):
        load(str(tmp_path / "c.parquet"))
    (tmp_path / "other").mkdir()
    pq.write_table(table([0, 1]), tmp_path / "other" / "test-0.parquet")
    with pytest.raises(OverfocusError, match="no training part"):
        load(str(tmp_path / "other"))


def test_cifar10(real):
    dataset = load(str(real / "cifar10-jpeg"), per_class=20)
    assert dataset.classes[:2] == ("airplane", "automobile")
    assert len(dataset.splits["train"]) == 200
    assert dataset.splits["train"].images.read(0).shape == (3, 32, 32)
    assert "JPEG of quality about 75" in dataset.note
    assert torch.allclose(torch.tensor(dataset.mean), torch.tensor((0.4913, 0.4821, 0.4465)), atol=0.02)
    assert len(dataset.fingerprint()) == 64


@pytest.mark.parametrize("prefix", ["hub:", ""])
def test_a_set_saved_by_datasets(tmp_path, prefix):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    rows = {"img": [{"bytes": encoded(n), "path": None} for n in range(5)], "label": [0, 1, 2, 1, 0]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": whole, "validation": whole.select([4, 2])}).save_to_disk(str(tmp_path / "saved"))
    dataset = load(f"{prefix}{tmp_path / 'saved'}")
    assert dataset.classes == tuple(NAMES)
    assert dataset.splits["train"].labels.tolist() == [0, 1, 2, 1, 0]
    assert dataset.splits["test"].labels.tolist() == [0, 2]
    assert dataset.splits["train"].images.read(4)[0, 0, 0] == 4


LISTS = [[0, 2], [], [1], [2, 1, 0], [0], [1, 2]]
FLAGS = [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [1, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize("kind", ["Sequence", "List", "a list", "names"])
def test_lists_of_labels_in_parquet(tmp_path, kind):
    one = {"names": NAMES, "_type": "ClassLabel"}
    feature = [one] if kind == "a list" else {"feature": one, "_type": kind}
    metadata = {"huggingface": json.dumps({"info": {"features": {"labels": feature}}})}
    lists = [[NAMES[each] for each in row] for row in LISTS] if kind == "names" else LISTS
    made = table(lists, label="labels", metadata=None if kind == "names" else metadata)
    pq.write_table(made, tmp_path / "train.parquet")
    pq.write_table(made.slice(0, 2), tmp_path / "test.parquet")
    dataset = load(str(tmp_path), labels="multi")
    assert dataset.classes == tuple(NAMES)
    assert dataset.splits["train"].labels.int().tolist() == FLAGS
    assert dataset.splits["test"].labels.dtype == torch.bool
    assert "2 of 8 have none" in dataset.note
    with pytest.raises(OverfocusError, match="--labels multi"):
        load(str(tmp_path))


@pytest.mark.parametrize("labels", [[0, 1, 2], [[0], [1, 1], [2]], [[1, 0, 0], [0, 1, 1], [0, 0, 1]], [[0], None, [1]]])
def test_labels_that_are_no_lists_of_different_ones_are_refused(tmp_path, labels):
    pq.write_table(table(labels), tmp_path / "train.parquet")
    with pytest.raises(OverfocusError, match=r"train: the labels of image \d"):
        load(str(tmp_path / "train.parquet"), labels="multi")


def test_an_unknown_label_in_a_list_is_refused(tmp_path):
    pq.write_table(table([[0], [1, 7]]), tmp_path / "train.parquet")
    with pytest.raises(OverfocusError, match="such as 7"):
        load(str(tmp_path / "train.parquet"), labels="multi")


def test_lists_of_labels_saved_by_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    lists = datasets.Sequence(datasets.ClassLabel(names=NAMES))
    rows = {"image": [{"bytes": encoded(n), "path": None} for n in range(6)], "labels": LISTS}
    features = datasets.Features({"image": datasets.Image(), "labels": lists})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    for data in (tmp_path / "saved", f"hub:{tmp_path / 'saved'}"):
        dataset = load(data, labels="multi")
        assert dataset.classes == tuple(NAMES)
        assert sum(split.labels.sum() for split in dataset.splits.values()) == sum(map(len, LISTS))


def test_a_hub_set_that_is_not_cached(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(OverfocusError, match=r"hub:nobody/nothing: .*--download"):
        load("hub:nobody/nothing")
