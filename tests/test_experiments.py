"""Every experiment can still be started as its head says, and every script over its runs still reads them."""

import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from overfocus.cli.app import app
from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.map_choice import CANDIDATES
from overfocus.study.results import Results, read_results
from overfocus.study.run_key import RunKey
from overfocus.study.study import Study
from overfocus.training.experiment import read_toml, settle
from overfocus.training.objective import _wrong_masks

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SETTINGS = sorted(path.name for path in EXPERIMENTS.glob("*.toml"))
SHELL = sorted(path.name for path in EXPERIMENTS.glob("*.sh"))
SCRIPTS = sorted(path.name for path in EXPERIMENTS.glob("*.py"))
CUTOUT, AREA = "cutout(size=0.3)", "spread.effective_area_true"
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
        assert len(list(Study.read(values, name).run_keys())) >= 3
        assert f"overfocus study experiments/{name}" in started[0]
    else:
        assert settle(path, {}, []).recipe.epochs > 0


def commands(text: str) -> list[list[str]]:
    """Return the words of every `overfocus` command in the comments of a file; a backslash joins lines."""
    head = "\n".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    lines = head.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("overfocus ")]


@pytest.mark.parametrize("name", SETTINGS)
def test_commands_in_the_head_are_understood(name):
    known = typer.main.get_command(app)
    for command, *arguments in commands((EXPERIMENTS / name).read_text()):
        context = known.commands[command].make_context(command, arguments)  # raises for what it does not know
        changes = context.params.get("changes") or ()
        assert all("=" in change for change in changes)


def test_a_wrong_option_in_a_head_would_be_found():
    (words,) = commands("#   overfocus study a.toml --sede 3 \\\n#       --out 'my runs'\n")
    assert words == ["study", "a.toml", "--sede", "3", "--out", "my runs"]
    with pytest.raises(Exception, match="--sede"):
        typer.main.get_command(app).commands["study"].make_context("study", words[1:])


@pytest.mark.parametrize("name", SHELL)
def test_shell_scripts_are_read_by_bash_and_name_themselves(name):
    path = EXPERIMENTS / name
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert f"bash experiments/{name}" in path.read_text()


def test_no_script_is_left_out_here():
    assert SCRIPTS == [
        "across.py", "carton.py", "columns.py", "cues.py", "find_cues.py", "flags.py", "forest.py", "honest.py",
        "imbalance.py", "leak.py", "look.py", "map_trust.py", "marks.py", "matched.py", "photo_methods.py",
        "photographs.py", "probes.py", "seeds.py", "spray.py", "together.py",
    ]  # fmt: skip


def same_weights(one: Path, other: Path) -> bool:
    from safetensors.torch import load_file

    first, second = load_file(one), load_file(other)
    return set(first) == set(second) and all(torch.equal(value, second[name]) for name, value in first.items())


CUES = {"disc-vs-digit": ("disc", "digit", "none"), "conflict": ("disc", "stripes", "digit", "none")}


@pytest.mark.slow
def test_cues_are_followed_refitted_and_matched(monkeypatch, capsys, tmp_path):
    small = ("model.settings.widths=[4,8]", "data.fraction=0.1", "recipe.epochs=2", "recipe.lr=0.2")
    changes = [word for change in small for word in ("--set", change)]
    told = run(
        "cues.py", monkeypatch, capsys, EXPERIMENTS / "cues.toml", "--seeds", "0", "--out", tmp_path / "runs", *changes
    )
    table = told[told.index("| |") :]
    for network in ("plain", "sgdrop", "ceiling"):
        assert sorted(path.name for path in (tmp_path / "runs" / network / "seed0" / "epochs").iterdir()) == [
            "1.safetensors", "2.safetensors"
        ]  # fmt: skip
        last = tmp_path / "runs" / network / "seed0"
        assert same_weights(last / "weights.safetensors", last / "epochs" / "2.safetensors")
        assert not same_weights(last / "weights.safetensors", last / "epochs" / "1.safetensors")
    followed = [
        sum(float(line_of(table, f"| {split}: {cue} |")[column]) for cue in cues)
        for split, cues in CUES.items()
        for column in (1, 2, 3)
    ]
    assert followed == pytest.approx([1] * 6, abs=0.002)
    assert line_of(table, "| untrained, refitted |")[1] == line_of(table, "| untrained, refitted |")[2]
    told = run("matched.py", monkeypatch, capsys, tmp_path / "runs", "--levels", "0,1.1", "--images", "4")
    first, last = line_of(told, "| 0 | 1 |", "hirescam"), line_of(told, "| last epoch | 1 |", "hirescam")
    assert (first[2], last[2]) == ("1.0, 1.0", "2.0, 2.0")
    assert "| 1.1 |" not in told
    assert float(last[6]) - float(last[5]) == pytest.approx(float(last[7].split()[0]), abs=0.0011)
    told = run("look.py", monkeypatch, capsys, tmp_path / "runs/plain", tmp_path / "runs/sgdrop", "--limit", "8")
    whole = line_of(told, "| `halves.whole` |")
    assert float(whole[2].split(",")[0]) - float(whole[1]) == pytest.approx(float(whole[2].split()[1]), abs=0.0011)


