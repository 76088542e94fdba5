"""Real processes, really killed: the same command ends with the same bytes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import Running, command, epochs_but_speed, settings, stuck, training

from overfocus import Experiment, train
from overfocus.training.run import ASIDE

EVERYTHING = {
    "model__name": "small:own_dropout",
    "model__settings": {},
    "method": "cutmix(prob=0.8, schedule='linear') + sgdrop(ramp=0.5, teacher='ema', at='3')",
    "recipe__optimizer": "adamw",
    "recipe__lr": 0.01,
    "recipe__ema": 0.8,
    "recipe__accumulate": 2,
    "recipe__clip": 1.0,
}
KINDS = {"plain": {}, "everything": EVERYTHING}
WRITTEN = ("best.safetensors", "last.ckpt", "epochs.jsonl", "epochs.csv", "weights.safetensors", "manifest.json")


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    """What each kind of run comes to when nobody kills it."""
    place, runs = tmp_path_factory.mktemp("undisturbed"), {}
    for kind, changes in KINDS.items():
        runs[kind] = place / kind
        ended = Running(training, place / "log", settings(folder, **changes), str(runs[kind]))
        assert ended.end() == 0, ended.said
    return runs


def same(run: Path, other: Path) -> None:
    for name in ("weights.safetensors", "best.safetensors"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    assert list(epochs_but_speed(run)) == list(epochs_but_speed(other))
    assert not [file for file in run.rglob(".*") if ASIDE.fullmatch(file.name)]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_again_and_again_it_ends_with_the_same_bytes(kind, folder, undisturbed, tmp_path):
    values, run = settings(folder, **KINDS[kind]), tmp_path / "run"
    for moment in ("step 1 3", "epoch 1", "step 2 4", "step 3 5"):
        killed = Running(training, tmp_path / "log", values, str(run)).until(moment).signal(signal.SIGKILL)
        assert killed.end() == -signal.SIGKILL
        assert not (run / "manifest.json").exists()
    assert Running(training, tmp_path / "log", values, str(run)).end() == 0
    same(run, undisturbed[kind])


@pytest.mark.parametrize("name", WRITTEN)
def test_killed_before_any_file_gets_its_name_nothing_is_lost(name, folder, undisturbed, tmp_path):
    values, run = settings(folder), tmp_path / "run"
    often = 1 if name in ("best.safetensors", "weights.safetensors", "manifest.json") else 3
    Running(stuck, tmp_path / "log", values, str(run), name, often).until("stuck").signal(signal.SIGKILL).end()
    assert [file for file in run.rglob(".*") if ASIDE.fullmatch(file.name)], "there is something to clear away"
    went_on = Running(training, tmp_path / "log", values, str(run))
    assert went_on.end() == 0, went_on.said
    same(run, undisturbed["plain"])


def test_a_resumed_run_tells_all_epochs_again_and_trains_the_rest_only(folder, tmp_path):
    values, log = settings(folder), tmp_path / "log"
    Running(training, log, values, str(tmp_path / "run")).until("epoch 2").signal(signal.SIGKILL).end()
    resumed = Running(training, log, values, str(tmp_path / "run"))
    assert resumed.end() == 0
    assert re.findall(r"epoch (\d)", resumed.said) == ["1", "2", "3"]
    assert "step 2" not in resumed.said
    assert "step 3" in resumed.said


def test_the_best_epoch_before_a_kill_stays_the_best(folder, tmp_path):
    # Nothing is learned, so every epoch is as good as the first one.
    values = settings(folder, recipe__lr=1e-12, model__settings={"widths": [4, 8], "norm": "group"})
    Running(training, tmp_path / "log", values, str(tmp_path / "run")).until("epoch 2").signal(signal.SIGKILL).end()
    list(train(Experiment.read(values, "test"), tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["best"]["epoch"] == 1


def test_a_consumer_that_stops_leaves_a_run_that_goes_on(folder, undisturbed, tmp_path):
    experiment = Experiment.read(settings(folder), "test")
    for epoch in train(experiment, tmp_path / "run"):
        if epoch.number == 2:
            break
    assert [epoch.number for epoch in train(experiment, tmp_path / "run")] == [1, 2, 3]
    same(tmp_path / "run", undisturbed["plain"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_cleanly(number, code, folder, undisturbed, tmp_path):
    options = ("--data", str(folder), "--epochs", "3", "--batch", "8", "--lr", "0.05", "--out", str(tmp_path / "run"))
    options += ("--set", "model.settings.widths=[4,8]", "--set", "recipe.precision=32-true")
    stopped = Running(command, tmp_path / "log", "train", *options).until("epoch   1/3").signal(number)
    assert stopped.end() == code
    assert "stopped; the same command resumes" in stopped.said
    assert "Traceback" not in stopped.said
    assert "Abort" not in stopped.said
    assert not (tmp_path / "run" / "manifest.json").exists()
    assert Running(command, tmp_path / "log", "train", *options).end() == 0
    same(tmp_path / "run", undisturbed["plain"])


@pytest.mark.slow
def test_the_installed_command_killed_at_random_moments(undisturbed, folder, tmp_path):
    file = tmp_path / "experiment.toml"
    file.write_text(Experiment.read(settings(folder), "test").toml())
    line = [Path(sys.executable).with_name("overfocus"), "train", file, "--out", tmp_path / "run"]
    moments, tries = random.Random(0), 0
    while not (tmp_path / "run" / "manifest.json").exists():
        tries += 1
        assert tries < 12, "it makes no headway"
        # One thread, as the undisturbed run had: sums of several come in another order.
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=env)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        time.sleep(moments.uniform(0, 1.5) * tries)
        process.kill()
        process.communicate()
    same(tmp_path / "run", undisturbed["plain"])
