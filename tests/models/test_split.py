import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from overfocus.models.split import SplitError, split

K = 5
MODELS = ["resnet18", "mobilenet_v3_small", "squeezenet1_0", "shufflenet_v2_x0_5", "timm:resnet18"]
LARGE = [
    "alexnet",
    "densenet121",
    "efficientnet_b0",
    "vgg11_bn",
    "regnet_y_400mf",
    "convnext_tiny",
    "mnasnet0_5",
    "swin_t",
]
TIMM = ["convnext_atto", "resnetv2_50", "regnety_004"]


def made(name: str, **settings) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name.startswith("timm:"):
            return timm.create_model(name.removeprefix("timm:"), num_classes=K, **settings)
        return torchvision.models.get_model(name, num_classes=K, **settings)


def images(side: int = 64) -> Tensor:
    return torch.randn(2, 3, side, side + 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def check(model: nn.Module, at="@features", pictures: Tensor | None = None) -> Tensor:
    """Check that the pieces make the model; return the features."""
    pictures = images() if pictures is None else pictures
    model.eval()
    cut = split(model, at)
    features = cut.encode(model, pictures)
    assert torch.allclose(cut.classify(model, features), model(pictures), atol=1e-5)
    return features


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_its_pieces(name):
    assert check(made(name)).ndim == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LARGE, *(f"timm:{name}" for name in TIMM)])
def test_more_models_are_their_pieces(name):
    assert check(made(name)).ndim == 4


def test_densenet_is_cut_behind_its_last_relu():
    features = check(torchvision.models.DenseNet(4, (1, 2, 1, 2), 8, num_classes=K))
    assert (features >= 0).all()
    assert (features == 0).any()


def small_vit() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=K, dropout=0.1)


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (small_vit, "encoder.layers.encoder_layer_1"),
        (lambda: made("timm:vit_tiny_patch16_224", img_size=32, depth=3), "blocks.1"),
    ],
    ids=["torchvision", "timm"],
)
def test_a_transformer_is_cut_at_a_block(make, layer):
    assert check(make(), layer, torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))).ndim == 3


def test_a_transformer_has_no_plain_last_features_and_says_so():
    with pytest.raises(SplitError, match="name the layer with `at`"):
        split(small_vit())


def test_many_cuts_come_in_the_order_in_which_they_run():
    model = made("resnet18").eval()
    cut = split(model, ["layer4", "layer2.0", "@features"])
    assert cut.layers == ("layer2.0", "layer4", "@features")  # the last two are one value
    with torch.no_grad():
        values = images()
        for piece in cut.pieces(model):
            values = piece(model, values)
        assert torch.allclose(values, model(images()), atol=1e-5)


def test_a_cut_that_a_shortcut_crosses_is_refused_with_both_ends():
    with pytest.raises(SplitError, match=r"'layer4_1_conv1' is crossed by a shortcut: 'layer4_0") as error:
        split(made("resnet18"), "layer4.1.conv1")
    assert "feeds 'add" in str(error.value)
    assert "end of the block" in str(error.value)


@pytest.mark.parametrize(("wrong", "near"), [("layer44", "layer4"), ("layer4.2", "layer4"), ("layr3.0", "layer3.0")])
def test_an_unknown_layer_gets_the_nearest_name(wrong, near):
    with pytest.raises(SplitError, match=f"has no layer '{wrong}'; did you mean '{near}"):
        split(made("resnet18"), wrong)


def test_a_layer_that_runs_twice_is_refused():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool = nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(self.conv(self.conv(x))).flatten(1)

    with pytest.raises(SplitError, match="runs 2 times"):
        split(Twice(), "conv")


def test_a_layer_behind_which_nothing_depends_on_it_is_refused():
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.aside = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return self.used(x)

    with pytest.raises(SplitError, match=r"logits depend on|crossed by a shortcut"):
        split(Aside(), "aside")


def test_nothing_is_registered_twice_and_no_mode_is_touched():
    model = made("resnet18").train()
    model.layer2.eval()
    names, modes = list(model.state_dict()), [module.training for module in model.modules()]
    split(model, ["layer3", "@features"])
    assert list(model.state_dict()) == names
    assert [module.training for module in model.modules()] == modes


class Own(nn.Module):
    """A model with its own cut, whose forward no tracer follows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, K)

    def encode(self, images: Tensor) -> Tensor:
        return self.conv(images) if images.sum() > 0 else self.conv(-images)

    def classify(self, features: Tensor) -> Tensor:
        return self.fc(features.mean((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.encode(images))


def test_a_model_with_its_own_cut_need_not_be_traceable():
    check(Own())
    with pytest.raises(SplitError, match="has its own cut"):
        split(Own(), "conv")


def test_a_model_that_cannot_be_traced_is_told_about_the_two_methods():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) if x.sum() > 0 else self.fc(-x)

    with pytest.raises(SplitError, match=r"cannot be traced .*encode\(images\) and classify\(features\)"):
        split(Branching(), "fc")


class Moody(nn.Module):
    """A forward that asks for the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, K)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.fc(x) * 2 if self.training else self.fc(F.dropout(x, 0.5, self.training))


@pytest.mark.parametrize("training", [True, False])
def test_pieces_follow_the_mode_of_the_model(training):
    model = Moody().train(training)
    cut = split(model)
    assert model.training == training
    for mode in (True, False):
        model.train(mode)
        assert torch.allclose(cut.classify(model, cut.encode(model, images())), model(images()))


def test_the_same_pieces_run_a_copy_of_the_model():
    model, copy = Moody().eval(), Moody().eval()
    cut = split(model)
    assert torch.allclose(cut.classify(copy, cut.encode(copy, images())), copy(images()))


def test_a_wrapped_model_is_opened():
    check(nn.Sequential(nn.BatchNorm2d(3), made("resnet18")))
