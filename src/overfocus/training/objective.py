"""The loss of one step: images through the image seam, the encoder, the feature seam and the head.

    objective = Objective(model, CutMix(prob=0.5) + SGDrop(drop=0.3), at="layer4")
    loss = objective(images, labels)          # instead of criterion(model(images), labels)

Evaluation is untouched: `model(images)` is the plain model.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from overfocus.attribution.head import Head
from overfocus.core.balance import Balance
from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.layer_name import FEATURES as CUT
from overfocus.core.layer_name import layer_name
from overfocus.core.modes import in_mode
from overfocus.core.targets import MultiTargets, Targets
from overfocus.models.smoke import sizes_that_work
from overfocus.models.split import split
from overfocus.regularizers.regularizer import FEATURES, IMAGE, Chain, Regularizer, SettingError
from overfocus.training.seam_probe import SeamProbe

LEAK = 0.1
"""Accuracy through the mask minus accuracy without it, above which the mask is taken to reveal the label."""

ALL = 0.99
"""Share of an image's evidence above which nothing of it is taken to be left."""

CHECK_EVERY = 500
"""Steps between two checks of both without a report: a check synchronises with the device."""


class Objective(nn.Module):
    """A model, a method, and the loss of a batch under it.

    In training mode `objective(images, labels)` returns the mean cross-entropy [] with `method` acting; in evaluation
    mode that of the plain model. `images` [B, C, H, W] float, `labels` [B] integers or [B, K] soft, or `Targets`. The
    parameters are the model's own.

    at         the layer whose output feature methods see; `@features` is the input of the last pooling (see
               `models.split`)
    classes    number of classes, only to check the labels of the first batch; 0 leaves it
    smoothing  label smoothing of the loss, in [0, 1)
    seed       of all draws; the global random state is neither read nor moved
    balance    what the loss does about classes of unequal size: `Balance.of(kind, counts)`; in training mode alone
    steps      length of training in calls, for methods with a schedule or ramp
    multi_label  an image may have several labels, or none: `labels` [B, K] in [0, 1], and the loss is the binary
               cross-entropy of each; with one logit for two classes `labels` are [B] zeros and ones
    decay      of the EMA teacher, per call, where a method asks for one; in call t at most (1 + t) / (10 + t), so that
               the first weights, which know nothing, are soon forgotten; 1 leaves the teacher as it is

    `last` holds the measurements of the last step, as tensors still on the device (no synchronisation); `report()`
    returns the means since the last report, and warns when a method never ran, and when a mask reveals the label or
    leaves nothing to learn from.
    """

    step: Tensor
    key: Tensor
    class_weights: Tensor | None
    log_prior: Tensor | None

    def __init__(  # noqa: PLR0913
        self,
        model: nn.Module,
        method: Regularizer | None = None,
        *,
        at: str = CUT,
        classes: int = 0,
        smoothing: float = 0.0,
        seed: int = 0,
        steps: int = 0,
        decay: float = 0.99,
        balance: Balance | None = None,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.model = _plain(model)
        self.method = method if method is not None else Chain()
        self.classes, self.smoothing, self.steps, self.decay = classes, smoothing, steps, decay
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("key", Key.seeded(seed).words, persistent=False)
        balance = balance or Balance()
        balance.check(multi_label=multi_label)
        self.register_buffer("class_weights", balance.weights, persistent=False)
        self.register_buffer("log_prior", balance.log_prior, persistent=False)
        self._kind = MultiTargets if multi_label else Targets
        self._check(at)
        self._set_seams(layer_name(at, level=5))
        self.teacher = deepcopy(self.model).eval().requires_grad_(False) if "ema" in self.method.teachers else None
        self._labels_checked, self._size_checked, self._calls = False, False, 0
        self.last: dict[str, Tensor] = {}
        self._totals: dict[str, tuple[Tensor, Tensor]] = {}

    def forward(
        self, images: Tensor, labels: Tensor | Targets, weights: Tensor | None = None, first_row: int | None = None
    ) -> Tensor:
        """Return the loss [] of a batch; with `weights` [B, M] it is one that `prepare` made, and `labels` [B, M] are
        its labels. `first_row` is where this process's rows start in the global batch; by default all have as many.
        """
        if not self.training:
            logits = self.model(images)
            _check_width(labels, logits)
            return self._targets(labels).cross_entropy(logits)
        key = self._draw(_first_row(len(images)) if first_row is None else first_row)
        batch = self._prepare(images, labels, key) if weights is None else self._given(images, labels, weights)
        features = self._features(batch, key)
        logits = self._head(features.values)
        if weights is None:
            _check_width(labels, logits)
        adjusted = logits if self.log_prior is None else logits.float() + self.log_prior
        loss = features.targets.cross_entropy(adjusted, self.smoothing, self.class_weights)
        self.note(features, logits, loss, len(batch))
        return loss

    def classify(self, batch: Batch, first_row: int = 0) -> tuple[Tensor, Batch]:
        """Run a batch that `prepare` made through the network, the method acting at its layers.

        Returns the logits [V, K], and the features in front of the last piece with their targets: V is the batch's
        size, twice that where a method shows two views. For those who compute a loss of their own; then `note` it.
        """
        features = self._features(batch, self._draw(first_row))
        return self._head(features.values), features

    def note(self, features: Batch, logits: Tensor, loss: Tensor, rows: int) -> None:
        """End a step of `rows` images: keep what was measured, and move to the random draws of the next step."""
        self.last = _measured(features, logits.detach(), loss.detach(), rows)
        self._add(self.last)
        self.step += 1
        if not torch.compiler.is_compiling():
            self._check_masks()

    def prepare(self, images: Tensor, labels: Tensor | Targets) -> Batch:
        """Let the method act on the images and labels of the coming step, which is what `forward` does by itself.

        For trainers that spread one batch over processes: prepare all of it everywhere, hand each process its rows.
        """
        batch = self._prepare(images, labels, self._draw(first_row=0))
        self._add(batch.measured)
        return batch

    def report(self) -> dict[str, float]:
        """Return the means of what was measured since the last report, and warn of methods that never ran and of wrong
        masks. Synchronises with the device.
        """
        means = self._means()
        self._totals = {}
        for text in (*_idle(means), *_wrong_masks(means)):
            warnings.warn(f"{self.method}: {text}", stacklevel=2)
        return means

    def _means(self) -> dict[str, float]:
        return {name: float(total / count) for name, (total, count) in self._totals.items() if float(count)}

    def _check_masks(self) -> None:
        """Warn of a wrong mask even in a loop that never calls `report`."""
        self._calls += 1
        if self._calls % CHECK_EVERY == 0 and "masked_accuracy" in self._totals:
            for text in _wrong_masks(self._means()):
                warnings.warn(f"{self.method}: {text}", stacklevel=5)

    def check_size(self, images: Tensor) -> None:
        """Raise SettingError where the method drops positions at a layer that has one for `images` [B, C, H, W].

        Names sizes that work, found by trial. Runs the first image in evaluation mode and leaves no trace; done by
        itself at the first step, where the objective is not compiled.
        """
        self._size_checked = True
        for number, method in enumerate(self._on_features):
            if method.drops_positions and not self._has_positions(images[:1], number):
                more = sizes_that_work(partial(self._has_positions, number=number), images)
                raise SettingError(
                    f"{self.method}: for images of {images.shape[2]} x {images.shape[3]} pixels the features at "
                    f"{self._split.layers[number]!r} are one position, which cannot be dropped; "  # type: ignore[union-attr]
                    f"{more or 'no square size tried gives more'}; or give an earlier layer by `at`, or unit='channel'"
                )

    def _has_positions(self, image: Tensor, number: int) -> bool:
        """Whether the features of `image` [1, C, H, W] at the seam `number` have several positions, or are no map."""
        with torch.no_grad(), in_mode(self.model.modules()):
            features = self._run(self.model, image, 0, number + 1)
        return features.ndim == 2 or features[0].numel() > features.shape[1 if features.ndim == 4 else 2]

    def train(self, mode: bool = True) -> Objective:
        """Set the mode of the model; the teacher stays in evaluation."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def _check(self, at: str) -> None:
        if self.method.scheduled and self.steps <= 0:
            raise OverfocusError(
                f"{self.method} changes over training, so the objective must know how long that is; give "
                "steps=epochs * batches per epoch"
            )
        if self.method.multi_label and self._kind is Targets:
            raise OverfocusError(
                f"{self.method}: label='union' is for images with several labels; give multi_label=True and such "
                "labels, or label='area'"
            )
        if not 0 <= self.smoothing < 1:
            raise OverfocusError(f"smoothing={self.smoothing} must be in [0, 1)")

    def _set_seams(self, at: str) -> None:
        """Cut the model where a method acts; without feature methods it is not cut at all."""
        self._on_images = self.method.acting(frozenset({IMAGE}))
        layers = sorted({at if place == FEATURES else place for place in self.method.places - {IMAGE}})
        self._split = split(self.model, layers) if layers else None
        seams = self._split.layers if self._split else ()
        places = [frozenset({layer, FEATURES} if layer == at else {layer}) for layer in seams]
        self._on_features = [self.method.acting(here) for here in places]
        self._heads = [Head.of(self.model, partial(self._run, first=n + 1)) for n in range(len(seams))]

    def _draw(self, first_row: int) -> Key:
        progress = (self.step / self.steps).clamp(max=1) if self.steps else 1.0
        return replace(Key(self.key).fold_in(self.step), progress=progress, first_row=first_row)

    def _targets(self, labels: Tensor | Targets) -> Targets:
        return labels if isinstance(labels, Targets) else self._kind.of(labels)

    def _given(self, images: Tensor, labels: Tensor | Targets, weights: Tensor) -> Batch:
        return Batch(images, labels if isinstance(labels, Targets) else self._kind(labels, weights))

    def _prepare(self, images: Tensor, labels: Tensor | Targets, key: Key) -> Batch:
        targets = self._targets(labels)
        if not self._labels_checked and not torch.compiler.is_compiling():
            self._check_labels(targets)
        return self._on_images.on_batch(Batch(images, targets), key)

    def _features(self, batch: Batch, key: Key) -> Batch:
        """Run the encoder, every seam's method acting on the way; without a seam the images are the features."""
        if self.teacher is not None and self.decay < 1:
            calls = self.step.float()
            _follow(self.teacher, self.model, ((1 + calls) / (10 + calls)).clamp(max=self.decay))
        images = batch.values
        if not self._size_checked and not torch.compiler.is_compiling():
            self.check_size(images)
        for number, method in enumerate(self._on_features):
            batch = replace(batch, values=self._run(self.model, batch.values, number, number + 1))
            batch = method.on_features(batch, self._head_probe(number, images), key)
        return batch

    def _head(self, features: Tensor) -> Tensor:
        return self._run(self.model, features, first=len(self._on_features))

    def _run(self, model: nn.Module, values: Tensor, first: int, stop: int | None = None) -> Tensor:
        """Run the pieces [first, stop) of `model`, to the logits where `stop` is left out."""
        if self._split is None:
            return model(values)
        for piece in self._split.pieces(model)[first:stop]:
            values = piece(model, values)
        return values

    def _head_probe(self, number: int, images: Tensor) -> SeamProbe:
        teacher = self.teacher if self.teacher is not None else self.model

        @torch.no_grad()
        def features() -> Tensor:
            return self._run(teacher, images, 0, number + 1)

        return SeamProbe(self.model, self._heads[number], teacher, features)

    def _check_labels(self, targets: Targets) -> None:
        """Check the first batch only, since that synchronises with the device."""
        self._labels_checked = True
        if targets.labels.shape[1] > 1 or isinstance(targets, MultiTargets):
            targets.check()
        if not self.classes:
            return
        low, high = int(targets.labels.min()), int(targets.labels.max())
        if low < 0 or high >= self.classes:
            wrong = low if low < 0 else high
            raise OverfocusError(
                f"a label of the first batch is {wrong}, but the objective has classes={self.classes}, numbered "
                f"from 0 to {self.classes - 1}; "
                "give the model and the objective as many classes as the data has"
            )

    def _add(self, measured: Mapping[str, Tensor]) -> None:
        """Add to the totals that `report` divides, without a synchronisation. Per image, NaN means that a method did
        not act; a number of the whole step, such as the loss, counts as it is.
        """
        for name, value in measured.items():
            known = ~value.isnan() if value.ndim else torch.ones_like(value, dtype=torch.bool)
            total, count = torch.where(known, value, 0).float().sum(), known.sum()
            if name in self._totals:
                total, count = self._totals[name][0] + total, self._totals[name][1] + count
            self._totals[name] = (total, count)


def _check_width(labels: Tensor | Targets, logits: Tensor) -> None:
    """Refuse soft labels of another number of classes than the network's, which the loss would take in part."""
    if isinstance(labels, Tensor) and labels.ndim == 2 and labels.shape[1] != logits.shape[1]:
        raise OverfocusError(
            f"soft labels are of {labels.shape[1]} classes and the network has {logits.shape[1]}; give rows of as many"
        )


def _plain(model: nn.Module) -> nn.Module:
    """Return the module inside a compiled one; refuse one that is already spread over processes."""
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        raise OverfocusError(
            f"the model is wrapped in {type(model).__name__}; wrap the objective instead: "
            f"{type(model).__name__}(Objective(model, ...))"
        )
    return getattr(model, "_orig_mod", model)


def _first_row(rows: int) -> int:
    """Return where this process's rows start in the global batch."""
    spread = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() * rows if spread else 0


@torch.no_grad()
def _follow(teacher: nn.Module, model: nn.Module, decay: Tensor) -> None:
    """Move `teacher` towards `model`: parameters and float buffers by 1 - `decay` [], counters all the way."""
    theirs, ours = [*teacher.parameters(), *teacher.buffers()], [*model.parameters(), *model.buffers()]
    floats = [(t, m.detach()) for t, m in zip(theirs, ours, strict=True) if t.is_floating_point()]
    torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
        [t for t, _ in floats], [m for _, m in floats], [(1 - decay).to(t.dtype) for t, _ in floats]
    )
    for t, m in zip(theirs, ours, strict=True):
        if not t.is_floating_point():
            t.copy_(m)


