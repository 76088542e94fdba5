"""A trained classifier for use: pictures in, classes and their confidence out; pictures are read as in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.core.prediction import Prediction
from overfocus.core.preprocess import DEFAULT, Preprocess
from overfocus.data.ahead import read_ahead
from overfocus.data.image_files import REMEDY, FileImages, pixels_of
from overfocus.data.resize import FittedImages, fit
from overfocus.diagnosis.checkpoints import classifier_of, own_size, preprocess_for, run_of
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.exported import config_of, onnx_classifier, onnx_file
from overfocus.diagnosis.foreign import CheckpointOptions
from overfocus.metrics.label_thresholds import LabelThresholds
from overfocus.metrics.selective import HeldOut, Threshold
from overfocus.training.experiment import PREPROCESS

BATCH = 32
"""Pictures that the network sees at a time."""
Picture = Image.Image | str | Path
Pictures = Tensor | Picture | Sequence[Picture]


@dataclass(frozen=True, eq=False)
class Answered:
    """A batch of pictures with what the network says of them."""

    predictions: list[Prediction]
    """Of all of them."""
    pixels: Tensor
    """[B, C, H, W] in [0, 1], of those that can be read, as the network saw them."""


class Predictor(nn.Module):
    """A trained classifier with all that lies between a picture and its answer.

    It takes PIL pictures and paths of picture files, one or a sequence, which are turned, brought to 8 bits, laid on a
    background and fitted as in training; or a tensor [B, C, H, W], uint8, or floating in [0, 1] and not normalised,
    which is fitted where it has another size. Called, it returns logits [B, K]; `predict` returns classes.
    """

    def __init__(
        self, classifier: Classifier, preprocess: Preprocess, held_out: HeldOut | None = None,
        thresholds: LabelThresholds | None = None,
    ) -> None:  # fmt: skip
        """Take a classifier, how its pictures are prepared, and its held-out answers; where a picture may have several
        labels, `thresholds` instead of these.
        """
        super().__init__()
        self.classifier, self.preprocess, self.held_out = classifier, preprocess, held_out
        if classifier.multi_label and thresholds is None:
            thresholds = LabelThresholds.read(None, len(classifier.classes))
        self.thresholds = thresholds
        self.network: nn.Module = classifier.pixels  # type: ignore[attr-defined]
        self.eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the logits."""
        return self.classifier.classes

    @property
    def calibration(self) -> str:
        """What the confidences are worth, in a sentence."""
        found = self.held_out
        if self.thresholds is not None:
            return f"Probabilities of labels are not calibrated. {self.thresholds.why}"
        if found is None:
            return "Confidence is not calibrated: the model keeps no answers to held-out pictures."
        on = f"{len(found.right)} held-out pictures, of which {sum(found.right)} are right"
        if found.temperature is None:
            return f"Confidence is not calibrated: no temperature fits {on}."
        return f"Confidence is calibrated on {on} (temperature {found.temperature:.3g})."

    def threshold(self, accuracy: float) -> Threshold:
        """Return the confidence from which on answers had this `accuracy` on held-out pictures; see `HeldOut`."""
        if self.thresholds is not None:
            raise OverfocusError(
                f"accuracy {accuracy:g}: {self.classifier.name} gives a picture several labels, and an accuracy is of "
                "one class; leave it out: each label is given from its own threshold on"
            )
        if self.held_out is None:
            raise OverfocusError(
                f"accuracy {accuracy:g}: {self.classifier.name} keeps no answers to held-out pictures, so no threshold "
                "is known; leave it out, or train with --val 0.1"
            )
        return self.held_out.threshold(accuracy)

    def forward(self, pictures: Pictures) -> Tensor:
        """Return the logits [B, K] float32, not calibrated; differentiable in a floating tensor."""
        return self.network(self.pixels(pictures)).float()

    def predict(self, pictures: Pictures, *, top: int = 3, accuracy: float | None = None) -> list[Prediction]:
        """Return the `top` classes of every picture, in evaluation mode; `unsure` where `accuracy` is wished.

        Raises OverfocusError for a picture that cannot be read, and for an accuracy that no threshold reaches.
        """
        least = None if accuracy is None else self.threshold(accuracy).value
        rows: Any = pictures if isinstance(pictures, Tensor) else _listed(pictures)
        parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        return [each for part in parts for each in self._answers(_names(part), self.pixels(part), top, least)]

    def stream(
        self, files: Sequence[str], *, top: int = 3, least: float | None = None, batch: int = BATCH
    ) -> Iterator[Answered]:  # fmt: skip
        """Yield the answers to picture files, batch by batch, while threads read on; nothing else is kept.

        least: the confidence below which a prediction is unsure. A file that cannot be read has its error in its place.
        """
        images = FittedImages(FileImages(Path(), files, self._channels, self.preprocess), self.preprocess)
        start = 0
        for read in read_ahead(images, batch):
            names = [files[start + row] for row in range(len(read))]
            yield self._answered(names, read, top, least)
            start += len(read)

    def _answered(
        self, names: list[str], read: Sequence[Tensor | OverfocusError], top: int, least: float | None
    ) -> Answered:  # fmt: skip
        good = [(name, each) for name, each in zip(names, read, strict=True) if isinstance(each, Tensor)]
        empty = torch.zeros(0, self._channels, *self.preprocess.size, dtype=torch.uint8)  # type: ignore[misc]
        pixels = self._on_device(torch.stack([each for _, each in good]) if good else empty)
        said = iter(self._answers([name for name, _ in good], pixels, top, least) if good else [])
        rows = [
            Prediction(name, error=str(each).removesuffix(f"; {REMEDY}"))
            if isinstance(each, OverfocusError)
            else next(said)
            for name, each in zip(names, read, strict=True)
        ]
        return Answered(rows, pixels)

    @torch.no_grad()
    def _answers(self, names: Sequence[str], pixels: Tensor, top: int, least: float | None) -> list[Prediction]:
        with self.classifier.examined():
            logits = self.network(pixels).double().cpu()
        if logits.shape[1] != len(self.classes):
            raise OverfocusError(
                f"{self.classifier.name} answers {logits.shape[1]} numbers and has {len(self.classes)} classes; give "
                "as many names"
            )
        temperature = (self.held_out and self.held_out.temperature) or 1.0
        every = (logits / temperature).softmax(dim=1) if self.thresholds is None else logits.sigmoid()
        shares, order = every.topk(min(max(top, 1), len(self.classes)), dim=1)
        answers = [
            [(self.classes[number], share) for number, share in zip(*row, strict=True)]
            for row in zip(order.tolist(), shares.tolist(), strict=True)
        ]
        rows = [
            Prediction(name, *ranked[0], tuple(ranked[1:]), None if least is None else not ranked[0][1] >= least)
            for name, ranked in zip(names, answers, strict=True)
        ]
        return rows if self.thresholds is None else self._labelled(rows, every, self.thresholds)

    def _labelled(
        self, rows: Sequence[Prediction], probabilities: Tensor, thresholds: LabelThresholds
    ) -> list[Prediction]:  # fmt: skip
        """Return `rows` with the labels that `probabilities` [B, K] give them."""
        given, names = thresholds.given(probabilities).tolist(), self.classes
        return [
            replace(
                row, labels=tuple(name for name, yes in zip(names, mine, strict=True) if yes),
                probabilities=tuple(zip(names, shares, strict=True)),
            )
            for row, mine, shares in zip(rows, given, probabilities.tolist(), strict=True)
        ]  # fmt: skip

    def pixels(self, pictures: Pictures) -> Tensor:
        """Return what `pictures` are to the network before they are normalised: [B, C, H, W] in [0, 1]."""
        if isinstance(pictures, Tensor):
            return self._on_device(fit(_checked(pictures, self._channels), self.preprocess))
        rows = [self._read(each) for each in _listed(pictures)]
        if not rows:
            raise OverfocusError("predict: there are no pictures; give one at least")
        return self._on_device(torch.stack(rows))

    def _read(self, picture: Picture) -> Tensor:
        """Return a picture, [C, H, W] uint8, fitted."""
        how, channels = self.preprocess, self._channels
        if not isinstance(picture, Image.Image):
            return FittedImages(FileImages(Path(), [str(picture)], channels, how), how).read(0)
        source = str(getattr(picture, "filename", ""))
        return fit(pixels_of(picture, source, source or "picture", channels, how), how)

    @property
    def _channels(self) -> int:
        return len(self.classifier.mean)

    def _on_device(self, pixels: Tensor) -> Tensor:
        """Return pixels [B, C, H, W] of 0 to 255 in [0, 1], where the network is."""
        return pixels.to(self.classifier.device).float().div(255).clamp(0, 1)


