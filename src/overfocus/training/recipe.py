"""How a model is trained: optimiser, schedule, precision. A recipe is data; what is left out gets a sensible
default.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from math import cos, pi
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from overfocus.core.balance import Kind
from overfocus.models.stages import staged_groups
from overfocus.models.surgery import parameter_groups
from overfocus.training.settings import Settings

DEFAULT_RATE = {"sgd": 0.1, "adamw": 1e-3}
TUNED: dict[str, Any] = {
    "optimizer": "adamw", "weight_decay": 0.01, "smoothing": 0.1, "batch": 16, "epochs": 0, "layer_decay": 0.8,
    "freeze_norm": True, "patience": "auto",
}  # fmt: skip
"""What is customary where a pretrained network is tuned."""
IMAGES, FEWEST, MOST = 1600, 8, 20
"""Images that a network is tuned on, each counted in every epoch, and the bounds of the epochs that this makes."""
Tune = Literal["scratch", "lp-ft", "probe", "full", "last-stage"]


class Recipe(Settings):
    """Everything about training but data, model and method."""

    tune: Tune = "scratch"
    """What is trained, and from which head. `scratch`: all, from the network as it is made. For pretrained weights:
    `lp-ft`: all, from the head of a linear probe; `last-stage`: the last stage and the head, from there too; `probe`:
    that head alone; `full`: all, from a random head.
    """
    epochs: int = Field(30, ge=0)
    """Where a network is tuned 0 is as many as pass 1,600 images, from 8 to 20: see `epochs_for`."""
    patience: Literal["auto"] | Annotated[int, Field(ge=0)] = 0
    """Epochs without a lower loss on held-out images after which training ends, with the network of the best; 0 for
    none. `auto`, where a network is tuned: see `training.stopping`.
    """
    batch: int = Field(128, ge=1)
    """Images of one step, over all processes."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum, or AdamW."""
    lr: float = Field(0.0, ge=0)
    """Peak learning rate; 0 takes 0.1 for SGD and 0.001 for AdamW."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    """Not on norms and biases."""
    encoder_lr: float = Field(1.0, ge=0)
    """Learning rate of the encoder as a share of the head's; below 1 for transfer."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning rate of each stage as a share of that of the stage above it, the head's first; see `models.stages`."""
    freeze_norm: bool = False
    """Batch norms keep their means and variances, as they must where batches are small; scale and shift learn."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of training in which the rate grows linearly from 0."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """Shares of training after which a `step` schedule multiplies the rate by `gamma`."""
    gamma: float = Field(0.1, gt=0, le=1)
    smoothing: float = Field(0.0, ge=0, lt=1)
    """Label smoothing of the loss."""
    balance: Kind = "none"
    """What is done about classes of unequal size. `sampler`: training draws every class equally often; `weights`: the
    loss is weighted by inverse frequency; `logit-adjustment`: the log frequencies are added to the logits in the loss.
    See `core.balance` and `data.class_balanced`.
    """
    clip: float = Field(0.0, ge=0)
    """Largest norm of the gradient; 0 leaves it."""
    accumulate: int = Field(1, ge=1)
    """Batches for each update of the weights."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay, per update, of the moving average of the weights that is then evaluated and saved; 0 for none. Where a
    network is tuned it grows to that: see `training.averaging`.
    """
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "64-true"] = "auto"
    """`auto` takes bf16 where the processor computes in it, float32 elsewhere."""
    channels_last: Literal["auto"] | bool = "auto"
    """`auto` takes it on GPUs only: on a processor it is about 1.3 x as fast, but torch 2.15's backward pass through
    narrow convolutions (fewer than 16 channels) then corrupts the heap and kills the process.
    """
    compile: bool = False
    evaluate_every: int = Field(1, ge=1)
    """Epochs between two evaluations; the last epoch is always evaluated."""
    probe: int = Field(0, ge=0)
    """Epochs between two measurements of where the network looks; 0 for none."""

    @model_validator(mode="before")
    @classmethod
    def _rate(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("tune", "scratch") != "scratch":
            values = TUNED | values
        if isinstance(values, dict) and not values.get("lr"):
            kind = values.get("optimizer", "sgd")
            return {**values, "lr": DEFAULT_RATE.get(kind, 0.1)}
        return values

    @model_validator(mode="after")
    def _possible(self) -> Recipe:
        if self.tune == "scratch" and self.epochs == 0:
            raise ValueError("recipe.epochs = 0: give at least 1; only a pretrained network has a length of its own")
        if self.layer_decay != 1 and self.encoder_lr != 1:
            raise ValueError(
                f"recipe.layer_decay = {self.layer_decay} and recipe.encoder_lr = {self.encoder_lr} both lower the "
                "rates below the head; leave one at 1"
            )
        return self

    @property
    def probes(self) -> bool:
        """Whether the head begins as a linear probe."""
        return self.tune in ("lp-ft", "last-stage", "probe")

    @property
    def judged(self) -> bool:
        """Whether what is trained is measured against the probe that it began as."""
        return self.tune in ("lp-ft", "last-stage")

    @property
    def judged_by(self) -> str:
        """The score by which it is."""
        return "accuracy" if self.balance == "none" else "balanced_accuracy"

    def epochs_for(self, images: int) -> int:
        """Return the epochs of a training set of so many images."""
        if self.tune == "probe":
            return 1
        return self.epochs or min(max(round(IMAGES / max(images, 1)), FEWEST), MOST)

    def optimizer_for(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser of `model`'s trainable parameters, with the peak rate of each group in
        `group["peak"]`.
        """
        groups = self._groups(model)
        for group in groups:
            group["peak"] = group["lr"]
        fused = all(p.device.type in ("cpu", "cuda") for p in model.parameters())
        if self.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=self.lr, weight_decay=self.weight_decay, fused=fused)
        nesterov = self.momentum > 0
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=nesterov, fused=fused)

    def _groups(self, model: nn.Module) -> list[dict]:
        if self.layer_decay != 1:
            return staged_groups(model, lr=self.lr, weight_decay=self.weight_decay, layer_decay=self.layer_decay)
        return parameter_groups(model, lr=self.lr, weight_decay=self.weight_decay, encoder_lr_scale=self.encoder_lr)

    def rate(self, done: float) -> float:
        """Return the learning rate as a share of its peak when the share `done` in [0, 1] of training is over."""
        if done < self.warmup:
            return done / self.warmup
        if self.schedule == "cosine":
            return 0.5 * (1 + cos(pi * (done - self.warmup) / (1 - self.warmup)))
        if self.schedule == "step":
            return self.gamma ** sum(done >= milestone for milestone in self.milestones)
        return 1.0


def channels_last_for(requested: bool | str, device: torch.device) -> bool:
    """Return whether images and weights are kept with the channels last on `device`."""
    return device.type == "cuda" if requested == "auto" else bool(requested)


def precision_for(requested: str, device: torch.device) -> str:
    """Return Fabric's name of the precision to use: for `auto`, bf16 only where it is computed natively and so is
    faster.
    """
    if requested != "auto":
        return requested
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    native = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has_bf16 = device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in native)
    return "bf16-mixed" if has_bf16 else "32-true"


def autocast_for(precision: str, device: torch.device) -> AbstractContextManager:
    """Return the context in which a run of Fabric's `precision` computes on `device`."""
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    return torch.autocast(device.type, kinds[precision]) if precision in kinds else nullcontext()
