"""Bugs planted on purpose: each must make a named law or reading fail. A check that cannot fail proves nothing."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from torch import nn

import laws
import readings
from overfocus.attribution import head
from overfocus.core import boxes
from overfocus.core.head_probe import HeadAttribution
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.regularizers import cutmix, cutout, dropblock, dropout, mixup, oneof, sgdrop, spatialdropout
from overfocus.regularizers.regularizer import Regularizer
from overfocus.training.objective import Objective


@dataclass(frozen=True)
class Bug:
    """Instead of `where.what` there is `wrong`, made from what was there; `caught` must raise."""

    says: str
    where: object
    what: str
    wrong: Callable
    caught: Callable[[], None]


def in_place(right):
    def wrong(images, source, rows, pasted):
        images.copy_(right(images, source, rows, pasted))
        return images

    return wrong


def without_features(right):
    def wrong(self, batch, key):
        for number in range(len(self._on_features)):
            batch = replace(batch, values=self._run(self.model, batch.values, number, number + 1))
        return batch

    return wrong


def through_the_mask(right):
    return lambda features, kept, unit, rescale=False: (
        right(features, kept, unit, rescale) + features - features.detach()
    )


def one_chance(right):
    def wrong(method, scores, drop, key):
        whole = right(replace(method, unit_prob=1.0), scores, drop, key)
        return whole | (key.fold_in("chance").uniform(len(scores), 1) >= method.unit_prob)

    return wrong


def detached(right):
    return lambda features, kept, unit, rescale=False: right(features.detach(), kept, unit, rescale)


def signed(right):
    """Make the attribution before its ReLU."""

    def wrong(linear, z, *rest):
        found, negative = right(linear, z, *rest), right(linear, -z, *rest)
        return HeadAttribution(found.attribution - negative.attribution, found.logits)

    return wrong


def times_positions(right):
    def wrong(linear, z, *rest):
        found = right(linear, z, *rest)
        return HeadAttribution(found.attribution * z[0, 0].numel(), found.logits)

    return wrong


BUGS = [
    Bug(
        "cutmix gives each label the weight of the other",
        cutmix,
        "cutmix",
        lambda right: lambda batch, partners, pasted, kept: right(batch, partners, pasted, 1 - kept),
        partial(readings.cutmix, "cutmix(prob=1.0)"),
    ),
    Bug(
        "a box is as wide as it should be high",
        boxes,
        "around",
        lambda right: lambda x, y, width, height, size: right(x, y, height, width, size),
        partial(readings.cutmix, "cutmix(prob=1.0)"),
    ),
    Bug(
        "an odd box loses its last pixel",
        boxes,
        "around",
        lambda right: lambda x, y, width, height, size: right(x, y, width // 2 * 2, height // 2 * 2, size),
        partial(readings.cutout, "cutout(size=5)"),
    ),
    Bug(
        "one box for the whole batch",
        cutmix.CutMix,
        "_boxes",
        lambda right: lambda self, *draws: right(self, *draws)[:1].expand(len(draws[0]), 4),
        readings.own_boxes,
    ),
    Bug(
        "one box for the whole batch, by law",
        cutmix.CutMix,
        "_boxes",
        lambda right: lambda self, *draws: right(self, *draws)[:1].expand(len(draws[0]), 4),
        partial(laws.every_row_has_its_own_draw, "cutmix(prob=1.0)"),
    ),
    Bug(
        "labels follow another area than the one that was pasted",
        cutmix.CutMix,
        "_weight",
        lambda right: lambda self, kept, mixed: kept - 0.1 * mixed,
        partial(readings.cutmix, "cutmix(prob=1.0)"),
    ),
    Bug(
        "a schedule is ignored",
        cutmix.CutMix,
        "scheduled",
        lambda right: property(lambda self: False),
        partial(readings.cutmix, "cutmix(prob=0.9, schedule='linear')", 0.3),
    ),
    Bug(
        "cutmix writes into the batch",
        boxes,
        "paste",
        in_place,
        partial(laws.inputs_are_unchanged, "cutmix(prob=1.0)"),
    ),
    Bug(
        "labels may add up to more than one",
        Targets,
        "blend",
        lambda right: lambda self, other, kept: right(self, replace(other, weights=other.weights * 2), kept),
        partial(laws.weights_stay_distributions, "mixup"),
    ),
    Bug(
        "an image is its own partner",
        Key,
        "derangement",
        lambda right: lambda self, rows: torch.arange(rows),
        readings.partners,
    ),
    Bug(
        "an image is its own partner, by law",
        Key,
        "derangement",
        lambda right: lambda self, rows: torch.arange(rows),
        partial(laws.it_is_not_idle, "cutmix"),
    ),
    Bug(
        "cutout fills with one instead of zero",
        cutout.Cutout,
        "_value",
        lambda right: lambda self, values, draw: torch.ones(1, 1, 1, 1),
        partial(readings.cutout, "cutout"),
    ),
    Bug(
        "mixup forgets the targets",
        mixup,
        "mixup",
        lambda right: lambda batch, partners, kept: replace(right(batch, partners, kept), targets=batch.targets),
        partial(readings.mixup, "mixup"),
    ),
    Bug(
        "mixup has one lambda for the batch",
        mixup,
        "beta",
        lambda right: lambda uniform, alpha: right(uniform, alpha)[:1].expand(uniform.shape),
        partial(readings.mixup, "mixup"),
    ),
    Bug(
        "mixup returns float32",
        mixup,
        "mixup",
        lambda right: lambda *given: replace(right(*given), values=right(*given).values.float()),
        partial(laws.shapes_and_dtypes_are_kept, "mixup"),
    ),
    Bug(
        "sgdrop keeps what is salient and drops the rest",
        sgdrop,
        "keep_mask",
        lambda right: lambda scores, drop: ~right(scores, drop),
        partial(readings.sgdrop, "sgdrop(drop=0.3)"),
    ),
    Bug(
        "sgdrop drops a whole row where nothing speaks for the label",
        sgdrop,
        "keep_mask",
        lambda right: lambda scores, drop: scores < scores.quantile(1 - drop, dim=1, keepdim=True),
        partial(readings.sgdrop, "sgdrop(drop=0.9, unit='element')"),
    ),
    Bug(
        "sgdrop protects what is least salient",
        sgdrop,
        "keep_but_least",
        lambda right: lambda scores, kept, order: right(-scores, kept, order),
        partial(readings.sgdrop_least, "element"),
    ),
    Bug(
        "of equal units the first ones always go",
        sgdrop,
        "keep_but_least",
        lambda right: lambda scores, kept, order: right(scores, kept, order.sort(1).values),
        partial(readings.sgdrop_least, "element"),
    ),
    Bug(
        "sgdrop has one chance for the whole image",
        sgdrop.SGDrop,
        "_kept",
        one_chance,
        readings.sgdrop_chance,
    ),
    Bug(
        "sgdrop sums the channels at a position without the ReLU",
        head,
        "_closed_form",
        signed,
        partial(readings.sgdrop, "sgdrop(drop=0.3, unit='position')"),
    ),
    Bug(
        "a gradient flows through the mask",
        sgdrop,
        "apply_mask",
        through_the_mask,
        readings.sgdrop_gradient,
    ),
    Bug(
        "sgdrop cuts the encoder off",
        sgdrop,
        "apply_mask",
        detached,
        partial(laws.the_encoder_learns, "sgdrop"),
    ),
    Bug(
        "the closed form forgets the number of positions",
        head,
        "_closed_form",
        times_positions,
        readings.closed_form,
    ),
    Bug(
        "the closed form has the wrong sign",
        head,
        "_closed_form",
        lambda right: lambda linear, z, *rest: right(linear, -z, *rest),
        readings.closed_form,
    ),
    Bug(
        "the head is judged by its first values alone",
        head,
        "_shifted",
        lambda right: lambda model: model,
        readings.a_new_norm_is_not_nothing,
    ),
    Bug(
        "a look records statistics and draws dropout",
        head,
        "held",
        lambda right: lambda model, names: nullcontext(),
        partial(laws.no_trace_is_left, "sgdrop"),
    ),
    Bug(
        "dropout does not scale",
        dropout,
        "dropout",
        lambda right: lambda values, kept, drop: right(values, kept, drop) * (1 - drop),
        partial(readings.dropout, "dropout"),
    ),
    Bug(
        "spatial dropout drops the channels of another image",
        spatialdropout,
        "spatialdropout",
        lambda right: lambda values, kept, drop: right(values, kept.roll(1, 0), drop),
        partial(readings.dropout, "spatialdropout", (2, 3)),
    ),
    Bug(
        "dropblock counts blocks that overlap twice, as the paper does",
        dropblock,
        "centre_rate",
        lambda right: lambda drop, size, side: drop / size**2,
        partial(readings.dropblock_rate, 7, 5, 0.3),
    ),
    Bug(
        "dropblock scales over the batch",
        dropblock,
        "dropblock",
        lambda right: lambda values, kept, share: values * kept[:, None] / share.mean(),
        partial(readings.dropblock, "dropblock(drop=0.3)"),
    ),
    Bug(
        "an even block lies on the other side",
        dropblock,
        "blocks",
        lambda right: lambda centres, size: right(centres.flip(1, 2), size).flip(1, 2),
        partial(readings.dropblock, "dropblock(drop=0.3, size=4)"),
    ),
    Bug(
        "one-of forgets the targets",
        oneof,
        "choose",
        lambda right: lambda batch, results, chosen: replace(right(batch, results, chosen), targets=batch.targets),
        partial(readings.oneof, "oneof"),
    ),
    Bug(
        "one-of ignores its weights",
        oneof.OneOf,
        "_choice",
        lambda right: lambda self, images, draw: right(replace(self, weights=()), images, draw),
        partial(readings.oneof, "oneof(cutout, cutmix, weights=(0, 1))"),
    ),
    Bug(
        "a method draws from the global random state",
        Key,
        "uniform",
        lambda right: lambda self, rows, columns=1: torch.rand(rows, columns),
        partial(laws.only_its_draw_is_used, "mixup"),
    ),
    Bug(
        "a spec loses its settings",
        Regularizer,
        "__str__",
        lambda right: lambda self: type(self).__name__.lower(),
        partial(laws.it_prints_as_it_was_built, "cutmix(prob=1.0, at='middle')"),
    ),
    Bug(
        "the objective skips the feature seam",
        Objective,
        "_features",
        without_features,
        partial(laws.it_is_not_idle, "sgdrop"),
    ),
    Bug(
        "the objective regularizes in evaluation",
        Objective,
        "train",
        lambda right: lambda self, mode=True: nn.Module.train(self, True),
        partial(laws.evaluation_is_plain, "mixup"),
    ),
    Bug(
        "the objective draws the same in every process start",
        Objective,
        "_draw",
        lambda right: lambda self, first_row: replace(right(self, first_row), words=torch.randint(2**32, (2,))),
        partial(laws.one_seed_is_one_loss, "mixup"),
    ),
    Bug(
        "smoothing is left out of the loss",
        Targets,
        "cross_entropy",
        lambda right: lambda self, logits, smoothing=0.0: right(self, logits),
        readings.cross_entropy,
    ),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.says)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    bug.caught()  # without the bug there is nothing to catch
    dropblock._rates.cache_clear()
    monkeypatch.setattr(bug.where, bug.what, bug.wrong(getattr(bug.where, bug.what)))
    with pytest.raises(AssertionError):
        bug.caught()
