"""Slow readings: each method again, pixel by pixel and in plain loops, as its paper has it, given the same draws.

Functions that raise where the method and its reading differ. `test_readings.py` runs them; `test_planted_bugs.py` shows
that they can fail.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import beta as beta_law
from torch import Tensor, nn

from overfocus.attribution.head import Head
from overfocus.core.batch import Batch
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.regularizers.sgdrop import unit_scores
from overfocus.regularizers.spec import parse
from overfocus.training.seam_probe import SeamProbe

B, C, H, W, K = 12, 2, 9, 13, 7


def some_batch(shape: tuple[int, ...] = (B, C, H, W), mixed: bool = False) -> Batch:
    values = Key.seeded(11).normal(shape[0], math.prod(shape[1:])).reshape(shape)
    targets = Targets.of(torch.arange(shape[0]) % K)
    if mixed:
        other = Targets.of((torch.arange(shape[0]) * 3 + 1) % K)
        targets = targets.blend(other, Key.seeded(12).uniform(shape[0])[:, 0])
    return Batch(values, targets)


def same(found: Batch, values: list[Tensor], dense: list[Tensor], atol: float = 1e-6) -> None:
    assert torch.allclose(found.values, torch.stack(values), atol=atol)
    assert torch.allclose(found.targets.dense(K), torch.stack(dense), atol=1e-5)


def mean(found: Batch, name: str) -> float:
    return float(found.measured[name].nanmean())


# CutMix, equations 1 and 2 and the variants of its ablations


def cutmix(spec: str, progress: float = 1.0) -> None:
    method, batch = parse(spec), some_batch(mixed=True)
    for seed in range(6):
        key = Key.seeded(seed, progress=progress)
        found, own = method.on_batch(batch, key), batch.targets.dense(K)
        uniform, partners = key.uniform(B, 4), key.fold_in("partners").derangement(B)
        rows = [_cutmix_row(method, batch, key, uniform, row, int(partners[row]), own, progress) for row in range(B)]
        same(found, [row[0] for row in rows], [row[1] for row in rows])
        kept = [share for _, _, share in rows]
        noted = [float(share) for share in found.measured["cutmix_kept"]]
        assert np.allclose(kept, noted, equal_nan=True, atol=1e-6)


def _cutmix_row(method, batch, key, uniform, row, partner, own, progress) -> tuple[Tensor, Tensor, float]:
    coin, share, x, y = (float(u) for u in uniform[row])
    coin = float(uniform[0, 0]) if method.per == "batch" else coin
    prob = method.prob * (progress if method.schedule == "linear" else 1)
    if coin >= prob:
        return batch.values[row], own[row], math.nan
    if method.centre == "gaussian":
        noise = key.fold_in("gaussian").normal(B, 2)[row]
        x, y = (min(max(0.5 + 0.25 * float(n), 0), 1 - 1e-6) for n in noise)
    keep = beta_law.ppf(share, method.alpha, method.alpha)
    cut = math.sqrt(1 - keep) if method.size == 0 else method.size
    wide, high = (int(method.size),) * 2 if method.size >= 1 else (int(cut * W), int(cut * H))
    left, top = int(x * W) - wide // 2, int(y * H) - high // 2
    result, pasted = batch.values[row].clone(), 0
    for i in range(H):
        for j in range(W):
            if left <= j < left + wide and top <= i < top + high:
                result[:, i, j] = batch.values[partner, :, i, j]
                pasted += 1
    kept = 1 - pasted / (H * W)
    weight = {"area": kept, "larger": float(kept >= 0.5), "half": 0.5}[method.label]
    return result, weight * own[row] + (1 - weight) * own[partner], kept


def cutmix_mean_area() -> None:
    """1/2 - 1/5 + 1/48 of a large image is pasted on average for alpha = 1, clipped as boxes are at the border."""
    rows, side = 20_000, 4
    images = Batch(torch.zeros(rows, 1, side, side).expand(rows, 1, side, side), Targets.of(torch.zeros(rows).long()))
    method, key = parse("cutmix(prob=1.0)"), Key.seeded(1)
    _, share, x, y = key.uniform(rows, 4).unbind(1)
    found = method._boxes(share, x, y, (1000, 1000))
    area = ((found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])).double() / 1e6
    assert abs(float(area.mean()) - (1 / 2 - 1 / 5 + 1 / 48)) < 0.005
    assert abs(mean(method.on_batch(images, key), "cutmix_rate") - 1) < 1e-6
    half = mean(parse("cutmix").on_batch(images, key), "cutmix_rate")
    assert abs(half - 0.5) < 0.02


# Cutout


def cutout(spec: str) -> None:
    method, batch = parse(spec), some_batch()
    for seed in range(6):
        key = Key.seeded(seed)
        found, coins = method.on_batch(batch, key), key.uniform(B)[:, 0]
        values = []
        for row in range(B):
            coin = float(coins[0 if method.per == "batch" else row])
            hidden = torch.zeros(H, W, dtype=torch.bool)
            for hole in range(method.holes if coin < method.prob else 0):
                hidden |= _cutout_hole(method, key.fold_in(hole).uniform(B, 3)[row].tolist())
            values.append(torch.where(hidden, _cutout_fill(method, batch.values[row], key, row), batch.values[row]))
            noted = float(found.measured["cutout_hidden"][row])
            assert math.isnan(noted) if coin >= method.prob else abs(noted - float(hidden.float().mean())) < 1e-6
        same(found, values, list(batch.targets.dense(K)))


def _cutout_hole(method, uniform: list[float]) -> Tensor:
    size, x, y = uniform
    low, high = method.size if isinstance(method.size, tuple) else (method.size, method.size)
    low, high = (int(side * min(H, W)) if side < 1 else int(side) for side in (low, high))
    side = low + int(size * (high - low + 1))
    left, top = int(x * W) - side // 2, int(y * H) - side // 2
    return torch.tensor([[left <= j < left + side and top <= i < top + side for j in range(W)] for i in range(H)])


def _cutout_fill(method, image: Tensor, key: Key, row: int) -> Tensor:
    if method.fill == "mean":
        return torch.stack([channel.mean() for channel in image])[:, None, None].expand(C, H, W)
    if method.fill == "noise":
        return key.fold_in("noise").normal(B, C * H * W)[row].reshape(C, H, W)
    return torch.full((C, H, W), 0.0 if method.fill == "zero" else method.fill)


def cutout_mean_area() -> None:
    """16 of 32 pixels hide 19.1 % of the image, not 25 %."""
    batch = Batch(torch.ones(5000, 1, 32, 32), Targets.of(torch.zeros(5000).long()))
    found = parse("cutout(size=16)").on_batch(batch, Key.seeded(1))
    assert abs(mean(found, "cutout_hidden") - 0.191) < 0.003
    assert abs(float((found.values == 0).float().mean()) - mean(found, "cutout_hidden")) < 1e-6


# Mixup, equation 1


def mixup(spec: str) -> None:
    method = parse(spec)
    for seed in range(4):
        for shape in ((B, C, H, W), (B, 5, 4), (B, 6)):
            batch, key = some_batch(shape, mixed=True), Key.seeded(seed)
            uniform, partners = key.uniform(B, 2), key.fold_in("partners").derangement(B)
            own, values, dense = batch.targets.dense(K), [], []
            for row in range(B):
                coin = float(uniform[0 if method.per == "batch" else row, 0])
                keep = beta_law.ppf(float(uniform[row, 1]), method.alpha, method.alpha) if coin < method.prob else 1.0
                other = int(partners[row])
                values.append(keep * batch.values[row] + (1 - keep) * batch.values[other])
                dense.append((keep * own[row] + (1 - keep) * own[other]).float())
            found = method.act(batch, key)
            # The table of the quantiles is off by up to 2^-12 in probability, of which little is left in lambda.
            assert torch.allclose(found.values, torch.stack(values).float(), atol=2e-3)
            assert torch.allclose(found.targets.dense(K), torch.stack(dense), atol=1e-3)


# SGDrop, A = ReLU(gradient * z), with the gradient of the whole head by autograd in float64


class Pooled(nn.Module):
    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, K)

    def forward(self, z: Tensor) -> Tensor:
        return self.fc(z if z.ndim == 2 else z.flatten(2).mean(2))


class Deep(nn.Module):
    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.conv, self.drop = nn.Conv2d(channels, 4, 3, padding=1), nn.Dropout(0.5)
        self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(4, K)

    def forward(self, z: Tensor) -> Tensor:
        return self.fc(self.drop(torch.tanh(self.norm(self.conv(z)))).amax((2, 3)))


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return make().double()


def probe_of(head: nn.Module) -> SeamProbe:
    return SeamProbe(head, Head.of(head, lambda model, z: model(z)), head, lambda: torch.empty(0))


def sgdrop(spec: str, head: type[nn.Module] = Pooled, progress: float = 1.0) -> None:
    method, model = parse(spec), seeded(head)
    for seed in range(3):
        batch = some_batch((B, 6, 4, 5), mixed=True)
        batch = Batch(batch.values.double().relu(), batch.targets)
        key = Key.seeded(seed, progress=progress)
        found = method.on_features(batch, probe_of(model), key)
        chosen, levels = key.uniform(B, 2)[:, 0] < method.prob, key.uniform(B, 2)[:, 1]
        values = [
            _sgdrop_row(method, model, batch, row, float(levels[row]), progress) if chosen[row] else batch.values[row]
            for row in range(B)
        ]
        masked = found.values[-B:]
        assert torch.allclose(masked, torch.stack(values), atol=1e-9)
        assert torch.allclose(found.targets.dense(K)[-B:], batch.targets.dense(K))
        if method.views == "both":
            assert torch.equal(found.values[:B], batch.values)
            assert found.views == 2
        _sgdrop_notes(method, model, batch, found, values, chosen)


def _sgdrop_row(method, model: nn.Module, batch: Batch, row: int, level: float, progress: float) -> Tensor:
    z, attribution = batch.values[row], _attribution(method, model, batch, row)
    low, high = method.drop if isinstance(method.drop, tuple) else (method.drop, method.drop)
    drop = (low + (high - low) * level) * _sgdrop_progress(method, progress)
    members = {
        "element": [(c, i, j) for c in range(6) for i in range(4) for j in range(5)],
        "position": [(slice(None), i, j) for i in range(4) for j in range(5)],
        "channel": [(c, slice(None), slice(None)) for c in range(6)],
    }[method.unit]
    scores = [float(attribution[member].sum()) for member in members]
    most = int(drop * len(members) + 1e-6)
    ranked = sorted(range(len(members)), key=lambda unit: -scores[unit])
    dropped = [unit for unit in ranked[:most] if scores[unit] > 0]
    result = z.clone()
    for unit in dropped:
        result[members[unit]] = 0
    return result / (1 - len(dropped) / len(members)) if method.rescale else result


def _attribution(method, model: nn.Module, batch: Batch, row: int) -> Tensor:
    """ReLU(gradient x features) of one image."""
    z, target = batch.values[row], batch.targets.dense(K)[row].double()
    leaf = z[None].clone().requires_grad_()
    model.eval()
    logits = model(leaf)[0]
    model.train()
    target = {"label": target, "soft": logits.softmax(0).detach(), "predicted": (logits == logits.max()).double()}[
        method.target
    ]
    (gradient,) = torch.autograd.grad((logits * target).sum(), leaf)
    return torch.clamp(gradient[0] * z, min=0)


def sgdrop_control(unit: str) -> None:
    """As many units as the salient ones, of the same images, each as often as any other."""
    salient = parse(f"sgdrop(drop=0.4, unit={unit!r}, prob=0.8)")
    model, batch = seeded(Pooled), some_batch((B, 6, 4, 5))
    batch = Batch(batch.values.double().relu() + 0.1, batch.targets)
    counts, often, times = torch.zeros(B), torch.zeros(B, 6, 4, 5), 400
    for seed in range(times):
        leaning, control = (
            (method.on_features(batch, probe_of(model), Key.seeded(seed)).values == 0).double()
            for method in (salient, replace(salient, selection="random"))
        )
        assert torch.equal(leaning.sum(dim=(1, 2, 3)), control.sum(dim=(1, 2, 3)))
        often, counts = often + control, counts + control.mean(dim=(1, 2, 3))
    rates, expected = often / times, (counts / times)[:, None, None, None]
    assert ((rates - expected).abs() < 5 * (expected * (1 - expected) / times).sqrt() + 1e-9).all()


def sgdrop_least(unit: str) -> None:
    """As many units as the salient ones, none of which is more salient than one that stays; ties fall anywhere."""
    salient = parse(f"sgdrop(drop=0.3, unit={unit!r}, prob=1.0)")
    model, batch, often, times = seeded(Pooled), some_batch((B, 6, 4, 5)), 0, 200
    batch = Batch(batch.values.double().relu() + 0.1, batch.targets)
    scores = unit_scores(probe_of(model).attribute(batch.values, batch.targets, "label", "self").attribution, unit)
    for seed in range(times):
        counted = [
            (method.on_features(batch, probe_of(model), Key.seeded(seed)).values == 0)
            for method in (salient, replace(salient, selection="least"))
        ]
        hidden = [
            {"element": each.flatten(1), "position": each.all(1).flatten(1), "channel": each.all(3).all(2)}[unit]
            for each in counted
        ]
        assert torch.equal(hidden[0].sum(1), hidden[1].sum(1))
        for row in range(B):
            gone, left = scores[row][hidden[1][row]], scores[row][~hidden[1][row]]
            assert not len(gone) or gone.max() <= left.min()
        often = often + hidden[1].double() / times
    tied, gone = scores == 0, hidden[1].sum(1)
    expected = (gone / tied.sum(1).clamp(min=1)).clamp(max=1)[:, None].expand_as(scores)[tied].double()
    assert unit != "element" or len(expected) > 100
    assert ((often[tied] - expected).abs() <= 5 * (expected * (1 - expected) / times).sqrt() + 1e-6).all()


def sgdrop_chance() -> None:
    """Of the units that are dropped without a chance each stays as often as it says, by a coin of its own."""
    whole = parse("sgdrop(drop=0.4, prob=1.0)")
    model, batch, times = seeded(Pooled), some_batch((B, 6, 4, 5)), 300
    batch = Batch((batch.values.double().relu() + 0.1)[:1].expand(B, -1, -1, -1), Targets.of(torch.full((B,), 2)))
    all_of_them = (whole.on_features(batch, probe_of(model), Key.seeded(0)).values == 0).all(1).flatten(1)
    some = replace(whole, unit_prob=0.3)
    rounds = [some.on_features(batch, probe_of(model), Key.seeded(seed)).values == 0 for seed in range(times)]
    gone = torch.stack(rounds).all(2).flatten(2)[:, :, all_of_them[0]].double()
    assert gone.shape[2] > 3
    assert (torch.stack(rounds).all(2).flatten(2)[:, :, ~all_of_them[0]] == 0).all(), "no other one goes"
    assert ((gone.mean(0) - 0.3).abs() < 5 * (0.3 * 0.7 / times) ** 0.5).all()
    # Coins of units and of images are independent: what goes together is as rare as chance has it.
    together = {"of an image": gone[:, :, 0] * gone[:, :, 1], "of two images": gone[:, 0] * gone[:, 1]}
    for of, both in together.items():
        n = both.numel()
        assert abs(float(both.mean()) - 0.09) < 5 * (0.09 * 0.91 / n) ** 0.5, of


def _sgdrop_progress(method, progress: float) -> float:
    if progress < method.start:
        return 0.0
    return min(1.0, (progress - method.start) / method.ramp) if method.ramp else 1.0


def _sgdrop_notes(method, model: nn.Module, batch: Batch, found: Batch, values: list[Tensor], chosen: Tensor) -> None:
    """The realised share of what was dropped counts units, also those that held nothing before; evidence does not."""
    for row in range(B):
        noted = float(found.measured["sgdrop_dropped"][row])
        assert math.isnan(noted) != bool(chosen[row])
        if chosen[row]:
            evidence = _attribution(method, model, batch, row)
            told = float(found.measured["sgdrop_evidence"][row])
            hidden = float(evidence[values[row] == 0].sum() / evidence.sum())  # 0 / 0 where nothing speaks for it
            assert abs(told - hidden) < 1e-5 or (math.isnan(told) and math.isnan(hidden))
            assert 0 <= noted <= (max(method.drop) if isinstance(method.drop, tuple) else method.drop) + 1e-6
            if method.unit == "element":
                zeroed = ((values[row] == 0) & (batch.values[row] != 0)).double().mean()
                assert abs(noted - float(zeroed)) < 1e-6


# Dropout, SpatialDropout, DropBlock


def dropout(spec: str, whole: tuple[int, ...] = ()) -> None:
    """`whole`: the axes over which a unit reaches, none for dropout."""
    method = parse(spec)
    for shape in ((B, 6, 4, 5), (B, 5, 6), (B, 30)):
        batch, key = some_batch(shape), Key.seeded(3)
        found = method.on_features(batch, probe_of(nn.Identity()), key)
        channel = len(shape) - 1 if len(shape) == 3 else 1
        units = math.prod(shape[1:]) if not whole else shape[channel]
        keep = (key.uniform(B, units) >= method.drop).tolist()
        expected = torch.zeros(shape)
        for place in np.ndindex(shape):
            unit = int(np.ravel_multi_index(place[1:], shape[1:])) if not whole else place[channel]
            expected[place] = batch.values[place] / (1 - method.drop) if keep[place[0]][unit] else 0
        same(found, list(expected), list(batch.targets.dense(K)))
        noted = found.measured[f"{type(method).__name__.lower()}_dropped"]
        assert torch.allclose(noted, torch.tensor([1 - sum(row) / units for row in keep]), atol=1e-6)


def dropblock(spec: str, progress: float = 1.0) -> None:
    method, (h, w) = parse(spec), (7, 10)
    size, drop = method.size, method.drop * (progress if method.schedule == "linear" else 1)
    rate, batch, key = _dropblock_rate(drop, size, h, w), some_batch((B, 3, h, w)), Key.seeded(5, progress=progress)
    centre = (key.uniform(B, h * w).reshape(B, h, w) < rate).tolist()
    values, shares = [], []
    for row in range(B):
        hidden = torch.zeros(h, w, dtype=torch.bool)
        for i, j in np.ndindex(h, w):
            if centre[row][i][j]:
                for a, b in np.ndindex(size, size):
                    y, x = i - size // 2 + a, j - size // 2 + b
                    if 0 <= y < h and 0 <= x < w:
                        hidden[y, x] = True
        kept = 1 - float(hidden.float().mean())
        values.append(torch.where(hidden, 0.0, batch.values[row] / max(kept, 1e-9)))
        shares.append(1 - kept)
    found = method.on_features(batch, probe_of(nn.Identity()), key)
    same(found, values, list(batch.targets.dense(K)), atol=1e-5)
    assert torch.allclose(found.measured["dropblock_dropped"], torch.tensor(shares), atol=1e-6)


def _dropblock_rate(drop: float, size: int, h: int, w: int) -> float:
    """Solve for the rate of centres by counting, for every position, the centres that would cover it."""
    covers = np.zeros((h, w))
    for i, j in np.ndindex(h, w):
        for a, b in np.ndindex(size, size):
            y, x = i - size // 2 + a, j - size // 2 + b
            if 0 <= y < h and 0 <= x < w:
                covers[y, x] += 1
    return brentq(lambda rate: 1 - ((1 - rate) ** covers).mean() - drop, 0, 1 - 1e-9, xtol=1e-14) if drop else 0.0


def dropblock_rate(side: int, size: int, drop: float) -> None:
    """The realised mean rate is the nominal one within 5 %, at every size of map."""
    rows = 3_000_000 // side**2
    batch = Batch(torch.ones(rows, 1, side, side), Targets.of(torch.zeros(rows).long()))
    found = parse(f"dropblock(drop={drop}, size={size})").on_features(batch, probe_of(nn.Identity()), Key.seeded(2))
    assert abs(float((found.values == 0).float().mean()) / drop - 1) < 0.05
    assert abs(mean(found, "dropblock_dropped") / drop - 1) < 0.05


# OneOf


def oneof(spec: str) -> None:
    method, batch = parse(spec), some_batch(mixed=True)
    weights = np.array(method.weights or [1] * len(method.members), float)
    bounds = np.cumsum(weights / weights.sum())
    seen = set()
    for seed in range(8):
        key = Key.seeded(seed)
        found, uniform = method.on_batch(batch, key), key.fold_in("choice").uniform(B)[:, 0]
        alone = [member.on_batch(batch, key.fold_in(number)) for number, member in enumerate(method.members)]
        chosen = [int((float(uniform[row if method.per == "image" else 0]) >= bounds).sum()) for row in range(B)]
        same(
            found,
            [alone[n].values[r] for r, n in enumerate(chosen)],
            [alone[n].targets.dense(K)[r] for r, n in enumerate(chosen)],
        )
        for number, result in enumerate(alone):
            for name, value in result.measured.items():
                for row in range(B):
                    other = 0.0 if name.endswith("_rate") else math.nan
                    expected = float(value[row]) if chosen[row] == number else other
                    assert np.isclose(float(found.measured[name][row]), expected, equal_nan=True)
        seen |= set(chosen)
    assert seen == {number for number, weight in enumerate(weights) if weight}


# What the readings stand on


def closed_form() -> None:
    """Behind mean pooling and a linear layer, A = ReLU(w z) / HW; with its negative part it adds up to the logit."""
    model, batch = seeded(Pooled), some_batch((B, 6, 4, 5))
    z = batch.values.double()
    for label in range(K):
        targets = Targets.of(torch.full((B,), label))
        leaf = z.clone().requires_grad_()
        expected = (torch.autograd.grad(model(leaf)[:, label].sum(), leaf)[0] * z).relu()
        probe = probe_of(model)
        assert probe.head.linear == "fc"
        assert torch.allclose(probe.attribute(z, targets).attribution, expected, atol=1e-12)
        signed = probe.attribute(z, targets).attribution - probe.attribute(-z, targets).attribution
        assert torch.allclose(signed.sum((1, 2, 3)) + model.fc.bias[label], model(z)[:, label])


def a_new_norm_is_not_nothing() -> None:
    """A head with a batch norm is not pooling and a linear layer, though as it is made the norm changes nothing."""

    class Normed(Pooled):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(6)

        def forward(self, z: Tensor) -> Tensor:
            return super().forward(self.norm(z))

    assert probe_of(seeded(Normed)).head.linear == ""


def sgdrop_gradient() -> None:
    """No gradient flows through the mask, and none to what was dropped."""
    batch, model = some_batch((B, 6, 4, 5)), seeded(Pooled).float()
    leaf = batch.values.relu().requires_grad_()
    found = parse("sgdrop(prob=1.0, unit='element', drop=0.2)").on_features(
        Batch(leaf, batch.targets), probe_of(model), Key.seeded(0)
    )
    kept = (found.values.detach() != 0) | (leaf.detach() == 0)
    weight = Key.seeded(1).normal(B, 120).reshape(leaf.shape)
    (gradient,) = torch.autograd.grad((found.values * weight).sum(), leaf)
    assert torch.equal(gradient[leaf > 0], (weight * kept)[leaf > 0])


def partners() -> None:
    for rows in (2, 3, 8):
        drawn = Key.seeded(rows).derangement(rows)
        assert (drawn != torch.arange(rows)).all()
        assert torch.equal(drawn.sort().values, torch.arange(rows))


def cross_entropy() -> None:
    batch = some_batch(mixed=True)
    logits = Key.seeded(0).normal(B, K)
    expected = nn.functional.cross_entropy(logits, batch.targets.dense(K), label_smoothing=0.1)
    assert torch.allclose(batch.targets.cross_entropy(logits, 0.1), expected, atol=1e-6)


def own_boxes() -> None:
    """The boxes of one batch are not one box."""
    method = parse("cutmix(prob=1.0)")
    _, share, x, y = Key.seeded(0).uniform(B, 4).unbind(1)
    assert len(method._boxes(share, x, y, (H, W)).unique(dim=0)) > B / 2
