"""`overfocus predict` as a person uses it: right classes, thresholds counted by hand, damaged and hostile files."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import overfocus as of
from overfocus.commands import predict as command
from overfocus.core.errors import OverfocusError
from overfocus.export.export import export_run
from overfocus.training.experiment import Experiment
from overfocus.training.loop import train

CLASSES = ("\u00e4pfel", "=1+1", "b")
SIZE = (18, 14)


def draw(path, label, source, size=(23, 31)):
    """Write noise with the colour of a class: each of the three is bright in one channel."""
    pixels = source.integers(0, 90, (*size, 3), dtype=np.uint8)
    pixels[..., label] += 130
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, source = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 4), ("test", 2)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                draw(folder / part / name / f"{number}.png", label, source)
    settings = {
        "data": {"name": str(folder), "size": SIZE, "augment": {}},
        "model": {"settings": {"widths": [4, 6, 8]}},
        "recipe": {"epochs": 6, "batch": 6, "lr": 0.05, "precision": "32-true"},
    }
    list(train(Experiment.model_validate(settings), folder / "run"))
    return folder / "run"


@pytest.fixture
def new(tmp_path):
    """Three pictures of each class in folders of folders."""
    source = np.random.default_rng(7)
    for label in range(3):
        for number in range(3):
            draw(tmp_path / "new" / "a" / f"{label}{number}.png", label, source, (40 + number, 25))
    return tmp_path / "new"


def rows_of(path):
    return list(csv.DictReader(path.open(encoding="utf-8", newline="")))


def changed(run, tmp_path, **confidence):
    """Copy a run with other held-out answers, or with none."""
    folder = tmp_path / "changed"
    folder.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((run / "manifest.json").read_text())
    kept = manifest.pop("confidence")
    (folder / "manifest.json").write_text(
        json.dumps(manifest | ({"confidence": kept | confidence} if confidence else {}))
    )
    return folder


def test_every_picture_has_its_class(overfocus, run, new, tmp_path):
    code, _, told = overfocus("predict", run, new, "--out", tmp_path / "p.csv", "--top", 2)
    rows = rows_of(tmp_path / "p.csv")
    assert code == 0
    assert [Path(row["file"]).name for row in rows] == sorted(path.name for path in new.rglob("*.png"))
    names = dict(enumerate(CLASSES)) | {1: "'=1+1"}  # no spreadsheet runs it
    assert [row["class"] for row in rows] == [names[int(Path(row["file"]).name[0])] for row in rows]
    assert all(float(row["confidence"]) > float(row["confidence_2"]) for row in rows)
    assert {"class_2"} < rows[0].keys()
    assert "class_3" not in rows[0]
    assert {row["unsure"] for row in rows} == {""}
    assert "calibrated on 12 held-out pictures" in told


def test_json_is_one_list_and_nothing_else(overfocus, run, new):
    code, text, _ = overfocus("predict", run, new, "--json")
    found = json.loads(text)
    assert code == 0
    assert [each["class"] for each in found] == [CLASSES[number // 3] for number in range(9)]
    assert len(found[0]["runners_up"]) == 2
    assert sum(each["confidence"] for each in found[0]["runners_up"]) + found[0]["confidence"] == pytest.approx(1)


def test_damaged_and_foreign_files_are_named_and_the_others_go_on(overfocus, run, new, tmp_path):
    whole = (new / "a" / "00.png").read_bytes()
    (new / "=cmd.png").write_bytes(whole)
    (new / "\u00fcber \u202ex.png").write_bytes(whole)
    (new / "cut.png").write_bytes(whole[: len(whole) // 2])
    (new / "empty.jpg").write_bytes(b"")
    (new / "text.jpg").write_text("no picture")
    (new / "clip.mp4").write_bytes(b"0")
    film = tmp_path / "film.mp4"
    film.write_bytes(b"0")
    code, _, told = overfocus("predict", run, new, film, "--out", tmp_path / "p.csv")
    rows = {Path(row["file"].removeprefix("'")).name: row for row in rows_of(tmp_path / "p.csv")}
    assert code == 3
    assert len(rows) == 9 + 5
    for name in ("cut.png", "empty.jpg", "text.jpg"):
        assert rows[name]["error"]
        assert rows[name]["class"] == rows[name]["confidence"] == ""
    assert sum(bool(row["error"]) for row in rows.values()) == 3
    assert rows["=cmd.png"]["class"] == rows["\u00fcber \ufffdx.png"]["class"] == CLASSES[0]
    assert str(film) in told
    assert ".mp4 1" in told


def test_a_relative_name_is_no_formula(overfocus, run, new, tmp_path, monkeypatch):
    monkeypatch.chdir(new / "a")
    Path("00.png").rename("=cmd|'x'.png")
    assert overfocus("predict", run, "=cmd|'x'.png", "--out", tmp_path / "p.csv")[0] == 0
    assert rows_of(tmp_path / "p.csv")[0]["file"] == "'=cmd|'x'.png"


def test_exif_turn_gives_the_answer_of_the_upright_picture(run, tmp_path):
    source = np.random.default_rng(3)
    upright = Image.fromarray(source.integers(0, 256, (33, 21, 3), dtype=np.uint8))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    model = of.load_model(run)
    logits = model([tmp_path / "upright.png", tmp_path / "turned.png"])
    assert torch.equal(logits[0], logits[1])
    assert torch.allclose(model(Image.open(tmp_path / "turned.png"))[0], logits[0], atol=1e-5)
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png")
    assert not torch.allclose(model(tmp_path / "lying.png")[0], logits[0], atol=1e-3)


def test_a_threshold_marks_what_is_unsure(overfocus, run, new, tmp_path):
    _, text, _ = overfocus("predict", run, new, "--json")
    shares = sorted(each["confidence"] for each in json.loads(text))
    middle = (shares[3] + shares[4]) / 2
    planted = changed(run, tmp_path, confidences=[1.0, middle, middle / 2], right=[1, 1, 0])
    code, text, told = overfocus("predict", planted, new, "--json", "--accuracy", 0.9)
    found = json.loads(text)
    assert code == 0
    assert sum(each["unsure"] for each in found) == 4
    assert all(each["unsure"] == (each["confidence"] < middle) for each in found)
    assert "5 of 9 (55.6%)" in told
    assert "66.7%" in told
    _, text, _ = overfocus("predict", planted, new, "--json", "--accuracy", 0.6)
    assert not any(each["unsure"] for each in json.loads(text))


def test_an_accuracy_without_a_threshold_is_an_error_before_any_work(overfocus, run, new, tmp_path):
    planted = changed(run, tmp_path, confidences=[0.9, 0.8], right=[0, 1])
    code, _, told = overfocus("predict", planted, new, "--accuracy", 0.9, "--out", tmp_path / "p.csv")
    assert code == 2
    assert "0.500" in told
    assert not (tmp_path / "p.csv").exists()
    assert overfocus("predict", run, new, "--accuracy", 2)[0] == 2


def test_a_run_without_held_out_answers_still_works_and_says_so(overfocus, run, new, tmp_path):
    old = changed(run, tmp_path)
    code, text, told = overfocus("predict", old, new, "--json")
    assert code == 0
    assert len(json.loads(text)) == 9
    assert "not calibrated" in told
    code, _, told = overfocus("predict", old, new, "--accuracy", 0.9)
    assert code == 2
    assert "no threshold" in told


def test_temperature_is_what_divides_the_logits(run, new, tmp_path):
    files = sorted(map(str, new.rglob("*.png")))
    model = of.load_model(changed(run, tmp_path, temperature=3.0))
    expected = (model(files).double() / 3).softmax(dim=1).amax(dim=1)
    assert [each.confidence for each in model.predict(files)] == pytest.approx(expected.tolist(), abs=1e-5)


def test_maps_are_written_beside_one_another_and_measured(overfocus, run, new, tmp_path):
    (new / "b").mkdir()
    (new / "b" / "00.png").write_bytes((new / "a" / "00.png").read_bytes())
    code, _, _ = overfocus("predict", run, new, "--maps", tmp_path / "maps", "--out", tmp_path / "p.csv")
    rows = rows_of(tmp_path / "p.csv")
    assert code == 0
    assert len({row["map"] for row in rows}) == 10 == sum(Path(row["map"]).is_file() for row in rows)
    assert (tmp_path / "maps" / "b" / "00.png.png").is_file()
    assert all(0 < float(row["effective_area"]) <= 1 for row in rows if row["effective_area"])
    assert overfocus("predict", run, tmp_path / "maps", "--maps", tmp_path / "maps")[0] == 2


@pytest.mark.parametrize("kind", ["safetensors", "onnx"])
def test_an_export_answers_as_the_run(overfocus, run, new, tmp_path, kind, monkeypatch):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    export_run(run, kind, tmp_path / "out")
    runs, exports = (json.loads(overfocus("predict", each, new, "--json")[1]) for each in (run, tmp_path / "out"))
    for one, other in zip(runs, exports, strict=True):
        assert one["class"] == other["class"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-4)
    assert of.load_model(tmp_path / "out").held_out == of.load_model(run).held_out
    if kind == "onnx":
        assert overfocus("predict", tmp_path / "out", new, "--maps", tmp_path / "maps")[0] == 2
        assert overfocus("predict", tmp_path / "out" / "model.onnx", new, "--json")[0] == 0
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(OverfocusError, match=r"overfocus\[onnx\]"):
            of.load_model(tmp_path / "out")


def test_a_program_that_may_run_code_is_not_read(overfocus, new, tmp_path):
    (tmp_path / "model.pt2").write_bytes(b"x")
    for what in (tmp_path, tmp_path / "model.pt2"):
        code, _, told = overfocus("predict", what, new)
        assert code == 2
        assert "run code" in told
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "model.pt2").unlink()
    assert overfocus("predict", tmp_path, new)[0] == 2


def test_bare_weights_with_their_preprocessing(overfocus, run, new, tmp_path):
    (tmp_path / "net.safetensors").write_bytes((run / "weights.safetensors").read_bytes())
    told = json.loads((run / "manifest.json").read_text())
    mean, std = (",".join(map(str, told[name])) for name in ("mean", "std"))
    words = ["predict", tmp_path / "net.safetensors", new, "--model", "overfocus_cnn", "--mean", mean, "--std", std]
    assert overfocus(*words)[0] == 2  # 16 channels, not 4
    made = of.load_model(
        tmp_path / "net.safetensors", model="overfocus_cnn", settings={"widths": [4, 6, 8]}, classes=CLASSES,
        preprocess=of.Preprocess(size=SIZE, mean=tuple(told["mean"]), std=tuple(told["std"])),
    )  # fmt: skip
    files = sorted(map(str, new.rglob("*.png")))
    assert torch.equal(made(files), of.load_model(run)(files))
    with pytest.raises(OverfocusError, match="--size"):
        of.load_model(
            tmp_path / "net.safetensors", model="overfocus_cnn", settings={"widths": [4, 6, 8]}, classes=CLASSES,
            preprocess=of.Preprocess(mean=tuple(told["mean"]), std=tuple(told["std"])),
        )  # fmt: skip


def test_paths_that_find_nothing_are_errors(overfocus, run, new, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "*.gif", tmp_path / "empty"):
        code, _, told = overfocus("predict", run, path)
        assert code == 2
        assert str(path) in told
    assert len(json.loads(overfocus("predict", run, new / "**" / "0*.png", new / "a" / "00.png", "--json")[1])) == 3


def test_a_module_that_takes_pictures_and_tensors(run, new):
    model, files = of.load_model(run), sorted(new.rglob("*.png"))
    assert isinstance(model, torch.nn.Module)
    assert not model.network.training
    assert sorted(model.classes) == sorted(CLASSES)
    pixels = torch.from_numpy(np.array(Image.open(files[0]))).permute(2, 0, 1)[None]
    expected = model(files[0])
    for given in (pixels, [Image.open(files[0])], str(files[0])):
        assert torch.equal(model(given), expected)
    floats = (pixels / 255).requires_grad_()
    assert torch.allclose(model(floats), expected, atol=0.05)  # not rounded to levels after the resize
    model(floats).sum().backward()
    assert floats.grad is not None
    assert floats.grad.abs().sum() > 0
    assert [each.predicted for each in model.predict(files)] == [CLASSES[number // 3] for number in range(9)]
    assert model.predict(pixels)[0].file == ""
    for wrong in (pixels.float(), (pixels / 255 - 0.5), pixels[0], pixels[:, :1], []):
        with pytest.raises(OverfocusError):
            model(wrong)


def test_little_is_kept_of_many_pictures(run, tmp_path, monkeypatch):
    """Count the pictures that are alive while 600 go by: those of a few batches, whatever the number."""
    picture = draw(tmp_path / "one.png", 0, np.random.default_rng(0), (9, 9))
    alive, most, read = set(), [0], [0]
    original = of.load_model.__globals__["FittedImages"].read

    class Kept(torch.Tensor):
        def __del__(self):
            alive.discard(id(self))

    def counted(self, index):
        found = original(self, index).as_subclass(Kept)
        alive.add(id(found))
        read[0] += 1
        most[0] = max(most[0], len(alive))
        return found

    monkeypatch.setattr(of.load_model.__globals__["FittedImages"], "read", counted)
    monkeypatch.setattr("overfocus.data.ahead.processors", lambda: 2)
    model = of.load_model(run)
    sizes = [len(answered.predictions) for answered in model.stream([str(picture)] * 600, batch=10)]
    assert sizes == [10] * 60
    assert read[0] == 600
    assert most[0] <= 10 * 6


def test_a_csv_is_there_whole_or_not_at_all(run, new, tmp_path, monkeypatch):
    request = command.PredictRequest(str(run), (str(new),), out=tmp_path / "p.csv", device="cpu")

    def stop(row):
        assert not (tmp_path / "p.csv").exists()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        command.predict(request, stop)
    assert not list(tmp_path.glob("*.csv")) + list(tmp_path.glob(".p.csv*"))
    command.predict(request)
    assert len(rows_of(tmp_path / "p.csv")) == 9
