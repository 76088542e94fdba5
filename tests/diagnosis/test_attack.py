"""Attacks: laws, known answers, a slow reading, captum, and the signs that an attack failed."""

import re
import sys
from dataclasses import replace
from itertools import pairwise
from math import sqrt
from types import ModuleType, SimpleNamespace

import pytest
import torch
from captum.robust import FGSM as CAPTUM_FGSM
from captum.robust import PGD as CAPTUM_PGD
from scipy.stats import kstest
from torch import nn

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.diagnosis.attacks import adaptive
from overfocus.diagnosis.attacks.adaptive import AdaptivePGD
from overfocus.diagnosis.attacks.attack import FGSM, PGD, SignNoise, assess, climbed, gradients, predicted
from overfocus.diagnosis.attacks.gradient_masking import (
    NOT_TRIED,
    MaskingProbe,
    auto_attack,
    disagreements,
    flags,
    probe,
)
from overfocus.diagnosis.attacks.square import Square
from overfocus.diagnosis.attacks.suite import ATTACKS, CHECKS
from overfocus.diagnosis.attacks.transfer import Transfer  # noqa: F401 - read by the eval of a record

DRAW = Key.seeded(11)
LOSS = nn.CrossEntropyLoss(reduction="none")
SHAPE = (5, 3, 8, 6)
CLASSES = 4


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(7 * 6 * 4, CLASSES)
    )
    for each in layers.parameters():
        each.data = torch.randn(each.shape, generator=generator) * 0.5
    return layers.eval()


@pytest.fixture
def pixels():
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels(model, pixels):
    return model(pixels).argmax(dim=1)


def half(shape=SHAPE) -> torch.Tensor:
    """Mark a region of its own in every image."""
    return torch.rand(shape[0], 1, *shape[2:], generator=torch.Generator().manual_seed(2)) < 0.5


EVERY = {**ATTACKS, **CHECKS, "ten steps": PGD(), "ten steps, l2": PGD(0.5, 0.125, norm="l2", stop=True)}


@pytest.mark.parametrize("attack", EVERY.values(), ids=EVERY)
class TestLaws:
    def test_size_range_and_region(self, attack, model, pixels, labels):
        before, region = pixels.clone(), half()
        found = attack.attack(model, pixels, labels, DRAW, region)
        assert found.shape == pixels.shape
        assert found.dtype == pixels.dtype
        assert not found.requires_grad
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        change = found - pixels
        length = change.flatten(1).norm(dim=1).max() if getattr(attack, "norm", "") == "l2" else change.abs().max()
        assert 0.5 * attack.eps < float(length) <= attack.eps + 1e-6
        outside = ~region.expand(SHAPE)
        assert torch.equal(found[outside], pixels[outside])
        assert bool((change.abs().flatten(1).sum(dim=1) > 0).all())
        assert torch.equal(pixels, before)

    def test_no_trace(self, attack, model, pixels, labels):
        model[3].train()
        state = {name: value.clone() for name, value in model.state_dict().items()}
        random = torch.get_rng_state()
        model[0].weight.requires_grad_(False)
        model.train()
        with torch.no_grad():
            first = attack.attack(model, pixels, labels, DRAW)
            assert not torch.is_grad_enabled()
        with torch.inference_mode():
            second = attack.attack(model, pixels.clone(), labels.clone(), DRAW)
        assert torch.equal(first, second), "dropout is off although the model is in training mode"
        assert all(each.training for each in model.modules())
        assert all(each.grad is None for each in model.parameters())
        assert [each.requires_grad for each in model.parameters()] == [False, True, True, True, True, True]
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert torch.equal(random, torch.get_rng_state())

    def test_an_image_does_not_know_its_batch(self, attack, model, pixels, labels):
        whole = attack.attack(model, pixels, labels, DRAW)
        rest = attack.attack(model, pixels[3:], labels[3:], Key(DRAW.words, first_row=3))
        torch.testing.assert_close(whole[3:], rest, rtol=0, atol=1e-5)

    def test_batch_of_one_grey_and_bfloat16(self, attack):
        linear = nn.Sequential(nn.Flatten(), nn.Linear(35, 3)).bfloat16()
        grey = torch.full((1, 1, 5, 7), 0.5).bfloat16()
        found = attack.attack(linear, grey, linear(grey).argmax(dim=1), DRAW)
        assert found.dtype == torch.bfloat16
        assert bool((found != 0.5).any())

    def test_errors(self, attack, model, pixels, labels):
        with pytest.raises(OverfocusError, match=r"\[0, 1\]"):
            attack.attack(model, pixels * 3 - 1, labels, DRAW)
        with pytest.raises(OverfocusError, match=r"\[0, 1\]"):
            attack.attack(model, pixels * torch.nan, labels, DRAW)
        with pytest.raises(OverfocusError, match="region is"):
            attack.attack(model, pixels, labels, DRAW, half().float())

    def test_repr_is_a_record(self, attack):
        assert eval(repr(attack)) == attack
        assert replace(attack, eps=0.25) != attack