def _measured(features: Batch, logits: Tensor, loss: Tensor, rows: int) -> dict[str, Tensor]:
    """Gather what happened in a step. The accuracy is that of the first view, every label counted by its share."""
    accuracy = features.targets.accuracy(logits)
    measured = {**features.measured, "loss": loss, "accuracy": accuracy[:rows]}
    if "clean_accuracy" in measured:
        masked = ~measured["clean_accuracy"].isnan()
        measured["masked_accuracy"] = torch.where(masked, accuracy[-len(masked) :], torch.nan)
    return measured


def _of_kind(means: Mapping[str, float], kind: str) -> Iterator[tuple[str, float]]:
    """Yield (method, number) for `sgdrop_rate`, `sgdrop_rate_2` and so on, where the kind is `rate`."""
    for name, value in means.items():
        if found := re.fullmatch(rf"(.+)_{kind}(_\d+)*", name):
            yield found[1], value


def _idle(means: Mapping[str, float]) -> Iterator[str]:
    for method, rate in _of_kind(means, "rate"):
        if rate == 0:
            yield (
                f"{method} never ran since the last report; is its prob or share 0, its start not reached, or the "
                "map of its layer so small that its share of it is nothing?"
            )


def _wrong_masks(means: Mapping[str, float]) -> Iterator[str]:
    """Yield a warning where a mask reveals the label, or leaves nothing to learn from."""
    masked, clean = means.get("masked_accuracy", 0.0), means.get("clean_accuracy", 1.0)
    if masked > clean + LEAK:
        yield (
            f"the mask tells the label: training accuracy is {masked:.2f} through the mask and {clean:.2f} "
            "without it on the same images, so "
            "the network reads the class off what is missing, or left; drop positions instead of elements "
            "(unit='position'), mask fewer images (prob), or, with selection='least', use target='predicted' or 'soft'"
        )
    for method, share in _of_kind(means, "evidence"):
        if share > ALL:
            yield (
                f"{method} hides all that speaks for the target, {100 * share:.0f} % of the evidence, so nothing is "
                "left to learn from in the images that it masks; drop less, or, where single elements or channels of "
                "a map are dropped, positions (unit='position')"
            )
