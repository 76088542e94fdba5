"""The stream of epochs: what it yields, what it leaves alone, and what does not change its outcome."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from small import photos, settings

import overfocus as of
from overfocus.training.checkpoint import evaluate_run, load_run
from overfocus.training.evaluate import evaluate


def bytes_of(out: Path, values) -> bytes:
    list(of.train(of.Experiment.read(values, "test"), out))
    return (out / "weights.safetensors").read_bytes()


def test_five_lines(folder, tmp_path):
    experiment = of.Experiment(
        data={"name": str(folder)},
        model={"settings": {"widths": [4, 8]}},
        method="cutmix + sgdrop",
        recipe={"epochs": 2},
    )  # pyright: ignore[reportArgumentType]
    accuracies = []
    for epoch in of.train(experiment, tmp_path / "run"):
        accuracies.append(epoch.scores["test"]["accuracy"])
    assert len(accuracies) == 2


def test_an_epoch_tells_what_happened(folder, tmp_path):
    epoch = next(of.train(of.Experiment.read(settings(folder, method="cutmix(prob=0.5)"), "test"), tmp_path / "run"))
    assert epoch.number == 1
    assert epoch.seconds > 0
    assert epoch.images_per_second == pytest.approx(45 / epoch.seconds)
    assert 0 < epoch.train["loss"] < 5
    assert 0 <= epoch.train["accuracy"] <= 1
    assert 0.2 < epoch.train["cutmix_rate"] < 0.8
    assert epoch.scores["test"]["images"] == 18
    assert epoch.warnings == ()


def test_it_learns_what_can_be_seen(folder, tmp_path):
    *_, last = of.train(of.Experiment.read(settings(folder, recipe__epochs=6), "test"), tmp_path / "run")
    assert last.scores["test"]["accuracy"] >= 0.9


@pytest.mark.parametrize("seed", [3])
def test_the_global_random_state_is_left_alone(seed, folder, tmp_path):
    values = settings(
        folder, model__name="small:own_dropout", model__settings={}, data__augment={"policy": "randaugment"}
    )
    values["data"]["workers"] = 2
    for seeded in (torch.manual_seed, np.random.seed, random.seed):
        seeded(seed)
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    list(of.train(of.Experiment.read(values, "test"), tmp_path / "run"))
    after = torch.random.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_the_global_random_state_does_not_matter(folder, tmp_path):
    values = settings(folder, model__name="small:own_dropout", model__settings={}, recipe__epochs=1)
    torch.manual_seed(1)
    first = bytes_of(tmp_path / "first", values)
    torch.manual_seed(2)
    assert bytes_of(tmp_path / "second", values) == first
    assert bytes_of(tmp_path / "third", {**values, "seed": 1}) != first


@pytest.mark.parametrize("augment", [{"policy": "trivialaugment", "flip": True}, {"resized_crop": True}, {"crop": 2}])
def test_the_number_of_workers_changes_nothing(augment, folder, tmp_path):
    changes = {"data__augment": augment, "recipe__epochs": 2, "data__memory_gib": 0}
    runs = {n: bytes_of(tmp_path / str(n), settings(folder, data__workers=n, **changes)) for n in (0, 2)}
    assert runs[0] == runs[2]


def test_whether_the_set_lies_in_memory_changes_nothing(folder, tmp_path):
    changes = {"method": "cutmix + cutout(size=3)", "recipe__epochs": 2}
    memory = bytes_of(tmp_path / "memory", settings(folder, **changes))
    assert memory == bytes_of(tmp_path / "files", settings(folder, data__memory_gib=0, **changes))


def test_evaluation_now_and_then(folder, tmp_path):
    values = settings(folder, recipe__epochs=5, recipe__evaluate_every=2)
    epochs = list(of.train(of.Experiment.read(values, "test"), tmp_path / "run"))
    assert [bool(epoch.scores) for epoch in epochs] == [False, True, False, True, True]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["best"]["epoch"] in (2, 4, 5)


def test_only_the_judge_is_evaluated_before_the_last_epoch(folder, tmp_path):
    epochs = list(of.train(of.Experiment.read(settings(folder, data__val=0.2), "test"), tmp_path / "run"))
    assert [sorted(epoch.scores) for epoch in epochs] == [["val"], ["val"], ["test", "val"]]


def test_who_watches_sees_every_step(folder, tmp_path):
    seen = []
    list(
        of.train(of.Experiment.read(settings(folder, recipe__epochs=2), "test"), tmp_path / "run", on_step=seen.append)
    )
    assert [(step.epoch, step.step) for step in seen] == [(epoch, step) for epoch in (1, 2) for step in range(1, 7)]
    assert {step.steps for step in seen} == {6}
    assert [step.images for step in seen[:6]] == [8, 16, 24, 32, 40, 45]


def test_a_run_is_read_back_for_evaluation(folder, tmp_path):
    values = settings(folder, recipe__ema=0.5, method="sgdrop")
    *_, last = of.train(of.Experiment.read(values, "test"), tmp_path / "run")
    assert not load_run(tmp_path / "run").training
    assert evaluate_run(tmp_path / "run", [])["test"] == pytest.approx(last.scores["test"])
    assert set(evaluate_run(tmp_path / "run", ["train"])) == {"train"}


def test_a_run_knows_the_size_that_was_chosen_for_it(tmp_path):
    from PIL import Image

    data = photos(tmp_path / "photos", train=5, test=3, side=20)
    odd = data / "train" / "class0" / "00.png"
    Image.open(odd).resize((30, 26)).save(odd)
    *_, last = of.train(of.Experiment.read(settings(data, recipe__epochs=1), "test"), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["size"] == [16, 16]
    odd.unlink()  # now all images are of one size, and of another one than the network was trained at
    assert evaluate_run(tmp_path / "run", ["test"])["test"] == pytest.approx(last.scores["test"])


def test_evaluation_gives_the_mode_back(folder):
    experiment = of.Experiment.read(settings(folder), "test")
    dataset = experiment.dataset()
    model = experiment.create_model(3, 3).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    scores = evaluate(model, experiment.stream(dataset, "test"))
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    images = torch.stack([dataset.splits["test"].images.read(row) for row in range(18)]).float() / 255
    mean, std = (torch.tensor(each)[:, None, None] for each in (dataset.mean, dataset.std))
    logits = model.eval()((images - mean) / std).detach()
    labels = dataset.splits["test"].labels
    assert scores["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert scores["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-4)


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions(precision, folder, tmp_path):
    values = settings(folder, recipe__precision=precision, method="cutmix + sgdrop", recipe__epochs=1)
    (epoch,) = of.train(of.Experiment.read(values, "test"), tmp_path / "run")
    assert np.isfinite(epoch.train["loss"])
