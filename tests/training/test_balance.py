"""Classes of unequal size: what the loss, the linear probe and the choice between networks make of them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from small import photos, settings
from torch import nn

from overfocus import Experiment, train
from overfocus.core.balance import Balance
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.data import Stream
from overfocus.data.images import TensorImages
from overfocus.data.split import Split
from overfocus.regularizers.spec import parse
from overfocus.training import finetune
from overfocus.training.evaluate import evaluate
from overfocus.training.finetune import Judged, probe_of
from overfocus.training.linear_probe import Features, fit_head
from overfocus.training.objective import Objective

COUNTS = torch.tensor([40, 1, 7, 3])
B, K = 5, 4
LOGITS = Key.seeded(1).normal(B, K)
LABELS = torch.tensor([0, 0, 3, 1, 2])
SOFT = (2 * Key.seeded(2).normal(B, K)).softmax(dim=1)


def slowly(logits, shares, counts, smoothing):
    """Return sum over classes of share x weight x -log p, the mean over the batch, one number after another."""
    total = 0.0
    for row, share in zip(logits.double().tolist(), shares.double().tolist(), strict=True):
        logs = torch.tensor(row, dtype=torch.float64).log_softmax(0).tolist()
        for name in range(len(row)):
            weight = sum(counts.tolist()) / (len(counts) * counts.tolist()[name])
            total -= ((1 - smoothing) * share[name] + smoothing / len(row)) * weight * logs[name]
    return total / len(logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("labels", [LABELS, SOFT, LABELS[:1]])
def test_weights_are_those_of_the_shares_as_in_torch(labels, smoothing):
    weights, logits = Balance.of("weights", COUNTS).weights, LOGITS[: len(labels)].clone().requires_grad_()
    assert weights is not None
    assert float((weights * COUNTS).sum() / COUNTS.sum()) == pytest.approx(1), "mean over the images"
    targets = Targets.of(labels)
    loss = targets.cross_entropy(logits, smoothing, weights)
    assert float(loss) == pytest.approx(slowly(logits, targets.dense(K), COUNTS, smoothing))
    theirs = F.cross_entropy(logits, targets.dense(K), weight=weights, label_smoothing=smoothing)
    torch.testing.assert_close(loss, theirs)
    ours, torchs = (torch.autograd.grad(each, logits)[0] for each in (loss, theirs))
    torch.testing.assert_close(ours, torchs)
    if labels.ndim == 1:  # of class indices torch divides by the sum of the batch's weights
        summed = F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing, reduction="sum")
        torch.testing.assert_close(loss, summed / len(labels))


def test_mixed_labels_are_weighted_by_both_classes():
    weights = Balance.of("weights", COUNTS).weights
    mixed = Targets.of(LABELS).blend(Targets.of(LABELS.flip(0)), torch.full((B,), 0.3))
    theirs = F.cross_entropy(LOGITS, mixed.dense(K), weight=weights)
    torch.testing.assert_close(mixed.cross_entropy(LOGITS, 0.0, weights), theirs)


@pytest.mark.parametrize("kind", ["weights", "logit-adjustment", "sampler"])
def test_a_class_without_images_is_an_error_that_names_it(kind):
    with pytest.raises(OverfocusError, match="'owl' has no training image"):
        Balance.of(kind, torch.tensor([3, 0, 2]), ("cat", "owl", "dog"))
    assert Balance.of("none", torch.tensor([3, 0, 2])).weights is None


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 5 * 6, K)
        self.fc.weight.data = Key.seeded(4).normal(K, 3 * 5 * 6) / 10

    def forward(self, images):
        return self.fc(images.flatten(1))


IMAGES = Key.seeded(3).normal(B, 3 * 5 * 6).view(B, 3, 5, 6)


@pytest.mark.parametrize("spec", ["plain", "mixup(prob=1)"])
@pytest.mark.parametrize("kind", ["none", "sampler", "weights", "logit-adjustment"])
def test_the_objective_balances_in_training_alone(kind, spec):
    model = Flat()
    objective = Objective(model, parse(spec), seed=5, smoothing=0.1, balance=Balance.of(kind, COUNTS))
    batch = objective.prepare(IMAGES, LABELS)
    logits, soft = model(batch.values), batch.targets.dense(K)
    weights = COUNTS.sum() / (K * COUNTS) if kind == "weights" else None
    prior = (COUNTS / COUNTS.sum()).log() if kind == "logit-adjustment" else 0
    torch.testing.assert_close(
        objective(IMAGES, LABELS), F.cross_entropy(logits + prior, soft, weight=weights, label_smoothing=0.1)
    )
    assert objective.state_dict().keys() == Objective(Flat(), parse(spec)).state_dict().keys(), "old states are read"
    objective.eval()
    torch.testing.assert_close(objective(IMAGES, LABELS), F.cross_entropy(model(IMAGES), LABELS))


def uneven(sizes, width=5, noise=1.5, seed=0):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    values = Key.seeded(9).normal(len(sizes), width)[labels] + noise * Key.seeded(seed).normal(len(labels), width)
    return Features(values, labels)


def fitted_by_hand(features, penalty, weights, offset):
    """Return log probabilities of  sum of weight x log loss of (logits + offset) + penalty / 2 |weight|^2."""
    x = features.values.double()
    x = (x - x.mean(dim=0)) / x.std(dim=0, unbiased=False)
    classes = len(offset)
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        losses = F.cross_entropy(x @ weight.T + bias + offset, features.labels, reduction="none")
        loss = (losses * weights[features.labels]).sum() + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (x @ weight.T + bias).detach().log_softmax(dim=1)


@pytest.mark.parametrize("kind", ["none", "sampler", "weights", "logit-adjustment"])
def test_the_probe_is_the_regression_with_that_loss(kind):
    sizes = [30, 4, 11]
    features, counts = uneven(sizes), torch.tensor(sizes).double()
    weights = 45 / (3 * counts) if kind in ("sampler", "weights") else torch.ones(3).double()
    offset = (counts / 45).log() if kind == "logit-adjustment" else torch.zeros(3).double()
    head = fit_head(features, 3, Key.seeded(0), penalties=[2.0], balance=kind)
    found = head.logits(features).double().log_softmax(dim=1)
    torch.testing.assert_close(found, fitted_by_hand(features, 2.0, weights, offset), rtol=0, atol=3e-3)


def test_the_adjusted_probe_of_two_classes_is_the_plain_one_less_the_log_odds():
    features = uneven([30, 5])
    plain, adjusted = (
        fit_head(features, 2, Key.seeded(0), balance=kind, penalties=(1.0, 10.0))
        for kind in ("none", "logit-adjustment")
    )
    moved = (adjusted.bias - plain.bias)[1] - (adjusted.bias - plain.bias)[0]
    assert float(moved) == pytest.approx(float(torch.tensor(30 / 5).log()), abs=1e-5)
    assert adjusted.penalty == plain.penalty


@pytest.mark.parametrize("kind", ["weights", "logit-adjustment"])
def test_a_balanced_probe_finds_more_of_the_small_classes(kind, monkeypatch):
    monkeypatch.setattr(finetune, "fit_head", partial(fit_head, penalties=(1.0,)))
    train_on, test_on = uneven([120, 6, 6]), uneven([200, 200, 200], seed=1)
    plain, balanced = (probe_of(train_on, 3, Key.seeded(0), each) for each in ("none", kind))
    assert balanced.accuracy(test_on) > plain.accuracy(test_on) + 0.05


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 3])
    pixels = torch.tensor([0, 0, 0, 1, 1, 0, 3], dtype=torch.uint8).view(7, 1, 1, 1).expand(7, 1, 4, 6).contiguous()
    split = Split(TensorImages(pixels, "codes"), labels, tuple("abcd"))

    class Named(nn.Module):
        def forward(self, images):
            return F.one_hot((images[:, 0, 0, 0] * 255).round().long(), 4).float()

    scores = evaluate(Named(), Stream(split, batch=3, mean=(0.0,), std=(1.0,), train=False))
    assert scores["accuracy"] == pytest.approx(5 / 7)
    assert scores["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)


def test_a_balanced_recipe_judges_by_balanced_accuracy():
    probe = {"val": {"accuracy": 0.8, "balanced_accuracy": 0.7, "images": 20}}
    tuned = {"val": {"accuracy": 0.9, "balanced_accuracy": 0.6, "images": 20}}
    assert not Judged(probe, tuned).keeps_probe
    judged = Judged(probe, tuned, Experiment.read(settings("d", recipe__balance="weights"), "").recipe.judged_by)
    assert judged.keeps_probe
    assert "0.6000" in judged.sentence()


@pytest.fixture(scope="module")
def lopsided(tmp_path_factory) -> Path:
    folder = photos(tmp_path_factory.mktemp("lopsided") / "photos")
    for name, kept in (("class1", 4), ("class2", 1)):
        for path in sorted((folder / "train" / name).iterdir())[kept:]:
            path.unlink()
    return folder


@pytest.mark.parametrize("kind", ["sampler", "weights", "logit-adjustment"])
def test_a_run_is_trained_by_its_balance_and_differs_from_none(kind, lopsided, tmp_path):
    losses = {}
    for each in ("none", kind):
        values = settings(lopsided, recipe__balance=each, recipe__epochs=1, method="cutmix(prob=0.5)")
        list(train(Experiment.read(values, "test"), tmp_path / each))
        epoch = json.loads((tmp_path / each / "epochs.jsonl").read_text().splitlines()[-1])
        losses[each] = epoch["train"]["loss"]
        manifest = json.loads((tmp_path / each / "manifest.json").read_text())
        assert 0 <= manifest["last"]["scores"]["test"]["balanced_accuracy"] <= 1
    assert losses["none"] != losses[kind]


def test_an_unknown_balance_names_those_there_are():
    with pytest.raises(OverfocusError, match="logit-adjustment"):
        Experiment.read(settings("d", recipe__balance="weight"), "test")
