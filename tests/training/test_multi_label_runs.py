"""Several labels of an image from a table to scores: training, probe, evaluation, explanation."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

import overfocus as of
from overfocus.cli.app import app
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data import Stream
from overfocus.diagnosis.examination import tried
from overfocus.export.export import export_run
from overfocus.metrics.label_thresholds import LabelThresholds
from overfocus.report.terminal.predictions import print_prediction
from overfocus.training.evaluate_labels import label_logits, label_report
from overfocus.training.experiment import Experiment
from overfocus.training.finetune import Judged, probe_of
from overfocus.training.label_probe import fit_labels
from overfocus.training.linear_probe import Features
from overfocus.training.loop import train

SIDE = 16


def attributes(folder: Path, count: int) -> Path:
    """Write pictures with two attributes of their own, stripes that lie (and do not stand) and a red (not blue) colour,
    and a third label that one picture in three has: a white bar.
    """
    random = np.random.default_rng(0)
    (folder / "img").mkdir(parents=True)
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"))
    rows = ["file,part,lying,red,bar"]
    for number in range(count):
        lying, red, bar = number % 2, number // 2 % 2, int(number % 3 == 0)
        centre = random.integers(6, 10, 2)[:, None, None]
        away = np.abs(grid - centre)
        shape = (away.max(0) <= 5) & (grid[0 if lying else 1] % 4 < 2)
        pixels = random.integers(0, 60, (SIDE, SIDE, 3))
        pixels[shape] = (220, 30, 30) if red else (30, 30, 220)
        pixels[:2] = 255 if bar else pixels[:2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "img" / f"{number:03}.png")
        part = "train" if number % 5 < 3 else "val" if number % 5 == 3 else "test"
        rows.append(f"{number:03},{part},{lying},{red},{bar}")
    (folder / "photos.csv").write_text("\n".join(rows) + "\n")
    return folder / "photos.csv"


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return attributes(tmp_path_factory.mktemp("attributes"), 240)


def run(capsys, *arguments: str) -> str:
    """Run the command line; what it printed on standard output."""
    app(list(arguments), standalone_mode=False)
    return capsys.readouterr().out


SETTINGS = [
    "--epochs", "10", "--batch", "16", "--lr", "0.05", "--set", "model.settings.widths=[8,16]",
    "--set", "recipe.precision=32-true", "--set", "data.augment={}",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory) -> Path:
    """A run that learned the planted attributes through the command line."""
    out = tmp_path_factory.mktemp("run") / "run"
    method = "mixup(prob=0.3) + sgdrop(prob=0.3)"
    command = ["train", "--data", str(table), "--labels", "multi", "--method", method, "--out", str(out), *SETTINGS]
    app(command, standalone_mode=False)
    return out


def test_planted_attributes_are_learned(trained):
    """All four combinations of shape and colour, and a bar, are named: three questions, three answers."""
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["multi_label"]
    assert manifest["classes"] == ["lying", "red", "bar"]
    scores = manifest["labels"]["scores"]["test"]
    assert scores["mean_average_precision"]["value"] > 0.9
    for label in ("lying", "red", "bar"):
        assert scores["labels"][label]["average_precision"]["value"] > 0.85, label
        assert scores["labels"][label]["f1"]["value"] > 0.75, label
    assert manifest["labels"]["thresholds"] != [0.5, 0.5, 0.5]
    assert manifest["last"]["scores"]["test"]["images"] == 48
    assert manifest["best"]["split"] == "val"


def test_evaluate_gives_the_same_scores_at_the_thresholds_that_the_run_keeps(trained, capsys):
    kept = json.loads((trained / "manifest.json").read_text())["labels"]
    scores = json.loads(run(capsys, "evaluate", str(trained), "--json"))["test"]
    assert scores["labels"] == kept["scores"]["test"]["labels"]
    assert [each["threshold"] for each in scores["labels"].values()] == kept["thresholds"]
    said = run(capsys, "evaluate", str(trained))
    assert all(name in said for name in ("lying", "red", "bar", "average precision", "F1"))


def test_one_label_is_explained_and_a_diagnosis_refuses(trained, table, tmp_path, capsys):
    picture = str(table.parent / "img" / "003.png")  # red, lying stripes, and a bar
    asked = {}
    for label in ("lying", "red", "bar"):
        words = ("explain", str(trained), picture, "--target", label, "--out", str(tmp_path / "e"), "--json")
        (found,) = json.loads(run(capsys, *words))
        assert found["asked"] == label
        asked[label] = found["probability"]
    assert sum(asked.values()) > 1.2  # labels do not exclude one another
    for command in (
        ["diagnose", str(trained), "--out", str(tmp_path / "d")],
        ["evaluate", str(trained), "--refit", str(table)],
    ):
        with pytest.raises(OverfocusError, match="one class"):
            run(capsys, *command)
    assert not (tmp_path / "d").exists()


def test_the_last_evaluation_is_computed_once(table, tmp_path, monkeypatch):
    evaluated, epoch = [], Stream.epoch

    def counted(self, *arguments):
        evaluated.extend([len(self.split)] * (not self.train))
        return epoch(self, *arguments)

    monkeypatch.setattr(Stream, "epoch", counted)
    data = {"name": str(table), "labels": "multi", "augment": {}}
    model, recipe = {"settings": {"widths": [4]}}, {"epochs": 1, "batch": 48, "precision": "32-true"}
    list(train(Experiment.model_validate({"data": data, "model": model, "recipe": recipe}), tmp_path / "run"))
    assert evaluated == [48, 48]  # val and test


def held_out(table: Path) -> list[str]:
    return [str(file) for file in sorted((table.parent / "img").iterdir()) if int(file.stem) % 5 == 3]


def test_predicted_labels_are_those_whose_scores_the_run_keeps(trained, table, tmp_path, capsys):
    """F1 counted from the CSV alone, by scikit-learn, is the one that the run found at its thresholds."""
    run(capsys, "predict", str(trained), *held_out(table), "--out", str(tmp_path / "p.csv"))
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    truth = {row["file"]: row for row in csv.DictReader(table.open())}
    kept = json.loads((trained / "manifest.json").read_text())["labels"]
    for name, threshold in zip(("lying", "red", "bar"), kept["thresholds"], strict=True):
        said = [name in row["labels"].split("|") for row in rows]
        assert said == [float(row[f"probability_{name}"]) >= threshold - 1e-5 for row in rows]
        true = [truth[Path(row["file"]).stem][name] == "1" for row in rows]
        assert f1_score(true, said) == pytest.approx(kept["scores"]["val"]["labels"][name]["f1"]["value"])
    assert len({row["labels"] for row in rows}) > 4


def test_predictions_of_labels_in_json_in_python_and_in_the_terminal(trained, table, tmp_path, capsys):
    files, model = held_out(table)[:5], of.load_model(trained)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = json.loads(run(capsys, "predict", str(trained), *files, str(tmp_path / "broken.png"), "--json"))
    assert found.pop()["error"]
    shares = model(files).sigmoid()
    for row, mine, answer in zip(found, shares, model.predict(files), strict=True):
        assert list(row["probabilities"]) == ["lying", "red", "bar"]
        assert list(row["probabilities"].values()) == pytest.approx(mine.tolist(), abs=1e-6)
        assert (tuple(row["labels"]), row["class"]) == (answer.labels, answer.predicted)
        assert row["confidence"] == max(row["probabilities"].values())
    model.thresholds = LabelThresholds((1.0, 0.0, 1.0), "planted")
    assert {answer.labels for answer in model.predict(files)} == {("red",)}
    with pytest.raises(OverfocusError, match="one class"):
        model.predict(files, accuracy=0.9)
    assert of.load_model(trained, best=True).thresholds == LabelThresholds.read(None, 3)
    model.thresholds = LabelThresholds((1.0, 1.0, 1.0), "planted")
    print_prediction(model.predict(files[0])[0])
    assert capsys.readouterr().out.endswith("no label\n")


@pytest.mark.parametrize("kind", ["safetensors", pytest.param("onnx", marks=pytest.mark.slow)])
def test_an_export_gives_the_labels_of_its_run(trained, table, tmp_path, kind):
    export_run(trained, kind, tmp_path / kind)
    files = held_out(table)
    ours, theirs = (of.load_model(each) for each in (trained, tmp_path / kind))
    assert [row.labels for row in theirs.predict(files)] == [row.labels for row in ours.predict(files)]
    kept = json.loads((trained / "manifest.json").read_text())["labels"]["thresholds"]
    assert theirs.thresholds == ours.thresholds
    assert theirs.thresholds is not None
    assert list(theirs.thresholds.values) == kept
    with pytest.raises(OverfocusError, match="several labels"):
        tried(theirs.classifier, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kept", [{"thresholds": [0.5], "why": ""}, {"thresholds": [0.5, 0.1, 1.5], "why": ""}, {"thresholds": None}]
)
def test_damaged_thresholds_are_refused(kept):
    with pytest.raises(OverfocusError, match="threshold"):
        LabelThresholds.read(kept, 3)


def test_evaluation_does_not_depend_on_the_batch_and_equals_the_loss_of_pytorch(trained):
    from overfocus.training.checkpoint import load_data, load_run
    from overfocus.training.evaluate import evaluate
    from overfocus.training.run import Run

    model, (experiment, dataset) = load_run(trained), load_data(Run(trained))
    stream = experiment.stream(dataset, "test")
    logits, labels = label_logits(model, stream), stream.split.labels
    alone = torch.cat([model(stream_images).detach() for stream_images, _, _ in stream.epoch()])
    assert torch.allclose(logits, alone, atol=1e-5)
    scores = evaluate(model, stream)
    assert scores["loss"] == pytest.approx(
        torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float()).item()
    )
    expected = np.mean([average_precision_score(labels[:, k], logits[:, k]) for k in range(3)])
    assert scores["mean_average_precision"] == pytest.approx(expected)


def test_thresholds_without_held_out_images_are_one_half_and_said():
    logits, labels = torch.randn(20, 4), torch.rand(20, 4) < 0.5
    report = label_report({"test": logits}, {"test": labels}, tuple("abcd"))
    assert report["thresholds"] == [0.5] * 4
    assert "data.val" in report["why"]
    labels[:, 2] = False
    report = label_report({"val": logits, "test": logits}, {"val": labels, "test": labels}, tuple("abcd"))
    assert report["thresholds"][2] == 0.5
    assert "0.5 for c" in report["why"]


def features(count: int = 80) -> Features:
    """Features [N, D] with K = 4 labels, N != D != K; the last is independent of them."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(count, 6, generator=random)
    labels = torch.stack((values[:, 0] > 0, values[:, 1] + values[:, 2] > 0.8, values[:, 3] < -0.5), 1)
    return Features(values, torch.cat((labels, torch.rand(count, 1, generator=random) < 0.3), 1))