def test_modes_come_back_after_an_error(model, pixels, labels):
    model.train()
    model[3].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        PGD().attack(model, pixels, labels, DRAW)
    assert all(each.training for each in model.modules())


class TestKnownAnswers:
    """A linear model of two classes: the best change is known."""

    def setup_method(self):
        self.weight = torch.randn(2, 12, generator=torch.Generator().manual_seed(4))
        self.up = (self.weight[1] - self.weight[0]).view(1, 1, 3, 4)
        self.pixels, self.labels = torch.full((1, 1, 3, 4), 0.5), torch.tensor([0])

    def model(self, pixels):
        return pixels.flatten(1) @ self.weight.T

    @pytest.mark.parametrize("attack", [FGSM(0.1), PGD(0.1, 0.03, 8), PGD(0.1, 0.2, 1, start=False)])
    def test_the_corner(self, attack):
        found = attack.attack(self.model, self.pixels, self.labels, DRAW)
        assert torch.allclose(found, self.pixels + 0.1 * self.up.sign())

    def test_the_direction(self):
        found = PGD(0.3, 0.1, 60, norm="l2").attack(self.model, self.pixels, self.labels, DRAW)
        assert torch.allclose(found, self.pixels + 0.3 * self.up / self.up.norm(), atol=1e-3)

    def test_the_direction_within_a_region(self):
        region = torch.zeros(1, 1, 3, 4, dtype=torch.bool)
        region[..., 1:3] = True
        found = PGD(0.3, 0.2, 3, norm="l2", start=False).attack(self.model, self.pixels, self.labels, DRAW, region)
        inside = self.up * region
        assert torch.allclose(found, self.pixels + 0.3 * inside / inside.norm(), atol=1e-5)

    def test_very_small_gradients_still_point(self):
        def faint(pixels):
            return 1e-30 * self.model(pixels)

        for attack in (FGSM(0.1), PGD(0.3, 0.1, 1, norm="l2", start=False)):
            strong = attack.attack(self.model, self.pixels, self.labels, DRAW)
            assert torch.allclose(attack.attack(faint, self.pixels, self.labels, DRAW), strong, atol=1e-5)

    def test_the_box_cuts(self):
        found = FGSM(0.7).attack(self.model, self.pixels, self.labels, DRAW)
        assert set(found.flatten().tolist()) == {0.0, 1.0}

    def test_the_start_fills_the_ball(self):
        many = torch.full((400, 1, 3, 4), 0.5)
        flat, ball = PGD(0.2, 0.0, 1), PGD(0.2, 0.0, 1, norm="l2")
        change = flat.attack(self.model, many, torch.zeros(400).long(), DRAW) - 0.5
        assert float(change.std()) == pytest.approx(0.2 / sqrt(3), rel=0.05)
        change = ball.attack(self.model, many, torch.zeros(400).long(), DRAW) - 0.5
        assert even_in_ball(change.flatten(1), 0.2)
        region = torch.zeros(400, 1, 3, 4, dtype=torch.bool)
        region[..., 1:3] = True
        change = ball.attack(self.model, many, torch.zeros(400).long(), DRAW, region) - 0.5
        assert even_in_ball(change[..., 1:3].flatten(1), 0.2)
        directions = torch.randn(400, 12, generator=torch.Generator().manual_seed(0))
        even_lengths = 0.2 * torch.rand(400, 1) * directions / directions.norm(dim=1, keepdim=True)
        assert not even_in_ball(even_lengths, 0.2)


