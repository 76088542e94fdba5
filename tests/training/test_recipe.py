"""The recipe: what the rate does, what decays, what accumulates, and what the averages are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import Running, settings, training
from torch import nn

from overfocus import Experiment, OverfocusError, train
from overfocus.training.averaging import averaged
from overfocus.training.loop import Machine, Trainer
from overfocus.training.processes import started
from overfocus.training.recipe import Recipe, precision_for
from overfocus.training.run import Run


def weights(folder, out: Path, **changes) -> dict[str, torch.Tensor]:
    """Train a network without batch norm, and return its last weights."""
    changes = {"model__settings": {"widths": [4, 8], "norm": "group"}, "recipe__epochs": 1, **changes}
    list(train(Experiment.read(settings(folder, **changes), "test"), out))
    return load_file(out / "weights.safetensors")


def close(ours, theirs):
    for name in ours:
        torch.testing.assert_close(theirs[name], ours[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("recipe", "shape"),
    [
        (Recipe(warmup=0.2), {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.5, 1: 0}),
        (Recipe(warmup=0), {0: 1, 0.5: 0.5, 1: 0}),
        (
            Recipe(schedule="step", warmup=0.1, milestones=(0.5, 0.75), gamma=0.1),
            {0.05: 0.5, 0.1: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1: 0.01},
        ),
        (Recipe(schedule="constant", warmup=0.5), {0: 0, 0.25: 0.5, 0.5: 1, 1: 1}),
    ],
)
def test_the_rate_has_the_schedules_shape(recipe, shape):
    for done, rate in shape.items():
        assert recipe.rate(done) == pytest.approx(rate), done


def test_the_rate_that_is_left_out_is_the_optimisers():
    assert Recipe().lr == 0.1
    assert Recipe(optimizer="adamw").lr == 0.001
    assert Recipe(optimizer="adamw", lr=0.01).lr == 0.01


class Mixed(nn.Module):
    """Convolution, norm, head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_norms_and_biases_do_not_decay(name):
    model = Mixed()
    optimizer = Recipe(optimizer=name, weight_decay=0.3).optimizer_for(model)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    expected = {name: 0.3 if name in ("conv.weight", "fc.weight") else 0.0 for name, _ in model.named_parameters()}
    assert {name: decays[id(p)] for name, p in model.named_parameters()} == expected