def test_the_probe_is_a_logistic_regression_of_each_label():
    found = features()
    head = fit_labels(found, tuple("abcd"), Key.seeded(0), probe_of)
    assert head.weight.shape == (4, 6)
    logits = head.logits(found)
    for k in (0, 2):
        assert roc_auc_score(found.labels[:, k], logits[:, k]) > 0.97
        own = probe_of(Features(found.values, found.labels[:, k].long()), 2, Key.seeded(0).fold_in(k))
        scaled = (found.values - found.values.mean(0)) / found.values.std(0, unbiased=False)
        alone = LogisticRegression(C=1 / own.penalty, max_iter=2000).fit(scaled.double(), found.labels[:, k])
        assert np.allclose(alone.decision_function(scaled.double()), logits[:, k], atol=5e-3)


@pytest.mark.parametrize("value", [False, True])
def test_a_label_of_one_image_is_named(value):
    found = features()
    found.labels[:, 1] = value
    found.labels[0, 1] = not value
    with pytest.raises(OverfocusError, match="label 'b'"):
        fit_labels(found, tuple("abcd"), Key.seeded(0), probe_of)


def test_the_better_of_probe_and_fine_tuned_network_is_kept_by_mean_average_precision():
    probe = {"val": {"mean_average_precision": 0.8, "accuracy": 0.5, "images": 20}}
    tuned = {"val": {"mean_average_precision": 0.7, "accuracy": 0.9, "images": 20}}
    assert Judged(probe, tuned, "mean_average_precision").keeps_probe
    assert not Judged(tuned, probe, "mean_average_precision").keeps_probe
