"""A run as files that need no overfocus: the plain network in another format, compared with the run on real images
before anything is written under its name.

Methods leave nothing behind in a network, so what is exported is what was trained. The two programs take pixels in
[0, 1] of any size, and fit and normalise them themselves; the weights are those of the bare network, which wants images
that are fitted and normalised.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.files import replacing_folder
from overfocus.core.preprocess import Preprocess
from overfocus.data.resize import fit, unfitted
from overfocus.diagnosis.classifier import Pixels
from overfocus.diagnosis.exported import MULTI_LABEL
from overfocus.export.card import card
from overfocus.export.resizing import Fitting
from overfocus.models.checkpoints import save_weights
from overfocus.training.checkpoint import load_data, load_network, load_run
from overfocus.training.run import Run

Answer = Callable[[Tensor], Tensor]
SIZES = {"pixels": {at: torch.export.Dim(name, min=1) for at, name in ((0, "images"), (2, "height"), (3, "width"))}}
"""What may differ from call to call: the number of images, and their size."""
CLOSE = 1e-4
"""Largest difference of two logits, as a share of the largest logit, that the order of sums may make."""
CLOSE_RESIZED = 0.05
"""Largest difference of two probabilities that the rounding to 8 bits may make, which a program leaves out."""
STORED = 4
"""Images that the programs are tried on as they are stored, each of its own size."""


class Program(nn.Module):
    """What is exported as a program: pixels [B, C, H, W] in [0, 1] in, logits [B, K] out."""

    def __init__(self, fitting: Fitting, network: Pixels) -> None:
        super().__init__()
        self.fitting, self.network = fitting, network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits."""
        return self.network(self.fitting(pixels))


@dataclass(frozen=True)
class Source:
    """What is exported: a network in evaluation mode, images to try it on, and what it was trained with."""

    model: nn.Module
    images: Tensor
    """[B, C, H, W], normalised; real ones."""
    stored: tuple[Tensor, ...]
    """A few of them as they are stored, each [C, H, W] uint8 of its own size."""
    run: Run
    manifest: dict[str, Any]

    @property
    def preprocess(self) -> Preprocess:
        """How pictures became what the network takes."""
        return Preprocess.of_manifest(self.manifest)

    @property
    def program(self) -> Program:
        """The network that takes pixels in [0, 1] of any size."""
        pixels = Pixels(self.model, tuple(self.manifest["mean"]), tuple(self.manifest["std"]))
        return Program(Fitting(self.preprocess, self.manifest["channels"]), pixels).eval()

    @property
    def example(self) -> Tensor:
        """Two images of a size that is not the network's, so that nothing in a program is fixed to it."""
        return torch.nn.functional.pad(self.pixels[:1], (2, 3, 1, 1)).repeat(2, 1, 1, 1)

    @property
    def pixels(self) -> Tensor:
        """The images in [0, 1]."""
        mean, std = (torch.tensor(self.manifest[name]).view(-1, 1, 1) for name in ("mean", "std"))
        return (self.images * std + mean).clamp(0, 1)


