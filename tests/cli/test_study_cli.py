"""The commands about studies, from the outside: a study, its report, what goes wrong told in a line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overfocus.cli.app import app
from overfocus.core.errors import OverfocusError
from overfocus.study.study import read_study


@pytest.fixture(scope="module")
def photos_folder(tmp_path_factory):
    from small import photos

    return photos(tmp_path_factory.mktemp("data") / "photos")


def told(*arguments: str):
    """Run a command; return what it prints on standard output."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout


def options(folder: Path) -> list[str]:
    settings = ["model.settings.widths=[4,8]", "recipe.precision='32-true'"]
    return ["--data", str(folder), "--epochs", "1", "--batch", "8", *(x for each in settings for x in ("--set", each))]


def test_a_dry_run_trains_nothing_and_counts_the_extra_pass(photos_folder, tmp_path):
    methods = "plain; sgdrop(prob=1.0, views='both'); cutout"
    out = tmp_path / "s"
    text = told("study", "--methods", methods, "--per-class", "5,10", "--seeds", "2", "--out", str(out), "--dry-run",
                "--json", *options(photos_folder))  # fmt: skip
    found = json.loads(text)
    assert (found["runs"], found["finished"]) == (12, 0)
    assert found["steps"]["5 per class"] == {"images": 15, "epochs": 1, "updates": 2}
    plain, both, cutout = (each["flops"] for each in found["compute"])
    assert plain == cutout
    assert both > plain, "a second view goes through the head"
    assert found["seconds"] > 0
    assert found["disk_bytes"] > 0
    assert not out.exists()
    shown = told("study", "--methods", methods, "--out", str(out), "--dry-run", *options(photos_folder))
    assert "15 runs" in shown
    assert "extra passes counted" in shown


def test_a_study_by_command_ends_in_a_report(photos_folder, tmp_path):
    out = tmp_path / "s"
    text = told("study", "--methods", "plain; cutout(size=0.3)", "--seeds", "2", "--out", str(out), "--workers", "1",
                "--examine", "spread", "--limit", "9", "--json", *options(photos_folder))  # fmt: skip
    found = json.loads(text)
    assert (found["finished"], found["failed"]) == (4, {})
    assert "accuracy" in found["sizes"]["all images"]
    assert (out / "report.html").stat().st_size > 10_000
    assert (out / "tables" / "comparison.csv").is_file()
    assert json.loads(next(out.rglob("compute.json")).read_text())["flops_per_image"] > 0
    assert "cutout" in told("report", str(out), "--images", "2", "--out", str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").is_file()
    again = told("study", "--methods", "plain; cutout(size=0.3)", "--seeds", "2", "--out", str(out), "--workers", "1",
                 "--examine", "spread", "--limit", "9", "--no-report", *options(photos_folder))  # fmt: skip
    assert again.startswith("4 of 4 ")
    assert f"overfocus report {out}" in again
    assert again.count("\n") == 1
    manifests = {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")}
    wider = told("study", "--methods", "plain; cutout(size=0.3)", "--seeds", "2", "--out", str(out), "--workers", "1",
                 "--examine", "spread,outliers", "--ood", "totem", "--limit", "9", "--json",
                 *options(photos_folder))  # fmt: skip
    assert "outliers.totem_auroc" in json.loads(wider)["sizes"]["all images"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")} == manifests
    settings = (out / "study.toml").read_bytes()
    with pytest.raises(OverfocusError, match="nowhere"):
        told("study", "--methods", "plain; cutout(size=0.3)", "--seeds", "2", "--out", str(out), "--workers", "1",
             "--examine", "outliers", "--ood", str(tmp_path / "nowhere"), *options(photos_folder))  # fmt: skip
    assert (out / "study.toml").read_bytes() == settings, "what is wrong is told before anything is changed"


def test_a_study_until_settled_by_command(photos_folder, tmp_path):
    out = tmp_path / "s"
    command = ["study", "--methods", "plain; cutout(size=0.3)", "--until-settled", "--max-seeds", "3", "--out",
               str(out), "--workers", "1", "--examine", "none", *options(photos_folder),
               "--set", "recipe.lr=1e-12"]  # fmt: skip
    found = json.loads(told(*command, "--json"))
    settings = (out / "study.toml").read_text()
    assert read_study(out).looks == (3,)
    assert found["look"] == {"looks": [3], "number": 1, "share": 1.0}
    assert (found["finished"], found["seeds"]) == (6, [0, 1, 2])
    shown = told(*command)
    assert "Look 1 of 1" in shown
    assert (out / "study.toml").read_text() == settings
    with pytest.raises(OverfocusError, match="looks"):
        told("study", "--methods", "plain; cutout(size=0.3)", "--seeds", "5", "--out", str(out), "--examine", "none",
             *options(photos_folder), "--set", "recipe.lr=1e-12")  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "--max-seeds", "9"], "--until-settled"),
        (["study", "--until-settled", "--seeds", "9"], "--max-seeds"),
        (["study", "--methods", "plain; cutmax"], "did you mean 'cutmix'"),
        (["study", "--per-class", "ten"], "ten"),
        (["study", "--engine", "locl", "--dry-run"], "did you mean 'local'"),
        (["study", "--examine", "spred"], "did you mean 'spread'"),
        (["study", "--examine", "spread", "--ood", "totem"], "outliers"),
        (["report", "nothing-here"], "study.toml"),
        (["tune"], "--method"),
        (["tune", "--method", "cutout(fill=?)"], "fill"),
    ],
)
def test_what_is_wrong_is_told(arguments, message, tmp_path, monkeypatch):
    if arguments[0] == "tune":
        pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OverfocusError, match=message):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []
