"""A method on a model that somebody else's loop trains.

Such a loop takes a batch, calls the model, and computes a loss of its own. `Attached` acts on the first two: `prepare`
on the batch, and the model's own forward, once, on the features of that very batch. The loop's loss is then of
soft targets, as it is for Mixup anywhere. What happens is what `Objective` does, with the same draws, so the losses are
the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError
from overfocus.models.split import FEATURES
from overfocus.regularizers.cutmix import CutMix
from overfocus.regularizers.mixup import Mixup
from overfocus.regularizers.regularizer import IMAGE, Group, Regularizer
from overfocus.regularizers.spec import parse
from overfocus.training.objective import Objective

REMEDY = "call the model in training mode on what prepare() returned, once for each batch"


class Attached:
    """A method attached to `model`, whose forward it takes the place of until `detach`.

    A method that acts on images alone leaves the model as it is, and needs none. Otherwise, in training mode, the
    first call of the model after `prepare` is given to the method; every other call, and every call in evaluation
    mode, is the plain model. The settings are those of `Objective`; `method` is a spec or a value. The loop has its
    targets before the model runs, so OverfocusError for a method that mixes labels at a layer or shows two views of a
    batch.

    Wrap and compile the model afterwards (DDP(model), torch.compile(model)).
    """

    def __init__(
        self, model: nn.Module | None, method: str | Regularizer, *, at: str = FEATURES, seed: int = 0, steps: int = 0,
        decay: float = 0.99, multi_label: bool = False,
    ) -> None:  # fmt: skip
        self.method = parse(method)
        _check(self.method)
        self._inside = not self.method.places <= {IMAGE}
        if model is None and self._inside:
            raise OverfocusError(f"{self.method} acts on features: give model=, the network that the loop trains")
        self.objective = Objective(
            nn.Identity() if model is None else model, self.method, at=at, seed=seed, steps=steps, decay=decay,
            multi_label=multi_label,
        )  # fmt: skip
        self.model = self.objective.model
        self._plain: Callable[..., Any] = self.model.forward
        self._pending: Batch | None = None
        self.skipped = 0
        """Batches that were prepared and never seen by the model in training mode."""
        if self._inside:
            self.model.forward = self._forward  # type: ignore[method-assign]

    def prepare(self, images: Tensor, labels: Tensor) -> Batch:
        """Let the method act on images [B, C, H, W] and labels ([B] integers or [B, K] soft); neither is written to.

        Hand `.images` of what is returned to the model, and `.targets.dense(K)` to the loss.
        """
        self.skipped += self._pending is not None
        objective, device = self.objective, images.device
        # Its counters go where the images are; the model is the loop's affair.
        objective.step, objective.key = objective.step.to(device), objective.key.to(device)
        batch = objective.prepare(images, labels)
        if self._inside:
            self._pending = batch
        else:
            objective.step += 1
        return batch

    def detach(self) -> nn.Module:
        """Give the model its own forward back, and return it."""
        self.model.__dict__.pop("forward", None)
        if self.model.forward != self._plain:
            self.model.forward = self._plain  # type: ignore[method-assign]
        self._pending = None
        return self.model

    def report(self) -> dict[str, float]:
        """Return the means of what happened since the last report, and warn where the method never ran. Synchronises
        with the device.
        """
        means = self.objective.report()
        if self.skipped:
            warnings.warn(
                f"{self.method}: {self.skipped} prepared batches never reached the model, so nothing acted on their "
                f"features; {REMEDY}",
                stacklevel=2,
            )
        self.skipped = 0
        return means

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        batch, self._pending = self._pending, None
        if batch is None or not self.model.training:
            self.skipped += batch is not None
            return self._plain(*args, **kwargs)
        images = args[0] if args else next(iter(kwargs.values()), None)
        if not isinstance(images, Tensor) or len(images) != len(batch):
            shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise OverfocusError(
                f"{self.method}: {len(batch)} images were prepared and the model got {shape}; {REMEDY}"
            )
        prepared = Batch(images, batch.targets, batch.measured)
        logits, features = self.objective.classify(prepared)
        self.objective.note(features, logits, features.targets.cross_entropy(logits.detach()), len(images))
        return logits


def _check(method: Regularizer) -> None:
    """Refuse what changes the targets after the loop has them."""
    for member in method.members if isinstance(method, Group) else ():
        _check(member)
    late = isinstance(method, CutMix | Mixup) and method.at != IMAGE
    if late or getattr(method, "views", "masked") == "both":
        raise OverfocusError(
            f"{method} changes the targets inside the model, when a foreign loop has them already; use "
            "overfocus.Objective, which computes the loss itself"
        )
