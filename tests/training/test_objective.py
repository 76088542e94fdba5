import math
import warnings
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import laws
import overfocus as of
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.models.split import SplitError
from overfocus.regularizers.cutmix import cutmix
from overfocus.regularizers.regularizer import SettingError
from overfocus.regularizers.spec import parse
from overfocus.training import objective as objective_module
from overfocus.training.experiment import Experiment
from overfocus.training.loop import train
from overfocus.training.objective import Objective

B, K = laws.B, laws.K
images, labels = laws.images, laws.labels


class Steady(nn.Module):
    """Every image for itself: no statistics of the batch."""

    def __init__(self, inside: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem = Checkpointed() if inside else Stem()
            self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, K)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.pool(self.stem(images)).flatten(1))


class Stem(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())


class Checkpointed(Stem):
    def forward(self, images: Tensor) -> Tensor:
        return checkpoint(super().forward, images, use_reentrant=False)


class Bare(nn.Module):
    """Images are the features; the head is what a test wants it to be."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.fc = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.fc.weight.data = weight

    def encode(self, images: Tensor) -> Tensor:
        return images

    def classify(self, features: Tensor) -> Tensor:
        return self.fc(features.mean((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.encode(images))


def gradients(module: nn.Module) -> list[Tensor]:
    found = [parameter.grad.clone() for parameter in module.parameters() if parameter.requires_grad]
    module.zero_grad()
    return found


def close(some: list[Tensor], others: list[Tensor], atol: float = 1e-6) -> bool:
    return all(torch.allclose(a, b, atol=atol) for a, b in zip(some, others))


def test_five_lines_in_anybodys_loop():
    model = laws.net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    method = of.CutMix(prob=0.5) + of.SGDrop(drop=0.3, unit="position", prob=0.5)
    objective = of.Objective(model, method, at="middle", classes=K)
    losses = []
    for _ in range(30):
        loss = objective(images(), labels())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < sum(losses[:5])
    assert {"cutmix_kept", "cutmix_rate", "sgdrop_dropped", "accuracy", "loss"} <= set(objective.last)
    assert model(images()).shape == (B, K)


def test_plain_is_cross_entropy():
    objective = Objective(laws.net())
    expected = F.cross_entropy(laws.net()(images()), labels())
    assert torch.allclose(objective(images(), labels()), expected)
    smoothed = F.cross_entropy(laws.net()(images()), labels(), label_smoothing=0.1)
    assert torch.allclose(Objective(laws.net(), smoothing=0.1)(images(), labels()), smoothed)


def test_soft_labels_are_labels():
    soft = Key.seeded(0).uniform(B, K).softmax(1)
    expected = F.cross_entropy(laws.net()(images()), soft)
    assert torch.allclose(Objective(laws.net())(images(), soft), expected, atol=1e-6)
    assert Objective(laws.net(), parse("mixup + sgdrop"))(images(), soft).isfinite()


def test_the_parameters_are_the_models_own():
    model = laws.net()
    objective = Objective(model, parse("sgdrop(at='middle') + cutmix(at='stem')"))
    assert [id(p) for p in objective.parameters()] == [id(p) for p in model.parameters()]
    assert objective.state_dict().keys() == {"step", *(f"model.{name}" for name in model.state_dict())}


def test_feature_cutmix_pastes_between_the_two_halves_of_the_model():
    model, method = Steady(), parse("cutmix(prob=1.0, at='stem')")
    loss = Objective(model, method, seed=4)(images(), labels())
    key = Key.seeded(4).fold_in(torch.tensor(0))
    features = of.core.batch.Batch(model.stem(images()), Targets.of(labels()))
    _, share, x, y = key.uniform(B, 4).unbind(1)
    pasted = method._boxes(share, x, y, features.values.shape[-2:])
    kept = 1 - ((pasted[:, 2] - pasted[:, 0]) * (pasted[:, 3] - pasted[:, 1])).float() / features.values[0, 0].numel()
    mixed = cutmix(features, key.fold_in("partners").derangement(B), pasted, kept)
    expected = mixed.targets.cross_entropy(model.fc(model.pool(mixed.values).flatten(1)))
    assert torch.allclose(loss, expected)


def test_chains_of_mixes_pass_through_sgdrop():
    objective = laws.objective("cutmix(prob=1.0) + mixup + cutmix(prob=1.0, at='stem') + sgdrop(prob=1.0)")
    objective(images(), labels()).backward()
    assert {"cutmix_kept", "mixup_kept", "cutmix_kept_2", "sgdrop_dropped"} <= set(objective.last)
    assert objective.last["sgdrop_dropped"].isfinite().all()


def test_features_and_the_layer_that_makes_them_are_two_places_of_one_value():
    """A chain that names the last layer on one hand and leaves `at` out on the other loses neither."""
    objective = laws.objective("mixup(at='middle') + sgdrop(prob=1.0)")
    objective(images(), labels())
    assert objective.last["mixup_rate"].all()
    assert objective.last["sgdrop_rate"].all()


def test_two_views_are_the_mean_of_clean_and_masked():
    model = Steady()
    both = Objective(model, parse("sgdrop(prob=1.0, views='both')"))(images(), labels())
    masked = Objective(model, parse("sgdrop(prob=1.0)"))(images(), labels())
    clean = Objective(model)(images(), labels())
    assert torch.allclose(both, (clean + masked) / 2)
    assert not torch.allclose(clean, masked)


def test_accuracy_counts_every_label_by_its_share():
    objective = Objective(Bare(torch.eye(K)), parse("mixup"))
    pictures = F.one_hot(torch.arange(K)).float()[:, :, None, None].expand(K, K, 2, 2)
    objective(pictures, torch.arange(K))
    kept = objective.last["mixup_kept"]
    assert torch.allclose(objective.last["accuracy"], torch.maximum(kept, 1 - kept), atol=1e-6)


def test_report_means_what_was_measured_since_the_last():
    objective = laws.objective("cutmix")
    losses, rates = [], []
    for _ in range(4):
        losses.append(objective(images(), labels()).item())
        rates.append(float(objective.last["cutmix_rate"].mean()))
    report = objective.report()
    assert report["loss"] == pytest.approx(sum(losses) / 4)
    assert report["cutmix_rate"] == pytest.approx(sum(rates) / 4)
    assert objective.report() == {}


def test_a_loss_that_is_no_number_is_not_left_out():
    objective = laws.objective("plain")
    objective(images(), labels())
    objective(images() * torch.nan, labels())
    assert math.isnan(objective.report()["loss"])


# Guards


def leaking(spec: str) -> Objective:
    """A head that a mask betrays: every label's strongest channel speaks even louder for the next class."""
    weight = torch.zeros(K, 2 * K)
    for label in range(K):
        weight[label, label], weight[(label + 1) % K, label], weight[label, K + label] = 1.0, 5.0, 0.5
    return Objective(Bare(weight), parse(spec))


