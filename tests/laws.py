"""Laws that every method obeys, whatever it does: functions of a spec that raise where one is broken.

`test_laws.py` runs them on every method there is; `test_planted_bugs.py` shows that each of them can fail.
"""

import random
import re
from copy import deepcopy
from dataclasses import fields

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.core.batch import Batch
from overfocus.core.head_probe import HeadAttribution
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.regularizers.regularizer import Chain, Regularizer
from overfocus.regularizers.spec import methods, parse
from overfocus.training.objective import Objective

B, C, H, W, K = 6, 3, 10, 14, 5  # no two alike
DEFAULTS = [name for name in methods() if name not in ("regularizer", "chain")]
SETTINGS = [
    "plain",
    "cutmix(prob=1.0, per='batch')",
    "cutmix(prob=1.0, centre='gaussian', label='larger')",
    "cutmix(prob=1.0, size=5, label='half')",
    "cutmix(prob=1.0, size=0.5, schedule='linear')",
    "cutmix(prob=1.0, alpha=0.3, at='features')",
    "cutmix(prob=1.0, at='middle')",
    "cutout(size=4)",
    "cutout(size=(2, 5), holes=3, fill='noise')",
    "cutout(fill='mean', prob=0.5, per='batch')",
    "cutout(fill=0.5, at='middle')",
    "mixup(alpha=0.4, prob=0.5)",
    "mixup(per='batch', at='features')",
    "mixup(at='middle')",
    "dropout(at='image')",
    "spatialdropout(at='middle', drop=0.5)",
    "dropblock(size=2, drop=0.3, at='image')",
    "dropblock(schedule='linear', drop=0.4)",
    "sgdrop(unit='element', prob=1.0)",
    "sgdrop(unit='channel', target='predicted')",
    "sgdrop(target='soft', rescale=True)",
    "sgdrop(views='both')",
    "sgdrop(teacher='ema')",
    "sgdrop(selection='random', prob=1.0)",
    "sgdrop(selection='least', unit='element')",
    "sgdrop(unit_prob=0.5, drop=0.8, prob=1.0)",
    "sgdrop(ramp=0.5)",
    "sgdrop(start=0.1, prob=1.0)",
    "sgdrop(drop=(0.2, 0.6))",
    "sgdrop(at='middle', unit='channel')",
    "oneof(cutmix, mixup(alpha=0.4), weights=(1, 2))",
    "oneof(mixup(at='middle'), mixup(at='features'), per='image')",
    "oneof(plain, cutmix + sgdrop, per='image')",
    "cutmix + sgdrop",
    "mixup + cutmix(at='middle') + sgdrop(views='both') + dropblock",
]
SPECS = [*DEFAULTS, *SETTINGS]
traced = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 8), reason="the compiler of torch 2.7 cannot trace methods"
)


class Net(nn.Module):
    """A small net that shows every trace: norms, and, with a `deep` head, a norm and a dropout behind the features."""

    def __init__(self, deep: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(C, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        inner = [nn.Linear(12, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, K)]
        self.fc = nn.Sequential(*inner) if deep else nn.Linear(12, K)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.flatten(self.pool(self.middle(self.stem(images)))))


class Linear:
    """A look at a head that is one linear map of all features."""

    def attribute(
        self, features: Tensor, targets: Targets, target: str = "label", teacher: str = "self"
    ) -> HeadAttribution:
        weights = Key.seeded(9).normal(K, features[0].numel()).to(features.dtype)
        logits = features.flatten(1) @ weights.T
        return HeadAttribution((features * weights[targets.labels[:, 0]].reshape(features.shape)).relu(), logits)


def net(deep: bool = False) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(deep)


def images(rows: int = B, height: int = H, width: int = W) -> Tensor:
    return Key.seeded(1).normal(rows, C * height * width).reshape(rows, C, height, width)


def labels(rows: int = B) -> Tensor:
    return torch.arange(rows) % K


def act(method: Regularizer, values: Tensor, seed: int = 0, seam: str = "batch") -> Batch:
    """Let a method act on values at one seam, halfway through training."""
    batch, key = Batch(values, Targets.of(labels(len(values)))), Key.seeded(seed, progress=0.5)
    return method.on_batch(batch, key) if seam == "batch" else method.on_features(batch, Linear(), key)


def objective(spec: str, deep: bool = False, **settings) -> Objective:
    """Build the objective, a tenth of training behind it, so that schedules have begun."""
    made = Objective(net(deep), parse(spec), steps=20, **settings)
    made.step += 6
    return made


def shapes_and_dtypes_are_kept(spec: str) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        for seam in ("batch", "features"):
            values = images().to(dtype)
            result = act(parse(spec), values, seam=seam)
            assert result.values.dtype == dtype
            assert result.values.shape == (result.views * B, C, H, W)
            assert result.values.isfinite().all()
            assert len(result.targets) == len(result.values)
            assert result.targets.labels.dtype == torch.int64
            assert result.targets.weights.dtype == torch.float32


def weights_stay_distributions(spec: str) -> None:
    for seed in range(5):
        for seam in ("batch", "features"):
            targets = act(parse(spec), images(), seed, seam).targets
            assert (targets.weights >= 0).all()
            assert torch.allclose(targets.weights.sum(1), torch.ones(len(targets)), atol=1e-5)
            assert ((targets.labels >= 0) & (targets.labels < K)).all()


def inputs_are_unchanged(spec: str) -> None:
    for values in (images(), images().contiguous(memory_format=torch.channels_last)):
        for seam in ("batch", "features"):
            before = values.clone()
            batch = Batch(values, Targets.of(labels()))
            known = (batch.targets.labels.clone(), batch.targets.weights.clone())
            key = Key.seeded(0, progress=0.5)
            parse(spec).on_batch(batch, key) if seam == "batch" else parse(spec).on_features(batch, Linear(), key)
            assert torch.equal(values, before)
            assert torch.equal(batch.targets.labels, known[0])
            assert torch.equal(batch.targets.weights, known[1])
            assert not batch.measured


def only_its_draw_is_used(spec: str) -> None:
    made = objective(spec)
    other = deepcopy(made)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    loss = made(images(), labels())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2] == np.random.get_state()[1]).all()
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert torch.equal(other(images(), labels()), loss)


