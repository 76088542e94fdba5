"""Methods in a Lightning Trainer: a callback for a module of your own, and a module that is ready.

    trainer = Trainer(callbacks=[Regularize("cutmix + sgdrop", model="net", classes=10), LogSpread(model="net")])

Lightning's callbacks may look at a batch and not replace it (Lightning#1733), so the callback stands in for the
module's `on_after_batch_transfer`, through which every batch comes when it lies on its device.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from overfocus.core.balance import Balance
from overfocus.core.errors import OverfocusError
from overfocus.core.targets import Targets
from overfocus.integrations.attached import Attached
from overfocus.models.split import FEATURES
from overfocus.regularizers.regularizer import Regularizer
from overfocus.regularizers.spec import parse
from overfocus.training.objective import Objective
from overfocus.training.probe import Probe

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
else:
    try:
        _lightning = import_module("lightning.pytorch")
    except ImportError:
        try:
            _lightning = import_module("pytorch_lightning")
        except ImportError as error:
            raise OverfocusError("Lightning is not installed; pip install 'overfocus[lightning]'") from error
    Callback, LightningModule, Trainer = _lightning.Callback, _lightning.LightningModule, _lightning.Trainer


IMAGE_KEYS = ("image", "images", "pixel_values", "img", "imgs", "x", "input", "inputs", "data")
LABEL_KEYS = ("label", "labels", "target", "targets", "y", "class", "classes")


class Regularize(Callback):
    """Let a method act on every training batch of a module whose batches begin with images and labels, or are mappings
    that have each under a customary name (`image`, `pixel_values`, ...; `label`, `target`, ...).

    method   a spec or a value; one that mixes labels in the network or shows two views is refused
    model    the name of the network within the module ("net", "model.backbone"), for methods that act on features; it
             must be what `training_step` calls
    at       the layer of the network, see `overfocus.models.split`
    classes  K, for methods that mix labels: `training_step` then gets soft labels [B, K], which
             `torch.nn.functional.cross_entropy` takes; other methods leave the labels as they are
    seed     of all draws
    multi_label  labels are [B, K] of any dtype in [0, 1], or [B] for one logit; `training_step` gets them as floats,
             for `torch.nn.functional.binary_cross_entropy_with_logits`

    The loss is the module's own, and so are the weights of classes in it. What happened is logged each epoch
    (`cutmix_rate`, `sgdrop_dropped`, ...), and a method that never ran is a warning.
    """

    def __init__(
        self, method: str | Regularizer, *, model: str = "", at: str = FEATURES, classes: int = 0, seed: int = 0,
        multi_label: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.method = parse(method)
        self.model, self.at, self.classes, self.seed, self.multi_label = model, at, classes, seed, multi_label
        self.attached: Attached | None = None
        self._step = 0
        self._seen = 0
        self._transfer: Callable[[Any, int], Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Attach the method before training begins."""
        if stage != "fit" or self.attached is not None:
            return
        steps = int(trainer.estimated_stepping_batches) if self.method.scheduled else 0
        self.attached = Attached(
            _network(pl_module, self.model), self.method, at=self.at, seed=self.seed, steps=steps,
            multi_label=self.multi_label,
        )  # fmt: skip
        self._transfer = pl_module.on_after_batch_transfer

        def replaced(batch: Any, dataloader_idx: int) -> Any:
            assert self._transfer is not None
            batch = self._transfer(batch, dataloader_idx)
            return self._replaced(batch) if trainer.training else batch

        pl_module.on_after_batch_transfer = replaced  # type: ignore[method-assign]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the draws where a resumed training stood."""
        if self.attached is not None:
            self.attached.objective.step.fill_(self._step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what happened, and warn where nothing did."""
        assert self.attached is not None
        if not self._seen:
            warnings.warn(
                f"{self.method} never ran in this epoch: no batch came through on_after_batch_transfer of the module; "
                "does the datamodule have one of its own?",
                stacklevel=2,
            )
        means = self.attached.report()
        self._seen = 0
        pl_module.log_dict({name: value for name, value in means.items() if name not in ("loss", "accuracy")})

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module as it was."""
        if stage == "fit" and self.attached is not None:
            self.attached.detach()
            vars(pl_module).pop("on_after_batch_transfer", None)
            self._step = int(self.attached.objective.step)
            self.attached = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: how many steps have been drawn."""
        return {"step": self._step if self.attached is None else int(self.attached.objective.step)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self._step = int(state_dict["step"])

    def _replaced(self, batch: Any) -> Any:
        assert self.attached is not None
        try:
            image_key, label_key = keys_of(batch)
        except OverfocusError as error:
            raise OverfocusError(f"{self.method}: {error}") from error
        images, labels = batch[image_key], batch[label_key]
        self._seen += 1
        prepared = self.attached.prepare(images, labels)
        changed = {image_key: prepared.images} | self._relabelled(label_key, labels, prepared.targets)
        if isinstance(batch, Mapping):
            return {**batch, **changed}
        return [changed.get(place, value) for place, value in enumerate(batch)]

    def _relabelled(self, key: Any, labels: Tensor, targets: Targets) -> dict[Any, Tensor]:
        """Return the labels of `targets` in the form that the loss takes; {} where they are as they were."""
        if self.multi_label:
            return {key: targets.weights.view(labels.shape)}
        if targets.labels.shape == (len(labels), 1):
            return {}
        if not self.classes:
            raise OverfocusError(f"{self.method} mixes labels: give classes=, how many there are")
        return {key: targets.dense(self.classes)}


class LogSpread(Callback):
    """Log where the network looks while it is trained, and change nothing.

    model   the name of the network within the module; empty where the module's own forward gives logits [B, K]
    images  how many are probed: the first of the validation loader, whose batches begin with images and labels
    every   so many epochs
    at      the layer, by default the last before pooling

    Logged are `effective_area` (the share of the map that it looks at) and `gini`, means over the images of the maps of
    the true class.
    """

    def __init__(self, *, model: str = "", images: int = 64, every: int = 1, at: str = FEATURES) -> None:
        super().__init__()
        self.model, self.images, self.every, self.at = model, images, every, at
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._probe: Probe | None = None

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Keep the first images of the first validation."""
        missing = self.images - sum(len(labels) for _, labels in self._kept)
        if self._probe is None and missing > 0 and not trainer.sanity_checking:
            images, labels = images_and_labels(batch)
            self._kept.append((images[:missing], labels[:missing]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure and log."""
        if trainer.current_epoch % self.every or not self._kept:
            return
        named = _network(pl_module, self.model)
        network = pl_module if named is None else named
        if self._probe is None:
            self._probe = Probe.of_batches(self._kept, network, self.at)
        pl_module.log_dict(self._probe.look(network))


class LightningClassifier(LightningModule):
    """A network trained with a method: what `Objective` is, as a module with logs and an optimizer.

    `optimizer` makes it of the parameters; by default SGD with lr 0.1, momentum 0.9 and weight decay 5e-4. `balance`
    and `multi_label` are those of `Objective`.
    """

    def __init__(  # noqa: PLR0913
        self, model: nn.Module, method: str | Regularizer = "plain", *, at: str = FEATURES, smoothing: float = 0.0,
        seed: int = 0, steps: int = 0, optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        balance: Balance | None = None, multi_label: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.objective = Objective(
            model, parse(method), at=at, smoothing=smoothing, seed=seed, steps=steps, balance=balance,
            multi_label=multi_label,
        )  # fmt: skip
        self.optimizer, self.multi_label = optimizer, multi_label

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, K]."""
        return self.objective.model(images)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of (images, labels) under the method."""
        loss = self.objective(*images_and_labels(batch))
        self.log("train_loss", loss.detach())
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log loss and accuracy of the plain network; of several labels the share that is right at 1/2."""
        images, labels = images_and_labels(batch)
        logits = self(images)
        if self.multi_label:
            targets = Targets.multi(labels)
            loss, accuracy = targets.cross_entropy(logits), targets.accuracy(logits).mean()
            self.log_dict({"val_loss": loss, "val_accuracy": accuracy})
            return
        self.log_dict({
            "val_loss": nn.functional.cross_entropy(logits, labels),
            "val_accuracy": (logits.argmax(1) == labels).float().mean(),
        })  # fmt: skip

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log as in validation."""
        self.validation_step(batch, batch_idx)

    def on_train_epoch_end(self) -> None:
        """Log what the method did, and let it warn."""
        self.log_dict({name: value for name, value in self.objective.report().items() if name != "loss"})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer of the network's parameters."""
        if self.optimizer is not None:
            return self.optimizer(self.objective.model.parameters())
        return torch.optim.SGD(
            self.objective.model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
        )  # fmt: skip


def keys_of(batch: Any) -> tuple[Any, Any]:
    """Return where a batch has its images and labels: places 0 and 1 of a list, or the one customary name of each in a
    mapping.

    Raises OverfocusError for a batch that has neither, or where two names could be meant.
    """
    if isinstance(batch, Mapping):
        found = [[name for name in batch if str(name).lower() in known] for known in (IMAGE_KEYS, LABEL_KEYS)]
        if all(len(names) == 1 for names in found):
            return found[0][0], found[1][0]
        raise OverfocusError(
            f"a batch is a mapping of {', '.join(map(str, batch))}; give images under one of {', '.join(IMAGE_KEYS)} "
            f"and labels under one of {', '.join(LABEL_KEYS)}"
        )
    if isinstance(batch, list | tuple) and len(batch) >= 2 and isinstance(batch[0], Tensor):
        return 0, 1
    parts = f" of {[type(part).__name__ for part in batch][:3]}" if isinstance(batch, list | tuple) else ""
    raise OverfocusError(f"a batch is a {type(batch).__name__}{parts}; give (images, labels, ...) or a mapping")


def images_and_labels(batch: Any) -> tuple[Tensor, Tensor]:
    """Return the images and labels of a batch, see `keys_of`."""
    image_key, label_key = keys_of(batch)
    return batch[image_key], batch[label_key]


def _network(module: nn.Module, name: str) -> nn.Module | None:
    """Return the part of the module that is trained."""
    if not name:
        return None
    try:
        return module.get_submodule(name)
    except AttributeError as error:
        known = ", ".join(key for key, _ in module.named_children())
        raise OverfocusError(f"{type(module).__name__} has no network {name!r}; it has {known}") from error
