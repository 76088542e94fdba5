"""Tuning: what is searched, on which images, and that no trial is lost or done twice. Optuna and SQLite are real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import photos, settings

from overfocus.core.errors import OverfocusError
from overfocus.regularizers.spec import parse
from overfocus.study import tuning
from overfocus.study.search_space import RANGES, Space
from overfocus.study.tuning import Budget, tune
from overfocus.training.experiment import Experiment
from overfocus.training.run import Epoch

optuna = pytest.importorskip("optuna")


@pytest.fixture
def experiment(folder):
    return Experiment.read(settings(str(folder), recipe__epochs=2), "test")


class Fixed:
    """A stand-in for a trial that takes the upper end of everything."""

    def suggest_float(self, name, low, high, log):
        return high

    def suggest_int(self, name, low, high, log):
        return high

    def suggest_categorical(self, name, choices):
        return choices[-1]


@pytest.mark.parametrize(
    ("spec", "search", "found", "changes"),
    [
        ("plain", (), "plain", {}),
        ("cutout(size=?)", (), "cutout(size=0.8)", {}),
        ("cutout(size=0.1..0.25)", (), "cutout(size=0.25)", {}),
        ("cutout(holes=1..4)", (), "cutout(holes=4)", {}),
        ("cutmix(alpha=0.1..4 log, prob=0.3)", (), "cutmix(prob=0.3, alpha=4.0)", {}),
        ("cutmix(label=area|half) + sgdrop(drop=?)", (), "cutmix(label='half') + sgdrop(drop=0.7)", {}),
        ("cutout(size=?) + cutout(size=?)", (), "cutout(size=0.8) + cutout(size=0.8)", {}),
        ("plain", ("recipe.lr=?", "recipe.smoothing=0.0..0.1"), "plain", {"recipe.lr": 0.5, "recipe.smoothing": 0.1}),
    ],
)
def test_open_settings_are_filled_in(spec, search, found, changes):
    assert Space.read(spec, search).ask(Fixed()) == (str(parse(found)), changes)


@pytest.mark.parametrize(
    ("spec", "search", "told"),
    [
        ("cutout(size=5..2)", (), "first end must be the lower"),
        ("cutmix(alpha=0..2 log)", (), "above 0 with log"),
        ("cutout(fill=?)", (), "no usual range"),
        ("cutmax(alpha=0.1..1.0)", (), "did you mean 'cutmix'"),
        ("cutout(sizes=0.1..0.2)", (), "did you mean 'size'"),
        ("cutout(size=?", (), "not a method"),
        ("plain", ("lr=?",), "write a setting of the recipe"),
        ("plain", ("recipe.lr",), "write a setting of the recipe"),
    ],
)
def test_what_cannot_be_searched_is_told(spec, search, told):
    with pytest.raises(OverfocusError, match=told):
        Space.read(spec, search)


def test_every_usual_range_is_of_a_setting_that_there_is():
    for name in RANGES:
        method, _, setting = name.partition(".")
        if method != "recipe":
            Space.read(f"{method}({setting}=?)")


def test_train_says_what_a_question_mark_is_for():
    with pytest.raises(OverfocusError, match="overfocus tune"):
        parse("cutout(size=?)")


def test_every_method_gets_the_same_trials_and_they_are_not_repeated(experiment, tmp_path):
    seen = []
    specs, budget = ["cutout(size=?)", "mixup(alpha=?)"], Budget(3, pruner="none")
    found = tune(
        experiment, specs, tmp_path / "t", budget, on_trial=lambda spec, trial: seen.append((spec, trial.number))
    )
    assert seen == [(spec, number) for spec in specs for number in range(3)]
    assert [len(each.trials) for each in found] == [3, 3]
    assert all(trial.epochs == 2 for each in found for trial in each.trials)
    for each in found:
        assert each.value == max(trial.value for trial in each.trials)
        assert str(parse(each.method)) == each.method
    seen.clear()
    assert tune(experiment, specs, tmp_path / "t", budget, on_trial=lambda *trial: seen.append(trial)) == found
    assert seen == []
    assert [each["method"] for each in json.loads((tmp_path / "t" / "tuned.json").read_text())] == [
        each.method for each in found
    ]
    again = tune(experiment, specs, tmp_path / "u", budget)
    assert again == found, "the same seed makes the same trials"
    more = tune(experiment, specs, tmp_path / "t", Budget(4, pruner="none"))
    assert more[0].trials[:3] == found[0].trials


def test_test_images_change_nothing(tmp_path):
    """The labels of the test images are shuffled into nonsense, and some files are no images at all."""
    plain, other = photos(tmp_path / "a"), photos(tmp_path / "b")
    for number, file in enumerate(sorted((other / "test").rglob("*.png"))):
        file.rename(file.parent.parent / f"class{number % 3}" / f"x{number}.png")
    for file in list((other / "test").rglob("*.png"))[:3]:
        file.write_bytes(b"no image")
    found = []
    for folder in (plain, other):
        experiment = Experiment.read(settings(str(folder), recipe__epochs=2, data__size=12), "test")
        found.append(tune(experiment, ["cutout(size=?)"], tmp_path / f"t{folder.name}", Budget(2)))
    assert found[0] == found[1]
    for manifest in tmp_path.rglob("manifest.json"):
        assert set(json.loads(manifest.read_text())["last"]["scores"]) == {"val"}


class Planted:
    """A stand-in for training, whose best size is known."""

    def __init__(self, best: float) -> None:
        self.best, self.seen = best, 0

    def __call__(self, experiment, folder, machine):
        self.seen += 1
        size = experiment.regularizer.size
        for number in range(1, experiment.recipe.epochs + 1):
            accuracy = 1 - (size - self.best) ** 2
            yield Epoch(number, 1.0, 1.0, 0.1, {}, {"val": {"accuracy": accuracy}})


def test_the_best_setting_of_a_planted_problem_is_found(experiment, tmp_path, monkeypatch):
    planted = Planted(0.62)
    monkeypatch.setattr(tuning, "train", planted)
    (found,) = tune(experiment, ["cutout(size=?)"], tmp_path / "t", Budget(25))
    assert planted.seen == 25
    assert abs(parse(found.method).size - 0.62) < 0.03  # type: ignore[attr-defined]


def test_a_trial_that_lags_is_pruned(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "train", Planted(0.62))
    longer = experiment.model_copy(update={"recipe": experiment.recipe.model_copy(update={"epochs": 10})})
    (found,) = tune(longer, ["cutout(size=?)"], tmp_path / "t", Budget(14))
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.epochs < 10 for trial in pruned)
    assert all(trial.epochs == 10 for trial in found.trials if trial.state == "complete")


def test_a_trial_that_fails_counts_and_stops_nothing(folder, tmp_path):
    experiment = Experiment.read(settings(str(folder), model__name="grid:nan_for_seed_1", model__settings={}), "test")
    with pytest.raises(OverfocusError, match="none of 2 trials could be finished"):
        tune(experiment.model_copy(update={"seed": 1}), ["cutout(size=?)"], tmp_path / "t", Budget(2))
    assert "loss of epoch" in next((tmp_path / "t").rglob("failure.json")).read_text()


def test_other_settings_need_another_folder(experiment, tmp_path):
    tune(experiment, ["plain"], tmp_path / "t", Budget(1))
    with pytest.raises(OverfocusError, match="search with other settings"):
        tune(experiment, ["plain"], tmp_path / "t", Budget(1, seeds=2))
    (tmp_path / "u").mkdir()
    (tmp_path / "u" / "thesis.tex").write_text("dear")
    with pytest.raises(OverfocusError, match="holds no search"):
        tune(experiment, ["plain"], tmp_path / "u", Budget(1))
    for wrong, told in (({"pruner": "medan"}, "did you mean 'median'"), ({"trials": 0}, "give 1 of each")):
        with pytest.raises(OverfocusError, match=told):
            Budget(**wrong)


def _command(folder: Path, out: Path, trials: int) -> list[str]:
    return [
        sys.executable, "-m", "overfocus", "tune", "--method", "cutout(size=?)", "--trials", str(trials), "--out",
        str(out), "--data", str(folder), "--epochs", "12", "--batch", "8", "--set", "model.settings.widths=[4,8]",
        "--set", "recipe.precision='32-true'", "--pruner", "none", "--json",
    ]  # fmt: skip


def _run(command: list[str]) -> list:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=_environment())
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_killed_search_goes_on_with_the_same_trials(folder, tmp_path):
    undisturbed = _run(_command(folder, tmp_path / "u", 4))
    command = _command(folder, tmp_path / "t", 4)
    for count in (1, 2, 3):
        process = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while len(list((tmp_path / "t").rglob("epochs.jsonl"))) < count:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _run(command) == undisturbed


@pytest.mark.slow
def test_two_commands_share_the_budget(folder, tmp_path):
    command = _command(folder, tmp_path / "t", 5)
    both = [
        subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    first, second = (json.loads(out) for out, _ in told)
    assert first == second
    assert sorted(trial["number"] for trial in first[0]["trials"]) == [0, 1, 2, 3, 4]
    assert len(list((tmp_path / "t").rglob("manifest.json"))) == 5