def every_row_has_its_own_draw(spec: str) -> None:
    """Equal images with equal labels beside others come out unequal where the method draws for every image."""
    if "per='batch'" in spec or "+" in spec or spec == "plain" or spec.startswith("oneof"):
        return
    rows = 32
    values = images(1).repeat(rows, 1, 1, 1) + torch.arange(rows).reshape(-1, 1, 1, 1) * 1e-3
    for seam in ("batch", "features"):
        result = act(parse(spec), values, seam=seam)
        changes = (result.values[-rows:] - values).abs() > 0.5e-3
        if changes.any():
            assert len({tuple(change.flatten().tolist()) for change in changes}) > 1


def no_trace_is_left(spec: str) -> None:
    for deep in (False, True):
        made = objective(spec, deep)
        model = made.model
        kept = {name: value.clone() for name, value in model.named_parameters()}
        model.middle[1].eval()  # frozen by the user
        modes = [module.training for module in model.modules()]
        with torch.random.fork_rng():
            made(images(), labels())
        assert all(parameter.grad is None for parameter in model.parameters())
        assert all(torch.equal(value, kept[name]) for name, value in model.named_parameters())
        assert [module.training for module in model.modules()] == modes
        assert model.middle[1].num_batches_tracked == 0
        assert model.stem[1].num_batches_tracked == 1
        assert not deep or model.fc[1].num_batches_tracked == 1
        assert not any(value.requires_grad for value in made.last.values())


def evaluation_is_plain(spec: str) -> None:
    made = objective(spec).eval()
    expected = F.cross_entropy(made.model(images()), labels())
    step, loss = made.step.clone(), made(images(), labels())
    assert torch.equal(loss, expected)
    assert made.step == step


def the_encoder_learns(spec: str) -> None:
    for deep in (False, True):
        made = objective(spec, deep)
        with torch.random.fork_rng():
            made(images(), labels()).backward()
        for parameter in made.model.parameters():
            assert parameter.grad is not None
            assert parameter.grad.isfinite().all()
        assert made.model.stem[0].weight.grad.abs().sum() > 0


def it_is_not_idle(spec: str) -> None:
    if spec == "plain":
        return
    made, plain = objective(spec), objective("plain")
    losses = [made(images(), labels()) - plain(images(), labels()) for _ in range(6)]
    assert sum(bool(loss.abs() > 1e-4) for loss in losses) >= 2
    rates = {name: value for name, value in made.report().items() if name.endswith("_rate")}
    assert rates
    assert all(0 < rate <= 1 for rate in rates.values())


def odd_batches_work(spec: str) -> None:
    for rows, height, width in ((1, H, W), (2, 7, 7), (5, 9, 16)):
        made = objective(spec)
        loss = made(images(rows, height, width), labels(rows))
        assert loss.isfinite()
        assert loss.ndim == 0
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in made.model.parameters())


def everyone(method: Regularizer) -> list[Regularizer]:
    """Return the methods within a method, itself too but where it is a chain, which has no settings."""
    within = [each for member in getattr(method, "members", ()) for each in everyone(member)]
    return within if isinstance(method, Chain) else [method, *within]


def it_prints_as_it_was_built(spec: str) -> None:
    method = parse(spec)
    assert parse(str(method)) == method
    assert str(parse(str(method))) == str(method)
    full = method.spec(full=True)
    assert parse(full) == method
    for each in everyone(method):
        settings = [setting.name for setting in fields(each) if setting.name != "members"]
        assert re.search(r".*".join(f"{re.escape(name)}=" for name in settings), full), (
            f"{settings} are not all in {full}"
        )
    assert hash(method) == hash(parse(spec))


def one_seed_is_one_loss(spec: str) -> None:
    first, second = objective(spec, seed=3), objective(spec, seed=3)
    for _ in range(2):
        assert torch.equal(first(images(), labels()), second(images(), labels()))


def compiled_it_is_the_same(spec: str) -> None:
    torch._dynamo.reset()
    made = objective(spec)
    compiled = torch.compile(deepcopy(made), fullgraph=True, backend="eager")
    for _ in range(2):
        expected, loss = made(images(), labels()), compiled(images(), labels())
        assert torch.allclose(loss, expected, atol=1e-6)
    loss.backward()


LAWS = [
    shapes_and_dtypes_are_kept,
    weights_stay_distributions,
    inputs_are_unchanged,
    only_its_draw_is_used,
    every_row_has_its_own_draw,
    no_trace_is_left,
    evaluation_is_plain,
    the_encoder_learns,
    it_is_not_idle,
    odd_batches_work,
    it_prints_as_it_was_built,
    one_seed_is_one_loss,
]
