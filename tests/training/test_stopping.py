"""Early stopping: when training ends, whose weights are the result, and that a killed run comes to the same."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import Running, epochs_but_speed, pair, settings, training

from overfocus import Experiment, OverfocusError, train
from overfocus.models.checkpoints import save_weights
from overfocus.training.checkpoint import evaluate_run
from overfocus.training.loop import Machine, Trainer
from overfocus.training.processes import started
from overfocus.training.recipe import Recipe
from overfocus.training.run import Run
from overfocus.training.stopping import Stopping

LONG, PATIENCE = 12, 2


def noisy(folder, **changes):
    """Settings under which the held-out loss soon rises again: labels are learned by heart at a constant rate."""
    recipe = {"recipe__epochs": LONG, "recipe__ema": 0.5, "recipe__lr": 0.3, "recipe__schedule": "constant"}
    norm = {"model__settings": {"widths": [4, 8], "norm": "group"}}
    return settings(folder, **{"data__val": 0.3, **norm, **recipe, **changes})


def run(values, out: Path) -> tuple[list, dict]:
    epochs = list(train(Experiment.read(values, "test"), out))
    return epochs, json.loads((out / "manifest.json").read_text())


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Every epoch of the run without patience: its held-out loss and its weights."""
    out = tmp_path_factory.mktemp("whole") / "run"
    out.mkdir()
    experiment, fabric = Experiment.read(noisy(folder), "test"), started("32-true", Machine("cpu"))
    trainer = Trainer(experiment, Run(out), fabric, lambda step: None)
    losses, weights = [], []
    for epoch in trainer.epochs():
        losses.append(epoch.scores["val"]["loss"])
        weights.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
    return losses, weights


def stops_after(losses: list[float], patience: int) -> tuple[int, int]:
    """Read literally: (epochs that are trained, the best of them), counted from 1."""
    best, since = 0, 0
    for number, loss in enumerate(losses):
        since = 0 if number == 0 or loss < losses[best] else since + 1
        best = number if since == 0 else best
        if since == patience:
            return number + 1, best + 1
    return len(losses), best + 1


def test_it_ends_where_the_loss_has_not_fallen_and_hands_out_the_best_epoch(whole, folder, tmp_path):
    losses, weights = whole
    trained, best = stops_after(losses, PATIENCE)
    assert best < trained < LONG, losses  # else this test tests nothing
    epochs, manifest = run(noisy(folder, recipe__patience=PATIENCE), tmp_path / "run")
    assert [epoch.scores["val"]["loss"] for epoch in epochs] == losses[:trained]
    for file in ("weights.safetensors", "best.safetensors"):
        ours = load_file(tmp_path / "run" / file)
        assert all(torch.equal(ours[name], weights[best - 1][name]) for name in ours)
    told = manifest["early_stopping"]
    assert (told["trained"], told["planned"], told["kept"], told["patience"]) == (trained, LONG, best, PATIENCE)
    assert manifest["last"]["epoch"] == manifest["best"]["epoch"] == best
    assert manifest["last"]["scores"].keys() == {"val", "test"}
    assert manifest["last"]["scores"]["val"]["loss"] == losses[best - 1]
    assert evaluate_run(tmp_path / "run", []) == {
        name: pytest.approx(score) for name, score in manifest["last"]["scores"].items()
    }


def test_without_a_rise_all_epochs_are_trained_and_the_best_is_handed_out(whole, folder, tmp_path):
    losses, weights = whole
    best = 1 + losses.index(min(losses))
    epochs, manifest = run(noisy(folder, recipe__patience=LONG), tmp_path / "run")
    assert len(epochs) == LONG
    assert manifest["last"]["epoch"] == best
    ours = load_file(tmp_path / "run" / "weights.safetensors")
    assert all(torch.equal(ours[name], weights[best - 1][name]) for name in ours)


