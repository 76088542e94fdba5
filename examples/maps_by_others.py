"""captum, pytorch-grad-cam and torch-cam on a network that was trained here: it is a plain module, and maps agree.

python examples/maps_by_others.py
"""

import torch
from captum.attr import LayerGradCam
from plain import SEED, batches, network, optimizer
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCAM

import overfocus as of
from overfocus.attribution.features import features_layer


def trained() -> tuple[nn.Module, Tensor]:
    """Return the network after a few steps with SGDrop, and the last images."""
    model = network()
    objective, update = of.Objective(model, of.parse("cutmix + sgdrop"), seed=SEED), optimizer(model)
    images = torch.empty(0)
    for images, labels in batches():
        objective(images, labels).backward()
        update.step()
        update.zero_grad()
    return model.eval(), images[:8]


def by_others(model: nn.Module, images: Tensor, layer: str) -> dict[str, Tensor]:
    """Return the maps of the predicted class by each of them: [B, h, w]."""
    logits = model(images)
    predicted, module = logits.argmax(dim=1), model.get_submodule(layer)
    found = {"captum": LayerGradCam(model, module).attribute(images, predicted, relu_attributions=True)[:, 0]}
    with TorchCAM(model, layer) as extractor:
        found["torch-cam"] = extractor(predicted.tolist(), model(images), normalized=False)[0]
    with GradCAM(model, [module]) as cam:
        found["pytorch-grad-cam"] = torch.from_numpy(cam(images, None))
    return {name: each.detach() for name, each in found.items()}


def scaled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps to one size and to [0, 1], since pytorch-grad-cam gives its own in the size of the images."""
    large = nn.functional.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False).flatten(1)
    low, high = large.amin(dim=1, keepdim=True), large.amax(dim=1, keepdim=True)
    return (large - low) / (high - low).clamp(min=1e-12)


if __name__ == "__main__":
    model, images = trained()
    layer, size = features_layer(model, images), (images.shape[2], images.shape[3])
    ours = scaled(of.attribute(model, images, "gradcam", at=layer), size)
    assert (ours.amax(dim=1) == 1).float().mean() > 0.5, "most images have a map"
    for name, maps in by_others(model, images, layer).items():
        difference = float((scaled(maps, size) - ours).abs().max())
        print(f"{name:>18}: differs from overfocus by {difference:.1e} of the largest value at most")
        assert difference < 1e-3, name
