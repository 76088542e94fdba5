"""Hugging Face's `Trainer` with any method behind it.

    trainer = RegularizedTrainer(model, arguments, train_dataset=data, method="cutmix + sgdrop")

The model takes `pixel_values` and returns a `ModelOutput` with `logits`, as an `AutoModelForImageClassification` does.
Methods that act on images work with all of them; those that act on features need a model whose forward can be traced
(ResNet, ConvNeXt and other convolutional ones; a transformer says that it cannot). Evaluation is the Trainer's own.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

import transformers
from torch import nn
from transformers.modeling_outputs import ImageClassifierOutput

from overfocus.core.balance import Balance
from overfocus.core.errors import OverfocusError
from overfocus.integrations.attached import Attached
from overfocus.models.split import FEATURES
from overfocus.models.transformers_model import Logits
from overfocus.regularizers.regularizer import Regularizer

MULTI_LABEL = "multi_label_classification"
DRAWS = "overfocus draws"
"""What a checkpoint calls the count of the draws, beside the states of the Trainer's callbacks."""


class _Attached(Attached):
    """The same for a model that returns more than logits: its forward is stood in for, whoever wraps it."""

    def __init__(self, model: nn.Module, method: str | Regularizer, **settings: Any) -> None:
        super().__init__(Logits(model), method, **settings)
        self.inner, self._whole = model, model.forward
        if self._inside:
            # The Trainer goes by the names of the forward's arguments.
            model.forward = wraps(self._whole)(partial(self._answer))  # type: ignore[method-assign]

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        if self._pending is None or not self.inner.training:
            return self._whole(*args, **kwargs)
        self.model.training = True  # this one alone: what the user holds in evaluation mode stays there
        images = args[0] if args else kwargs["pixel_values"]
        return ImageClassifierOutput(logits=self.model(images))

    def detach(self) -> nn.Module:
        super().detach()
        self.inner.__dict__.pop("forward", None)
        return self.inner


class RegularizedTrainer(transformers.Trainer):
    """`transformers.Trainer` with five more arguments; everything else is passed on.

    method   a spec or a value, such as "cutmix + sgdrop"
    at       the layer for methods that act on features, by its name in the model with `model.` before it
    seed     of the draws, by default that of the arguments
    balance  what the loss does about classes of unequal size, `Balance.of(kind, counts)`; in training alone
    multi_label  labels are [B, K] in [0, 1], and the loss is the binary cross-entropy of each; by default where
             `model.config.problem_type` is "multi_label_classification"

    Otherwise labels may be numbers [B] or soft [B, K]. Label smoothing is that of the arguments. The logs hold what the
    method did since the last one, and a warning where it never acted. A run that is resumed goes on with the draws of
    its step.
    """

    def __init__(
        self,
        *args: Any,
        method: str | Regularizer = "plain",
        at: str = FEATURES,
        seed: int | None = None,
        balance: Balance | None = None,
        multi_label: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.compute_loss_func is not None:
            raise OverfocusError(
                "RegularizedTrainer computes the loss of mixed labels itself; leave compute_loss_func out"
            )
        # The mean over a batch, which the Trainer divides by the steps that it accumulates over.
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = False
        model = self.accelerator.unwrap_model(self.model)
        seed, config = self.args.seed if seed is None else seed, getattr(model, "config", None)
        several = getattr(config, "problem_type", None) == MULTI_LABEL if multi_label is None else multi_label
        self.balance = balance or Balance()
        self.balance.check(multi_label=several)
        self.attached = _Attached(model, method, at=at, seed=seed, multi_label=several)
        self.add_callback(_Resumed(self.attached))

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the mean cross-entropy [] of a batch with the method acting, of several labels the binary one; in
        evaluation, what the Trainer does.
        """
        if not model.training or "labels" not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        rest = {name: value for name, value in inputs.items() if name not in ("labels", "pixel_values")}
        batch = self.attached.prepare(inputs["pixel_values"], inputs["labels"])
        outputs = model(pixel_values=batch.images, **rest)
        logits, weights = self.balance.on(outputs.logits)
        loss = batch.targets.cross_entropy(logits, self.args.label_smoothing_factor, weights)
        return (loss, outputs) if return_outputs else loss

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint, with the count of the draws in its `trainer_state.json`."""
        kept = {"args": {}, "attributes": {"draws": int(self.attached.objective.step)}}
        self.state.stateful_callbacks = {**(self.state.stateful_callbacks or {}), DRAWS: kept}  # type: ignore[assignment]
        super()._save_checkpoint(*args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, in training with what the method did since the last time."""
        if "loss" in logs:
            known = {name: value for name, value in self.attached.report().items() if name not in ("loss", "accuracy")}
            logs = {**logs, **known}
        super().log(logs, *args, **kwargs)


class _Resumed(transformers.TrainerCallback):
    """Goes on with the draws where a checkpoint was written."""

    def __init__(self, attached: Attached) -> None:
        self.attached = attached

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the count of the draws to that of the checkpoint.

        One of an older version has the steps alone, of which an epoch's last may have accumulated less.
        """
        kept = state.stateful_callbacks.get(DRAWS, {}).get("attributes", {})
        self.attached.objective.step.fill_(kept.get("draws", state.global_step * args.gradient_accumulation_steps))