def test_maps_are_chosen_on_some_pictures_and_measured_on_others(studies, monkeypatch, capsys):
    folder = next(path.parent for path in sorted((studies / "clean").rglob("manifest.json")))
    told = run("map_trust.py", monkeypatch, capsys, folder)
    chosen = told.split(" chose ")[1].split(" in ")[0]
    gaps = {each.title: float(line_of(told, f"| {each.title} |")[1].split()[0]) for each in CANDIDATES}
    assert max(gaps, key=lambda name: gaps[name]) == chosen
    assert "9 chose" in told
    assert "n = 9" in told


def test_columns_have_a_line_for_each_method(studies, monkeypatch, capsys):
    results = read_results(studies / "clean")
    found = differences(results, "plain", results, CUTOUT, AREA)
    told = run("columns.py", monkeypatch, capsys, studies / "clean", "*accuracy", AREA)
    assert len(line_of(told, "`plain`")) == 3
    accuracy, area = line_of(told, f"`{CUTOUT}`")[1:]
    assert area.split()[1] == f"{found.mean():+.3f}"
    assert found.mean() != 0
    assert accuracy.split(",")[0] == f"{results.values('accuracy', results.study.sizes[0])[CUTOUT].mean():.3f}"
    swapped = run("columns.py", monkeypatch, capsys, studies / "clean", AREA, "--baseline", "cutout(size=0.30)")
    assert line_of(swapped, "`plain`")[1].split()[1] == f"{-found.mean():+.3f}"


def test_together_has_a_line_for_each_pair_of_numbers(studies, monkeypatch, capsys):
    told = run("together.py", monkeypatch, capsys, studies / "clean", studies / "marked")
    pair = ("| marked, all images |", "`spread.effective_area_predicted`", "`test-clean.accuracy`")
    assert line_of(told, *pair)[-1] == "4"
    assert line_of(told, "| clean, all images |", *pair[1:2])[-1] == "4"
    left = run("together.py", monkeypatch, capsys, studies / "marked", "--leave", "cutout(size=0.30)")
    assert line_of(left, *pair)[-2:] == ["too few runs", "0"], "one method less the mean of its seed says nothing"


def line_of(told: str, *parts: str) -> list[str]:
    """Return the cells of the one line of a table that has all `parts`."""
    (line,) = [line for line in told.splitlines() if all(part in line for part in parts)]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def differences(first: Results, one: str, second: Results, other: str, key: str) -> np.ndarray:
    """Return second less first, seed by seed, read one by one."""
    size = first.study.sizes[0]
    of = [(first.results[RunKey(one, size, seed)], second.results[RunKey(other, size, seed)]) for seed in (0, 1)]
    return np.array([b.value(key) - a.value(key) for a, b in of])


@pytest.mark.parametrize("methods", [("plain", "plain"), ("plain", CUTOUT)])
def test_across_pairs_two_studies_by_seed(studies, monkeypatch, capsys, methods):
    first, second = (read_results(studies / name) for name in ("clean", "marked"))
    asked = ["--methods", "plain; cutout(size=0.30)"] if methods[1] == CUTOUT else []
    told = run("across.py", monkeypatch, capsys, studies / "clean", studies / "marked", *asked)
    found = differences(first, methods[0], second, methods[1], AREA)
    assert found[0] != found[1]
    cells = line_of(told, f"`{AREA}`", "`plain`")
    assert cells[1] == ("`plain` to `cutout(size=0.3)`" if asked else "`plain`")
    assert cells[-1] == "2"
    expected = stats.t.interval(0.95, 1, found.mean(), found.std(ddof=1) / 2**0.5)
    assert cells[-3] == f"{found.mean():+.4f} [{expected[0]:+.4f}, {expected[1]:+.4f}]"


