"""Exports of ours as models: what lies in the config.json beside their weights, and programs of ONNX.

A program of torch.export is not read: as it is loaded, a file of that format may run any code. Its run, or another kind
of export, gives the same answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess
from overfocus.diagnosis.classifier import Classifier

ONNX, PROGRAM, WEIGHTS, CONFIG = "model.onnx", "model.pt2", "model.safetensors", "config.json"
MULTI_LABEL = "multi_label_classification"
"""How `problem_type` says, as transformers has it, that a picture may have several labels."""


class OnnxNetwork(nn.Module):
    """A program of ONNX: pixels [B, C, H, W] in [0, 1] in, logits [B, K] out; on the processor, without gradients."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise OverfocusError(f"{path}: {error}; pip install 'overfocus[onnx]'") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever ONNX Runtime raises for a file that is none
            raise OverfocusError(
                f"{path} is no ONNX model that can be read ({str(error).splitlines()[0][:200]}); export the run again"
            ) from None

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits."""
        return torch.from_numpy(self.session.run(None, {"pixels": pixels.detach().cpu().float().numpy()})[0])


def onnx_file(what: str) -> Path | None:
    """Return the ONNX program that `what` is, or is the folder of; None where it is another kind of model.

    Raises OverfocusError for a program of torch.export.
    """
    path = Path(what)
    if path.suffix == ".pt2" or (path / PROGRAM).is_file():
        raise OverfocusError(
            f"{what} is a program of torch.export, which may run code as it is read; give the run itself, or export "
            "it --to onnx or --to safetensors"
        )
    inside = path / ONNX
    return inside if inside.is_file() else path if path.suffix == ".onnx" else None


def config_of(what: str) -> dict[str, Any]:
    """Return the config.json of an export of ours, which `what` is the folder or the model of; {} for anything else."""
    path = Path(what)
    folder = path if path.is_dir() else path.parent
    if not (folder / CONFIG).is_file() or (path.is_file() and path.name not in (ONNX, WEIGHTS)):
        return {}
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise OverfocusError(f"{folder / CONFIG} is damaged ({error}); export the run again") from None
    return config if isinstance(config, dict) and {"architecture", "id2label", "settings"} <= config.keys() else {}


def has_labels(what: str) -> bool:
    """Whether `what` is an export of ours by which a picture may have several labels."""
    return config_of(what).get("problem_type") == MULTI_LABEL


def onnx_classifier(path: Path) -> tuple[Classifier, Preprocess]:
    """Return an exported program, and how its pictures are read and fitted.

    Raises OverfocusError where the config.json of an export of ours does not lie beside it.
    """
    config: Mapping[str, Any] = config_of(str(path))
    if "preprocess" not in config:
        raise OverfocusError(
            f"{path}: no {CONFIG} of an export lies beside it, so nothing says its classes and how its pictures are "
            "read; give the folder that `overfocus export` wrote"
        )
    classes = tuple(config["id2label"][str(number)] for number in range(len(config["id2label"])))
    plain = (0.0,) * config["channels"], (1.0,) * config["channels"]  # it normalises by itself
    classifier = Classifier(
        path.parent.name, OnnxNetwork(path), *plain, classes, note=str(path), multi_label=has_labels(str(path))
    )
    return classifier, Preprocess.read(config["preprocess"], f"preprocess in {CONFIG}")
