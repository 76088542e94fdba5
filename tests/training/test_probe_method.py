"""The linear probe that is trained with a method: which part of a chain acts in it, and what it comes to."""

from __future__ import annotations

import json
from math import cos, pi

import pytest
import torch
from small import pretrained_body, settings
from torch import nn

from overfocus import Experiment
from overfocus.core.key import Key
from overfocus.models.split import split
from overfocus.regularizers.spec import parse
from overfocus.training import finetune, probe_method
from overfocus.training.finetune import as_evaluated, with_probed_head
from overfocus.training.linear_probe import features_of, fit_head
from overfocus.training.loop import train
from overfocus.training.probe_method import no_pooled_head, split_up

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return pretrained_body(tmp_path_factory.mktemp("weights") / "body.safetensors", [4, 6])


def experiment(folder, weights, method, **changes) -> Experiment:
    model = {"settings": {"widths": [4, 6]}, "weights": str(weights)}
    recipe = {"tune": "probe", "precision": "32-true"}
    return Experiment.read(
        settings(
            folder,
            **{
                "model": model,
                "recipe": recipe,
                "method": method,
                "data__mean": [0.5] * 3,
                "data__std": [0.5] * 3,
                **changes,
            },
        ),
        "test",
    )


def probed(made: Experiment):
    dataset = made.dataset()
    model = made.create_model(3, 3)
    head, said = with_probed_head(model, made, dataset, CPU)
    return model, dataset, head.fc, said


@pytest.fixture(scope="module")
def plain(folder, weights) -> nn.Linear:
    return probed(experiment(folder, weights, "plain"))[2]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(probe_method, "IMAGES", 300)
    monkeypatch.setattr(probe_method, "BATCH", 16)
    monkeypatch.setattr(finetune, "BATCH", 16)


@pytest.mark.parametrize("method", ["plain", "cutmix", "mixup + cutout(size=4)"])
def test_without_a_method_on_features_it_is_the_closed_one(method, folder, weights):
    made = experiment(folder, weights, method)
    model, dataset, layer, said = probed(made)
    features = features_of(model, as_evaluated(made, dataset, CPU).epoch())
    closed = fit_head(features, 3, Key.seeded(made.seed).fold_in("tune"))
    assert torch.equal(layer.weight, closed.weight)
    assert torch.equal(layer.bias, closed.bias)
    assert bool(said) == (method != "plain")  # in a probe alone nothing of it acts


