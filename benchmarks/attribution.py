"""The cost of a map against a forward without gradients, and against peers: same model and images, one process.

    python benchmarks/attribution.py [--models resnet18] [--rounds 15]

The forward runs the model as it is called, in evaluation mode. Each variant has its own copy of the model, since peers
leave hooks in theirs; peers that are not installed are left out, and their extractors are made once, outside the
measured time. pytorch-grad-cam upsamples its maps to the image, the others do not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import torch
from ratios import Bar, Table, parser, run, turns
from torch import Tensor, nn

import overfocus as of
from overfocus.attribution.catalogue import attribute
from overfocus.attribution.features import features_layer

CASES = (("resnet18", 16, 224), ("resnet50", 8, 224))
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


def table(case: tuple[str, int, int], asked: argparse.Namespace) -> Table:
    model, batch, size = (case[0], 2, 64) if asked.tiny else case
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(asked.device)

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return of.create_model(model, 1000).to(asked.device).eval()

    steps = variants(fresh, images)
    named = next(name for name in steps if name.startswith("gradcam at="))
    bars = [Bar(named, "forward", 1.3), Bar("gradcam", "forward", 1.3), Bar("cam", "forward", 1.05)]
    bars += [Bar("gradcam", peer, 1.0) for peer in PEERS]
    mine = [name for name in steps if name not in ("forward", "full backward", *PEERS)]
    return Table(f"Maps of {model}, {batch} x 3 x {size} x {size}, float32", "forward",
                 turns(steps, asked.rounds, device=asked.device), bars, ours=mine, per=batch, unit="maps")  # fmt: skip


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    for case in CASES:
        if not asked.models or case[0] in asked.models.split(","):
            yield table(case, asked)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default="", help="of " + ", ".join(case[0] for case in CASES))
    run(arguments.parse_args(), tables)


if __name__ == "__main__":
    main()
