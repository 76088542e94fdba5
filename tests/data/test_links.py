"""Links that lead nowhere or back: an error that names them, or left out everywhere."""

import os

import pytest
import torch

from overfocus import Experiment, train
from overfocus.commands.diagnose import DiagnosisRequest, diagnose_checkpoints
from overfocus.core.errors import OverfocusError
from overfocus.data import load
from overfocus.export.export import export_run
from overfocus.training.checkpoint import evaluate_run
from overfocus.training.run import Run


@pytest.fixture
def linked(tmp_path, write_classes):
    """Twelve good pictures of each part, and links that lead nowhere, to themselves, and back to where they lie."""
    root = tmp_path / "set"
    for part in ("train", "test"):
        write_classes(root / part, {"cat": 6, "dog": 6}, height=16, width=16)
        (root / part / "cat" / "gone.jpg").symlink_to(root / "nowhere.jpg")
        (root / part / "dog" / "self.jpg").symlink_to(root / part / "dog" / "self.jpg")
    (root / "train" / "cat" / "back").symlink_to(root / "train", target_is_directory=True)
    (root / "train" / "dog" / "here").symlink_to(root / "train" / "dog", target_is_directory=True)
    (root / "train" / "eel").symlink_to(root / "not-there", target_is_directory=True)
    return root


def test_links_to_folders_are_followed_once(linked, tmp_path, write_classes):
    write_classes(tmp_path / "elsewhere", {"more": 3})
    (linked / "train" / "dog" / "more").symlink_to(tmp_path / "elsewhere" / "more", target_is_directory=True)
    # Two folders that lead into one another by way of a third place.
    (tmp_path / "elsewhere" / "more" / "round").symlink_to(linked / "train" / "dog", target_is_directory=True)
    dataset = load(linked)
    assert dataset.classes == ("cat", "dog")
    assert dataset.splits["train"].counts().tolist() == [7, 10]
    links = {each.where for each in dataset.inventory.not_used if each.what == "links"}
    assert links == {
        os.path.join("train", *each) for each in (("cat", "back"), ("dog", "here"), ("eel",), ("dog", "more", "round"))
    }


def test_an_error_names_the_link(linked):
    split = load(linked).splits["test"]
    name = next(row for row in range(len(split)) if split.images.name(row).endswith("gone.jpg"))
    with pytest.raises(OverfocusError, match=r"gone\.jpg: a link that leads nowhere; .*--on-bad-image skip"):
        split.images.read(name)


@pytest.mark.parametrize("memory", [4.0, 0.0])
def test_what_is_skipped_is_skipped_everywhere(linked, tmp_path, memory):
    boxes = ["file,x0,y0,x1,y1"]
    boxes += [f"{part}/{name}.jpg,2,2,9,9" for part in ("train", "test") for name in ("cat/gone", "cat/1", "dog/self")]
    (tmp_path / "boxes.csv").write_text("\n".join(boxes))
    values = {
        "data": {"name": str(linked), "on_bad_image": "skip", "size": 12, "memory_gib": memory,
                 "boxes": str(tmp_path / "boxes.csv")},
        "model": {"settings": {"widths": [4, 8]}}, "recipe": {"epochs": 1, "batch": 4},
    }  # fmt: skip
    experiment = Experiment.read(values, "test")
    list(train(experiment, tmp_path / "run"))
    manifest = Run(tmp_path / "run").manifest()
    assert manifest["bad_images"] == {"train": 2, "test": 2}
    assert manifest["images"] == {"train": 12, "test": 12}
    assert "4 images cannot be read" in manifest["data"]["note"]
    assert manifest["data"]["fingerprint"] == experiment.dataset().fingerprint()
    assert [epoch.number for epoch in train(experiment, tmp_path / "run")] == [1]
    assert evaluate_run(tmp_path / "run", [])["test"]["images"] == 12
    export_run(tmp_path / "run", "safetensors", tmp_path / "export")
    request = DiagnosisRequest((str(tmp_path / "run"),), only=("spread", "focus"))
    found = diagnose_checkpoints(request, tmp_path / "d", images=True).diagnoses[0]
    assert len(found.evidence.labels) == 12
    assert "2 files cannot be read" in found.evidence.about["sample"]
    assert found["focus"]["energy_inside"].n == 1
    split = load(linked, on_bad_image="skip", boxes=tmp_path / "boxes.csv", size=12).splits["test"]
    assert torch.stack([split.images.read(row) for row in range(len(split))]).shape == (12, 3, 12, 12)