def test_killed_it_stops_where_it_would_have(folder, tmp_path):
    values = noisy(folder, recipe__patience=PATIENCE)
    run(values, tmp_path / "whole")
    last = len(list(epochs_but_speed(tmp_path / "whole")))
    for moment in ("step 2 2", f"step {last} 1"):
        Running(training, tmp_path / "log", values, str(tmp_path / "run")).until(moment).signal(signal.SIGKILL).end()
    assert Running(training, tmp_path / "log", values, str(tmp_path / "run")).end() == 0
    (tmp_path / "run" / "manifest.json").unlink()  # killed before its very last file, it trains no further
    (tmp_path / "run" / "weights.safetensors").unlink()
    assert Running(training, tmp_path / "log", values, str(tmp_path / "run")).end() == 0
    for name in ("weights.safetensors", "best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert list(epochs_but_speed(tmp_path / "run")) == list(epochs_but_speed(tmp_path / "whole"))


def test_two_processes_stop_in_the_same_epoch(folder, tmp_path):
    values = noisy(folder, recipe__patience=PATIENCE)
    _, one = run(values, tmp_path / "one")
    both = pair(training, tmp_path / "logs", values, str(tmp_path / "two"), 2)
    assert [each.end() for each in both] == [0, 0], both[0].said + both[1].said
    two = json.loads((tmp_path / "two" / "manifest.json").read_text())
    assert two["early_stopping"] == one["early_stopping"]
    ones, twos = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name in ones:
        torch.testing.assert_close(twos[name], ones[name], rtol=1e-3, atol=1e-4)


def test_a_probe_that_is_kept_is_both_files(folder, tmp_path):
    torch.manual_seed(5)
    values = noisy(folder, recipe={"tune": "lp-ft", "epochs": 4, "lr": 30.0, "patience": 1, "precision": "32-true"})
    model = Experiment.read(settings(folder), "test").create_model(3, 3)
    save_weights(model.state_dict(), tmp_path / "body.safetensors")
    values["model"] = {"settings": {"widths": [4, 8]}, "weights": str(tmp_path / "body.safetensors")}
    values["data"] |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    _, manifest = run(values, tmp_path / "run")
    assert manifest["tuned"]["kept"] == "probe"
    assert manifest["best"]["epoch"] == 0
    last, best = (load_file(tmp_path / "run" / f"{name}.safetensors") for name in ("weights", "best"))
    assert all(torch.equal(last[name], best[name]) for name in last)


@pytest.mark.parametrize(
    ("tune", "patience", "images", "then"),
    [
        ("lp-ft", "auto", {"train": 1000, "val": 100}, 3),
        ("lp-ft", "auto", {"train": 999, "val": 111}, 0),
        ("lp-ft", "auto", {"train": 5000, "val": 99}, 0),
        ("full", "auto", {"train": 5000}, 0),
        ("lp-ft", 2, {"train": 30, "val": 3}, 2),
        ("lp-ft", 0, {"train": 5000, "val": 500}, 0),
        ("probe", "auto", {"train": 5000, "val": 500}, 0),
    ],
)
def test_few_images_cannot_tell_epochs_apart(tune, patience, images, then):
    recipe = Recipe.model_validate({"tune": tune, "patience": patience})
    assert Stopping.of(recipe, images).patience == then


def test_tuning_decides_by_itself_and_other_recipes_are_as_they_were():
    assert Recipe.model_validate({"tune": "lp-ft"}).patience == "auto"
    assert Recipe().patience == 0
    assert Recipe.model_validate({"patience": 3}).patience == 3
    with pytest.raises(ValueError, match="patience"):
        Recipe.model_validate({"patience": -1})


def test_patience_without_held_out_images_is_refused(folder, tmp_path):
    with pytest.raises(OverfocusError, match="--val"):
        run(settings(folder, recipe__patience=2), tmp_path / "run")


def test_epochs_that_were_not_evaluated_say_nothing():
    rule, best = Stopping(2, 100), {"epoch": 4, "loss": 1.0}
    assert not rule.due(7, {}, best)
    assert rule.due(8, {"val": {}}, best)
    assert not rule.due(5, {"val": {}}, best)
    assert not rule.due(5, {"val": {}}, {})