def shown(label: Tensor) -> Tensor:
    hot = F.one_hot(label, K).float()
    return torch.cat((hot, hot), 1)[:, :, None, None].expand(-1, -1, 2, 3)


def test_a_mask_that_tells_the_label_is_reported_with_the_remedy():
    objective = leaking("sgdrop(unit='element', target='label', prob=1.0, drop=0.1)")
    objective(shown(labels()), labels())
    with pytest.warns(UserWarning, match=r"the mask tells the label: .* 1\.00 .* 0\.00 .*unit='position'"):
        objective.report()


def test_a_loop_that_never_asks_is_warned_all_the_same(monkeypatch):
    monkeypatch.setattr(objective_module, "CHECK_EVERY", 3)
    objective = leaking("sgdrop(unit='element', target='label', prob=1.0, drop=0.1)")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objective(shown(labels()), labels())
        objective(shown(labels()), labels())
    with pytest.warns(UserWarning, match="the mask tells the label"):
        objective(shown(labels()), labels())


@pytest.mark.parametrize("unit", ["element", "position", "channel"])
def test_a_mask_that_leaves_no_evidence_is_reported_from_the_first_step_on(unit):
    """On what `shown` shows, an element, or a channel, in K has evidence, and every position as much."""
    objective = leaking(f"sgdrop(unit='{unit}', prob=0.75, drop=0.5)")
    features = shown(labels())
    objective(features, labels())
    evidence = objective.last["sgdrop_evidence"]
    known = evidence[~evidence.isnan()]
    assert 0 < len(known) < len(features)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        objective.report()
    starved = [str(each.message) for each in caught if "nothing is left to learn from" in str(each.message)]
    assert bool(starved) == (unit != "position")
    if starved:
        assert "100 % of the evidence" in starved[0]
        assert known.tolist() == [1.0] * len(known)


