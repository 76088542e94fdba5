"""Fine-tuning: where the head begins, what learns at which rate, what is held out, and which network is kept."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import Running, epochs_but_speed, photos, pretrained_body, settings, training
from torch import nn

from overfocus import Experiment, OverfocusError, train
from overfocus.core.key import Key
from overfocus.data import Augment
from overfocus.models.pretrained import pretrained_weights
from overfocus.study.study import Study
from overfocus.training.checkpoint import evaluate_run
from overfocus.training.finetune import Judged, as_evaluated, freeze_norm
from overfocus.training.linear_probe import features_of, fit_head
from overfocus.training.loop import Machine, Trainer
from overfocus.training.processes import started
from overfocus.training.recipe import Recipe
from overfocus.training.run import Run


@pytest.fixture(scope="module")
def pretrained(folder, tmp_path_factory) -> Path:
    return pretrained_body(tmp_path_factory.mktemp("weights") / "body.safetensors", [4, 8])


def tuned(folder, pretrained, tune="lp-ft", **changes):
    normalised = {"data__mean": [0.5, 0.5, 0.5], "data__std": [0.25, 0.25, 0.25]}
    values = {
        "model__weights": str(pretrained),
        **normalised,
        "recipe": {"tune": tune, "epochs": 2, "precision": "32-true"},
    }
    return settings(folder, **{**values, **changes})


def trained(values, out) -> tuple[dict[str, torch.Tensor], dict]:
    list(train(Experiment.read(values, "test"), out))
    return load_file(out / "weights.safetensors"), Run(out).manifest()


def trainer(values, out) -> Trainer:
    experiment = Experiment.read(values, "test")
    return Trainer(experiment, Run(out), started("32-true", Machine("cpu")), lambda step: None)


def test_the_head_begins_as_a_linear_probe_of_the_training_images_as_evaluated(folder, pretrained, tmp_path):
    made = trainer(tuned(folder, pretrained), tmp_path / "run")
    body = made.experiment.create_model(3, 3)
    features = features_of(body, as_evaluated(made.experiment, made.dataset, torch.device("cpu")).epoch())
    head = fit_head(features, 3, Key.seeded(made.experiment.seed).fold_in("tune"))
    assert len(features.labels) == len(made.dataset.splits["train"]) == 39  # 2 of 15 in a class are held out
    torch.testing.assert_close(made.model.fc.weight, head.weight)
    torch.testing.assert_close(made.model.fc.bias, head.bias)
    assert not torch.equal(body.fc.weight, head.weight)


def changed(run: Path, start: dict[str, torch.Tensor]) -> set[str]:
    """Return the first parts of the names of parameters that training has changed."""
    end = load_file(run / "weights.safetensors")
    return {
        name.split(".")[0] for name in start
        if end[name].shape == start[name].shape and not torch.equal(end[name], start[name]) and "num_" not in name
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tune", "parts"),
    [("lp-ft", {"stem", "stages", "norm"}), ("full", {"stem", "stages", "norm"}), ("last-stage", {"stages", "norm"}),
     ("probe", set())],
)  # fmt: skip
def test_what_is_tuned_changes_and_the_rest_stays(tune, parts, folder, pretrained, tmp_path):
    weights, manifest = trained(tuned(folder, pretrained, tune), tmp_path / "run")
    start = load_file(pretrained)
    assert manifest.get("tuned", {}).get("kept", "fine-tuned") == "fine-tuned"
    assert changed(tmp_path / "run", start) == parts
    # Small batches leave mean and variance of batch norms as they were, in every way of tuning.
    assert all(torch.equal(weights[name], start[name]) for name in start if "running_" in name)


def test_batch_norms_follow_small_batches_only_where_that_is_asked_for(folder, pretrained, tmp_path):
    weights, _ = trained(tuned(folder, pretrained, recipe__freeze_norm=False), tmp_path / "run")
    start = load_file(pretrained)
    assert not any(torch.equal(weights[name], start[name]) for name in start if "running_" in name)


def test_frozen_norms_still_learn_scale_and_shift():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(1, 3), nn.Dropout()).train()
    freeze_norm(model)
    assert [each.training for each in model] == [False, True, True]
    assert model[0].weight.requires_grad


def test_a_probe_is_one_epoch_without_steps(folder, pretrained, tmp_path):
    _, manifest = trained(tuned(folder, pretrained, "probe"), tmp_path / "run")
    (epoch,) = Run(tmp_path / "run").epochs()
    assert (epoch.number, epoch.lr, epoch.scores) == (1, 0.0, manifest["last"]["scores"])
    assert manifest["images"]["train"] == 45  # nothing is to be judged, so nothing is held out
    assert evaluate_run(tmp_path / "run", []) == {"test": pytest.approx(manifest["last"]["scores"]["test"])}


def test_a_network_that_tuning_spoilt_is_not_handed_out(folder, pretrained, tmp_path):
    """A rate of 30 leaves nothing of the features; the probe, which is better on held-out images, is kept."""
    values = tuned(folder, pretrained, recipe__lr=30.0, recipe__clip=1.0)
    weights, manifest = trained(values, tmp_path / "run")
    judged, start = manifest["tuned"], load_file(pretrained)
    assert judged["kept"] == "probe"
    assert judged["probe"]["val"]["accuracy"] > judged["fine_tuned"]["val"]["accuracy"]
    assert torch.equal(weights["stem.weight"], start["stem.weight"])
    assert evaluate_run(tmp_path / "run", []) == {
        name: pytest.approx(score) for name, score in manifest["last"]["scores"].items()
    }
    assert manifest["last"]["scores"] == judged["probe"]


@pytest.mark.parametrize(("probe", "fine_tuned", "keeps"), [(0.9, 0.8, True), (0.8, 0.9, False), (0.9, 0.9, False)])
def test_only_a_worse_network_gives_way_to_its_probe(probe, fine_tuned, keeps):
    scores = [{"val": {"accuracy": each, "images": 20}, "test": {"accuracy": 1 - each}} for each in (probe, fine_tuned)]
    judged = Judged(*scores)
    assert judged.keeps_probe is keeps
    assert judged.kept is scores[0 if keeps else 1]


@pytest.mark.parametrize(("images", "held"), [(9, 0), (10, 3), (20, 6)])
def test_nothing_is_held_out_of_fewer_than_ten_images_in_a_class(images, held, pretrained, tmp_path):
    data = photos(tmp_path / "photos", train=images)
    _, manifest = trained(tuned(data, pretrained), tmp_path / "run")
    assert manifest["images"].get("val", 0) == held
    assert manifest["images"]["train"] == 3 * images - held
    assert manifest["tuned"]["kept"] == "fine-tuned" or held
    assert ("val" in manifest["tuned"]["probe"]) == bool(held)


@pytest.mark.parametrize(("images", "evaluated"), [(9, [{}, {"test"}]), (10, [{"val"}, {"val", "test"}])])
def test_what_is_tuned_is_not_chosen_on_test_images(images, evaluated, pretrained, tmp_path):
    data = photos(tmp_path / "photos", train=images)
    trained(tuned(data, pretrained), tmp_path / "run")
    assert [{*epoch.scores} for epoch in Run(tmp_path / "run").epochs()] == [{*each} for each in evaluated]


def test_images_that_are_set_apart_already_judge(folder, pretrained, tmp_path):
    _, manifest = trained(tuned(folder, pretrained, data__val=0.4), tmp_path / "run")
    assert manifest["images"] == {"train": 27, "test": 18, "val": 18}


def test_killed_it_goes_on_to_the_same_bytes(folder, pretrained, tmp_path):
    values = tuned(folder, pretrained, recipe__epochs=3, recipe__ema=0.8, data__augment={"flip": True})
    assert Running(training, tmp_path / "log", values, str(tmp_path / "whole")).end() == 0
    for moment in ("step 1 2", "step 2 1"):
        Running(training, tmp_path / "log", values, str(tmp_path / "run")).until(moment).signal(signal.SIGKILL).end()
    assert Running(training, tmp_path / "log", values, str(tmp_path / "run")).end() == 0
    for name in ("weights.safetensors", "best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert list(epochs_but_speed(tmp_path / "run")) == list(epochs_but_speed(tmp_path / "whole"))
    whole, again = (json.loads((tmp_path / each / "manifest.json").read_text()) for each in ("whole", "run"))
    assert whole["tuned"] == again["tuned"]


def test_the_length_follows_the_number_of_images():
    recipe = Recipe.model_validate({"tune": "lp-ft"})
    assert [recipe.epochs_for(count) for count in (1, 50, 80, 100, 160, 200, 10_000)] == [20, 20, 20, 16, 10, 8, 8]
    assert recipe.model_copy(update={"epochs": 3}).epochs_for(50) == 3
    assert Recipe.model_validate({"tune": "probe", "epochs": 3}).epochs_for(50) == 1
    assert Recipe().epochs_for(50) == 30


def test_old_recipes_are_what_they_were():
    recipe = Recipe()
    assert (recipe.tune, recipe.epochs, recipe.batch, recipe.optimizer, recipe.lr) == ("scratch", 30, 128, "sgd", 0.1)
    assert (recipe.layer_decay, recipe.freeze_norm, recipe.smoothing) == (1.0, False, 0.0)


LITE = {"name": "efficientnet_lite0", "pretrained": "default"}


@pytest.mark.parametrize("kind", [Experiment, Study])
def test_pretrained_weights_bring_their_preprocessing_and_a_recipe(kind, folder):
    got = kind.read({"data": {"name": str(folder)}, "model": LITE}, "test")
    assert (got.model.pretrained, got.recipe.tune, got.recipe.optimizer) == ("imagenet1k", "lp-ft", "adamw")
    assert (got.data.interpolation, got.data.crop_share) == ("bicubic", 0.875)
    assert got.data.size in (128, (224, 224))
    given = {"name": str(folder), "size": 64, "interpolation": "nearest"}
    got = kind.read({"data": given, "model": LITE, "recipe": {"tune": "full", "batch": 5}}, "test")
    assert (got.data.size, got.data.interpolation, got.data.crop_share) == (64, "nearest", 0.875)
    assert (got.recipe.tune, got.recipe.batch, got.recipe.smoothing) == ("full", 5, 0.1)


USUAL = Augment(flip=True, resized_crop=True, area=(0.5, 1.0), jitter=0.1)


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({"policy": "randaugment"}, replace(USUAL, policy="randaugment", jitter=0.0)),
        ({"policy": "trivialaugment", "jitter": 0.2}, replace(USUAL, policy="trivialaugment", jitter=0.2)),
        ({"flip": False}, replace(USUAL, flip=False)),
        ({"policy": "none"}, USUAL),
    ],
)
def test_what_is_left_out_of_the_changes_is_usual_where_a_network_is_tuned(given, then, folder, pretrained, tmp_path):
    values = tuned(folder, pretrained, data__augment=given)
    experiment = Experiment.read(values, "test")
    assert experiment.data.augment == then
    (tmp_path / "experiment.toml").write_text(experiment.toml())
    assert Run(tmp_path).experiment() == experiment
    scratch = Experiment.read(settings(folder, data__augment=given), "test")
    assert scratch.data.augment == Augment(**given)


def test_sets_whose_pictures_a_flip_would_change_keep_their_own(pretrained):
    values = tuned("svhn", pretrained, data__augment={"policy": "randaugment"})
    assert Experiment.read(values, "test").data.augment == Augment(crop=4, policy="randaugment")


def test_what_is_written_out_is_read_as_the_same(folder, tmp_path):
    experiment = Experiment.read({"data": {"name": str(folder)}, "model": LITE}, "test")
    (tmp_path / "experiment.toml").write_text(experiment.toml())
    assert Run(tmp_path).experiment() == experiment


def test_images_are_normalised_as_the_weights_want_it(folder):
    experiment = Experiment.read({"data": {"name": str(folder)}, "model": LITE}, "test")
    dataset = experiment.dataset()
    assert (dataset.mean, dataset.std) == ((0.5,) * 3, (0.5,) * 3)
    assert dataset.preprocess.interpolation == pretrained_weights("efficientnet_lite0").preprocess.interpolation
    assert experiment.prepared(dataset).splits.keys() == dataset.splits.keys() == {"train", "test", "val"}


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"recipe": {"tune": "lp-ft"}}, "--pretrained"),
        ({"model": LITE, "recipe": {"tune": "scratch"}}, "lp-ft"),
        ({"model": {"name": "efficientnet_lite0", "pretrained": "nope"}}, "imagenet1k"),
        ({"recipe": {"epochs": 0}}, "at least 1"),
        ({"model": {"settings": {"pretrained": True}}}, "model.pretrained"),
        ({"model": LITE, "recipe": {"encoder_lr": 0.1}}, "encoder_lr"),
        ({"recipe": {"tune": "lpft"}}, "lp-ft"),
    ],
)
def test_what_makes_no_sense_is_refused(values, word):
    with pytest.raises(OverfocusError, match=word):
        Experiment.read(values, "test")


def test_a_class_of_one_image_cannot_be_probed(pretrained, tmp_path):
    data = photos(tmp_path / "photos", train=4)
    for file in sorted((data / "train" / "class1").iterdir())[1:]:
        file.unlink()
    with pytest.raises(OverfocusError, match="two images"):
        trained(tuned(data, pretrained), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    trained(tuned(data, pretrained, "full"), tmp_path / "run")