def even_in_ball(points: torch.Tensor, radius: float) -> bool:
    """Whether the share of the ball within each point [n, d] is even in [0, 1] (Kolmogorov and Smirnov), and the
    directions have no mean.
    """
    length = points.norm(dim=1)
    shares = (length / radius) ** points.shape[1]
    directions = points / length[:, None]
    centred = float(directions.mean(dim=0).norm()) < 3 / sqrt(len(points))
    return centred and kstest(shares.double().numpy(), "uniform").pvalue > 0.001


class TestReading:
    """PGD, one image and one step after another."""

    @staticmethod
    def slow(model, image, label, norm, eps, step, steps, stop=False):
        now = image.clone()
        for _ in range(steps):
            if stop and model(now[None]).argmax() != label:
                break
            leaf = now.clone().requires_grad_()
            nn.functional.cross_entropy(model(leaf[None]), label[None]).backward()
            gradient = leaf.grad
            now = now + step * (gradient.sign() if norm == "linf" else gradient / gradient.norm())
            change = now - image
            if norm == "linf":
                change = torch.minimum(torch.maximum(change, torch.tensor(-eps)), torch.tensor(eps))
            elif change.norm() > eps:
                change = change * eps / change.norm()
            now = torch.clamp(image + change, 0, 1).detach()
        return now

    @pytest.mark.parametrize("attack", [PGD(0.05, 0.02, 4, start=False), PGD(0.4, 0.15, 5, norm="l2", start=False)])
    def test_image_by_image(self, attack, model, pixels, labels):
        found = attack.attack(model, pixels, labels, DRAW)
        for row in range(len(pixels)):
            slow = self.slow(model, pixels[row], labels[row], attack.norm, attack.eps, attack.step, attack.steps)
            assert torch.allclose(found[row], slow, atol=1e-5)

    @pytest.mark.parametrize("attack", [PGD(0.03, 0.004, 9, start=False), PGD(0.3, 0.02, 9, norm="l2", start=False)])
    def test_until_fooled_image_by_image(self, attack, model, pixels, labels):
        """One image is wrong from the start, some fall at different steps, one holds."""
        labels[0] = (labels[0] + 1) % CLASSES
        region = torch.ones(SHAPE[0], 1, *SHAPE[2:], dtype=torch.bool)
        region[1] = False
        passes = []
        model.register_forward_hook(lambda _, inputs, output: passes.append(len(inputs[0])))
        found = replace(attack, stop=True).attack(model, pixels, labels, DRAW, region)
        asked = passes[:]
        assert torch.equal(found[:2], pixels[:2])
        for row in range(2, len(pixels)):
            slow = self.slow(
                model, pixels[row], labels[row], attack.norm, attack.eps, attack.step, attack.steps, stop=True
            )
            assert torch.allclose(found[row], slow, atol=1e-5)
        assert asked[0] == len(pixels)
        assert asked == sorted(asked, reverse=True)
        assert len(set(asked)) > 2

    def test_until_fooled_is_no_weaker_and_ends_early(self, model, pixels, labels):
        for attack in (PGD(0.05, 0.02, 4), PGD(0.4, 0.15, 5, norm="l2"), PGD(0.01, 0.01, 3)):
            last = predicted(model, attack.attack(model, pixels, labels, DRAW))
            stopped = predicted(model, replace(attack, stop=True).attack(model, pixels, labels, DRAW))
            assert not ((stopped == labels) & (last != labels)).any()
        passes = []
        model.register_forward_hook(lambda *_: passes.append(1))
        wrong = (labels + 1) % CLASSES
        assert torch.equal(PGD(start=False, stop=True).attack(model, pixels, wrong, DRAW), pixels)
        assert len(passes) == 1


