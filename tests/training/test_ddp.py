"""Two real processes over gloo against one process with the same global batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import Running, command, pair, photos, settings, training

from overfocus import Experiment, train

TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}
"""Float error: the same sums in another order, over a few dozen steps."""
METHODS = {
    "plain": "plain",
    "cutout": "cutout(size=4)",
    "mixup": "mixup(prob=0.7)",
    "dropout": "dropout(drop=0.4)",
    "cutmix and sgdrop": "cutmix(prob=0.7) + sgdrop(drop=0.4, prob=0.5)",
}


def by_group(data, **changes):
    """Settings of a network in which an image does not depend on the others of its batch."""
    changes = {"model__settings": {"widths": [4, 8], "norm": "group"}, **changes}
    return settings(data, **changes)


def by_two(values, out: Path) -> list[Running]:
    both = pair(training, out.with_name(f"{out.name}-logs"), values, str(out), 2)
    assert [each.end() for each in both] == [0, 0], both[0].said + both[1].said
    return both


def alike(one: Path, two: Path) -> None:
    """Weights within float error, and every number of every split."""
    ones, twos = load_file(one / "weights.safetensors"), load_file(two / "weights.safetensors")
    for name in ones:
        torch.testing.assert_close(twos[name], ones[name], **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")
    first, second = (json.loads((run / "manifest.json").read_text())["last"]["scores"] for run in (one, two))
    for split, score in first.items():
        assert second[split]["images"] == score["images"]
        assert second[split]["accuracy"] == score["accuracy"]
        assert second[split]["loss"] == pytest.approx(score["loss"], rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_as_one_with_the_same_global_batch(method, folder, tmp_path):
    # 45 images in batches of 8: the last one has 5, so that the processes have 3 and 2 of them.
    values = by_group(folder, method=METHODS[method], recipe__epochs=2)
    list(train(Experiment.read(values, "test"), tmp_path / "one"))
    by_two(values, tmp_path / "two")
    alike(tmp_path / "one", tmp_path / "two")
    one, two = (json.loads((tmp_path / name / "epochs.jsonl").read_text().splitlines()[0]) for name in ("one", "two"))
    assert one["train"].keys() == two["train"].keys()
    for name in ("cutmix_rate", "cutmix_kept", "mixup_rate"):
        assert two["train"].get(name) == pytest.approx(one["train"].get(name))


def test_accumulation_and_files_read_by_workers_train_as_one_too(folder, tmp_path):
    changes = {"recipe__accumulate": 2, "data__memory_gib": 0, "recipe__epochs": 2}
    values = by_group(folder, method="sgdrop(drop=0.4)", **changes)
    list(train(Experiment.read(values, "test"), tmp_path / "one"))
    by_two(values, tmp_path / "two")
    alike(tmp_path / "one", tmp_path / "two")


def test_only_the_first_process_writes_and_speaks(folder, tmp_path):
    pytest.importorskip("tensorboard")
    options = ("--data", str(folder), "--epochs", "2", "--batch", "8", "--set", "model.settings.widths=[4,8]")
    place = ("--devices", "2", "--accelerator", "cpu", "--out", str(tmp_path / "run"), "--log", "tensorboard")
    first, second = pair(command, tmp_path / "logs", "train", *options, *place)
    assert (first.end(), second.end()) == (0, 0), first.said + second.said
    assert first.said.count("epoch   1/2") == 1
    assert "epoch" not in second.said
    assert "run:" not in second.said
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["processes"] == 2


def test_both_killed_the_same_command_goes_on(folder, tmp_path):
    values = by_group(folder, method="sgdrop(teacher='ema')", recipe__ema=0.9)
    by_two(values, tmp_path / "undisturbed")
    for each in pair(training, tmp_path / "logs", values, str(tmp_path / "run"), 2):
        each.until("step 2 2").signal(signal.SIGKILL).end()
    by_two(values, tmp_path / "run")
    for name in ("weights.safetensors", "best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_one_killed_ends_the_other_with_a_message(folder, tmp_path):
    first, second = pair(training, tmp_path / "logs", by_group(folder, recipe__epochs=500), str(tmp_path / "run"), 2)
    first.until("step 2 2")
    second.signal(signal.SIGKILL).end()
    assert first.end(30) == 2, first.said
    assert "another process of this run stopped" in first.said


def test_an_error_at_the_start_of_one_process_is_told_by_both(folder, tmp_path):
    list(train(Experiment.read(by_group(folder, recipe__epochs=1), "test"), tmp_path / "run"))
    first, second = pair(training, tmp_path / "logs", by_group(folder, recipe__lr=0.5), str(tmp_path / "run"), 2)
    assert (first.end(30), second.end(30)) == (2, 2)
    assert "recipe.lr" in first.said
    assert "recipe.lr" in second.said


def test_a_bad_image_that_one_process_meets_ends_both(tmp_path):
    data = photos(tmp_path / "photos")
    (data / "train" / "class1" / "03.png").write_bytes((data / "train" / "class1" / "03.png").read_bytes()[:200])
    values = by_group(data, data__memory_gib=0, data__size=12)
    both = pair(training, tmp_path / "logs", values, str(tmp_path / "run"), 2)
    assert [each.end(30) for each in both] == [2, 2], both[0].said + both[1].said
    assert "class1/03.png" in both[0].said + both[1].said
    assert "Traceback" not in both[0].said + both[1].said


def totem(*extra: str) -> list[str]:
    return [
        "train", "--data", "totem", "--per-class", "20", "--epochs", "2", "--batch", "32", "--accelerator", "cpu",
        "--method", "cutmix + sgdrop", "--set", "model.settings.widths=[4,8,8]",
        "--set", "model.settings.norm=group", "--set", "recipe.precision=32-true", *extra,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("how", ["own launcher", "torchrun"])
def test_the_installed_command_on_totem(how, tmp_path):
    bin = Path(sys.executable).parent
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = [bin / "overfocus"] if how == "own launcher" else [bin / "torchrun", "--nproc-per-node=2", "--no-python"]
    start += [] if how == "own launcher" else [bin / "overfocus"]
    done = subprocess.run(
        [*start, *totem("--devices", "2", "--out", str(tmp_path / "two"))], env=env, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("epoch   1/2") == 1
    assert Running(command, tmp_path / "log", *totem("--out", str(tmp_path / "one"))).end() == 0
    alike(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_an_error_of_the_command_ends_all_it_started(tmp_path):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [
        Path(sys.executable).with_name("overfocus"),
        *totem("--devices", "2", "--out", str(tmp_path), "--lr", "1e9"),
    ]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "lower recipe.lr" in done.stderr
    assert "Traceback" not in done.stderr
