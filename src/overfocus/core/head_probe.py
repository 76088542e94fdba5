"""What a feature method may ask about the head, the part of the model after the features."""

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from overfocus.core.targets import Targets

Target = Literal["label", "predicted", "soft"]
Teacher = Literal["self", "ema"]


@dataclass(frozen=True)
class HeadAttribution:
    """What the head makes of features, detached."""

    attribution: Tensor
    """ReLU(gradient of the target's logit * features), the shape of the features: evidence *for* the target, element by
    element.
    """
    logits: Tensor
    """[B, K]: the logits of the model's own head on the untouched features, whoever the teacher is."""


class HeadProbe(Protocol):
    """A view of the head that leaves no trace: no `.grad`, no statistics, no mode, no graph."""

    def attribute(
        self, features: Tensor, targets: Targets, target: Target = "label", teacher: Teacher = "self"
    ) -> HeadAttribution:
        """Attribute the logit of `target` to `features` [B, ...].

        `label` weighs the logits by `targets`, `predicted` takes the largest, `soft` weighs by the softmax; of several
        labels `predicted` adds up the logits above 0, `soft` weighs by the sigmoid. With the
        teacher `ema` the features and the head are those of the moving average of the model on the same images.
        """
        ...
