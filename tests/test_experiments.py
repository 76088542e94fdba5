"""Every experiment can still be started as its head says, and every script over its runs still reads them."""

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from overfocus.cli import app
from overfocus.study.study import Study
from overfocus.training.experiment import read_toml, settle

sys.path.append(str(Path(__file__).parent / "training"))
EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SETTINGS = sorted(path.name for path in EXPERIMENTS.glob("*.toml"))
SHELL = sorted(path.name for path in EXPERIMENTS.glob("*.sh"))
SCRIPTS = sorted(path.name for path in EXPERIMENTS.glob("*.py"))
SHORTCUT = ("data.shortcut.kind='watermark'", "data.shortcut.strength=0.9")


def run(script: str, monkeypatch, capsys, *arguments: object) -> str:
    """Run a script of the folder in this process; return what it prints."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(EXPERIMENTS / script), run_name="__main__")
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Two small studies, each of two methods over two seeds: one with a shortcut, one without."""
    from small import photos

    folder = tmp_path_factory.mktemp("studies")
    data = photos(folder / "photos")
    for name, shortcut in (("clean", ()), ("marked", SHORTCUT)):
        changes = ("model.settings.widths=[4,8]", "recipe.precision='32-true'", *shortcut)
        options = [word for change in changes for word in ("--set", change)]
        command = ["study", "--methods", "plain; cutout(size=0.3)", "--seeds", "2", "--out", str(folder / name),
                   "--workers", "1", "--examine", "spread", "--limit", "9", "--data", str(data), "--epochs", "1",
                   "--batch", "8", "--no-report", *options]  # fmt: skip
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_understood_and_the_head_says_how_to_start_them(name):
    path = EXPERIMENTS / name
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    started = [line for line in head if f"experiments/{name}" in line]
    assert started, "the head gives no command"
    values = read_toml(path)
    if "methods" in values:
        assert len(list(Study.read(values, name).cells())) >= 3
        assert f"overfocus study experiments/{name}" in started[0]
    else:
        assert settle(path, {}, []).recipe.epochs > 0


@pytest.mark.parametrize("name", SHELL)
def test_shell_scripts_are_read_by_bash_and_name_themselves(name):
    path = EXPERIMENTS / name
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert f"bash experiments/{name}" in path.read_text()


def test_no_script_is_left_out_here():
    assert SCRIPTS == ["across.py", "columns.py", "flags.py", "forest.py", "leak.py", "seeds.py", "together.py"]


def test_columns_have_a_line_for_each_method(studies, monkeypatch, capsys):
    told = run("columns.py", monkeypatch, capsys, studies / "clean", "accuracy", "spread.*")
    assert "| `plain` |" in told
    assert told.count("[") == 2, "the other method's differences have intervals"


def test_together_has_a_line_for_each_pair_of_numbers(studies, monkeypatch, capsys):
    told = run("together.py", monkeypatch, capsys, studies / "clean", studies / "marked")
    assert "| marked, all images | `spread.effective_area_predicted` | `test-clean.accuracy` |" in told


def test_across_compares_the_runs_that_both_studies_have(studies, monkeypatch, capsys):
    told = run("across.py", monkeypatch, capsys, studies / "clean", studies / "clean")
    assert "+0.0000" in told
    assert "| 2 |" in told


def test_across_compares_two_methods(studies, monkeypatch, capsys):
    told = run(
        "across.py", monkeypatch, capsys, studies / "clean", studies / "clean", "--methods", "plain; cutout(size=0.30)"
    )
    assert "| `plain` to `cutout(size=0.3)` | `accuracy` |" in told
    assert told.count("`accuracy`") == 1
    columns = run("columns.py", monkeypatch, capsys, studies / "clean", "accuracy")
    assert columns.split("|")[-2].split()[1][:5] == told.split("`accuracy` |")[1].split("|")[2].split()[0][:5]