def test_of_two_masks_the_second_is_watched_as_well():
    objective = leaking("sgdrop(prob=1.0, drop=0.1) + sgdrop(unit='element', prob=1.0, drop=0.5)")
    objective(shown(labels()), labels())
    assert objective.last["sgdrop_evidence_2"].max() == 1.0
    with pytest.warns(UserWarning, match="nothing is left to learn from in the images that it masks"):
        objective.report()


@pytest.mark.parametrize("spec", ["sgdrop(prob=1.0, drop=0.5)", "sgdrop(prob=1.0, drop=0.4)", "mixup", "plain"])
def test_a_mask_that_does_not_is_not(spec):
    objective = leaking(spec)
    objective(shown(labels()) * torch.arange(1.0, 4), labels())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objective.report()


@pytest.mark.parametrize(
    "spec", ["cutmix(prob=0.0)", "sgdrop(start=0.9)", "dropout(drop=0.0)", "mixup + cutout(prob=0)"]
)
def test_a_method_that_never_ran_is_reported(spec):
    objective = laws.objective(spec)
    objective(images(), labels())
    with pytest.warns(UserWarning, match="never ran"):
        objective.report()


@pytest.mark.parametrize("wrong", [K, -1, 99])
def test_a_label_out_of_range_is_named(wrong):
    bad = labels().clone()
    bad[2] = wrong
    with pytest.raises(OverfocusError, match=f"label of the first batch is {wrong}, .*from 0 to {K - 1}"):
        Objective(laws.net(), classes=K)(images(), bad)


def test_a_spread_model_is_told_to_wrap_the_objective():
    wrapped = [
        nn.DataParallel(laws.net()),
        nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel),
    ]
    for model in wrapped:
        with pytest.raises(OverfocusError, match="wrap the objective instead"):
            Objective(model)


@pytest.mark.parametrize(
    "spec", ["sgdrop(ramp=0.5)", "cutmix(schedule='linear')", "oneof(dropblock(schedule='linear'))"]
)
def test_a_schedule_needs_the_length_of_training(spec):
    with pytest.raises(OverfocusError, match="give steps="):
        Objective(laws.net(), parse(spec))


def test_settings_are_checked_before_training():
    with pytest.raises(OverfocusError, match="smoothing=1"):
        Objective(laws.net(), smoothing=1.0)
    with pytest.raises(SplitError, match="did you mean 'middle'"):
        Objective(laws.net(), parse("sgdrop"), at="midle")


# In the ways people train


@pytest.mark.parametrize("spec", ["plain", "cutmix(prob=1.0) + sgdrop"])
def test_gradients_of_micro_batches_add_up(spec):
    objective = Objective(Steady(), parse(spec))
    other = deepcopy(objective)
    first, second = objective(images(), labels()), objective(images(), labels())
    (first / 2).backward()
    (second / 2).backward()
    one, two = other(images(), labels()), other(images(), labels())
    ((one + two) / 2).backward()
    assert close(gradients(objective), gradients(other))


def test_plain_micro_batches_are_the_whole_batch():
    objective, whole = Objective(Steady()), Objective(Steady())
    for part in (slice(0, 3), slice(3, 6)):
        (objective(images()[part], labels()[part]) / 2).backward()
    whole(images(), labels()).backward()
    assert close(gradients(objective), gradients(whole))


@pytest.mark.parametrize("spec", ["plain", "cutmix + sgdrop(unit='element')", "oneof + dropblock"])
def test_checkpointing_changes_nothing(spec):
    plain, saving = Objective(Steady(), parse(spec)), Objective(Steady(inside=True), parse(spec))
    losses = [objective(images(), labels()) for objective in (plain, saving)]
    for loss in losses:
        loss.backward()
    assert torch.allclose(*losses)
    assert close(gradients(plain), gradients(saving))


