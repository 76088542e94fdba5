"""Several labels of an image, and one logit, through both seams of training."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import laws
import overfocus as of
from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.regularizers.spec import parse
from overfocus.training.objective import Objective

B, K = laws.B, laws.K
SPECS = [spec for spec in laws.SPECS if "label='half'" not in spec and "label='larger'" not in spec]


def multi(rows: int = B) -> Tensor:
    """Labels [B, K]: none in row 1, all in row 2, a mixture elsewhere."""
    labels = (Key.seeded(5).uniform(rows, K) < 0.4).float()
    labels[1], labels[2] = 0, 1
    return labels


@pytest.mark.parametrize("spec", [*SPECS, "cutmix(prob=1.0, label='union')", "oneof(cutmix(label='union'), mixup)"])
def test_every_method_trains_on_several_labels(spec):
    """Shares stay in [0, 1], the loss is finite and the inputs are not written to."""
    objective, labels = laws.objective(spec, multi_label=True), multi()
    before = labels.clone()
    prepared = objective.prepare(laws.images(), labels)
    shares = prepared.targets.dense(K)
    assert float(shares.min()) >= 0
    assert float(shares.max()) <= 1
    loss = objective(laws.images(), labels)
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(labels, before)
    again = laws.objective(spec, multi_label=True)
    assert torch.equal(again(laws.images(), labels), loss)


def test_plain_training_and_evaluation_have_the_loss_of_pytorch():
    model = laws.net()
    expected = F.binary_cross_entropy_with_logits(deepcopy(model).train()(laws.images()), multi())
    assert torch.allclose(Objective(deepcopy(model), multi_label=True)(laws.images(), multi().bool()), expected)
    assert torch.allclose(Objective(deepcopy(model))(laws.images(), Targets.multi(multi())), expected)
    expected = F.binary_cross_entropy_with_logits(model.eval()(laws.images()), multi())
    assert torch.allclose(Objective(model, multi_label=True).eval()(laws.images(), multi()), expected)


def test_labels_are_never_taken_for_several_by_their_numbers():
    with pytest.raises(OverfocusError, match="multi_label=True"):
        Objective(laws.net())(laws.images(), multi())
    with pytest.raises(OverfocusError, match="not as class indices"):
        Objective(laws.net(), multi_label=True)(laws.images(), torch.arange(B))
    with pytest.raises(OverfocusError, match="multi_label=True"):
        Objective(laws.net(), parse("mixup + cutmix(label='union')"))


@pytest.mark.parametrize("label", ["area", "union", "half", "larger"])
def test_cutmix_labels_are_those_of_their_rule(label):
    """Against the pixels: which image each one comes from is read off constant images."""
    values = torch.arange(B, dtype=torch.float32).reshape(B, 1, 1, 1).expand(B, 1, 9, 13).contiguous()
    labels = multi()
    found = parse(f"cutmix(prob=0.8, label={label!r})").on_batch(Batch(values, Targets.multi(labels)), Key.seeded(3))
    mixed = 0
    for row in range(B):
        pixels = found.values[row].flatten().tolist()
        own = sum(pixel == row for pixel in pixels) / len(pixels)
        other = next((int(pixel) for pixel in pixels if pixel != row), row)
        mixed += other != row
        for k in range(K):
            mine, theirs = float(labels[row, k]), float(labels[other, k])
            expected = {
                "area": own * mine + (1 - own) * theirs,
                "union": max(mine if own > 0 else 0, theirs if own < 1 else 0),
                "half": (mine + theirs) / 2,
                "larger": mine if own >= 0.5 else theirs,
            }[label]
            assert float(found.targets.dense(K)[row, k]) == pytest.approx(expected, abs=1e-6)
    assert mixed >= 3


def literal_kept(head: nn.Module, z: Tensor, labels: Tensor, drop: float) -> Tensor:
    """1 where a position of the features `z` [C, h, w] stays: the evidence is that of the sum of the present logits."""
    leaf = z.detach().clone().requires_grad_()
    total = torch.zeros(())
    for k in range(len(labels)):
        total = total + float(labels[k]) * head(leaf[None])[0, k]
    (gradient,) = torch.autograd.grad(total, leaf)
    evidence = torch.clamp(gradient * z.detach(), min=0).sum(0)
    places = sorted((float(evidence[i, j]), i, j) for i in range(evidence.shape[0]) for j in range(evidence.shape[1]))
    mask = torch.ones_like(evidence)
    for value, i, j in places[::-1][: int(drop * len(places))]:
        mask[i, j] = 0.0 if value > 0 else 1.0
    return mask


@pytest.mark.parametrize("deep", [False, True], ids=["closed form", "autograd"])
@pytest.mark.parametrize("shares", [False, True], ids=["labels", "shares"])
def test_sgdrop_is_its_literal_version_of_several_labels(deep, shares):
    model = laws.net(deep)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.Dropout):
            module.eval()
    model.training = True
    labels = multi() * (Key.seeded(8).uniform(B, K) if shares else 1)
    objective = Objective(model, parse("sgdrop(drop=0.4, prob=1.0)"), multi_label=True)
    objective.train = lambda mode=True: objective  # type: ignore[method-assign]
    z = model.middle(model.stem(laws.images()))
    head = nn.Sequential(model.pool, model.flatten, model.fc)
    masks = torch.stack([literal_kept(head, z[row], labels[row], 0.4) for row in range(B)])
    expected = F.binary_cross_entropy_with_logits(head(z * masks[:, None]), labels)
    loss = objective(laws.images(), labels)
    assert torch.allclose(loss, expected, atol=1e-6)
    assert torch.allclose(objective.last["sgdrop_dropped"], 1 - masks.mean((1, 2)))
    assert float(objective.last["sgdrop_dropped"][1]) == 0  # an image without labels keeps everything
    assert float(objective.last["sgdrop_dropped"][2]) > 0


def test_a_planted_bug_in_the_attribution_is_caught(monkeypatch):
    from overfocus.core.targets import MultiTargets

    monkeypatch.setattr(MultiTargets, "weigh", lambda self, rows: (1 - self.weights) @ rows)
    with pytest.raises(AssertionError):
        test_sgdrop_is_its_literal_version_of_several_labels(False, False)


def pair() -> tuple[nn.Module, nn.Module]:
    """Return a network of one logit and the same one with two, whose difference that logit is."""
    one, two = laws.net(), laws.net()
    one.fc, two.fc = nn.Linear(12, 1), nn.Linear(12, 2)
    with torch.no_grad():
        two.fc.weight.copy_(torch.cat((-one.fc.weight, one.fc.weight)) / 2)
        two.fc.bias.copy_(torch.cat((-one.fc.bias, one.fc.bias)) / 2)
    return one, two


@pytest.mark.parametrize("spec", ["plain", "mixup + sgdrop(prob=1.0)", "cutmix(prob=1.0) + sgdrop(target='predicted')"])
def test_one_logit_learns_what_two_learn(spec):
    """Same masks, losses and, the head at half the rate where it has two rows, the same predictions after training."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one, two = pair()
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    objectives = Objective(one, parse(spec), multi_label=True), Objective(two, parse(spec))
    for _ in range(5):
        losses = [objective(laws.images(), labels) for objective in objectives]
        assert torch.allclose(*losses, atol=1e-5)
        for objective, loss, rate in zip(objectives, losses, (0.1, 0.05), strict=True):
            objective.zero_grad()
            loss.backward()
            with torch.no_grad():
                for name, value in objective.model.named_parameters():
                    assert value.grad is not None
                    value -= (rate if name.startswith("fc") else 0.1) * value.grad
    logit, logits = (model.eval()(laws.images()) for model in (one, two))
    assert torch.allclose(logit[:, 0].sigmoid(), logits.softmax(1)[:, 1], atol=1e-4)
    assert torch.equal(logit[:, 0] > 0, logits.argmax(1) == 1)


def test_one_logit_without_a_word_of_it_is_refused_with_both_ways_out():
    with pytest.raises(OverfocusError, match=r"two outputs.*Targets\.multi.*multi_label=True"):
        Objective(pair()[0])(laws.images(), torch.tensor([0, 1, 1, 0, 1, 0]))


def test_the_functions_take_several_labels():
    images, targets = of.cutmix(laws.images(), of.Targets.multi(multi()), generator=torch.Generator().manual_seed(0))
    images, targets = of.mixup(images, targets, generator=torch.Generator().manual_seed(0))
    assert targets.dense(K).shape == (B, K)
    assert torch.isfinite(targets.cross_entropy(torch.zeros(B, K)))