def test_across_wants_two_methods(studies, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run("across.py", monkeypatch, capsys, studies / "clean", studies / "clean", "--methods", "plain;")
    assert "give two" in capsys.readouterr().err


def test_a_forest_is_drawn(studies, monkeypatch, capsys, tmp_path):
    out = tmp_path / "forest.png"
    named = f"first=of two={studies / 'clean'}"
    run("forest.py", monkeypatch, capsys, named, studies / "marked", "--out", out, "--call", "cutout(size=0.3)=cutout")
    with Image.open(out) as image:
        assert image.width == 1280
        assert len(set(image.convert("L").resize((64, 32)).tobytes())) > 10


def test_the_numbers_of_a_forest_are_those_of_the_study(studies):
    functions = runpy.run_path(str(EXPERIMENTS / "forest.py"))
    results = read_results(studies / "clean")
    (panel,) = functions["panels"]("all", results, AREA, {CUTOUT: "mine=1"}, [])
    found = differences(results, "plain", results, CUTOUT, AREA)
    assert panel.effects["mine=1"].paired.difference.value == pytest.approx(found.mean())
    assert found.mean() != 0
    assert panel.title == "all (n = 2)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--number", "acuracy"], "acuracy"),
        (["--methods", "mixup"], "mixup"),
        (["--call", "mixup=m"], "mixup"),
        (["--call", "cutout(size=0.3)=plain"], "one name"),
    ],
)
def test_what_a_forest_cannot_draw_is_told(studies, monkeypatch, capsys, tmp_path, arguments, message):
    with pytest.raises(OverfocusError, match=message):
        run("forest.py", monkeypatch, capsys, studies / "clean", "--out", tmp_path / "f.png", *arguments)
    assert not (tmp_path / "f.png").exists()


def test_an_unknown_number_is_named(studies, monkeypatch, capsys):
    with pytest.raises(OverfocusError, match=r"spread\.nothing"):
        run("columns.py", monkeypatch, capsys, studies / "clean", "spread.nothing")


def test_flags_of_runs_with_and_without_marks_are_counted(studies, monkeypatch, capsys, tmp_path):
    arguments = (studies / "marked", "--without", studies / "clean", "--limit", 9, "--out", tmp_path / "flags")
    told = run("flags.py", monkeypatch, capsys, *arguments, "--leave", "*cutout*seed1")
    counted = [line.split("|")[1:3] for line in told.splitlines() if "log-odds" in line and line[0] == "|"]
    assert sum(int(number) for _, number in counted) == 9, "three runs of three classes"
    assert "| no mark in training | 9 |" in told
    assert "over 3 runs: rank correlation" in told


def test_the_first_warning_of_a_leak_is_found(studies, monkeypatch, capsys):
    told = run("leak.py", monkeypatch, capsys, studies / "clean")
    assert "|  |  | 0 of 2 |" in told, "plain has no mask"
    functions = runpy.run_path(str(EXPERIMENTS / "leak.py"))
    result = next(iter(read_results(studies / "clean").results.values()))
    last = result.epochs[-1]
    says = tuple(_wrong_masks({"masked_accuracy": 0.9, "clean_accuracy": 0.1}))
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
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("manifest.json")}
    assert len(written) == 4
    again = run("seeds.py", monkeypatch, capsys, *arguments)
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert [x for x in again.splitlines() if x[:1] == "|"] == [x for x in first.splitlines() if x[:1] == "|"]


@pytest.mark.slow
def test_photographs_are_drawn_by_seed_and_tuned_beside_their_probe(monkeypatch, capsys, tmp_path):
    from small import photos

    folder = photos(tmp_path / "photos", classes=2, train=6, test=1) / "train"
    told = run(
        "photographs.py", monkeypatch, capsys, folder, "--per-class", "3", "--draws", "2", "--out", tmp_path / "out",
        "--set", "recipe.epochs=1", "--set", "data.size=32",
    )  # fmt: skip
    assert told.count("on 6 pictures") == 2
    assert "95 % interval" in told
    parts = [
        {file.name for file in (tmp_path / "out" / "3-0" / part / "class1").iterdir()} for part in ("train", "test")
    ]
    assert (len(parts[0]), len(parts[1]), parts[0] & parts[1]) == (3, 3, set())
    again = {file.name for file in (tmp_path / "out" / "3-1" / "train" / "class1").iterdir()}
    assert again != parts[0]