@pytest.mark.parametrize("spec", ["plain", "cutmix + sgdrop", "sgdrop(teacher='ema')"])
def test_a_loss_that_is_scaled_steps_as_the_loss_itself(spec):
    scaled, whole = Objective(Steady(), parse(spec)), Objective(Steady(), parse(spec))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for objective, scale in ((scaled, scaler), (whole, None)):
        update = torch.optim.SGD(objective.parameters(), lr=0.1)
        for _ in range(3):
            update.zero_grad()
            loss = objective(images(), labels())
            if scale is None:
                loss.backward()
                update.step()
            else:
                scale.scale(loss).backward()
                scale.step(update)
                scale.update()
    for one, other in zip(scaled.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "spec",
    [
        *laws.DEFAULTS,
        "plain",
        "cutmix + sgdrop(views='both', unit='element')",
        "mixup(at='middle')",
        "sgdrop(teacher='ema')",
        "sgdrop(teacher='ema', at='middle')",
    ],
)
def test_autocast(spec):
    objective, exact = laws.objective(spec), laws.objective(spec)
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(images(), labels())
    loss.backward()
    assert loss.dtype == torch.float32
    assert abs(loss.item() - exact(images(), labels()).item()) < 0.15
    assert all(gradient.isfinite().all() for gradient in gradients(objective))


def test_the_teacher_follows_and_is_not_trained():
    model = laws.net()
    start = deepcopy(model)
    objective = Objective(model, parse("sgdrop(teacher='ema')"), decay=0.9)
    objective.step.fill_(100)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.5)
    objective(images(), labels()).backward()
    optimizer.step()
    moved = deepcopy(model)
    objective(images(), labels()).backward()
    for name, value in objective.teacher.named_parameters():
        expected = 0.9 * start.get_parameter(name) + 0.1 * moved.get_parameter(name)
        assert torch.allclose(value, expected, atol=1e-6)
        assert value.grad is None
    assert not objective.teacher.training
    objective.eval().train()
    assert not objective.teacher.training
    assert model.training


def test_a_new_teacher_soon_forgets_the_first_weights():
    """Slow reading: in call t the decay is at most (1 + t) / (10 + t); of the first weights nothing is left soon."""
    objective = Objective(laws.net(), parse("sgdrop(teacher='ema')"), decay=0.99)
    first = objective.teacher.fc.weight.clone()
    slow = deepcopy(objective.model.fc.weight)
    with torch.no_grad():
        for call in range(8):
            objective.model.fc.weight.add_(0.1 * (call + 1))
            objective(images(), labels())
            decay = (1 + call) / (10 + call)
            slow.mul_(decay).add_(objective.model.fc.weight, alpha=1 - decay)
    assert torch.allclose(objective.teacher.fc.weight, slow, atol=1e-5)
    followed = (objective.teacher.fc.weight - first) / (objective.model.fc.weight - first)
    assert followed.min() > 0.6, "with 0.99 from the first call on it would have followed by 5 %"


def test_what_is_called_clean_accuracy_is_the_networks_own_and_not_its_teachers():
    """A teacher that lags behind knows less; that is no mask that tells the label."""
    objective = laws.objective("sgdrop(teacher='ema', prob=1.0)")
    same = laws.objective("sgdrop(prob=1.0)")
    objective.step.fill_(10_000)
    with torch.no_grad():
        objective.teacher.fc.weight.zero_()
        objective.teacher.fc.bias.copy_(torch.arange(len(objective.teacher.fc.bias)).float())
    for each in (objective, same):
        each(images(), labels())
    assert torch.equal(objective.last["clean_accuracy"], same.last["clean_accuracy"])


def test_the_teachers_evidence_decides_what_is_dropped():
    objective = laws.objective("sgdrop(teacher='ema', prob=1.0)")
    untouched = objective(images(), labels())
    other = laws.objective("sgdrop(teacher='ema', prob=1.0)", decay=1.0)
    with torch.no_grad():
        other.teacher.fc.weight.mul_(-1)
    assert not torch.allclose(other(images(), labels()), untouched)


