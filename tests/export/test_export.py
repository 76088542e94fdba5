"""Exports of real runs: equal, usable without overfocus by the code of their own card, refused where they differ."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.preprocess import Preprocess
from overfocus.data.resize import fit
from overfocus.export import export as module
from overfocus.export.card import card
from overfocus.export.export import KINDS, export_run
from overfocus.training.checkpoint import load_run
from overfocus.training.experiment import Experiment
from overfocus.training.loop import train
from overfocus.training.run import Run

NAMES = ("a\u00e4", "---", "<b>|`")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for name in NAMES:
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (36, 33, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


def trained(photos, folder, model):
    experiment = Experiment.model_validate(
        {
            "data": {"name": str(photos), "size": (36, 33)},
            "model": model,
            "method": "cutmix + sgdrop",
            "recipe": {"epochs": 1, "batch": 6},
        }
    )
    list(train(experiment, folder))
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    small = {"name": "overfocus_cnn", "settings": {"widths": [4, 6, 8]}}
    return trained(photos, tmp_path_factory.mktemp("runs") / "own", small)


def code_of(folder):
    """Return the Python of the card."""
    return re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]


def answers(folder, images, *, without=""):
    """Run the card's code in a process of its own, in the folder, and return what it makes of `images`."""
    np.save(folder / "pixels.npy", images.numpy())
    hidden = f"import sys; sys.modules[{without!r}] = None\n" if without else ""
    given = "import numpy as np, torch\npixels = np.load('pixels.npy')\n"
    code = code_of(folder)
    given += "" if "onnxruntime" in code else "pixels = torch.from_numpy(pixels)\n"
    ask = "" if "logits" in code else "logits = model(pixels)\n"
    save = "np.save('logits.npy', logits if isinstance(logits, np.ndarray) else logits.detach().numpy())\n"
    subprocess.run([sys.executable, "-c", hidden + given + code + ask + save], cwd=folder, check=True)
    return torch.from_numpy(np.load(folder / "logits.npy"))


def images_of(run):
    config = json.loads((run / "manifest.json").read_text())
    pixels = torch.rand(5, 3, 36, 33, generator=torch.Generator().manual_seed(3))
    mean, std = (torch.tensor(config[name]).view(-1, 1, 1) for name in ("mean", "std"))
    return pixels, (pixels - mean) / std


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_the_card_answers_as_the_run(run, tmp_path, kind):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    told = export_run(run, kind, tmp_path / "out")
    assert told["images"] == 9
    assert told["largest_difference"] < 1e-4
    assert {"README.md", "config.json"} < set(told["files"])
    pixels, normalised = images_of(run)
    with torch.no_grad():
        expected = load_run(run)(normalised)
    found = answers(tmp_path / "out", normalised if kind == "safetensors" else pixels)
    assert torch.allclose(found, expected, atol=1e-4)
    if kind != "safetensors":
        assert told["largest_difference_resized"] < 1e-4  # stored as the network takes them
        assert_any_size(run, tmp_path / "out", kind)


def assert_any_size(run, folder, kind):
    """Check that a program brings pictures of other sizes to its own as training does."""
    model, how = load_run(run), Preprocess.of_manifest(json.loads((run / "manifest.json").read_text()))
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (how.mean, how.std))
    for count, height, width in ((1, 50, 41), (3, 20, 90), (2, 12, 7)):
        stored = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))
        levels = (stored * 255).round().to(torch.uint8)
        with torch.no_grad():
            expected = model((fit(levels, how) / 255 - mean) / std).softmax(dim=1)
            found = program_of(folder, kind)(levels / 255).softmax(dim=1)
        assert torch.allclose(found, expected, atol=0.01)
        assert not torch.allclose(found[:1], found.roll(1, 0)[:1], atol=1e-6) or count == 1


def program_of(folder, kind):
    if kind == "torch-export":
        return torch.export.load(folder / "model.pt2").module()
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