def test_the_encoder_learns_at_its_share_of_the_rate():
    model = Mixed()
    optimizer = Recipe(lr=0.2, encoder_lr=0.1).optimizer_for(model)
    peaks = {id(p): group["peak"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert peaks[id(parameter)] == pytest.approx(0.2 if name.startswith("fc") else 0.02), name


def test_precision():
    assert precision_for("64-true", torch.device("cpu")) == "64-true"
    assert precision_for("auto", torch.device("mps")) == "32-true"
    assert precision_for("auto", torch.device("cpu")) in ("32-true", "bf16-mixed")


def test_even_one_step_trains(folder, tmp_path):
    values = settings(folder, data__per_class=2, recipe__epochs=1, recipe__lr=0.5)
    experiment = Experiment.read(values, "test")
    first = experiment.create_model(3, 3).state_dict()
    (epoch,) = train(experiment, tmp_path / "run")
    assert epoch.lr > 0
    assert not torch.equal(load_file(tmp_path / "run" / "weights.safetensors")["fc.weight"], first["fc.weight"])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_accumulated_batches_are_one_large_batch(optimizer, folder, tmp_path):
    # 45 images: the last update has a batch of 8 and one of 5, which must not count more for each image.
    changes = {"recipe__optimizer": optimizer, "recipe__lr": 0.01, "recipe__epochs": 2}
    large = weights(folder, tmp_path / "large", recipe__batch=16, **changes)
    small = weights(folder, tmp_path / "small", recipe__batch=8, recipe__accumulate=2, **changes)
    close(large, small)


def test_the_gradient_is_clipped(folder, tmp_path):
    still = {"recipe__momentum": 0, "recipe__weight_decay": 0, "recipe__schedule": "constant", "recipe__warmup": 0}
    first = Experiment.read(settings(folder, model__settings={"widths": [4, 8], "norm": "group"}), "test")
    start = first.create_model(3, 3).state_dict()
    last = weights(folder, tmp_path / "run", recipe__lr=1, recipe__clip=1e-3, **still)
    moved = torch.cat([(last[name] - start[name]).flatten() for name in last]).norm()
    assert 0 < moved <= 6 * 1e-3 * 1.01, "six steps of at most 0.001 each"


def test_the_average_is_the_moving_average_of_the_weights(folder, tmp_path):
    experiment = Experiment.read(settings(folder, recipe__ema=0.7, recipe__epochs=1), "test")
    seen: list[dict[str, torch.Tensor]] = []
    (tmp_path / "run").mkdir()
    fabric = started("32-true", Machine("cpu"))
    trainer = Trainer(
        experiment, Run(tmp_path / "run"), fabric,
        lambda step: seen.append({k: v.clone() for k, v in trainer.objective.model.state_dict().items()}),
    )  # fmt: skip
    list(trainer.epochs())
    averaged = load_file(tmp_path / "run" / "weights.safetensors")
    for name in averaged:
        if averaged[name].is_floating_point():
            expected = seen[0][name]
            for each in seen[1:]:
                expected = 0.7 * expected + 0.3 * each[name]
            torch.testing.assert_close(averaged[name], expected)


def test_the_average_of_few_updates_forgets_the_first_weights():
    """Read literally: average t has the decay min(d, (1 + t) / (10 + t)), the first is the weights themselves."""
    model, seen, steps = nn.BatchNorm1d(2), [], 120
    average = averaged(model, 0.99, warmed=True)
    for step in range(steps):
        model.weight.data.fill_(step)
        model.num_batches_tracked.fill_(step)
        average.update_parameters(model)
        seen.append(float(step))
    expected = seen[0]
    for step, value in enumerate(seen[1:], 1):
        decay = min(0.99, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.module.weight[0].item() == pytest.approx(expected, rel=1e-5)
    assert average.module.num_batches_tracked == steps - 1
    slow = averaged(model.train(), 0.99)
    for value in seen:
        model.weight.data.fill_(value)
        slow.update_parameters(model)
    assert slow.module.weight[0] < 60 < 105 < average.module.weight[0]  # the mean of all steps, that of the last


def test_the_memory_format_changes_nothing(folder, tmp_path):
    wide = {"model__settings": {"widths": [16, 24], "norm": "group"}}
    ours = weights(folder, tmp_path / "last", recipe__channels_last=True, **wide)
    close(ours, weights(folder, tmp_path / "first", recipe__channels_last=False, **wide))


def on_two_threads(values, out: str) -> None:
    torch.set_num_threads(2)
    training(values, out)


@pytest.mark.slow
def test_a_narrow_network_trains_on_two_threads(folder, tmp_path):
    # With its channels last it corrupted the heap within a few epochs, in nearly every run.
    values = settings(folder, recipe__epochs=20, recipe__evaluate_every=20)
    ended = Running(on_two_threads, tmp_path / "log", values, str(tmp_path / "run"))
    assert ended.end() == 0, ended.said[-500:]


def test_smoothing_raises_the_loss_of_the_sure(folder, tmp_path):
    def loss(name, smoothing):
        values = settings(folder, recipe__smoothing=smoothing, recipe__epochs=1, recipe__lr=1e-9)
        return next(train(Experiment.read(values, "test"), tmp_path / name)).train["loss"]

    assert loss("plain", 0.0) != loss("smoothed", 0.5)


def test_a_torch_whose_compiler_is_too_old_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.7.1+cpu")
    with pytest.raises(OverfocusError, match=r"the compiler of torch 2.7.1\+cpu cannot trace methods"):
        weights(folder, tmp_path / "run", recipe__compile=True)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["plain", "cutmix + sgdrop(drop=0.4)"])
def test_compiled_it_learns_the_same(method, folder, tmp_path):
    ours = weights(folder, tmp_path / "compiled", recipe__compile=True, method=method)
    theirs = weights(folder, tmp_path / "eager", method=method)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-2, atol=1e-3)
