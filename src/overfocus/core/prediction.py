"""What a network says of one picture."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any

from overfocus.core.interval import finite


@dataclass(frozen=True)
class Prediction:
    """What a network says of one picture, or why it says nothing."""

    file: str
    """The picture's path; "" for one that is no file."""
    predicted: str = ""
    """The likeliest class; "" where there is no answer."""
    confidence: float = nan
    """Its probability, in [0, 1], calibrated as far as the model says it is; NaN where there is no answer."""
    runners_up: tuple[tuple[str, float], ...] = ()
    """The next classes with their probabilities, the likeliest first."""
    unsure: bool | None = None
    """Whether the confidence is under the threshold for the wished accuracy; None where none was wished."""
    effective_area: float | None = None
    """Of the heat map for the predicted class, in (0, 1]; None where none was made, or it is without mass."""
    labels: tuple[str, ...] | None = None
    """Where a picture may have several: those whose probability reaches its threshold; None where it has one class."""
    probabilities: tuple[tuple[str, float], ...] = ()
    """Of all labels, in the order of the model, where a picture may have several. `predicted` is then the likeliest."""
    map: str = ""
    """The path of the heat map; "" where none was made."""
    error: str = ""
    """Why the picture cannot be read."""

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        several = (
            {} if self.labels is None else {"labels": list(self.labels), "probabilities": dict(self.probabilities)}
        )
        return {
            "file": self.file, "class": self.predicted, "confidence": finite(self.confidence), "unsure": self.unsure,
            "runners_up": [{"class": name, "confidence": share} for name, share in self.runners_up], **several,
            "effective_area": self.effective_area, "map": self.map, "error": self.error,
        }  # fmt: skip
