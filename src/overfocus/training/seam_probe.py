"""The probe that the objective hands to feature methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from overfocus.attribution.head import Head
from overfocus.core.deprecation import renamed_property
from overfocus.core.head_probe import HeadAttribution, Target, Teacher
from overfocus.core.targets import Targets


@dataclass(frozen=True)
class SeamProbe:
    """The head after one seam: the model's own, and its teacher's on the teacher's features."""

    model: nn.Module
    head: Head
    teacher: nn.Module
    teacher_features: Callable[[], Tensor]
    """The features that the teacher makes of the same images at this seam: [B, ...]; computed on demand."""

    def attribute(
        self, features: Tensor, targets: Targets, target: Target = "label", teacher: Teacher = "self"
    ) -> HeadAttribution:
        """Attribute the logit of `target` to `features`; see `core.head_probe.HeadProbe`."""
        if teacher == "self":
            return self.head.attribute(self.model, features, targets, target)
        theirs = self.teacher_features()
        views = len(features) // len(theirs)
        answer = self.head.attribute(self.teacher, theirs.repeat(views, *[1] * (theirs.ndim - 1)), targets, target)
        return replace(answer, logits=self.head.answer(self.model, features))

    at = renamed_property("HeadProbe", "at", "attribute")
