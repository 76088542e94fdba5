"""A method from another package: the example is installed for real, into a folder of its own."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from overfocus.core.errors import UnknownName
from overfocus.regularizers import spec

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example package, installed by pip, and an environment that finds it."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*command, str(folder), str(ROOT / "examples" / "plugin")], check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT / "tests")))}


def ask(installed, *words):
    return subprocess.run([sys.executable, *words], env=installed, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_example_is_listed_shown_and_trained_with(installed, tmp_path):
    listed = ask(installed, "-m", "overfocus", "methods")
    assert "checkerboard" in listed.stdout
    shown = ask(installed, "-m", "overfocus", "methods", "checkerboard")
    assert "every other cell" in shown.stdout
    ended = ask(
        installed, "-m", "overfocus", "train", "--method", "checkerboard(cell=3) + sgdrop", "--per-class", "4",
        "--epochs", "1", "--set", "model.settings.widths=[4,8,8]", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "checkerboard(cell=3) + sgdrop" in (tmp_path / "run" / "experiment.toml").read_text()
    assert "checkerboard_hidden" in (tmp_path / "run" / "epochs.csv").read_text()


@pytest.mark.slow
def test_the_example_obeys_the_laws(installed):
    ended = ask(installed, "-c", "import laws\nfor law in laws.LAWS: law('checkerboard(cell=3, prob=1.0)')")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("broken", "no_such_package:Method", "No module named 'no_such_package'"),
        ("ordered", "collections:OrderedDict", "is no method"),
        ("other", "overfocus.regularizers.cutout:Cutout", "called Cutout"),
        ("cutout", "overfocus.regularizers.cutout:Cutout", "has a method of that name"),
    ],
)
def test_one_that_cannot_be_taken_is_a_warning_and_the_others_work(monkeypatch, name, value, text):
    point = EntryPoint(name=name, value=value, group=spec.GROUP)
    monkeypatch.setattr(spec, "entry_points", lambda group: [point])
    spec.methods.cache_clear()
    with pytest.warns(UserWarning, match=text):
        found = spec.methods()
    assert "cutmix" in found
    if name != "cutout":
        with pytest.raises(UnknownName):
            spec.parse(name)
    monkeypatch.undo()
    spec.methods.cache_clear()
