"""The command, from runs to numbers, for both tasks."""

import json

import pytest
from test_carrying import trained
from typer.testing import CliRunner

from overfocus.cli.app import app
from overfocus.core.errors import OverfocusError
from overfocus.training.run import Run


def told(*words):
    """Run the command; return standard output, and standard error."""
    result = CliRunner().invoke(app, ["transfer", *map(str, words)], catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory, photos_folder):
    root = tmp_path_factory.mktemp("runs")
    return [trained(root / method, photos_folder, method) for method in ("plain", "cutout")]


SMALL = ("--epochs", 1, "--batch", 4, "--set", "train_images=4", "--set", "test_images=3")


def test_detection_by_command(runs, tmp_path):
    pytest.importorskip("pycocotools")
    out = tmp_path / "out"
    text, progress = told(*runs, *SMALL, "--out", out, "--json")
    content = json.loads(text)
    assert content == json.loads((out / "transfer.json").read_text())
    assert content["settings"]["train_images"] == 4
    assert [each["method"] for each in content["outcomes"]] == ["plain", "cutout", "scratch"]
    assert all(set(each["scores"]) == {"mAP", "AP50", "AP75"} for each in content["outcomes"])
    assert content["versions"]["pycocotools"]
    losses = [line.split("loss ")[1].split()[0] for line in progress.splitlines() if "epoch   1/1" in line]
    assert len(set(losses)) == 3, "all is drawn alike, so they can differ only by the encoder"
    shown, progress = told(*runs, *SMALL, "--out", out)
    assert progress == "", "nothing is trained again"
    assert "differences to plain" in shown
    again = json.loads(told(*runs, *SMALL, "--out", tmp_path / "again", "--json")[0])
    assert [each["scores"] for each in again["outcomes"]] == [each["scores"] for each in content["outcomes"]]
    with pytest.raises(OverfocusError, match=r"other settings \(batch\)"):
        told(*runs, *SMALL, "--batch", 2, "--out", out)


def test_detection_on_coco_and_voc(runs, tmp_path, coco_folder, voc_folder):
    pytest.importorskip("pycocotools")
    for folder in (coco_folder(), voc_folder()):
        out = tmp_path / f"{folder.name}-out"
        content = json.loads(told(runs[0], "--data", folder, "--epochs", 1, "--no-scratch", "--out", out, "--json")[0])
        assert [each["method"] for each in content["outcomes"]] == ["plain"]
        assert "left out" in content["settings"]["images"]["note"]


def test_fine_tuning_by_command(runs, tmp_path):
    from small import photos

    out, second = tmp_path / "out", photos(tmp_path / "second", classes=4, train=6)
    words = ("--task", "classify", "--data", second, "--epochs", 1, "--batch", 8, "--set", "data.per_class=5")
    content = json.loads(told(runs[0], *words, "--lr", 0.01, "--out", out, "--json")[0])
    assert content["measure"] == "test"
    assert [(each["method"], list(each["scores"])) for each in content["outcomes"]] == [
        ("plain", ["test"]), ("scratch", ["test"]),
    ]  # fmt: skip
    experiment = (out / "runs" / "plain-seed0" / "experiment.toml").read_text()
    assert "encoders/plain-seed0.safetensors" in experiment
    assert "lr = 0.01" in experiment
    own, scratch = (Run(out / "runs" / f"{name}-seed0") for name in ("plain", "scratch"))
    assert scratch.experiment().model.weights is None
    for run in (own, scratch):  # as the encoder's own run, so that nothing differs but the weights
        assert run.manifest()["mean"] == Run(runs[0]).manifest()["mean"]
    assert told(runs[0], *words, "--lr", 0.01, "--out", out)[1] == "", "nothing is trained again"


def test_the_encoder_is_carried_over_and_the_head_is_new(runs, tmp_path):
    import torch

    from overfocus.downstream.start import starts
    from overfocus.models.zoo import create_model

    start = starts(runs[:1])[0]
    start.save_encoder(tmp_path / "encoder.safetensors")
    before = start.network().state_dict()
    after = create_model("overfocus_cnn", 3, widths=[4, 8], weights=tmp_path / "encoder.safetensors").state_dict()
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (not name.startswith("fc.")), name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "detct"], "did you mean 'detect'"),
        (["--task", "classify"], "needs --data"),
        (
            ["--task", "classify", "--data", "totem", "--set", "model.name=resnet18"],
            r"leave the settings model\.\* out",
        ),
        (["--task", "classify", "--data", "totem", "--set", "seed=3"], "give --seed"),
        (["--set", "train_image=3"], "did you mean 'train_images'"),
        (["--epochs", "0"], "epochs"),
        (["--data", "totem-scene"], "did you mean 'totem-scenes'"),
        (["--data", "/nowhere"], "no such file or folder"),
    ],
)
def test_a_wrong_word_is_told(runs, tmp_path, words, message):
    with pytest.raises(OverfocusError, match=message):
        told(runs[0], "--out", tmp_path, *words)


def test_what_is_not_installed_is_told_before_anything_is_trained(runs, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torchmetrics.detection", None)
    with pytest.raises(OverfocusError, match=r"pip install 'overfocus\[detect\]'"):
        told(runs[0], "--out", tmp_path)
    assert not (tmp_path / "transfer.json").exists()