def export_run(
    path: str | Path, kind: str, out: str | Path | None = None, *, best: bool = False, root: str | None = None
) -> dict[str, Any]:
    """Write the network of a finished run to the folder `out`, by default `export-KIND` in the run.

    kind: `safetensors` (weights), `torch-export` (model.pt2) or `onnx` (model.onnx; needs `overfocus[onnx]`).
    root: where the run's data lies now; a few of its images are what the export is tried on.

    Beside the model lie README.md, a card in the form of the Hugging Face hub, and config.json with classes and
    normalisation. Returns what was written, on how many images it was tried, the largest difference of two logits, and
    for programs that of two probabilities on a few images as they are stored, in other sizes than the network's.
    Raises OverfocusError where the answers differ by more than rounding; then nothing is written.
    """
    if kind not in KINDS:
        raise UnknownName("kind of export", kind, KINDS)
    source = _source(Run(Path(path)), best=best, root=root)
    folder = Path(out) if out is not None else Path(path) / f"export-{kind}"
    _check_free(folder)
    with replacing_folder(folder) as aside:
        answer = KINDS[kind](source, aside)
        difference = _compared(source, answer, kind)
        resized = (
            {} if kind == "safetensors" else {"largest_difference_resized": _compared_stored(source, answer, kind)}
        )
        config = {**_config(source), **_confidence(source, best)}
        (aside / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
        (aside / "README.md").write_text(card(kind, config, source.manifest, best=best), encoding="utf-8")
        files = sorted(each.name for each in aside.iterdir())
    return {
        "folder": str(folder),
        "files": files,
        "images": len(source.images),
        "largest_difference": difference,
        **resized,
    }


def _source(run: Run, *, best: bool, root: str | None) -> Source:
    """Load the network, and the first images that it was not trained on."""
    experiment, dataset = load_data(run, root)
    name = next((each for each in dataset.splits if each != "train"), "train")
    split = dataset.splits[name]
    shown = split.subset(torch.arange(min(16, len(split))))
    whole = unfitted(shown.images)
    stored = tuple(whole.read(row) for row in range(min(STORED, len(shown))))
    dataset = replace(dataset, splits={"shown": shown})
    images = torch.cat([batch.images for batch in experiment.stream(dataset, "shown").epoch()])
    return Source(load_run(run.path, best=best), images, stored, run, run.manifest())


def _check_free(folder: Path) -> None:
    """Refuse to put an export in the place of anything but an export."""
    there = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or (there and "config.json" not in there):
        raise OverfocusError(f"{folder} is there and is no export; give another --out")


def _compared(source: Source, answer: Answer, kind: str) -> float:
    """Return the largest difference of the two models' logits, on all images at once and on one alone."""
    given = source.images if kind == "safetensors" else source.pixels
    with torch.no_grad():
        expected, found, alone = source.model(source.images).float(), answer(given), answer(given[:1])
    difference = max(float((found - expected).abs().max()), float((alone - expected[:1]).abs().max()))
    if not difference <= CLOSE * max(1.0, float(expected.abs().max())):
        raise OverfocusError(
            f"export: on real images the {kind} model answers otherwise than the run (logits differ by "
            f"{difference:.2g}), so nothing was written; try another kind"
        )
    return difference


def _compared_stored(source: Source, answer: Answer, kind: str) -> float:
    """Return the largest difference of two probabilities, on images as they are stored."""
    mean, std = (torch.tensor(source.manifest[name]).view(-1, 1, 1) for name in ("mean", "std"))
    probabilities = torch.sigmoid if source.manifest.get("multi_label") else partial(torch.softmax, dim=1)
    largest = 0.0
    for image in source.stored:
        fitted = fit(image, source.preprocess)[None].float() / 255
        with torch.no_grad():
            expected, found = source.model((fitted - mean) / std).float(), answer(image[None].float() / 255)
        largest = max(largest, float((probabilities(found) - probabilities(expected)).abs().max()))
    if not largest <= CLOSE_RESIZED:
        raise OverfocusError(
            f"export: on real images of other sizes the {kind} model answers otherwise than the run (probabilities "
            f"differ by {largest:.2g}), so nothing was written; try another kind"
        )
    return largest


def _config(source: Source) -> dict[str, Any]:
    """Return what somebody needs to use the model."""
    manifest, model = source.manifest, source.run.experiment().model
    return {
        "architecture": model.name,
        "settings": {**model.settings, **({"stem": model.stem} if model.stem else {})},
        "num_classes": len(manifest["classes"]),
        "id2label": dict(enumerate(manifest["classes"])),
        **({"problem_type": MULTI_LABEL} if manifest.get("multi_label") else {}),
        "channels": manifest["channels"],
        "image_size": manifest["size"],
        "mean": manifest["mean"],
        "std": manifest["std"],
        "preprocess": Preprocess.of_manifest(manifest).as_dict(),
    }


def _confidence(source: Source, best: bool) -> dict[str, Any]:
    """Return what calibrates the confidence, or the thresholds of labels: those of the last epoch."""
    kept, labels = source.manifest.get("confidence"), source.manifest.get("labels")
    found = {"confidence": kept} if kept else {}
    found |= {"labels": {name: labels[name] for name in ("thresholds", "why")}} if labels else {}
    return {} if best else found


def _safetensors(source: Source, folder: Path) -> Answer:
    """Write the bare weights, and read them into a new network."""
    save_weights(source.model.state_dict(), folder / "model.safetensors")
    return _answering(load_network(source.run, folder / "model.safetensors"))


def _torch_export(source: Source, folder: Path) -> Answer:
    """Write a program for any number of images of any size."""
    with torch.no_grad():
        program = torch.export.export(source.program, (source.example,), dynamic_shapes=SIZES)
    torch.export.save(program, folder / "model.pt2")
    return _answering(torch.export.load(folder / "model.pt2").module())


def _onnx(source: Source, folder: Path) -> Answer:
    """Write a program of ONNX, weights inside, and run it in ONNX Runtime."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise OverfocusError(f"export to onnx: {error}; pip install 'overfocus[onnx]'") from None
    with torch.no_grad():
        torch.onnx.export(
            source.program, (source.example,), str(folder / "model.onnx"), input_names=["pixels"],
            output_names=["logits"], dynamic_shapes=SIZES, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


def _answering(model: nn.Module) -> Answer:
    return lambda images: model(images).float()


KINDS: dict[str, Callable[[Source, Path], Answer]] = {
    "safetensors": _safetensors,
    "torch-export": _torch_export,
    "onnx": _onnx,
}
"""Name -> what writes the model to a folder and returns how the written one answers."""
