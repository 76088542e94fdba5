"""Small classifiers of every shape that the tests of attribution look into."""

import timm
import torch
import torchvision
from torch import Tensor, nn

B, K, H, W = 3, 7, 40, 56


class Plain(nn.Module):
    """Two convolutions with ReLUs that write in place, mean pooling, linear."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.conv2, self.bn2, self.relu2 = nn.Conv2d(6, 5, 3, 2, 1), nn.BatchNorm2d(5), nn.ReLU(inplace=True)
        self.drop, self.fc, self.scale = nn.Dropout(0.5), nn.Linear(5, K), scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        return self.fc(self.drop(x.mean((2, 3)))) * self.scale


class Flat(nn.Module):
    """A head that tells positions apart, on features of both signs at the size of the image."""

    def __init__(self, size: tuple[int, int] = (9, 11)) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3, 1, 1), nn.Tanh()
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(4 * size[0] * size[1], 16), nn.GELU(), nn.Linear(16, K))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.conv(x)))


class LeftHalf(nn.Module):
    """Class 0 is the sum over the left half, class 1 that over the right one."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        half = x.shape[3] // 2
        return torch.stack((x[..., :half].sum((1, 2, 3)), x[..., half:].sum((1, 2, 3))), dim=1)


class OnePixel(nn.Module):
    """Class 1 is the pixel at row 2, column 5; class 0 is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        pixel = self.layer(x)[:, :, 2, 5].sum(1)
        return torch.stack((torch.zeros_like(pixel), pixel), dim=1)


def seeded(make, seed: int = 0) -> nn.Module:
    """Build, move the statistics of every norm and fill zeroed heads, so that nothing is an identity by chance."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
            if isinstance(module, nn.Linear) and not module.weight.any():
                nn.init.normal_(module.weight, std=0.1)
    return model


def pictures(count: int = B, size: tuple[int, int] = (H, W), seed: int = 1) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def resnet18() -> nn.Module:
    return torchvision.models.resnet18(num_classes=K)


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(4, (2, 2), 8, num_classes=K)


def vit() -> nn.Module:
    """Square images of 64 pixels: torchvision asks for it."""
    return torchvision.models.VisionTransformer(64, 16, 3, 2, 24, 48, num_classes=K)


def swin() -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=K)


def timm_vit(**settings) -> nn.Module:
    small = {"img_size": (48, 80), "embed_dim": 24, "depth": 3, "num_heads": 2, "num_classes": K}
    return timm.create_model("vit_tiny_patch16_224", **{**small, **settings})


def timm_swin() -> nn.Module:
    return timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=(32, 64), window_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 2),
        num_classes=K,
    )  # fmt: skip
