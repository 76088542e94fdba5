"""A refitted last layer: the logistic regression that its words say, chosen by cross-validation, put back in place."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small import own_dropout, settings
from torch import nn

from overfocus import Experiment, train
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key
from overfocus.training.checkpoint import load_data, load_run
from overfocus.training.linear_probe import Features, LinearHead, features_of, fit_head
from overfocus.training.refit import refit_run
from overfocus.training.run import Run

KEY = Key.seeded(3)


def clusters(classes=3, count=90, width=5, noise=0.6, seed=0):
    """Return features [N, D] around one centre a class, in columns of very different scale."""
    key = Key.seeded(seed)
    labels = key.fold_in("labels").order(count) % classes
    centres = Key.seeded(99).normal(classes, width)
    values = centres[labels] + noise * key.fold_in("noise").normal(count, width)
    return Features(values * torch.tensor([1.0, 100.0, 0.01, 1.0, 5.0])[:width] + 7, labels)


def by_hand(features, classes, penalty):
    """Fit the same regression with torch: sum of log losses + penalty / 2 |weight|^2 on standardised features."""
    mean, std = features.values.double().mean(dim=0), features.values.double().std(dim=0, unbiased=False)
    x = (features.values.double() - mean) / std
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, features.labels, reduction="sum")
        loss = loss + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (x @ weight.T + bias).detach().log_softmax(dim=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_regression_that_its_words_say(classes):
    features = clusters(classes)
    head = fit_head(features, classes, KEY, penalties=[3.0])
    assert (head.weight.shape, head.bias.shape, head.penalty) == ((classes, 5), (classes,), pytest.approx(3.0))
    found = head.logits(features).double().log_softmax(dim=1)
    if classes == 2:  # one penalised row that is the difference of two, each half as long
        assert torch.allclose(found, by_hand(features, 2, 6.0), atol=2e-3)
    else:
        assert torch.allclose(found, by_hand(features, 3, 3.0), atol=2e-3)


def test_the_strength_is_chosen_by_images_that_were_held_out():
    clear, noise = clusters(noise=0.3), clusters()
    noise = Features(noise.values, noise.labels[KEY.order(90)])
    weak, strong = fit_head(clear, 3, KEY), fit_head(noise, 3, KEY)
    assert weak.penalty < 1 < 10 <= strong.penalty
    assert weak.log_loss < 0.1
    assert strong.log_loss == pytest.approx(torch.tensor(3.0).log().item(), abs=0.05)
    assert weak.accuracy(clusters(noise=0.3, seed=5)) > 0.95


def test_the_key_alone_draws_the_folds():
    features, state = clusters(noise=1.5), torch.get_rng_state()
    one, same, other = (fit_head(features, 3, key) for key in (KEY, KEY, Key.seeded(4)))
    assert torch.equal(one.weight, same.weight)
    assert one.log_loss == same.log_loss != other.log_loss
    assert torch.equal(torch.get_rng_state(), state)


def test_features_are_what_the_last_layer_sees_and_the_network_stays_as_it_was():
    model = own_dropout(4)
    model.train()
    model[5].eval()
    images, labels = torch.randn(5, 3, 7, 9), torch.tensor([0, 1, 2, 3, 0])
    found = features_of(model, [(images[:4], labels[:4]), (images[4:], labels[4:], torch.tensor([4]))])
    assert [module.training for module in model][4:7] == [True, False, True]
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(found.labels, labels)
    expected = model.eval()[:-1](images)
    assert found.values.shape == (5, 16)
    assert torch.allclose(found.values, expected, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_a_head_is_put_into_a_copy(bias):
    model = own_dropout(3).eval()
    model[-1] = nn.Linear(16, 3, bias=bias)
    images = torch.randn(4, 3, 8, 6)
    head = LinearHead(torch.randn(3, 16), torch.randn(3), 1.0, 1.0)
    before = model(images)
    fitted = head.into(model)
    features = features_of(model, [(images, torch.zeros(4, dtype=torch.int64))])
    assert torch.allclose(fitted(images), head.logits(features), atol=1e-5)
    assert torch.equal(model(images), before)
    assert not torch.allclose(fitted(images), before)


def test_what_it_cannot_fit_is_an_error():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, images):
            return 2 * self.fc(images.mean(dim=(2, 3)))

    batch = [(torch.randn(2, 3, 8, 8), torch.tensor([0, 1]))]
    with pytest.raises(OverfocusError, match="'fc'"):
        features_of(Scaled(), batch)
    with pytest.raises(OverfocusError, match="Conv2d"):
        features_of(nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()), batch)
    with pytest.raises(OverfocusError):
        features_of(own_dropout(2), [])
    with pytest.raises(OverfocusError, match=r"\[29, 29, 1\]"):
        fit_head(Features(torch.randn(59, 2), torch.tensor([*[0, 1] * 29, 2])), 3, KEY)
    with pytest.raises(OverfocusError, match="finite"):
        fit_head(Features(torch.full((4, 2), torch.nan), torch.tensor([0, 1, 0, 1])), 2, KEY)
    with pytest.raises(OverfocusError, match="16"):
        LinearHead(torch.randn(3, 5), torch.randn(3), 1.0, 1.0).into(own_dropout(3))


def test_a_run_is_refitted_to_other_data_and_beside_it_what_needs_no_training(folder, tmp_path):
    list(train(Experiment.read(settings(folder, recipe__epochs=6), "test"), tmp_path / "run"))
    found = refit_run(tmp_path / "run", str(folder))
    assert (found.data, found.images, list(found.refitted), list(found.untrained)) == (
        str(folder), 45, ["test"], ["test"]
    )  # fmt: skip
    experiment, dataset = load_data(Run(tmp_path / "run"))
    dataset = replace(dataset, splits={"fit": dataset.splits["train"], "test": dataset.splits["test"]})
    model, key = load_run(tmp_path / "run"), Key.seeded(experiment.seed).fold_in("refit")
    fit, test = (features_of(model, experiment.stream(dataset, name).epoch()) for name in ("fit", "test"))
    assert found.refitted["test"] == fit_head(fit, 3, key).accuracy(test) > 1 / 3
    assert refit_run(tmp_path / "run", str(folder)) == found
    with pytest.raises(UnknownName, match="test"):
        refit_run(tmp_path / "run", str(folder), ["tset"])
    with pytest.raises(OverfocusError, match="classes"):
        refit_run(tmp_path / "run", "totem")
