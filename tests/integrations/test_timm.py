"""The drop-in for timm's Mixup, beside timm's own."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import nn
from torch.nn.functional import cross_entropy

import overfocus as of
from overfocus.core.errors import OverfocusError
from overfocus.integrations.timm import TimmMixup, timm_spec

SoftTargetCrossEntropy = pytest.importorskip("timm.loss").SoftTargetCrossEntropy
timm_data = pytest.importorskip("timm.data")


def batch(count=64, classes=7, side=32):
    source = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, side, side + 4, generator=source)
    return images, torch.randint(classes, (count,), generator=source)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 7)
    )


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_odd_batches_work_and_the_input_is_not_written_to(mode):
    images, labels = batch(5)
    before = images.clone()
    mixed, targets = TimmMixup(0.8, 1.0, mode=mode, num_classes=7)(images, labels)
    assert torch.equal(images, before)
    assert not torch.equal(mixed, images)
    assert targets.shape == (5, 7)
    torch.testing.assert_close(targets.sum(1), torch.ones(5))


def test_the_same_seed_gives_the_same_batches_and_steps_differ():
    images, labels = batch()
    one, other = (TimmMixup(1.0, 1.0, num_classes=7, seed=3) for _ in range(2))
    first, second = one(images, labels), one(images, labels)
    assert torch.equal(first[0], other(images, labels)[0])
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0], TimmMixup(1.0, 1.0, num_classes=7, seed=4)(images, labels)[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plain_targets_are_timms_own(smoothing):
    images, labels = batch()
    ours = TimmMixup(label_smoothing=smoothing, num_classes=7)
    ours.mixup_enabled = False
    theirs = timm_data.mixup.mixup_target(labels, 7, 1.0, smoothing)
    mixed, targets = ours(images, labels)
    torch.testing.assert_close(targets, theirs)
    assert mixed is images


@pytest.mark.parametrize(
    ("alphas", "prob", "switch"), [((1.0, 0.0), 0.7, 0.5), ((0.0, 1.0), 0.5, 0.5), ((0.4, 1.0), 0.8, 0.3)]
)
def test_the_share_of_the_own_label_is_distributed_as_timms(alphas, prob, switch):
    """Per image, the weight that an image's own label keeps: Kolmogorov and Smirnov over 4,000 images of each."""
    images, classes = torch.zeros(500, 1, 32, 36), 500
    labels = torch.arange(500)
    ours = TimmMixup(*alphas, prob=prob, switch_prob=switch, mode="elem", label_smoothing=0, num_classes=classes)
    theirs = timm_data.Mixup(*alphas, prob=prob, switch_prob=switch, mode="elem", label_smoothing=0,
                             num_classes=classes)  # fmt: skip
    np.random.seed(0)
    kept = [
        torch.cat([mix(images.clone(), labels)[1][labels, labels] for _ in range(8)]).numpy() for mix in (ours, theirs)
    ]
    mixed = [(each < 1).mean() for each in kept]
    assert abs(mixed[0] - mixed[1]) < 0.04
    assert ks_2samp(*[each[each < 1] for each in kept]).pvalue > 1e-3


def test_what_timm_has_and_this_has_not_is_refused():
    for wrong in ({"cutmix_minmax": [0.2, 0.8]}, {"multi_label": True}, {"correct_lam": False}):
        with pytest.raises(OverfocusError, match="cutmix_minmax, multi_label or correct_lam"):
            TimmMixup(**wrong)
    with pytest.raises(OverfocusError, match="both 0"):
        TimmMixup(0.0, 0.0)
    with pytest.raises(OverfocusError, match="did you mean 'elem'"):
        TimmMixup(1.0, mode="elm")
    with pytest.raises(OverfocusError, match="give model="):
        TimmMixup(method="sgdrop")


def test_the_arguments_are_a_spec():
    assert str(of.parse(timm_spec(0.0, 1.0, 1.0, 0.5))) == "cutmix(prob=1.0, per='batch')"
    assert (
        str(of.parse(timm_spec(0.2, 1.0, 1.0, 0.25, "elem")))
        == "oneof(mixup(alpha=0.2), cutmix(prob=1.0), weights=(0.75, 0.25), per='image')"
    )


@pytest.mark.parametrize("method", ["cutmix(prob=0.5)", "sgdrop", "cutmix + sgdrop", "oneof(sgdrop, cutout)"])
def test_a_loop_like_timms_has_the_losses_of_the_plain_loop(method):
    """Same seed, same losses: timm's loop with the drop-in, and the objective in a loop of its own."""
    images, labels = batch(12)

    def objective_losses():
        objective = of.Objective(net(), of.parse(method), seed=5, smoothing=0.1)
        update = torch.optim.SGD(objective.parameters(), lr=0.1)
        for _ in range(4):
            loss = objective(images, labels)
            loss.backward()
            update.step()
            update.zero_grad()
            yield loss.item()

    def timm_losses():
        model = net()
        mixup_fn = TimmMixup(num_classes=7, label_smoothing=0.1, method=method, model=model, seed=5)
        criterion = SoftTargetCrossEntropy()
        update = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            x, target = mixup_fn(images, labels)
            loss = criterion(model(x), target)
            loss.backward()
            update.step()
            update.zero_grad()
            yield loss.item()

    np.testing.assert_allclose(list(timm_losses()), list(objective_losses()), rtol=1e-5)


def test_evaluation_in_between_is_plain():
    images, labels = batch(12)
    model, plain = net(), net()
    mixup_fn = TimmMixup(num_classes=7, method="sgdrop(prob=1.0)", model=model)
    model.eval()
    assert torch.equal(model(images), plain(images))
    model.train()
    x, target = mixup_fn(images, labels)
    assert not torch.equal(model(x), plain(x))
    assert torch.equal(model(x), plain(x)), "only the first call after the batch was made"
    assert mixup_fn.attached.report()["sgdrop_rate"] > 0
    assert torch.equal(mixup_fn.attached.detach()(images), plain(images))
    assert cross_entropy(model(images), target).isfinite()
