"""OverfocusCNN: a small residual network that trains in seconds, for any image size and number of channels.

Conv stem -> three stages of residual blocks -> norm -> ReLU -> pooling -> flatten -> linear. The blocks are
pre-activated (He et al., 1603.05027: norm, ReLU, convolution), which is why one norm and ReLU close the last stage.
What `relu` returns is the feature map that the feature seam sees; pooling and one linear layer follow, so attribution
there has a closed form.
"""

from collections.abc import Sequence
from math import gcd

from torch import Tensor, nn

from overfocus.core.errors import OverfocusError, UnknownName

STEMS = ("small", "large")
POOLINGS = {"average": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
NORMS = ("batch", "group")


class ResidualBlock(nn.Module):
    """Norm, ReLU, 3x3 convolution, twice, beside a shortcut: [B, inputs, H, W] -> [B, outputs, H / stride, W / stride].

    The shortcut is the identity where the shape stays and a 1x1 convolution of the activated input where it changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, norm: str = "batch") -> None:
        super().__init__()
        # No ReLU works in place: a model may be cut after any norm, and that value must stay unchanged.
        self.norm1 = norm_of(norm, inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = norm_of(norm, outputs)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.projection = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's sum of shortcut and residual."""
        activated = self.relu1(self.norm1(x))
        shortcut = x if self.projection is None else self.projection(activated)
        return self.conv2(self.relu2(self.norm2(self.conv1(activated)))) + shortcut


class OverfocusCNN(nn.Module):
    """Images [B, channels, H, W] of any size to logits [B, classes].

    classes: at least 1.
    channels: of the image, at least 1.
    widths: channels of each stage; every stage but the first halves the side.
    depth: blocks a stage, at least 1.
    stem: "small" (3x3, keeps the side) or "large" (7x7 and max pooling, a quarter of the side).
    pooling: "average" or "max" over all positions.
    norm: "batch", or "group" where an image's logits must not depend on the others of its batch.
    Raises OverfocusError where a setting is out of its range.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 3,
        widths: Sequence[int] = (24, 48, 96),
        depth: int = 1,
        stem: str = "small",
        pooling: str = "average",
        norm: str = "batch",
    ) -> None:
        super().__init__()
        check_counts(classes, channels, widths, depth)
        check_choices(stem=(stem, STEMS), pooling=(pooling, POOLINGS), norm=(norm, NORMS))
        self.stem = stem_of(stem, channels, widths[0])
        inputs = (widths[0], *widths[:-1])
        strides = (1,) + (2,) * (len(widths) - 1)
        stages = zip(inputs, widths, strides, strict=True)
        self.stages = nn.Sequential(*(stage_of(depth, norm, *stage) for stage in stages))
        self.norm = norm_of(norm, widths[-1])
        self.relu = nn.ReLU()
        self.pool = POOLINGS[pooling](1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(widths[-1], classes)
        self.apply(he_init)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, classes]."""
        features = self.relu(self.norm(self.stages(self.stem(images))))
        return self.fc(self.flatten(self.pool(features)))


def stem_of(kind: str, channels: int, width: int) -> nn.Module:
    """Return the first layer; it is linear (and max pooling), since the first block begins with a norm."""
    if kind == "small":
        return nn.Conv2d(channels, width, 3, 1, 1, bias=False)
    return nn.Sequential(nn.Conv2d(channels, width, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1))


def stage_of(depth: int, norm: str, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return `depth` blocks, of which the first changes width and side."""
    rest = (ResidualBlock(outputs, outputs, 1, norm) for _ in range(depth - 1))
    return nn.Sequential(ResidualBlock(inputs, outputs, stride, norm), *rest)


def norm_of(kind: str, width: int) -> nn.Module:
    """Return a norm over `width` channels; groups are as many as divide it, at most eight."""
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(gcd(width, 8), width)


def he_init(module: nn.Module) -> None:
    """Draw a convolution's weights for ReLU (1502.01852); leave every other module as PyTorch makes it."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def check_counts(classes: int, channels: int, widths: Sequence[int], depth: int) -> None:
    """Raise where a count is below one."""
    counts = {"classes": classes, "channels": channels, "depth": depth, "stages in widths": len(widths)}
    counts |= {f"widths[{i}]": width for i, width in enumerate(widths)}
    for name, count in counts.items():
        if count < 1:
            raise OverfocusError(f"OverfocusCNN: {name} is {count}; give at least 1")


def check_choices(**choices: tuple[str, Sequence[str] | dict]) -> None:
    """Raise where a setting is none of its choices."""
    for setting, (value, known) in choices.items():
        if value not in known:
            raise UnknownName(f"{setting} of OverfocusCNN", value, known)