def test_a_program_that_resizes_otherwise_is_not_written(tmp_path):
    source = np.random.default_rng(1)
    for part in ("train", "test"):
        for label, name in enumerate("abc"):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for number in range(3):
                pixels = source.integers(0, 90, (40, 71, 3), dtype=np.uint8)
                pixels[:, 20 * label : 20 * label + 20] += 150
                Image.fromarray(pixels).save(tmp_path / "photos" / part / name / f"{number}.png")
    small = {"name": "overfocus_cnn", "settings": {"widths": [4, 6, 8]}}
    source = module._source(Run(trained(tmp_path / "photos", tmp_path / "run", small)), best=False, root=None)
    assert module._compared_stored(source, source.program, "onnx") < 0.02
    with pytest.raises(OverfocusError, match="of other sizes"):
        module._compared_stored(source, lambda pixels: 9 * source.program(pixels.flip(3)) + pixels.mean(), "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "timm:resnet10t"])
def test_a_network_of_others_needs_their_library_alone(photos, tmp_path, name):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    run = trained(photos, tmp_path / "run", {"name": name})
    export_run(run, "safetensors")
    assert "overfocus" not in code_of(run / "export-safetensors")
    _, normalised = images_of(run)
    with torch.no_grad():
        expected = load_run(run)(normalised)
    assert torch.allclose(answers(run / "export-safetensors", normalised, without="overfocus"), expected, atol=1e-5)


def test_config_and_card_say_what_the_run_was(run, tmp_path):
    export_run(run, "safetensors", tmp_path / "out", best=True)
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert sorted(config["id2label"].values()) == sorted(NAMES)
    assert config["image_size"] == [36, 33]
    assert config["settings"] == {"widths": [4, 6, 8]}
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    front = text.split("---\n")[1]
    read = {line.split(": ", 1)[0]: json.loads(line.split(": ", 1)[1]) for line in front.splitlines()}
    assert read["model-index"][0]["name"] == "overfocus_cnn cutmix + sgdrop"
    assert "cutmix + sgdrop" in text
    assert "the images it was chosen on" in text


def test_names_of_the_data_are_shown_and_not_obeyed(run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["data"]["note"] = "<script>alert(1)</script>\n# [a](javascript:b) | `c`"
    manifest["last"]["scores"] = {"--- <img src=x>\n---": {"accuracy": 0.5, "loss": 1.0, "images": 9}}
    config = {"architecture": "a\n---\nb", "settings": {}, "num_classes": 3, "image_size": [2, 3], "channels": 3}
    text = card("onnx", config, manifest, best=False)
    assert "<script" not in text.split("\n---\n", 1)[1]
    assert "<img" not in text.split("\n---\n", 1)[1]
    assert "](javascript" not in text
    assert text.count("\n---\n") == 1


def test_a_model_that_answers_otherwise_is_not_written(run, tmp_path, monkeypatch):
    def shifted(source, folder):
        (folder / "model.safetensors").write_text("x")
        return lambda images: source.model(images) + 0.01

    monkeypatch.setitem(module.KINDS, "safetensors", shifted)
    with pytest.raises(OverfocusError, match="answers otherwise"):
        export_run(run, "safetensors", tmp_path / "out")
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(
        module.KINDS, "safetensors", lambda source, folder: lambda images: images.new_full((1,), torch.nan)
    )
    with pytest.raises(OverfocusError, match="answers otherwise"):
        export_run(run, "safetensors", tmp_path / "out")


def test_nothing_but_an_export_is_replaced(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(OverfocusError, match="is no export"):
        export_run(run, "safetensors", tmp_path / "mine")
    export_run(run, "safetensors", tmp_path / "out")
    export_run(run, "torch-export", tmp_path / "out")
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"README.md", "config.json", "model.pt2"}
    with pytest.raises(UnknownName, match="torch-export"):
        export_run(run, "torch-exprt")
    with pytest.raises(OverfocusError, match="not a finished run"):
        export_run(tmp_path, "onnx")


def test_without_onnx_it_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OverfocusError, match=r"overfocus\[onnx\]"):
        export_run(run, "onnx", tmp_path / "out")


def test_nothing_of_training_is_left(run):
    assert not any(module._forward_hooks for module in load_run(run).modules())
    assert all(type(each).__module__.startswith(("torch", "overfocus.models")) for each in load_run(run).modules())
    assert isinstance(load_run(run), nn.Module)