def load_model(  # noqa: PLR0913
    what: str | Path,
    *,
    model: str = "",
    settings: Mapping[str, Any] | None = None,
    weights: str | Path = "",
    which_weights: str = "",
    classes: Sequence[str] = (),
    preprocess: Preprocess | str = "",
    size: int | tuple[int, int] | None = None,
    best: bool = False,
    device: torch.device | str = "cpu",
) -> Predictor:
    """Return a trained classifier that takes pictures: see `Predictor`.

    what: the folder of a run, its export (safetensors or ONNX), or weights of others, as for `overfocus diagnose`.
    model, settings, weights, which_weights, classes: what weights of others do not say of themselves.
    preprocess: how their pictures are prepared: a value, or a name such as "imagenet" or "timm:resnet50.a1_in1k".
    size: height and width of the pictures; by default those of training. best: the best epoch's weights of a run.

    Raises OverfocusError where that leaves open what the classes are or how pictures are prepared.
    """
    stated = isinstance(preprocess, Preprocess)
    how = preprocess if isinstance(preprocess, Preprocess) else DEFAULT
    options = CheckpointOptions(
        model, tuple(f"{name}={value!r}" for name, value in (settings or {}).items()), str(weights), "", how.mean,
        how.std, best, tuple(classes), which_weights, "" if isinstance(preprocess, Preprocess) else preprocess,
        how.channel_order if stated else "",
    )  # fmt: skip
    own = {name: getattr(how, name) for name in PREPROCESS} if stated else {}
    return predictor_of(str(what), options, {**own, "size": size or how.size}, device)


