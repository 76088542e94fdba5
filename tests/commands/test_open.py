"""The command that opens a window: which pictures and models it holds, and the way from the shell to a page."""

import http.client
import json
import shutil
import signal
import subprocess
import sys
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from overfocus.commands import open as command
from overfocus.commands.open import OpenRequest, window_of
from overfocus.core.errors import OverfocusError
from overfocus.training.experiment import Experiment
from overfocus.training.loop import train
from overfocus.viewer.routes import call

CLASSES = ("<b>äpfel</b>", "=1+1", "b")
SIZE = (18, 14)


def draw(path, label, source):
    pixels = source.integers(0, 90, (23, 31, 3), dtype=np.uint8)
    pixels[..., label] += 130
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on noise of three colours, which lie in three folders with names that a page must not believe."""
    folder, source = tmp_path_factory.mktemp("open") / "data", np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 4)):
        for label in range(3):
            for number in range(count):
                draw(folder / part / CLASSES[label].replace("/", "∕") / f"{number}.png", label, source)
    settings = {
        "data": {"name": str(folder), "size": SIZE, "augment": {}},
        "model": {"settings": {"widths": [4, 6, 8]}},
        "recipe": {"epochs": 1, "batch": 6, "precision": "32-true"},
    }
    list(train(Experiment.model_validate(settings), folder.parent / "run"))
    return folder.parent / "run"


def test_the_window_of_runs_is_over_the_pictures_of_a_diagnosis(run):
    window = window_of(OpenRequest((str(run), str(run)), limit=6))
    assert [each.name for each in window.models] == ["run (plain) #1", "run (plain) #2"]
    assert (window.pictures.own, window.pictures.size, window.trained_on.own) == (6, SIZE, 6)
    assert sorted(window.pictures.label(row) for row in range(6)) == [0, 0, 1, 1, 2, 2]
    found = call(window, "answers", {"index": 0})
    assert len(found["answers"]) == 2
    assert found["answers"][0]["rows"] == found["answers"][1]["rows"]
    assert window_of(OpenRequest((str(run),), limit=0)).pictures.own == 12
    assert window_of(OpenRequest((str(run),), split="train")).pictures.own == 24


def test_the_answer_is_that_of_a_prediction(run, tmp_path):
    """A dropped photograph is shown to the network as `predict` shows it."""
    from overfocus.diagnosis.predictor import load_model

    photo = tmp_path / "photo.jpg"
    pixels = np.random.default_rng(3).integers(0, 256, (60, 45, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(pixels).save(photo, exif=exif)
    (said,) = load_model(run).predict(photo)
    window = window_of(OpenRequest((str(run),)))
    dropped = call(window, "upload", {"name": "photo.jpg", "data": b64encode(photo.read_bytes()).decode()})
    (row, *_) = call(window, "answers", {"index": dropped["index"]})["answers"][0]["rows"]
    assert row["class"] == said.predicted
    assert row["before"] == pytest.approx(said.confidence, abs=1e-4)


def test_a_run_whose_data_is_gone_still_takes_photographs(run, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    settings = moved / "experiment.toml"
    settings.write_text(settings.read_text().replace(str(run.parent / "data"), str(tmp_path / "gone")))
    window = window_of(OpenRequest((str(moved),)))
    assert (window.pictures.own, window.trained_on) == (0, None)
    assert "gone" in window.notes[0]
    memory = BytesIO()
    Image.new("RGB", (30, 20)).save(memory, "PNG")
    found = call(window, "upload", {"name": "a", "data": b64encode(memory.getvalue()).decode()})
    assert found["index"] == 0
    assert call(window, "setup", {})["size"] == list(SIZE)
    assert call(window, "answers", {"index": 0})["answers"][0]["rows"]


def test_what_cannot_be_opened_is_an_error(run, tmp_path):
    for request in (
        OpenRequest((str(run),) * 7),
        OpenRequest((str(run),), {"data.name": str(tmp_path / "none")}),
        OpenRequest((str(tmp_path / "none"),)),
        OpenRequest((str(run),), split="tset"),
    ):
        with pytest.raises(OverfocusError):
            window_of(request)


def test_the_browser_is_sent_to_the_link(run, monkeypatch):
    sent = []
    monkeypatch.setattr(command.webbrowser, "open", sent.append)
    for browser in (True, False):
        with command.opened(OpenRequest((str(run),), browser=browser)) as link:
            assert sent[-1:] == [link] * browser
            assert urlsplit(link).hostname == "127.0.0.1"
        sent.clear()


@pytest.mark.slow
def test_from_the_shell_to_a_page_and_to_the_end(run):
    words = [str(Path(sys.executable).with_name("overfocus")), "open", str(run), "--no-browser", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        link = urlsplit(json.loads(process.stdout.readline())["link"])
        line = http.client.HTTPConnection("127.0.0.1", link.port, timeout=20)
        line.request("GET", f"/?{link.query}")
        reply = line.getresponse()
        cookie = reply.getheader("Set-Cookie").partition(";")[0]
        assert b"<canvas" in reply.read()
        body = json.dumps({"index": 0})
        line.request("POST", "/api/answers", body, {"Cookie": cookie, "Content-Type": "application/json"})
        assert json.loads(line.getresponse().read())["answers"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        assert process.stderr.read().strip() == "stopped"
