"""How pictures are read and fitted is a part of a run: all that comes after does it alike."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import overfocus as of
from overfocus.commands.explain import explain_checkpoint
from overfocus.commands.inspect import inspect_method
from overfocus.core.preprocess import Preprocess
from overfocus.data.joined import joined
from overfocus.data.orientation import TURNS
from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of, dataset_for, outsiders
from overfocus.diagnosis.sample import from_split
from overfocus.export.export import export_run
from overfocus.training.checkpoint import evaluate_run, load_data
from overfocus.training.run import Run

UNDO = {6: 8, 8: 6, 3: 3}


def write_set(root, tags=(), boxes=True):
    """Write 2 x 10 pictures of a bright square each, 40 high and 60 wide; some as cameras store them, by EXIF."""
    lines = ["file,x0,y0,x1,y1"]
    for label, name in enumerate(("cat", "dog")):
        (root / "set" / name).mkdir(parents=True)
        for number in range(10):
            generator = np.random.default_rng((label, number))
            pixels = generator.integers(0, 90, (40, 60, 3), dtype=np.uint8)
            x, y = int(generator.integers(0, 40)), int(generator.integers(0, 22))
            pixels[y : y + 16, x : x + 14, label] = 250
            picture, exif = Image.fromarray(pixels), Image.Exif()
            if tags and number % 2:
                exif[0x0112] = tag = tags[number % len(tags)]
                picture = picture.transpose(TURNS[UNDO[tag]])
            picture.save(root / "set" / name / f"{number}.png", exif=exif)
            lines.append(f"{name}/{number}.png,{x},{y},{x + 14},{y + 16}")
    (root / "boxes.csv").write_text("\n".join(lines))
    return root


def settings(root, **data):
    told = {"name": str(root / "set"), "size": (24, 24), "augment": {}, **data}
    return of.Experiment.read(
        {"data": told, "model": {"settings": {"widths": [4, 8]}}, "recipe": {"epochs": 1, "batch": 4}}, "test"
    )


def localized(experiment):
    """Return MaxBoxAccV2 of a network that is not trained, on all the pictures."""
    dataset = experiment.dataset()
    model = experiment.create_model(2, 3)
    found = of.diagnose(
        model, dataset.splits["train"], mean=dataset.mean, std=dataset.std, only=["localization"], seed=0
    )
    return found["localization"]["max_box_acc_v2"].value


@pytest.fixture(scope="module")
def upright(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("upright"))


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("turned"), tags=(6, 8, 6))


def test_turned_pictures_are_localized_as_upright_ones(upright, turned):
    whole = {"fit": "squash", "size": (40, 60)}
    expected, found, as_before = (
        localized(settings(root, boxes=str(root / "boxes.csv"), **whole, **how))
        for root, how in ((upright, {}), (turned, {}), (turned, {"orientation": "stored"}))
    )
    assert found == expected
    assert as_before != expected  # so the test can fail


def test_turned_pictures_train_the_same_network(upright, turned, tmp_path):
    weights = []
    for name, root in (("upright", upright), ("turned", turned)):
        list(of.train(settings(root), tmp_path / name))
        weights.append(Run(tmp_path / name).weights.read_bytes())
    assert weights[0] == weights[1]


@pytest.fixture(scope="module")
def run(turned, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "padded"
    how = {"fit": "pad", "interpolation": "bicubic", "crop_share": 0.9, "background": (9, 99, 200)}
    list(of.train(settings(turned, orientation="stored", **how), out))
    return out


def test_the_run_says_it_and_everything_after_does_it(run, turned, tmp_path):
    manifest = json.loads((run / "manifest.json").read_text())
    how = Preprocess.of_manifest(manifest)
    assert manifest["preprocess"]["fit"] == "pad"
    assert how == Preprocess(
        (24, 24), "pad", 0.9, "bicubic", "stored", background=(9, 99, 200),
        mean=tuple(manifest["mean"]), std=tuple(manifest["std"]),
    )  # fmt: skip
    assert evaluate_run(run, ["test"])["test"] == manifest["last"]["scores"]["test"]
    same = replace(how, mean=(), std=())
    trained_on = load_data(Run(run))[1].splits["test"].images.read(1)
    for given in ({}, {"data.name": str(turned / "set")}):
        dataset, experiment = dataset_for([str(run)], given)
        assert dataset.preprocess == experiment.data.preprocess == same
        assert torch.equal(dataset.splits["test"].images.read(1), trained_on)
    assert dataset_for([str(run)], {"data.fit": "squash"})[0].preprocess == replace(same, fit="squash")
    notes = [
        classifier_of(str(run), dataset_for([str(run)], given)[0], CheckpointOptions()).note
        for given in ({}, {"data.fit": "squash"})
    ]
    assert "trained with" not in notes[0]
    assert "trained with fit=pad, shown squash" in notes[1]
    inspect_method("plain", tmp_path / "a.png", run=run, images=2)
    exported = export_run(run, "safetensors", tmp_path / "out")
    assert Preprocess.read(json.loads((tmp_path / "out" / "config.json").read_text())["preprocess"]) == how
    assert exported["largest_difference"] < 1e-4


def test_explain_shows_the_network_what_it_was_trained_on(run, turned, tmp_path):
    file = turned / "set" / "cat" / "1.png"
    (found,) = explain_checkpoint(
        str(run), [file], ("gradcam",), tmp_path, data={}, options=CheckpointOptions(), target="cat"
    )
    data = load_data(Run(run))[1]
    images = [(split, row) for split in data.splits.values() for row in range(len(split))]
    split, row = next((s, r) for s, r in images if s.images.name(r) == str(file))
    classifier = classifier_of(str(run), None, CheckpointOptions())
    with torch.no_grad(), classifier.examined():
        expected = classifier(split.images.read(row)[None].float() / 255).softmax(dim=1)[0, 0]
    assert found["probability"] == pytest.approx(float(expected), abs=1e-6)
    (other,) = explain_checkpoint(
        str(run), [file], ("gradcam",), tmp_path, data={"data.orientation": "viewer"}, options=CheckpointOptions(),
        target="cat",
    )  # fmt: skip
    assert other["probability"] != found["probability"]


def test_a_run_of_before_is_read_as_it_was_trained(run, turned, tmp_path):
    old = tmp_path / "old"
    list(of.train(settings(turned, orientation="stored"), old))
    manifest = json.loads((old / "manifest.json").read_text())
    scores = evaluate_run(old, ["test"])
    manifest.pop("preprocess")
    (old / "manifest.json").write_text(json.dumps(manifest))
    toml = (old / "experiment.toml").read_text()
    words = ("fit", "crop_share", "interpolation", "orientation", "intensity", "background")
    kept, skipping = [], False
    for line in toml.splitlines():
        skipping = line.startswith(tuple(f"{word} =" for word in words)) or (skipping and line[:1] in " ]")
        kept += [] if skipping else [line]
    (old / "experiment.toml").write_text("\n".join(kept))
    assert Run(old).experiment().data.orientation == "viewer"
    assert evaluate_run(old, ["test"]) == scores


def test_images_of_other_classes_are_read_as_those_of_the_run(run, turned):
    dataset, _ = dataset_for([str(run)], {})
    sample = from_split(dataset.splits["test"])
    section = outsiders(str(turned / "set"), sample, 0, preprocess=dataset.preprocess)
    expected = from_split(joined(dataset), limit=1000, seed=0)  # no test images came along
    found, same = (torch.cat([each.pixels for each in s.batches(None)]) for s in (section.other, expected))
    assert torch.equal(found, same)


def test_a_second_set_without_parts_is_asked_about_as_a_whole(run, turned, tmp_path):
    from small import photos

    dataset, _ = dataset_for([str(run)], {})
    sample = from_split(dataset.splits["test"])
    whole = photos(tmp_path / "whole", train=10, test=1)
    assert outsiders(str(whole), sample, 0).other.labels.shape == (3,)
    assert outsiders(str(whole / "train"), sample, 0).other.labels.shape == (30,)
