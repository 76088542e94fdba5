"""The cost of a map against a forward without gradients, and against peers: same model and images, one process.

    python benchmarks/attribution.py [--model resnet18 --size 224 --batch 16] [--rounds 15] [--json FILE]

Variants take turns within every round, so that a machine that slows down slows them all; a round's ratios are to the
forward of that round, and the median over rounds is printed with its quartiles. The forward runs the model as it is
called, in evaluation mode. Each variant has its own copy of the model, since peers leave hooks in theirs; peers that
are not installed are left out, and their extractors are made once, outside the measured time. pytorch-grad-cam
upsamples its maps to the image, the others do not. A speed is a measurement, not a test.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import torch
from torch import Tensor, nn

import overfocus as of
from overfocus.attribution.catalogue import attribute
from overfocus.attribution.features import features_layer

METHODS = ("gradcam", "gradcampp", "layercam", "eigencam", "cam")
Step = Callable[[], object]


def forward(model: nn.Module, images: Tensor) -> Step:
    def step() -> Tensor:
        with torch.no_grad():
            return model(images)

    return step


def full_backward(model: nn.Module, images: Tensor) -> Step:
    """Forward and backward to every parameter, as a map by an ordinary backward costs."""

    def step() -> None:
        model(images).amax(dim=1).sum().backward()
        model.zero_grad()

    return step


def grad_cam(model: nn.Module, images: Tensor, layer: str) -> Step:
    from pytorch_grad_cam import GradCAM

    extractor = GradCAM(model, [model.get_submodule(layer)])
    return lambda: extractor(images, None)


def torch_cam(model: nn.Module, images: Tensor, layer: str) -> Step:
    from torchcam.methods import GradCAM

    extractor = GradCAM(model, layer)

    def step() -> list[Tensor]:
        logits = model(images)
        return extractor(logits.argmax(dim=1).tolist(), logits, normalized=False)

    return step


def captum(model: nn.Module, images: Tensor, layer: str) -> Step:
    from captum.attr import LayerGradCam

    extractor = LayerGradCam(model, model.get_submodule(layer))

    def step() -> object:
        with torch.no_grad():
            predicted = model(images).argmax(dim=1)
        return extractor.attribute(images, predicted, relu_attributions=True)

    return step


PEERS = {"pytorch-grad-cam": grad_cam, "torch-cam": torch_cam, "captum": captum}


def variants(fresh: Callable[[], nn.Module], images: Tensor) -> dict[str, Step]:
    layer = features_layer(fresh(), images)
    steps = {"forward": forward(fresh(), images), "full backward": full_backward(fresh(), images)}
    model = fresh()
    steps[f"gradcam at={layer!r}"] = lambda: attribute(model, images, "gradcam", at=layer)
    for name in METHODS:
        steps[name] = lambda name=name: attribute(model, images, name)
    for name, build in PEERS.items():
        try:
            steps[name] = build(fresh(), images, layer)
        except ImportError:
            print(f"{name} is not installed")
    return steps


def timed(step: Step, device: torch.device) -> float:
    started = perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.randn(asked.batch, 3, asked.size, asked.size, generator=torch.Generator().manual_seed(0)).to(device)

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return of.create_model(asked.model, 1000).to(device).eval()

    steps = variants(fresh, images)
    for step in steps.values():
        timed(step, device)
    rounds = [{name: timed(step, device) for name, step in steps.items()} for _ in range(asked.rounds)]
    report(asked, device, rounds)


def report(asked: argparse.Namespace, device: torch.device, rounds: list[dict[str, float]]) -> None:
    where = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{torch.get_num_threads()} threads of {platform.machine()}"
    )
    print(
        f"{asked.model} {asked.batch}x3x{asked.size}x{asked.size} float32, torch {torch.__version__}, {where}, "
        f"{asked.rounds} rounds"
    )
    forward_ms = median(each["forward"] for each in rounds) * 1e3
    print(f"{'forward without gradients':28} {forward_ms:9.1f} ms")
    results = {}
    for name in rounds[0]:
        if name == "forward":
            continue
        ratios = [each[name] / each["forward"] for each in rounds]
        low, _, high = quantiles(ratios, n=4)
        results[name] = {"ratio": median(ratios), "quartiles": [low, high]}
        print(f"{name:28} {median(ratios):9.3f} x   quartiles {low:.3f} to {high:.3f}")
    if asked.json:
        found = {"forward_ms": forward_ms, "ratios": results, **vars(asked)}
        asked.json.write_text(json.dumps(found, default=str, indent=2))


if __name__ == "__main__":
    main()