def literally(made, model, dataset, drop, prob) -> tuple[torch.Tensor, torch.Tensor]:
    """Train the head image by image: SGDrop as the second member of its chain masks positions, Mixup does nothing."""
    images, labels = dataset.splits["train"], dataset.splits["train"].labels
    maps = torch.cat([split(model).encode(model.eval(), each) for each, *_ in as_evaluated(made, dataset, CPU).epoch()])
    maps, count = maps.detach(), len(images)
    features = features_of(model, as_evaluated(made, dataset, CPU).epoch())
    key = Key.seeded(made.seed).fold_in("tune")
    start = fit_head(features, 3, key)
    mean, scale = features.values.mean(0), features.values.std(0, correction=0)
    weight = (start.weight * scale).requires_grad_()
    bias = (start.bias + start.weight @ mean).requires_grad_()
    epochs, steps = min(max(round(300 / count), 5), 400), -(-count // 16)
    speeds = [torch.zeros_like(each) for each in (weight, bias)]
    peak = 0.1 / float(torch.linalg.svdvals((features.values - mean) / scale)[0] ** 2 / count)
    for epoch in range(epochs):
        order = key.fold_in("order").fold_in(epoch).order(count)
        for step, rows in enumerate(order.split(16)):
            update = epoch * steps + step
            draws = Key.seeded(key.fold_in("draws").seed()).fold_in(update).fold_in(1)
            losses = []
            for place, row in enumerate(rows):
                z, label = maps[row], int(labels[row])
                if float(draws.uniform(len(rows), 2)[place, 0]) < prob:
                    raw = weight.detach()[label] / scale
                    evidence = (z * raw[:, None, None] / z[0].numel()).relu().sum(0).flatten()
                    most = int(drop * evidence.numel() + 1e-6)
                    highest = evidence.argsort(descending=True)[:most]
                    gone = [int(each) for each in highest if evidence[each] > 0]
                    kept = torch.ones_like(evidence)
                    kept[gone] = 0
                    z = z * kept.view(z.shape[1:])
                logits = weight @ ((z.mean(dim=(1, 2)) - mean) / scale) + bias
                losses.append(logits.logsumexp(0) - logits[label])
            loss = sum(losses) / len(losses) + start.penalty / (2 * count) * (weight**2).sum()
            gradients = torch.autograd.grad(loss, (weight, bias))
            rate = peak * 0.5 * (1 + cos(pi * (update + 0.5) / (epochs * steps)))
            with torch.no_grad():
                for each, gradient, speed in zip((weight, bias), gradients, speeds):
                    speed.mul_(0.9).add_(gradient)
                    each -= rate * (gradient + 0.9 * speed)
    raw = weight.detach() / scale
    return raw, bias.detach() - raw @ mean


def test_of_mixup_and_sgdrop_the_latter_acts_in_the_probe_as_read_literally(folder, weights, plain):
    made = experiment(folder, weights, "mixup(prob=1) + sgdrop(drop=0.4, prob=0.6)")
    model, dataset, layer, said = probed(made)
    weight, bias = literally(made, model, dataset, 0.4, 0.6)
    torch.testing.assert_close(layer.weight.detach(), weight, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(layer.bias.detach(), bias, rtol=2e-3, atol=2e-4)
    other, _ = literally(made, model, dataset, 0.4, 0.0)  # the reading tells another method apart
    assert (layer.weight - plain.weight).abs().max() > 20 * (layer.weight - weight).abs().max()
    assert (other - weight).abs().max() > 20 * (layer.weight - weight).abs().max()
    assert "sgdrop" in said
    assert "mixup" in said


@pytest.mark.parametrize(
    "method", ["sgdrop(teacher='ema', ramp=0.5, views='both')", "dropblock", "mixup(at='features')"]
)
def test_any_method_on_features_acts(method, folder, weights, plain):
    layer = probed(experiment(folder, weights, method))[2]
    assert not torch.allclose(layer.weight, plain.weight, rtol=1e-3)


def test_maps_that_do_not_fit_are_computed_again(folder, weights, monkeypatch):
    made = experiment(folder, weights, "sgdrop(drop=0.3)")
    kept = probed(made)[2]
    monkeypatch.setattr(probe_method, "GIB", 0.0)
    computed: list[int] = []
    monkeypatch.setattr(
        finetune, "_images", lambda *given, then=finetune._images: (computed.append(1), then(*given))[1]
    )
    again = probed(made)[2]
    assert len(computed) == 1 + probe_method.epochs_for(45)
    torch.testing.assert_close(again.weight, kept.weight, rtol=1e-3, atol=1e-4)


def test_a_method_that_hides_nothing_leaves_the_closed_probe(folder, weights, plain):
    """The closed one is the least of the same loss, so that the training does not move away from it."""
    with pytest.warns(UserWarning, match="never ran"):
        layer = probed(experiment(folder, weights, "dropout(drop=0.000001)"))[2]
    assert (layer.weight - plain.weight).norm() < 0.02 * plain.weight.norm()


def test_who_acts_where():
    chain = parse("mixup + sgdrop + dropout(at='fc') + cutout(size=4)")
    assert split_up(chain) == ("sgdrop", "mixup + dropout(at='fc') + cutout(size=4)")
    assert split_up(parse("oneof(mixup, cutmix)")) == ("", "oneof(mixup, cutmix)")
    assert split_up(parse("plain")) == ("", "")


@pytest.mark.parametrize(
    ("head", "pooled"),
    [
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)], True),
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3)], True),
        ([nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3)], False),
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)], False),
        ([nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)], False),
    ],
)
def test_heads_that_are_not_a_pooling_and_a_layer_are_told(head, pooled):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head).eval()
    assert (no_pooled_head(model) == "") is pooled


def test_where_the_head_does_not_allow_it_the_closed_probe_is_taken_and_it_is_said(folder, weights, plain, tmp_path):
    made = experiment(folder, weights, "sgdrop", model={
        "settings": {"widths": [4, 6]}, "weights": str(weights), "at": "stages.0"
    })  # fmt: skip
    _, _, layer, said = probed(made)
    assert "stages.0" in said
    assert torch.equal(layer.weight, plain.weight)
    list(train(made, tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["linear_probe"] == said
