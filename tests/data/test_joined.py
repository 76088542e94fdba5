"""`all` is every image once, and a line says which part was looked at."""

import numpy as np
import pytest
import torch
from PIL import Image

from overfocus import Experiment, train
from overfocus.commands.diagnose import DiagnosisRequest, diagnose_checkpoints
from overfocus.core.errors import UnknownName
from overfocus.data import Stream, load
from overfocus.data.joined import joined, looked_at
from overfocus.diagnosis.checkpoints import CheckpointOptions, split_of
from overfocus.training.checkpoint import evaluate_run


@pytest.fixture
def folder(tmp_path, write_classes):
    return write_classes(tmp_path / "set", {"cat": 10, "dog": 15}, height=12, width=10)


def names(split):
    return [split.images.name(row) for row in range(len(split))]


@pytest.mark.parametrize("budget", [0, 2**30])
def test_all_of_a_folder_without_parts_is_every_image_once(folder, budget):
    dataset = load(folder)
    name, split = split_of(dataset, "all")
    assert name == "all"
    assert split.counts().tolist() == [10, 15]
    assert len({*names(split)}) == 25
    assert all(("/dog/" in file) == bool(label) for file, label in zip(names(split), split.labels, strict=True))
    stream = Stream(split, batch=7, mean=(0.0,) * 3, std=(1.0,) * 3, train=False, memory_budget_bytes=budget)
    pixels = torch.cat([batch.images for batch in stream.epoch()])
    assert torch.equal((pixels * 255).round().to(torch.uint8)[11], split.images.read(11))
    assert split.subset([24, 3]).images.name(0) == split.images.name(24)


def test_boxes_and_masks_come_along(tmp_path, folder):
    rows = [f"{name}/{n}.jpg,0,0,{n + 1},{2 + k}" for k, name in enumerate(("cat", "dog")) for n in range(9)]
    (tmp_path / "boxes.csv").write_text("\n".join(["file,x0,y0,x1,y1", *rows]))
    split = joined(load(folder, boxes=tmp_path / "boxes.csv"))
    found = {names(split)[row][-9:]: split.boxes[row].tolist() for row in range(25) if len(split.boxes[row])}
    assert found == {
        f"{name}/{n}.jpg": [[0, 0, n + 1, 2 + k]] for k, name in enumerate(("cat", "dog")) for n in range(9)
    }
    for n in range(3):
        mask = np.zeros((12, 10), dtype=np.uint8)
        mask[n] = 255
        (tmp_path / "masks" / "dog").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / "dog" / f"{n}.png")
    split = joined(load(folder, boxes=tmp_path / "masks", size=6))
    sums = {names(split)[row][-9:]: int(split.masks["object"][row].sum()) for row in range(25)}
    assert {name for name, count in sums.items() if count} <= {f"dog/{n}.jpg" for n in range(3)}


def test_a_set_in_memory_and_one_that_has_an_all_of_its_own():
    totem = load("totem")
    assert split_of(totem, "all")[1] is totem.splits["all"]
    with pytest.raises(UnknownName):
        split_of(totem, "every")


def test_what_was_looked_at_is_said(folder, tmp_path, write_classes):
    assert "5 of 25 images: the split test, the 20% of each class that were held out; --split all" in looked_at(
        load(folder), "test", 5
    )
    assert "25 of 25 images: train and test together" in looked_at(load(folder), "all", 25)
    for part in ("train", "Testing"):
        write_classes(tmp_path / "parts" / part, {"cat": 2, "dog": 2})
    assert looked_at(load(tmp_path / "parts"), "test", 4) == "Looked at 4 of 8 images: the split test (Testing)."


def test_diagnose_and_evaluate_take_all(folder, tmp_path):
    values = {"data": {"name": str(folder)}, "model": {"settings": {"widths": [4, 8]}}, "recipe": {"epochs": 1}}
    list(train(Experiment.read(values, "test"), tmp_path / "run"))
    for split, count in (("", 5), ("all", 25)):
        request = DiagnosisRequest((str(tmp_path / "run"),), split=split, only=("spread",), options=CheckpointOptions())
        evidence = diagnose_checkpoints(request, tmp_path / f"d{split}").diagnoses[0].evidence
        assert len(evidence.labels) == count
        assert f"Looked at {count} of 25 images" in evidence.about["source"]
        assert f"Looked at {count} of 25 images" in (tmp_path / f"d{split}" / "diagnosis.html").read_text()
    scores = evaluate_run(tmp_path / "run", ["all", "test", "train"])
    assert {name: score["images"] for name, score in scores.items()} == {"all": 25, "test": 5, "train": 20}
    right = {name: score["accuracy"] * score["images"] for name, score in scores.items()}
    assert right["all"] == pytest.approx(right["test"] + right["train"])