def predictor_of(
    what: str, options: CheckpointOptions, changes: Mapping[str, Any], device: torch.device | str = "cpu"
) -> Predictor:  # fmt: skip
    """Return the model `what` as a `Predictor`; see `classifier_of`.

    changes: settings of `Preprocess` that go before those of the model; None is left out.
    Raises OverfocusError where nothing says to which size pictures are brought.
    """
    if path := onnx_file(what):
        classifier, how = onnx_classifier(path)
    else:
        classifier, how = classifier_of(what, None, options, device), preprocess_for(what, options) or DEFAULT
    how = replace(how, **{name: value for name, value in changes.items() if value is not None})
    size = how.size or own_size(classifier)
    if size is None:
        raise OverfocusError(f"{what} does not say to which size its pictures are brought; give --size")
    kept, how = _kept(what, options), replace(how, size=size)
    if classifier.multi_label:
        return Predictor(classifier, how, thresholds=LabelThresholds.read(kept.get("labels"), len(classifier.classes)))
    return Predictor(classifier, how, HeldOut.read(kept["confidence"]) if kept.get("confidence") else None)


def _kept(what: str, options: CheckpointOptions) -> dict[str, Any]:
    """Return what a run or its export keeps of held-out pictures; what a run keeps is of its last epoch."""
    run = run_of(what)
    best = run is not None and (options.best or Path(what) == run.best_weights)
    return {} if best else run.manifest() if run else config_of(what)


def _listed(pictures: Picture | Sequence[Picture]) -> list[Picture]:
    return [pictures] if isinstance(pictures, Image.Image | str | Path) else list(pictures)


def _names(pictures: Tensor | Sequence[Picture]) -> list[str]:
    if isinstance(pictures, Tensor):
        return [""] * len(pictures)
    return [str(getattr(each, "filename", "")) if isinstance(each, Image.Image) else str(each) for each in pictures]


def _checked(pixels: Tensor, channels: int) -> Tensor:
    """Return pixels of 0 to 255; OverfocusError for a tensor that is none of pictures."""
    if pixels.ndim != 4 or pixels.shape[1] != channels:
        raise OverfocusError(f"a tensor {list(pixels.shape)}; give pictures [B, {channels}, H, W]")
    if pixels.dtype == torch.uint8:
        return pixels
    low, high = (float(each) for each in pixels.detach().aminmax()) if pixels.numel() else (0.0, 1.0)
    if not (pixels.is_floating_point() and low >= 0 and high <= 1):
        raise OverfocusError(
            f"a tensor {pixels.dtype} from {low:g} to {high:g}; give uint8, or floats in [0, 1] that are not normalised"
        )
    return pixels.float() * 255