class TestCaptum:
    @pytest.mark.parametrize("limited", [False, True])
    def test_fgsm(self, limited, model, pixels, labels):
        region = half() if limited else None
        mask = region.expand(SHAPE).float() if limited else None
        theirs = CAPTUM_FGSM(model, LOSS, 0.0, 1.0).perturb(pixels.clone(), 8 / 255, labels, mask=mask)
        assert torch.allclose(FGSM().attack(model, pixels, labels, DRAW, region), theirs, atol=1e-6)

    @pytest.mark.parametrize("limited", [False, True])
    def test_pgd(self, limited, model, pixels, labels):
        region = half() if limited else None
        mask = region.expand(SHAPE).float() if limited else None
        theirs = CAPTUM_PGD(model, LOSS, 0.0, 1.0).perturb(pixels.clone(), 8 / 255, 2 / 255, 10, labels, mask=mask)
        ours = PGD(start=False).attack(model, pixels, labels, DRAW, region)
        assert torch.allclose(ours, theirs, atol=1e-6)


class Valley:
    """Class 0 unless the image lies within 0.3/255, on the mean over pixels, of a point 5/255 away, in a corner."""

    def __init__(self) -> None:
        corner = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(6)) < 0.5
        self.goal = 0.5 + 5 / 255 * torch.where(corner, 1.0, -1.0)

    def __call__(self, pixels):
        away = 255 * (pixels - self.goal).abs().mean(dim=(1, 2, 3))
        return torch.stack((torch.zeros_like(away), 0.3 - away), dim=1)


class TestAdaptive:
    def setup_method(self):
        self.pixels, self.labels = torch.full((4, 3, 5, 7), 0.5), torch.zeros(4, dtype=torch.int64)

    def left(self, attack, model=None):
        found = attack.attack(model or Valley(), self.pixels, self.labels, DRAW)
        return int((predicted(model or Valley(), found) == self.labels).sum())

    def test_decaying_steps_find_what_no_number_of_even_ones_does(self):
        assert self.left(PGD()) == 4
        assert self.left(PGD(steps=40)) == 4
        assert self.left(AdaptivePGD()) == 0
        assert self.left(AdaptivePGD(losses=("margin",))) == 0

    def test_steps_that_ran_out_are_told(self):
        short = AdaptivePGD(steps=12).follow(Valley(), self.pixels, self.labels, DRAW)
        assert short.rising.all()
        assert not AdaptivePGD().follow(Valley(), self.pixels, self.labels, DRAW).rising.any()

    def test_a_loss_that_has_stopped_rising_is_not_told(self, model, pixels, labels):
        attack = AdaptivePGD(1e-4)
        found = attack.follow(model, pixels, labels, DRAW)
        assert torch.equal(predicted(model, found.pixels), labels)
        assert not found.rising.any()

    def test_a_sure_network_is_moved_by_its_margin(self):
        weight = torch.randn(2, 105, generator=torch.Generator().manual_seed(4))
        self.labels = (self.pixels.flatten(1) @ weight.T).argmax(dim=1)

        def sure(pixels):
            return 1e4 * (pixels.flatten(1) @ weight.T)

        assert self.left(AdaptivePGD(1.0, losses=("ce",)), sure) == 4
        assert self.left(AdaptivePGD(1.0), sure) == 0

    @pytest.mark.parametrize("eps", [0.01, 0.02, 0.04])
    def test_the_first_step_is_that_of_fgsm_and_more_losses_leave_no_more(self, eps, model, pixels, labels):
        attacks = {
            "fgsm": FGSM(eps), "ce": AdaptivePGD(eps, losses=("ce",)), "both": AdaptivePGD(eps),
            "three": AdaptivePGD(eps, losses=("ce", "margin", "ce")),
        }  # fmt: skip
        stands = [found == labels for found in assess(model, pixels, labels, attacks, DRAW).values()]
        for weaker, stronger in pairwise(stands):
            assert not (stronger & ~weaker).any()

    def test_a_stopped_attack_gives_the_verdicts_of_an_unstopped_one(self, model, pixels, labels, monkeypatch):
        """Unstopped: it is never told that an image fell and goes on with it; what fell on the way has fallen."""
        passes, fell, stopped = [], [], AdaptivePGD(0.02, steps=30)
        hook = model.register_forward_hook(lambda _, inputs, output: passes.append(len(inputs[0])))
        found = predicted(model, stopped.attack(model, pixels, labels, DRAW)) != labels
        asked = sum(passes)
        passes.clear()

        def blindfolded(model, here, labels, *more):
            gradient, answers, losses = climbed(model, here, labels, *more)
            fell[-1] |= bool((answers != labels).any())
            return gradient, labels.clone(), losses

        monkeypatch.setattr(adaptive, "climbed", blindfolded)
        for row in range(len(pixels)):
            fell.append(False)
            stopped.attack(model, pixels[row, None], labels[row, None], DRAW.at(torch.tensor([row])))
        hook.remove()
        assert found.tolist() == fell
        assert asked < sum(passes)
        assert 0 < found.sum() < len(found), "some fall and some stand"

    def test_images_that_fell_are_left_alone(self, model, pixels, labels):
        asked = []
        model.register_forward_hook(lambda _, inputs, output: asked.append(len(inputs[0])))
        wrong = (labels + 1) % CLASSES
        assert torch.equal(AdaptivePGD().attack(model, pixels, wrong, DRAW), pixels)
        assert asked == [5]


