"""A run as a folder: what lies in it, who may use it, when it is whole."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from small import Running, photos, settings, stuck, training

import overfocus
from overfocus import Experiment, OverfocusError, train
from overfocus.training.checkpoint import as_trained, evaluate_run
from overfocus.training.run import Run


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory) -> Path:
    """A finished run, for tests that leave it as it is."""
    out = tmp_path_factory.mktemp("finished") / "run"
    list(train(Experiment.read(settings(folder), "test"), out))
    return out


def test_what_lies_in_it(run):
    files = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
    expected = {"experiment.toml", "epochs.jsonl", "epochs.csv", "weights.safetensors", "best.safetensors"}
    assert files == expected | {"manifest.json", "checkpoint/last.ckpt", ".lock"}


def test_jsonl_and_csv_tell_the_same(run):
    lines = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
    with open(run / "epochs.csv") as file:
        rows = list(csv.DictReader(file))
    assert [line["number"] for line in lines] == [int(row["epoch"]) for row in rows] == [1, 2, 3]
    for line, row in zip(lines, rows):
        assert float(row["train_loss"]) == line["train"]["loss"]
        assert float(row["test_accuracy"]) == line["scores"]["test"]["accuracy"]
        assert float(row["images_per_second"]) > 0


def test_the_manifest_tells_what_the_weights_depend_on(run):
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["versions"]["overfocus"] == overfocus.__version__
    assert manifest["versions"]["torch"] == torch.__version__.split("+")[0]
    assert re.fullmatch(r"([0-9a-f]{40}\+?)?", manifest["commit"])
    assert manifest["seconds"] > 0
    assert re.fullmatch("[0-9a-f]{64}", manifest["data"]["fingerprint"])
    assert manifest["images"] == {"train": 45, "test": 18}
    assert manifest["precision"] == "32-true"
    assert manifest["size"] == [12, 12]


def test_the_manifest_tells_settings_that_were_left_at_their_default(folder, tmp_path):
    list(train(Experiment.read(settings(folder, method="cutout(size=4)", recipe__epochs=1), "test"), tmp_path / "r"))
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert manifest["method"] == "cutout(size=4)"
    assert {"cutout(size=4", "fill='zero'", "holes=1"} <= set(re.split(", ", manifest["method_in_full"]))


def test_last_and_best_epoch_are_told_apart(run):
    manifest = json.loads((run / "manifest.json").read_text())
    scores = [json.loads(line)["scores"]["test"] for line in (run / "epochs.jsonl").read_text().splitlines()]
    accuracies = [score["accuracy"] for score in scores]
    assert manifest["last"]["epoch"] == 3
    assert manifest["last"]["scores"]["test"] == scores[-1]
    assert manifest["best"]["epoch"] == 1 + accuracies.index(max(accuracies))
    assert manifest["best"]["accuracy"] == max(accuracies)
    assert "optimistic" in manifest["best"]["note"]
    assert evaluate_run(run, ["test"])["test"] == pytest.approx(scores[-1])
    assert evaluate_run(run, ["test"], best=True)["test"]["accuracy"] == max(accuracies)


def test_held_out_images_choose_the_best_epoch(folder, tmp_path):
    list(train(Experiment.read(settings(folder, data__val=0.2, recipe__epochs=1), "test"), tmp_path))
    best = json.loads((tmp_path / "manifest.json").read_text())["best"]
    assert best["split"] == "val"
    assert best["note"] == "chosen on held-out images"


def test_a_finished_run_is_not_trained_again(run, folder):
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file() and file.name != ".lock"}
    steps = []
    epochs = list(train(Experiment.read(settings(folder), "test"), run, on_step=steps.append))
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert steps == []
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_other_settings_are_refused_by_name(run, folder):
    other = Experiment.read(settings(folder, recipe__lr=0.3, method="cutout", model__settings={"widths": [4, 9]}), "x")
    with pytest.raises(OverfocusError, match="holds a run with other settings") as error:
        next(train(other, run))
    for key in ("recipe.lr: there 0.05, now 0.3", "method: there 'plain'", "model.settings.widths"):
        assert key in str(error.value)
    assert "epochs" not in str(error.value)


def test_a_folder_of_something_else_is_refused(folder, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OverfocusError, match=r"not a run \(it holds thesis\.tex\)"):
        next(train(Experiment.read(settings(folder), "test"), tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "thesis.tex"]


@pytest.mark.parametrize(("kept", "left"), [([], False), ([".notes"], True)])
def test_a_run_that_is_refused_leaves_nothing_behind(kept, left, folder, tmp_path):
    out = tmp_path / "run"
    for name in kept:
        out.mkdir()
        (out / name).write_text("mine")
    for data in (tmp_path / "nowhere", photos(tmp_path / "one", classes=1)):
        with pytest.raises(OverfocusError):
            next(train(Experiment.read(settings(data), "test"), out))
    assert (out / "experiment.toml").exists() is False
    assert [name for name in kept if not (out / name).exists()] == []
    assert out.exists() is left


def test_a_run_that_cannot_go_on_keeps_what_it_has(folder, tmp_path):
    data = photos(tmp_path / "photos")
    list(train(Experiment.read(settings(data), "test"), tmp_path / "run"))
    (tmp_path / "run" / "manifest.json").unlink()
    shutil.rmtree(data / "train" / "class1")
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    with pytest.raises(OverfocusError, match="class1"):
        list(train(Experiment.read(settings(data), "test"), tmp_path / "run"))
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before


def test_a_folder_that_cannot_be_made_is_told(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OverfocusError, match="cannot be written"):
        next(train(Experiment.read(settings(folder), "test"), tmp_path / "file" / "run"))


def test_two_processes_cannot_take_the_same_run_and_a_killed_one_holds_nothing(folder, tmp_path):
    values, out = settings(folder, recipe__epochs=1), tmp_path / "run"
    holder = Running(stuck, tmp_path / "log", values, str(out), "last.ckpt", 1).until("stuck")
    with pytest.raises(OverfocusError, match="being trained by another process"):
        next(train(Experiment.read(values, "test"), out))
    other = Running(training, tmp_path / "log2", values, str(out))
    assert other.end() == 2
    assert "being trained by another process" in other.said
    holder.signal(signal.SIGKILL).end()
    assert len(list(train(Experiment.read(values, "test"), out))) == 1


def test_the_manifest_comes_last(folder, tmp_path):
    values, out = settings(folder, recipe__epochs=1), tmp_path / "run"
    Running(stuck, tmp_path / "log", values, str(out), "manifest.json", 1).until("stuck").signal(signal.SIGKILL).end()
    for name in ("weights.safetensors", "best.safetensors", "epochs.jsonl", "epochs.csv", "checkpoint/last.ckpt"):
        assert (out / name).is_file(), name
    with pytest.raises(OverfocusError, match="stopped before its end; run its train command again"):
        evaluate_run(out, [])


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_are_as_readable_as_the_umask_says(umask, mode, folder, tmp_path):
    before = os.umask(umask)
    try:
        list(train(Experiment.read(settings(folder, recipe__epochs=1), "test"), tmp_path / "run"))
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "run").rglob("*") if file.is_file()}
    assert modes == dict.fromkeys(modes, mode)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("manifest.json", "{", "manifest.json is damaged"),
        ("experiment.toml", "[data", "experiment.toml is not a TOML file"),
        ("experiment.toml", 'color = "red"', "no setting 'color'"),
        ("weights.safetensors", "x", "weights.safetensors"),
    ],
)
def test_damaged_files_are_named(name, content, match, run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / name).write_text(content)
    with pytest.raises(OverfocusError, match=match):
        evaluate_run(copy, [])


def test_no_run_is_told(tmp_path):
    with pytest.raises(OverfocusError, match="no run is there"):
        Run(tmp_path).manifest()
    with pytest.raises(OverfocusError, match=r"no experiment\.toml"):
        Run(tmp_path).experiment()


def test_an_unknown_split_gets_the_nearest(run):
    with pytest.raises(OverfocusError, match="did you mean 'test'"):
        evaluate_run(run, ["tset"])


def test_other_data_than_it_was_trained_on_is_told(run, tmp_path):
    other = photos(tmp_path / "other", classes=3)
    for part in ("train", "test"):
        for number in range(3):
            (other / part / f"class{number}").rename(other / part / f"kind{number}")
    with pytest.raises(OverfocusError, match=r"3 classes and 3 channels there, 3 and 3 in .*; give the data that"):
        as_trained(Experiment.read(settings(other), "test").dataset(), Run(run))
    more = Experiment.read(settings(photos(tmp_path / "more", classes=4)), "test").dataset()
    with pytest.raises(OverfocusError, match="'class3'"):
        as_trained(more, Run(run))
    fewer = Experiment.read(settings(photos(tmp_path / "fewer", classes=2)), "test").dataset()
    assert as_trained(fewer, Run(run)).splits["test"].counts().tolist() == [6, 6, 0]


def test_a_run_is_not_resumed_with_classes_in_another_order(tmp_path):
    data = photos(tmp_path / "data", classes=2)
    experiment = Experiment.read(settings(data), "test")
    epochs = train(experiment, tmp_path / "run")
    next(epochs)
    epochs.close()
    for part in ("train", "test"):
        (data / part / "class0").rename(data / part / "zebra")
    with pytest.raises(OverfocusError, match="other classes than data has now: 'class0' is 'class1'"):
        list(train(experiment, tmp_path / "run"))