@pytest.mark.slow
def test_each_balance_is_trained_once_on_the_same_uneven_draw(monkeypatch, capsys, tmp_path):
    from small import photos

    monkeypatch.syspath_prepend(EXPERIMENTS)
    folder = photos(tmp_path / "photos", classes=3, train=7, test=1) / "train"
    arguments = (folder, "--sizes", "4,2", "--size", "32", "--draws", "2", "--balances", "none,weights", "--out",
                 tmp_path / "out", "--set", "recipe.epochs=1")  # fmt: skip
    told = run("imbalance.py", monkeypatch, capsys, *arguments)
    counts = [
        [len(list((tmp_path / "out" / f"draw-{seed}" / "train" / f"class{n}").iterdir())) for n in range(3)]
        for seed in (0, 1)
    ]
    assert counts == [[4, 2, 4], [2, 4, 2]]
    assert [told.count("on 11 pictures"), told.count("on 13 pictures")] == [2, 2]
    assert len(line_of(told, "| weights |")[-1].split()) == 3, "a difference and its interval"
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("manifest.json")}
    again = run("imbalance.py", monkeypatch, capsys, *arguments)
    assert len(written) == 4
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert line_of(again, "| weights |") == line_of(told, "| weights |")


@pytest.mark.slow
def test_probes_are_compared_on_the_same_draws(monkeypatch, capsys, tmp_path):
    from small import photos

    folder = photos(tmp_path / "photos", classes=2, train=9, test=1) / "train"
    options = ("--per-class", "4", "--draws", "2", "--method", "dropout(drop=0.2)")
    told = run("probes.py", monkeypatch, capsys, folder, *options).splitlines()
    assert [line.split(": ")[0].split(", ")[2] for line in told] == [
        "closed",
        "strength by held-out",
        "dropout(drop=0.2)",
    ]
    assert all(line.startswith("4 of each class, n = 2") for line in told)
    assert ["beside closed" in line for line in told] == [False, True, True]


def test_false_alarms_are_counted_by_network_class_and_kind(monkeypatch):
    from planted_leans import COLOUR, FRAME, MARK, OBJECT, planted

    monkeypatch.syspath_prepend(EXPERIMENTS)
    functions = runpy.run_path(str(EXPERIMENTS / "honest.py"))
    with planted(one=(FRAME, OBJECT, MARK), two=(MARK, COLOUR), three=(OBJECT,), four=None) as diagnoses:
        told = functions["table"](diagnoses)
    assert line_of(told, "| anything |")[1] == "2 of 4"
    assert line_of(told, "| anything |")[3].startswith("5 of 12"), "a frame counts for all three, a mark for its two"
    assert [line_of(told, f"| {kind} |")[1] for kind in ("border", "mark")] == ["1 of 4", "2 of 4"]
    assert [line_of(told, f"| {kind} |")[3][:7] for kind in ("border", "mark")] == ["3 of 12", "4 of 12"]
    assert "colour" not in told
    assert "object" not in told


@pytest.mark.slow
def test_honest_networks_are_probed_once_on_the_pictures_that_were_not_drawn(monkeypatch, capsys, tmp_path):
    from small import photos

    from overfocus.diagnosis.diagnosis import Diagnosis

    monkeypatch.syspath_prepend(EXPERIMENTS)
    folder = photos(tmp_path / "photos", classes=2, train=9, test=1) / "train"
    arguments = (folder, "--networks", "2", "--per-class", "4", "--size", "32", "--only", "answers,shortcut", "--out",
                 tmp_path / "out")  # fmt: skip
    told = run("honest.py", monkeypatch, capsys, *arguments)
    assert line_of(told, "| anything |")[1].endswith("of 2")
    kept = [tmp_path / "out" / f"answers-shortcut-{seed}" for seed in (0, 1)]
    found = [Diagnosis.load(each) for each in kept]
    assert [len(each.evidence.labels) for each in found] == [10, 10], "the other five of each class"
    assert not np.array_equal(*(each.evidence.logits.numpy() for each in found))
    written = [(each / "scores.json").stat().st_mtime_ns for each in kept]
    assert run("honest.py", monkeypatch, capsys, *arguments) == told
    assert written == [(each / "scores.json").stat().st_mtime_ns for each in kept]