class TestSquare:
    @pytest.mark.parametrize("limited", [False, True])
    def test_image_by_image(self, limited, model, pixels, labels):
        """The published loop, one image and one query after another, with the draws of the attack."""
        attack, eps = Square(0.03, 40), 0.03
        region = half() if limited else torch.ones(SHAPE[0], 1, *SHAPE[2:], dtype=torch.bool)
        found = attack.attack(model, pixels, labels, DRAW, region)
        for row in range(5):
            key = Key(DRAW.words, first_row=row)
            clean = pixels[row]
            signs = torch.where(key.fold_in("stripes").uniform(1, 3 * 6).view(3, 1, 6) < 0.5, -1.0, 1.0)
            best = self.cut(clean + eps * signs * region[row], clean, eps)
            lost = self.loss(model, best, labels[row])
            for query in range(40):
                if lost < 0:
                    break
                share = 0.8 / 2 ** sum(query * 250 > each for each in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
                side = max(round(sqrt(share * 48)), 1)
                down, along = key.fold_in(query).fold_in("place").uniform(1, 2)[0].tolist()
                top, left = int(down * (8 - side + 1)), int(along * (6 - side + 1))
                colour = key.fold_in(query).fold_in("colour").uniform(1, 3)[0]
                tried = best.clone()
                for channel in range(3):
                    patch = 2 * eps * (-1.0 if colour[channel] < 0.5 else 1.0)
                    inside = region[row, 0, top : top + side, left : left + side]
                    tried[channel, top : top + side, left : left + side] += patch * inside
                tried = self.cut(tried, clean, eps)
                if (now := self.loss(model, tried, labels[row])) < lost:
                    best, lost = tried, now
            assert torch.allclose(found[row], best, atol=1e-6)

    @staticmethod
    def cut(image, clean, eps):
        return torch.minimum(torch.maximum(image, clean - eps), clean + eps).clamp(0, 1)

    @staticmethod
    def loss(model, image, label):
        with torch.no_grad():
            logits = model(image[None])[0]
        return float(logits[label] - logits[torch.arange(CLASSES) != label].max())

    def test_no_gradient_is_needed(self, model, pixels, labels):
        def hidden(images):
            return (8 * model(images.detach())).round()

        before = hidden(pixels).argmax(dim=1)
        found = Square(0.2).attack(hidden, pixels, before, DRAW)
        assert (hidden(found).argmax(dim=1) != before).any()


class TestDisagreements:
    """Ten images, of which eight stood and were checked."""

    def said(self, rising=0, **fell):
        tried = torch.arange(10) < 8
        checks = {name: torch.where(tried, right(10), NOT_TRIED) for name in CHECKS}
        for name, count in fell.items():
            checks[name] = torch.where(torch.arange(10) < count, 1, checks[name])
        return disagreements(TRUTH, checks, {"pgd_8": torch.arange(10) < rising})

    def test_agreement_says_nothing(self):
        assert self.said(unbounded=8) == ()
        assert disagreements(TRUTH, {name: torch.full((10,), NOT_TRIED) for name in CHECKS}, {}) == ()

    @pytest.mark.parametrize(
        ("fell", "words"),
        [
            ({"unbounded": 8, "transfer": 3}, "^3 of 8 .*smoothed"),
            ({"unbounded": 8, "square": 1}, "^1 of 8 .*no gradient"),
            ({"unbounded": 6}, "^2 of 8 .*any other"),
            ({"unbounded": 8, "rising": 2}, "pgd_8 .*20.0 %"),
        ],
    )
    def test_each_disagreement_is_told(self, fell, words):
        said = self.said(**fell)
        assert len(said) == 1
        assert re.search(words, said[0])


class TestAssess:
    def test_classes_under_each_attack(self, model, pixels, labels):
        found = assess(model, pixels, labels, {"noise": SignNoise(), "big": PGD(0.5, 0.1)}, DRAW)
        assert list(found) == ["noise", "big"]
        assert found["big"].dtype == torch.int64
        assert float((found["big"] == labels).float().mean()) < 0.3
        expected = model(SignNoise().attack(model, pixels, labels, DRAW)).argmax(dim=1)
        assert torch.equal(found["noise"], expected)

    def test_nan_is_no_answer(self, pixels):
        def broken(images):
            return images.flatten(1)[:, :CLASSES] * torch.tensor([1, torch.nan, 1, 1, 1])[:, None]

        assert predicted(broken, pixels)[1] == -1
        attacked = FGSM().attack(broken, pixels, torch.zeros(5).long(), DRAW)
        assert bool(attacked[1].isnan().any())
        assert bool(attacked[[0, 2, 3, 4]].isfinite().all())

    def test_a_detached_model_is_told(self, model, pixels, labels):
        for cut in (lambda x: model(x.detach()).detach(), lambda x: model(x.detach())):
            with pytest.raises(OverfocusError, match="no gradient leads"):
                gradients(cut, pixels, labels)

    def test_a_gradient_is_of_its_own_image(self, model, pixels, labels):
        alone = torch.cat([gradients(model, pixels[row : row + 1], labels[row : row + 1]) for row in range(5)])
        assert torch.allclose(gradients(model, pixels, labels), alone, atol=1e-6)

    def test_an_unknown_norm_is_told(self):
        with pytest.raises(OverfocusError, match="'l1'"):
            PGD(norm="l1")


CALM = MaskingProbe(torch.zeros(10, dtype=torch.bool), torch.zeros(10, dtype=torch.bool), False)
TRUTH = torch.zeros(10, dtype=torch.int64)


def right(count: int) -> torch.Tensor:
    """Make predictions of which `count` of 10 are right."""
    return (torch.arange(10) >= count).long()


class TestFlags:
    def test_probe_sees_what_is_there(self, model, pixels, labels):
        seen = probe(model, pixels, labels)
        assert not seen.unsteady.any()
        assert not seen.blind.any()
        assert not seen.probabilities

    def test_probe_sees_dropout_that_stays_on(self, model, pixels, labels):
        seen = probe(lambda x: model(nn.functional.dropout(x, 0.5, training=True)), pixels, labels)
        assert seen.unsteady.all()

    def test_probe_sees_dead_images_and_probabilities(self, model, pixels, labels):
        alive = torch.tensor([1.0, 0, 1, 0, 0]).view(5, 1, 1, 1)
        seen = probe(lambda x: model(x * alive).softmax(dim=1), pixels, labels)
        assert seen.blind.tolist() == [False, True, False, True, True]
        assert seen.probabilities

    def test_all_well_says_nothing(self):
        results = dict(zip(ATTACKS, map(right, (9, 5, 4, 1, 2))))
        assert flags(TRUTH, right(10), results, ATTACKS, CALM) == ()

    @pytest.mark.parametrize(
        ("counts", "words"),
        [
            ((5, 9, 4, 1, 2), "fgsm .*90.0 %.*noise 50.0 %"),
            ((9, 3, 5, 4, 2), "pgd_8 .*40.0 %.*fgsm 30.0 %"),
            ((9, 8, 2, 6, 2), "pgd_8 .*60.0 %.*pgd_2 20.0 %"),
        ],
    )
    def test_each_sign_of_a_failed_attack(self, counts, words):
        said = flags(TRUTH, right(10), dict(zip(ATTACKS, map(right, counts))), ATTACKS, CALM)
        assert len(said) == 1
        assert re.search(words, said[0])

    def test_the_model_and_nan_are_told(self):
        seen = MaskingProbe(torch.arange(10) < 2, torch.arange(10) < 3, True)
        lost = torch.where(torch.arange(10) < 4, -1, TRUTH)
        said = flags(TRUTH, right(10), {"noise": lost}, ATTACKS, seen)
        for words in ("differ for 20.0 %", "zero for 30.0 %", "probabilities", "4 images have no answer under noise"):
            assert sum(bool(re.search(words, sentence)) for sentence in said) == 1

    def test_attacks_of_other_sizes_are_not_compared(self):
        attacks = {"noise": SignNoise(0.01), "fgsm": FGSM(0.03), "pgd": PGD(0.04), "l2": PGD(0.5, norm="l2")}
        results = dict(zip(attacks, map(right, (3, 5, 7, 9))))
        assert flags(TRUTH, right(10), results, attacks, CALM) == ()

    def test_slack(self):
        results = dict(zip(ATTACKS, map(right, (5, 6, 4, 1, 2))))
        assert flags(TRUTH, right(10), results, ATTACKS, CALM)
        assert not flags(TRUTH, right(10), results, ATTACKS, CALM, slack=0.15)


class FakeAutoAttack:
    """Takes what the package takes, and moves the global random state as it does."""

    def __init__(self, model, **settings):
        self.model, self.settings, self.verbose = model, settings, True
        self.apgd_targeted, self.fab = SimpleNamespace(n_target_classes=9), SimpleNamespace(n_target_classes=9)

    def run_standard_evaluation(self, pixels, labels, bs):
        torch.manual_seed(self.settings["seed"])
        assert not self.verbose
        assert not self.model.training
        assert self.apgd_targeted.n_target_classes == self.fab.n_target_classes == CLASSES - 1
        return (pixels + self.settings["eps"]).clamp(0, 1)


class TestAutoAttack:
    def test_missing_is_told(self, monkeypatch, model, pixels, labels):
        monkeypatch.setitem(sys.modules, "autoattack", None)
        with pytest.raises(OverfocusError, match="not available"):
            auto_attack(model, pixels, labels, seed=0)

    def test_it_is_run_without_a_trace(self, monkeypatch, model, pixels, labels):
        fake = ModuleType("autoattack")
        fake.AutoAttack = FakeAutoAttack
        monkeypatch.setitem(sys.modules, "autoattack", fake)
        model.train()
        state = torch.get_rng_state()
        found = auto_attack(model, pixels, labels, seed=5, eps=0.1)
        assert torch.allclose(found, (pixels + 0.1).clamp(0, 1))
        assert torch.equal(state, torch.get_rng_state())
        assert all(each.training for each in model.modules())
        with pytest.raises(OverfocusError, match="3 classes"):
            auto_attack(lambda x: model(x)[:, :3], pixels, labels, seed=5)
