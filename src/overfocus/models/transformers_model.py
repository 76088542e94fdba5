"""Image classifiers of Hugging Face's transformers, from a folder on the disk, as functions of images to logits."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.models.surgery import classifier_name

log = logging.getLogger(__name__)


class Logits(nn.Module):
    """A model of transformers as images -> logits: what can be cut, examined and mapped like any other classifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        config: Any = getattr(model, "config", None)  # a model of one's own in a Trainer has none
        side = getattr(config, "image_size", None)
        self._size = (side, side) if isinstance(side, int) else tuple(side or ())
        self._resamples = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [B, K] of images [B, C, H, W]; positions are resampled for a size that is not its own."""
        other = self._resamples and self._size and tuple(images.shape[-2:]) != self._size
        return self.model(pixel_values=images, **({"interpolate_pos_encoding": True} if other else {})).logits


def transformers_model(folder: Path) -> Logits:
    """Return the classifier of a folder with `config.json` and weights, in evaluation mode and float32.

    Nothing is fetched, and no code of the folder is run. Raises OverfocusError where transformers is not installed,
    does not know the network, or finds a tensor missing, unknown or of another shape.
    """
    model, info = _loaded(folder)
    wrong = [f"{kind.replace('_', ' ')}: {names}" for kind, names in info.items() if names]
    if wrong:
        raise OverfocusError(f"weights {folder} do not fit their config.json: {'; '.join(wrong)[:300]}; copy it again")
    return Logits(model.eval())


def transformers_network(name: str, classes: int, channels: int, settings: dict[str, Any]) -> Logits:
    """Return a new classifier `transformers:KIND`, such as transformers:vit; settings: what its config takes."""
    transformers, kind = _transformers(name), name.partition(":")[2]
    try:
        config = transformers.AutoConfig.for_model(kind, **settings, num_labels=classes, num_channels=channels)
        model = transformers.AutoModelForImageClassification.from_config(config, trust_remote_code=False)
    except Exception as error:  # whatever transformers raises for a kind or setting that it does not know
        reason = str(error).strip().partition("\n")[0]
        raise OverfocusError(f"model {name!r}: transformers cannot make an image classifier of it: {reason}") from error
    return Logits(model.float())


def transformers_state(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder, a classifier or a body without one, by the names of `transformers_network`.

    Those of a head that the folder lacks are left out; what it has beside is named in the log.
    Raises OverfocusError as `transformers_model` does, but for the head.
    """
    model, info = _loaded(folder)
    logits = Logits(model)
    head = f"{classifier_name(logits)}.".removeprefix("model.")
    missing = {*info.get("missing_keys", ())}
    if body := [name for name in sorted(missing) if not name.startswith(head)]:
        raise OverfocusError(f"weights {folder}: {body[0]} is missing; copy the folder again")
    if beside := sorted(info.get("unexpected_keys", ())):
        log.warning("weights %s: not used: %s", folder, ", ".join(beside[:3]) + ", ..." * (len(beside) > 3))
    return {name: tensor for name, tensor in logits.state_dict().items() if name.removeprefix("model.") not in missing}


def _loaded(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the classifier of a folder, and what transformers missed in its weights."""
    transformers = _transformers(str(folder))
    said = transformers.utils.logging
    loud, bar = said.get_verbosity(), said.is_progress_bar_enabled()
    said.set_verbosity_error()  # what it misses is told here
    said.disable_progress_bar()
    try:
        return transformers.AutoModelForImageClassification.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, output_loading_info=True, dtype="float32"
        )
    except Exception as error:  # whatever transformers raises for a damaged folder
        reason = str(error).strip().partition("\n")[0]
        raise OverfocusError(f"{folder}: transformers cannot load it as an image classifier: {reason}") from error
    finally:
        said.set_verbosity(loud)
        if bar:
            said.enable_progress_bar()


def _transformers(what: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise OverfocusError(f"{what}: transformers is not installed; pip install 'overfocus[huggingface]'") from error
    return transformers