@pytest.mark.parametrize("spec", ["cutmix + sgdrop(ramp=0.9)", "sgdrop(teacher='ema')"])
def test_a_saved_objective_goes_on_where_it_was(spec):
    first = laws.objective(spec)
    for _ in range(3):
        first(images(), labels())
    second = Objective(laws.net(), parse(spec), steps=20)
    second.load_state_dict(first.state_dict())
    assert second.step == first.step
    assert torch.equal(second(images(), labels()), first(images(), labels()))


def test_what_was_prepared_is_what_would_have_been_done():
    for spec in ("cutmix + sgdrop", "oneof", "plain", "mixup(per='batch', prob=0.5)"):
        one, two = Objective(Steady(), parse(spec)), Objective(Steady(), parse(spec))
        batch = two.prepare(images(), labels())
        loss = two(batch.images, batch.targets.labels, batch.targets.weights)
        assert torch.equal(loss, one(images(), labels()))


@pytest.mark.parametrize(
    "spec", ["cutmix(prob=1.0) + sgdrop", "oneof(mixup, plain, per='image') + dropout", "cutout + dropblock"]
)
def test_parts_of_a_prepared_batch_are_the_whole(spec):
    """Two processes with their rows of the global batch do what one does with all of it."""
    whole, part = Objective(Steady(), parse(spec)), Objective(Steady(), parse(spec))
    expected = whole(images(), labels())
    batch, losses = part.prepare(images(), labels()), []
    for rows in (slice(0, 2), slice(2, 6)):
        process = deepcopy(part)
        targets = batch.targets
        losses.append(process(batch.images[rows], targets.labels[rows], targets.weights[rows], first_row=rows.start))
    assert torch.allclose((2 * losses[0] + 4 * losses[1]) / 6, expected, atol=1e-6)


def test_a_model_with_its_own_cut():
    objective = Objective(Bare(torch.eye(K)), parse("sgdrop(prob=1.0) + cutmix(at='features', prob=1.0)"))
    pictures = F.one_hot(labels(), K).float()[:, :, None, None].expand(B, K, 4, 4)
    objective(pictures, labels()).backward()
    assert objective.model.fc.weight.grad.abs().sum() > 0


def test_a_compiled_model_is_opened():
    model = laws.net()
    assert Objective(torch.compile(model, backend="eager"), parse("sgdrop")).model is model


def test_sgdrop_refuses_features_of_one_position():
    model = of.create_model("vgg11", classes=10)  # 32 pixels are one position before its pool
    objective = Objective(model, parse("cutmix + sgdrop"), classes=10)
    small, before = torch.randn(2, 3, 32, 32), {name: each.clone() for name, each in model.state_dict().items()}
    with pytest.raises(SettingError, match=r"32 x 32 .* one position.* 64, 80, 96 pixels"):
        objective(small, torch.tensor([1, 2]))
    with pytest.raises(SettingError, match="one position"):
        objective.check_size(small)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert objective(torch.randn(2, 3, 64, 64), torch.tensor([1, 2])).isfinite()
    Objective(model, parse("sgdrop(unit='channel')")).check_size(small)
    Objective(model, parse("sgdrop"), at="features.12").check_size(small)


def test_sgdrop_on_one_position_is_refused_before_an_epoch(tmp_path):
    settings = {"data": {"name": "totem", "size": 32, "per_class": 4}, "model": {"name": "vgg11"}, "method": "sgdrop"}
    with pytest.raises(SettingError, match="pixels a side work"):
        list(train(Experiment.model_validate(settings), tmp_path / "run"))
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_one_logit_and_soft_labels_of_other_widths_are_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    images = torch.randn(4, 3, 8, 9)
    for method in ("plain", "cutmix(prob=1.0)"):
        with pytest.raises(OverfocusError, match="two outputs"):
            Objective(net, parse(method))(images, torch.tensor([0, 1, 0, 1]))
    wide = nn.Sequential(*net[:3], nn.Linear(4, 5))
    for objective in (Objective(wide), Objective(wide).eval()):
        with pytest.raises(OverfocusError, match="3 classes and the network has 5"):
            objective(images, torch.full((4, 3), 1 / 3))
