"""Image classifiers of Hugging Face's transformers, from a folder on the disk, as functions of images to logits."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from overfocus.core.errors import OverfocusError


class Logits(nn.Module):
    """A model of transformers as images -> logits: what can be cut, examined and mapped like any other classifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [B, K] of images [B, C, H, W]."""
        return self.model(pixel_values=images).logits


def transformers_model(folder: Path) -> Logits:
    """Return the classifier of a folder with `config.json` and weights, in evaluation mode and float32.

    Nothing is fetched, and no code of the folder is run. Raises OverfocusError where transformers is not installed,
    does not know the network, or finds a tensor missing, unknown or of another shape.
    """
    try:
        import transformers
    except ImportError as error:
        raise OverfocusError(
            f"{folder}: transformers is not installed; pip install 'overfocus[huggingface]'"
        ) from error
    try:
        model, info = transformers.AutoModelForImageClassification.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, output_loading_info=True, dtype="float32"
        )
    except Exception as error:  # whatever transformers raises for a damaged folder
        reason = str(error).strip().partition("\n")[0]
        raise OverfocusError(f"{folder}: transformers cannot load it as an image classifier: {reason}") from error
    wrong = [f"{kind.replace('_', ' ')}: {names}" for kind, names in info.items() if names]
    if wrong:
        raise OverfocusError(f"weights {folder} do not fit their config.json: {'; '.join(wrong)[:300]}; copy it again")
    return Logits(model.eval())
