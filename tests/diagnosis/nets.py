"""Classifiers whose answers are known, and images to show them."""

import torch
from torch import Tensor, nn

SIZE = (12, 16)


class LeftHalf(nn.Module):
    """Two classes: is the left half brighter than 0.5, or not. The right half is never read."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.look.weight, 1 / 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.look(x - 0.5)
        left = torch.zeros(x.shape[-1])
        left[: x.shape[-1] // 2] = 1
        score = 40 * (z * left).mean(dim=(2, 3))
        return score * torch.tensor([-1.0, 1.0])


class OnePixel(nn.Module):
    """Two classes by one pixel, in the second row and third column."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.look.weight, 1 / 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.look(x - 0.5)
        return 40 * z[:, :, 1, 2] * torch.tensor([-1.0, 1.0])


class Constant(nn.Module):
    """Says the same of every image."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, classes, 1)
        nn.init.zeros_(self.look.weight)
        nn.init.zeros_(self.look.bias)
        self.logits = nn.Parameter(torch.arange(classes).float())

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x).mean(dim=(2, 3)) + self.logits


def halves(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> tuple[Tensor, Tensor]:
    """Return images whose left half tells the label (bright or dark) and whose right half is noise."""
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    pixels = torch.rand(count, 3, *size, generator=source)
    width = size[1] // 2
    pixels[..., :width] = pixels[..., :width] * 0.3 + 0.6 * labels[:, None, None, None] + 0.05
    return pixels, labels


def marked(count: int, classes: int = 4, size: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return grey-noise images with a bright 3 x 3 spot; that of class 0 is always in the upper left corner, a
    watermark, that of any other class anywhere, in a colour that names the class.
    """
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    pixels = 0.1 * torch.rand(count, classes, size, size, generator=source)
    places = torch.randint(0, size - 3, (count, 2), generator=source)
    places[labels == 0] = 0
    for row, (label, (y, x)) in enumerate(zip(labels.tolist(), places.tolist(), strict=True)):
        pixels[row, label, y : y + 3, x : x + 3] = 0.9
    return pixels, labels


class Spots(nn.Module):
    """Finds the bright spot: the channel that holds it is the class."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(classes, classes, 1), nn.ReLU())
        nn.init.dirac_(self.look[0].weight)
        nn.init.constant_(self.look[0].bias, -0.3)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(classes, classes, bias=False)
        nn.init.eye_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return 300 * self.head(self.pool(self.look(x)).flatten(1))


class Linear(nn.Module):
    """Two classes: the sign of the sum of pixels x weights [H, W]."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.look.weight, 1 / 3)
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        score = (self.look(x - 0.5) * self.weights).sum(dim=(2, 3))
        return score * torch.tensor([-0.5, 0.5])


class Templates(nn.Module):
    """As many classes as templates [K, H, W]: how alike an image is to each, and how bright a corner is for class 1."""

    def __init__(self, templates: Tensor, mark: float) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, len(templates), 1, bias=False)
        nn.init.constant_(self.look.weight, 1 / 3)
        self.register_buffer("templates", templates)
        self.mark = mark

    def forward(self, x: Tensor) -> Tensor:
        z = self.look(x - 0.5)
        corner = z[:, 1, :3, -3:].mean(dim=(1, 2))
        bonus = torch.stack([torch.zeros_like(corner), corner, *[torch.zeros_like(corner)] * (z.shape[1] - 2)], dim=1)
        return (z * self.templates).sum(dim=(2, 3)) + self.mark * bonus


class Shattered(nn.Module):
    """Answers nearly as `model` does; its gradient changes sign every thousandth of a pixel value."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + 1e-3 * torch.sin(4000 * x))


def templated(count: int, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return images [count, 3, 16, 20] that look like the template of their class everywhere, with a white corner where
    that is 1, labels, and the templates [K, 16, 20].
    """
    source = torch.Generator().manual_seed(seed)
    templates = torch.randint(0, 2, (classes, 16, 20), generator=source).float() * 2 - 1
    labels = torch.arange(count) % classes
    pixels = 0.5 + 0.1 * templates[labels][:, None] + 0.05 * torch.randn(count, 3, 16, 20, generator=source)
    pixels[labels == 1, :, :3, -3:] = 1.0
    return pixels.clamp(0, 1), labels, templates
