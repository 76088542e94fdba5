import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from overfocus.cli import app as cli

COMMAND = str(Path(sys.executable).with_name("overfocus"))
TINY = ["--set", "model.settings.widths=[4,8,8]", "--set", "recipe.batch=8"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of small noisy squares in three classes."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for name in "abc":
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run made by the real command, with what it printed."""
    folder = tmp_path_factory.mktemp("cli")
    words = ["train", *TINY, "--data", str(photos), "--method", "sgdrop", "--epochs", "2", "--out", "run", "--json"]
    done = subprocess.run([COMMAND, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stdout


def test_train_prints_its_manifest(run):
    folder, out = run
    assert strict(out) == {"run": "run", **json.loads((folder / "manifest.json").read_text())}


def test_a_run_is_evaluated_as_it_was_when_trained(run, overfocus):
    folder, out = run
    code, text, _ = overfocus("evaluate", folder, "--json")
    assert code == 0
    scores, trained = strict(text), strict(out)["last"]["scores"]
    assert {name: score["accuracy"] for name, score in scores.items()} == pytest.approx(
        {name: score["accuracy"] for name, score in trained.items()}, abs=0.005
    )
    code, text, _ = overfocus("evaluate", folder, "--split", "test", "--split", "train", "--best", "--json")
    assert list(strict(text)) == ["test", "train"]
    code, text, _ = overfocus("evaluate", folder)
    heads = ["split", "accuracy", "95", "%", "interval", "largest", "class", "loss", "images"]
    assert text.splitlines()[0].split() == heads


def test_the_last_layer_of_a_run_is_fitted_anew(run, photos, overfocus):
    code, text, _ = overfocus("evaluate", run[0], "--refit", photos, "--json")
    assert code == 0
    found = strict(text)
    assert found["scores"] == strict(overfocus("evaluate", run[0], "--json")[1])
    assert (found["refit"]["images"], set(found["refit"]["refitted"])) == (36, {"test"})
    code, text, _ = overfocus("evaluate", run[0], "--refit", photos)
    cells = next(line for line in reversed(text.splitlines()) if line.startswith("test ")).split()
    assert cells[1:3] == [
        f"{found['scores']['test']['accuracy']:.4f}", f"{found['refit']['refitted']['test']:.4f}"
    ]  # fmt: skip
    code, _, told = overfocus("evaluate", run[0], "--refit", "totm")
    assert (code, "did you mean 'totem'?" in told) == (2, True)


def test_inspect_draws_with_the_network_of_a_run(run, overfocus, tmp_path):
    code, text, _ = overfocus(
        "inspect", "--run", run[0], "--method", "cutmix + sgdrop", "--out", tmp_path / "a.png", "--json"
    )
    assert code == 0
    assert set(strict(text)["sgdrop_dropped"]) == {"nominal", "measured", "sd", "n"}
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
    code, text, _ = overfocus("inspect", "--method", "cutmix", "--out", tmp_path / "b.png", "--images", "1")
    assert text.splitlines()[-1] == str(tmp_path / "b.png")


@pytest.mark.parametrize("words", [["methods"], ["methods", "cutmix"], ["datasets"], ["models"]])
def test_lists_come_as_json_or_as_lines(words, overfocus):
    code, text, told = overfocus(*words, "--json")
    assert (code, told) == (0, "")
    cards = strict(text)
    code, text, _ = overfocus(*words)
    assert code == 0
    if words == ["methods", "cutmix"]:
        assert text == cards["cutmix"] + "\n"
        assert "When it does not help" in text
    elif words != ["models"]:
        assert [line.split()[0] for line in text.splitlines()] == list(cards)
    assert len(text.splitlines()) < 60


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method", "cutmx"], "did you mean 'cutmix'?"),
        (["--method", "cutmix(prb=1)"], "did you mean 'prob'?"),
        (["--method", "cutmix(prob=2)"], "prob=2"),
        (["--method", "cutmix +"], "not a method"),
        (["--data", "totm"], "did you mean 'totem'?"),
        (["--data", "./no/such/folder"], "./no/such/folder"),
        (["--data", "cifar10", "--root", "nowhere"], "--download"),
        (["--model", "resnt18"], "did you mean 'resnet18'?"),
        (["--model", "overfocus_cnn", "--set", "model.settings.width=3"], "did you mean 'widths'?"),
        (["--at", "stages.9", "--method", "sgdrop"], "stages.9"),
        (["--set", "recipe.epoch=3"], "did you mean 'epochs'?"),
        (["--set", "recipe.epochs=many"], "recipe.epochs = 'many'"),
        (["--set", "nonsense"], "key=value"),
        (["--log", "tensorbord"], "did you mean 'tensorboard'?"),
        (["--accelerator", "abacus"], "abacus"),
        (["missing.toml"], "missing.toml"),
    ],
)
def test_a_wrong_word_is_told_in_a_line(words, told, overfocus, tmp_path):
    code, _, text = overfocus("train", "--set", "data.per_class=2", "--out", tmp_path / "run", *words)
    assert code == 2
    assert text.startswith("error: ")
    assert told in text
    assert text.count("\n") == 1


def test_every_wrong_setting_has_its_line(overfocus, tmp_path):
    code, _, text = overfocus("train", "--set", "recipe.epochs=x", "--set", "recipe.batch=0", "--out", tmp_path)
    assert code == 2
    assert [line.split(" =")[0] for line in text.splitlines()] == [
        "error: settings: recipe.epochs",
        "error: settings: recipe.batch",
    ]


def test_wrong_words_of_other_commands_are_told_in_a_line(run, overfocus, tmp_path):
    wrong = {
        "did you mean 'test'?": ["evaluate", run[0], "--split", "tset"],
        "nowhere": ["evaluate", tmp_path / "nowhere"],
        "did you mean 'cutmix'?": ["methods", "cutmx"],
        ".png": ["inspect", "--method", "cutmix", "--out", tmp_path / "a.gif"],
        "did you mean 'totem'?": ["inspect", "--method", "cutmix", "--data", "totm", "--out", tmp_path / "a.png"],
        str(tmp_path): ["inspect", "--method", "sgdrop", "--run", tmp_path, "--out", tmp_path / "a.png"],
        "other settings": ["train", "--out", run[0]],
    }
    for told, words in wrong.items():
        code, _, text = overfocus(*words)
        assert (code, text.startswith("error: "), text.count("\n")) == (2, True, 1), text
        assert told in text


def test_an_option_that_is_not_there_ends_the_same_way(overfocus):
    code, out, text = overfocus("train", "--epoch", "3")
    assert (code, out) == (2, "")
    assert "--epoch" in text


def test_a_mended_command_may_keep_its_folder(photos, overfocus, tmp_path):
    words = ["train", *TINY, "--epochs", 1, "--out", tmp_path / "run"]
    assert overfocus(*words, "--data", f"{photos}s")[0] == 2
    code, text, told = overfocus(*words, "--data", photos)
    assert (code, told) == (0, "")
    assert text.splitlines()[-1] == f"run: {tmp_path / 'run'}"


@pytest.mark.parametrize("words", [[], *([name] for name in get_command(cli.app).commands)])
def test_help_reads_well(words, overfocus, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = overfocus(*words, "--help")
    assert code == 0
    assert max(len(line) for line in text.splitlines()) <= 80
    text = re.sub(r"[A-Z\]}][,;]?\.\.\.", "", text)  # of arguments that repeat
    assert "..." not in text
    assert any(line.startswith(f"  overfocus {' '.join(words)}") for line in text.splitlines()), "an example"


def test_help_does_not_wait_for_torch():
    script = (
        "import sys; from overfocus import cli; sys.argv = ['overfocus', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: print([name for name in ('torch', 'numpy', 'pydantic', 'PIL') if name in sys.modules])"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
    # 0.4 s on a machine of its own; here others may have the processor.
    assert time.perf_counter() - started < 4


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
def test_ctrl_c_leaves_a_run_that_goes_on(photos, overfocus, tmp_path):
    words = ["train", *TINY, "--data", str(photos), "--epochs", "30", "--out", str(tmp_path / "run")]
    with subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = next(line for line in process.stdout if line.startswith("epoch"))
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert first.startswith("epoch   1/30")
    assert process.returncode == 130
    assert told == "stopped; the same command resumes after the last completed epoch\n"
    assert not (tmp_path / "run" / "manifest.json").exists()
    code, text, _ = overfocus(*words)
    assert code == 0
    assert [line.split("/")[0].split()[-1] for line in text.splitlines() if line.startswith("epoch ")] == [
        str(number) for number in range(1, 31)
    ]
    assert (tmp_path / "run" / "manifest.json").exists()


def test_the_version_is_printed_alone(overfocus):
    code, out, err = overfocus("--version")
    assert (code, out, err) == (0, f"overfocus {version('overfocus')}\n", "")


def test_a_mistake_is_a_line_and_with_debug_a_traceback_as_well(overfocus):
    code, out, err = overfocus("methods", "cutmx")
    assert (code, out) == (2, "")
    assert "did you mean 'cutmix'" in err
    assert "Traceback" not in err
    code, _, err = overfocus("--debug", "methods", "cutmx")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: ")


def test_what_nobody_foresaw_is_a_line_too_that_says_how_to_see_more(overfocus, monkeypatch):
    monkeypatch.setattr("overfocus.regularizers.spec.card", lambda name: 1 / 0)
    code, out, err = overfocus("methods", "a b")
    assert (code, out) == (1, "")
    assert "unforeseen ZeroDivisionError" in err
    assert "overfocus --debug methods 'a b'" in err
    assert "Traceback" not in err
    code, _, err = overfocus("--debug", "methods", "a b")
    assert code == 1
    assert "1 / 0" in err


@pytest.mark.slow
def test_the_shell_completes_commands_and_options(tmp_path):
    given = {**os.environ, "_OVERFOCUS_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    for words, wanted in (("overfocus exp", {"explain", "export"}), ("overfocus tr", {"train", "transfer"})):
        asked = subprocess.run(
            [COMMAND], env={**given, "COMP_WORDS": words}, capture_output=True, text=True, check=False
        )
        found = set(asked.stdout.split())
        assert {name for name in found if name.startswith(words.split()[1])} == wanted


def test_an_export_says_what_it_wrote_and_that_it_is_equal(overfocus, run, tmp_path):
    code, out, _ = overfocus("export", run[0], "--out", tmp_path / "out")
    assert code == 0
    assert "equal on " in out
    assert str(tmp_path / "out" / "model.safetensors") in out
    code, out, _ = overfocus("export", run[0], "--out", tmp_path / "out", "--json")
    assert strict(out)["files"] == ["README.md", "config.json", "model.safetensors"]
    code, _, err = overfocus("export", run[0], "--to", "onxx")
    assert code == 2
    assert "'onnx'" in err