def test_a_forest_is_drawn(studies, monkeypatch, capsys, tmp_path):
    out = tmp_path / "forest.png"
    named = f"first=of two={studies / 'clean'}"
    run("forest.py", monkeypatch, capsys, named, studies / "marked", "--out", out, "--call", "cutout(size=0.3)=cutout")
    with Image.open(out) as image:
        assert image.width == 1280
        assert len(set(image.convert("L").resize((64, 32)).tobytes())) > 10


def test_the_numbers_of_a_forest_are_those_of_the_study(studies):
    import numpy as np

    from overfocus.study.results import read_results

    functions = runpy.run_path(str(EXPERIMENTS / "forest.py"))
    results = read_results(studies / "clean")
    (panel,) = functions["panels"]("all", results, "accuracy", {"cutout(size=0.3)": "mine=1"}, [])
    values = results.values("accuracy", results.study.sizes[0])
    difference = np.mean(values["cutout(size=0.3)"] - values["plain"])
    assert panel.effects["mine=1"].paired.difference.value == pytest.approx(difference)
    assert panel.title == "all (n = 2)"


def test_an_unknown_number_is_named(studies, monkeypatch, capsys, tmp_path):
    from overfocus.core.errors import OverfocusError

    with pytest.raises(OverfocusError, match=r"spread\.nothing"):
        run("columns.py", monkeypatch, capsys, studies / "clean", "spread.nothing")
    with pytest.raises(OverfocusError, match=r"acuracy"):
        run("forest.py", monkeypatch, capsys, studies / "clean", "--number", "acuracy", "--out", tmp_path / "f.png")
    with pytest.raises(OverfocusError, match=r"no method of these studies"):
        run("forest.py", monkeypatch, capsys, studies / "clean", "--methods", "mixup", "--out", tmp_path / "f.png")
    assert not (tmp_path / "f.png").exists()


def test_flags_of_runs_with_and_without_marks_are_counted(studies, monkeypatch, capsys, tmp_path):
    arguments = (studies / "marked", "--without", studies / "clean", "--limit", 9, "--out", tmp_path / "flags")
    told = run("flags.py", monkeypatch, capsys, *arguments, "--leave", "*cutout*seed1")
    counted = [line.split("|")[1:3] for line in told.splitlines() if "log-odds" in line and line[0] == "|"]
    assert sum(int(number) for _, number in counted) == 9, "three runs of three classes"
    assert "| no mark in training | 9 |" in told
    assert "over 3 runs: rank correlation" in told


def test_the_first_warning_of_a_leak_is_found(studies, monkeypatch, capsys):
    from overfocus.study.results import read_results

    told = run("leak.py", monkeypatch, capsys, studies / "clean")
    assert "|  |  | 0 of 2 |" in told, "plain has no mask"
    functions = runpy.run_path(str(EXPERIMENTS / "leak.py"))
    result = next(iter(read_results(studies / "clean").results.values()))
    last = result.epochs[-1]
    says = ("the mask tells the label: ...",)
    epochs = (last, replace(last, number=2, warnings=says), replace(last, number=3, warnings=says))
    assert functions["warned"](replace(result, epochs=epochs)) == 2
    assert functions["warned"](result) is None


def test_several_seeds_are_trained_once(studies, monkeypatch, capsys, tmp_path):
    toml = tmp_path / "small.toml"
    toml.write_text(
        f"[data]\nname = '{studies / 'photos'}'\n[model]\nsettings = {{ widths = [4, 8] }}\n[recipe]\nepochs = 1\n"
    )
    arguments = (toml, "--methods", "plain; cutout(size=0.3)", "--seeds", 2, "--out", tmp_path / "runs")
    first = run("seeds.py", monkeypatch, capsys, *arguments)
    assert first.count("±") == 3, "of two methods, and in the last line"
    again = run("seeds.py", monkeypatch, capsys, *arguments)
    assert [x for x in again.splitlines() if x[:1] == "|"] == [x for x in first.splitlines() if x[:1] == "|"]
