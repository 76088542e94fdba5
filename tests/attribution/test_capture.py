import pytest
import torch
from classifiers import (
    B,
    Flat,
    K,
    LeftHalf,
    OnePixel,
    Plain,
    densenet,
    pictures,
    resnet18,
    seeded,
    swin,
    timm_swin,
    timm_vit,
    vit,
)
from torch import Tensor, nn

from overfocus.attribution.capture import capture
from overfocus.attribution.catalogue import attribute
from overfocus.attribution.features import features_layer
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.models.zoo import create_model

SQUARE = (64, 64)
NETS = {
    "plain": (Plain, (40, 56), "relu2", (5, 10, 14)),
    "flat": (Flat, (9, 11), "act", (4, 9, 11)),
    "resnet18": (resnet18, (40, 72), "layer4", (512, 2, 3)),
    "densenet": (densenet, (40, 56), "features", (16, 5, 7)),
    "vit": (vit, SQUARE, "encoder.layers.encoder_layer_2.ln_1", (24, 4, 4)),
    "swin": (swin, (40, 56), "permute", (48, 5, 7)),
    "timm vit": (timm_vit, (48, 80), "blocks.2.norm1", (24, 3, 5)),
    "timm vit, registers": (lambda: timm_vit(reg_tokens=4), (48, 80), "blocks.2.norm1", (24, 3, 5)),
    "timm vit, mean of tokens": (
        lambda: timm_vit(class_token=False, global_pool="avg"), (48, 80), "norm", (24, 3, 5),
    ),
    "timm swin": (timm_swin, (32, 64), "norm", (12 * 2, 4, 8)),
}  # fmt: skip
EACH = [pytest.param(name, marks=pytest.mark.slow) if name == "resnet18" else name for name in NETS]


def raw_output(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """What the layer gives in a plain forward, copied before anything writes to it."""
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda m, a, output: kept.append(output.clone()))
    with torch.no_grad():
        model.eval()(images)
    handle.remove()
    return kept[0]


def by_full_backward(model: nn.Module, layer: str, images: Tensor, weights: Tensor) -> Tensor:
    """The gradient to the layer by an ordinary backward through the whole model."""
    kept = []

    def keep(module, args, output):
        kept.append(output)
        return output.clone()  # what comes behind may write in place

    handle = model.get_submodule(layer).register_forward_hook(keep)
    logits = model.eval()(images.clone().requires_grad_())
    handle.remove()
    return torch.autograd.grad((logits * weights).sum(), kept[0])[0]


def as_grid(values: Tensor, shape: tuple[int, int, int]) -> Tensor:
    _, height, width = shape
    if values.ndim == 3:
        tokens = values[:, values.shape[1] - height * width :]
        return torch.stack([tokens[:, i] for i in range(height * width)], -1).view(len(values), *shape)
    return values if values.shape[1:] == shape else values.permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", EACH)
def test_the_features_the_logits_and_the_gradient_are_those_of_a_plain_run(name):
    make, size, layer, shape = NETS[name]
    model, images = seeded(make), pictures(size=size)
    weights = torch.randn(B, K, generator=torch.Generator().manual_seed(2))
    seen = capture(model, images)
    assert seen.layer == layer
    assert seen.features.shape == (B, *shape)
    assert torch.equal(seen.features, as_grid(raw_output(model, layer, images), shape))
    assert torch.allclose(seen.logits, model.eval()(images), atol=1e-6)
    expected = as_grid(by_full_backward(model, layer, images, weights), shape)
    assert expected.any()
    assert torch.allclose(seen.gradient((seen.logits * weights).sum(1)), expected, atol=1e-6)
    assert torch.allclose(seen.gradient_of(weights), expected, atol=1e-6)  # and again


@pytest.mark.parametrize("name", EACH)
def test_the_layer_does_not_hang_on_the_batch(name):
    make, size, layer, _ = NETS[name]
    model, images = seeded(make), pictures(5, size, seed=3)
    assert features_layer(model, images[4:]) == features_layer(model, images) == layer


@pytest.mark.parametrize("layer", ["bn1", "relu1", "conv2", "bn2", "relu2"])
def test_a_later_write_in_place_does_not_reach_the_features(layer):
    model, images = seeded(Plain), pictures()
    seen = capture(model, images, layer)
    before = seen.features.clone()
    assert torch.equal(before, raw_output(model, layer, images))
    if layer.startswith("bn"):
        assert (before < 0).any()  # the ReLU behind has not written here
    weights = torch.eye(K)[:B]
    assert torch.allclose(seen.gradient_of(weights), by_full_backward(model, layer, images, weights), atol=1e-7)
    assert torch.equal(seen.features, before)


class WritesEverywhere(nn.Module):
    """Writes to its input, and to a value that the looked-at layer shares with the code around it."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.conv, self.fc = nn.Identity(), nn.Conv2d(3, 4, 3), nn.Linear(4, K)

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        x = self.conv(x)
        y = self.same(x)
        x.zero_()
        return self.fc(y.mean((2, 3)))


def test_a_write_to_a_shared_value_reaches_neither_the_features_nor_the_images():
    model, images = seeded(WritesEverywhere), pictures(size=(9, 11))
    before = images.clone()
    seen = capture(model, images, "same")
    assert torch.equal(images, before)
    with torch.no_grad():
        assert torch.allclose(seen.features, model.conv(before - 0.5), atol=1e-6)
    for method in ("gradcam", "scorecam", "integrated_gradients", "smoothgrad", "occlusion"):
        attribute(model, images, method, at="same")
        assert torch.equal(images, before)


def test_one_image_is_seen_as_it_is_in_a_batch():
    model, images = seeded(Plain), pictures()
    assert torch.allclose(attribute(model, images[1:2]), attribute(model, images)[1:2], atol=1e-6)


def test_gradients_of_images_do_not_mix():
    model, images = seeded(Plain), pictures()
    seen = capture(model, images)
    only = seen.gradient(seen.logits[:, 0] * torch.tensor([0.0, 1.0, 0.0]))
    assert not only[0].any()
    assert not only[2].any()
    assert only[1].any()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_gradient_mode_changes_nothing(context):
    model, images = seeded(Plain), pictures(size=(12, 20))
    expected = attribute(model, images)
    with context():
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        for given in (images, images * 1):  # in inference mode the second cannot be saved for a backward
            assert torch.allclose(attribute(model, given), expected)
            assert torch.allclose(
                attribute(model, given, "hirescam", target=1), attribute(model, images, "hirescam", target=1)
            )
            for method in ("cam", "scorecam", "integrated_gradients", "smoothgrad", "occlusion", "eigencam"):
                assert attribute(model, given, method).isfinite().all()
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == modes


def test_a_score_without_a_graph_is_told():
    seen = capture(seeded(Plain), pictures())
    with torch.no_grad(), pytest.raises(OverfocusError, match="gradient_of"):
        seen.gradient(seen.logits.sum(1))


def test_frozen_parameters_need_no_gradient():
    model, images = seeded(Plain), pictures()
    expected = attribute(model, images)
    model.requires_grad_(False)
    assert features_layer(model, images) == "relu2"
    assert torch.equal(attribute(model, images), expected)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("how", ["torch.compile", "module.compile", "a part"])
def test_a_compiled_model_is_seen_as_the_one_behind_it(how):
    torch._dynamo.reset()
    images, model = pictures(), seeded(Plain)
    expected = {name: attribute(model, images, name) for name in ("gradcam", "cam")}
    if how == "torch.compile":
        compiled = torch.compile(model, backend="eager")
    elif how == "module.compile":
        compiled = model
        model.compile(backend="eager")
    else:
        compiled = model
        model.bn2 = torch.compile(model.bn2, backend="eager")
    with torch.no_grad():
        logits = compiled.eval()(images)
    compiled.train()
    model.bn1.eval()
    for name, maps in expected.items():
        assert torch.allclose(attribute(compiled, images, name), maps, atol=1e-5)
    assert torch.allclose(attribute(compiled, images, at="bn2"), attribute(seeded(Plain), images, at="bn2"), atol=1e-5)
    assert compiled.training
    assert (model.bn1.training, model.bn2.training) == (False, True)
    with torch.no_grad():
        assert torch.allclose(compiled.eval()(images), logits, atol=1e-5)


@pytest.mark.parametrize("make", [Plain, timm_vit], ids=["plain", "vit"])
def test_half_precision_is_accepted(make):
    model, images = seeded(make), pictures(size=(48, 80))
    expected = attribute(model, images, target=1)
    model.bfloat16()
    assert capture(model, images.bfloat16()).features.dtype == torch.bfloat16
    maps = attribute(model, images.bfloat16(), target=1)
    assert maps.dtype == torch.float32
    assert (maps - expected).abs().max() < 0.1 * expected.max()


def test_channels_last_memory_is_the_same():
    model, images = seeded(Plain), pictures()
    expected = attribute(model, images)
    model.to(memory_format=torch.channels_last)
    assert torch.allclose(attribute(model, images.to(memory_format=torch.channels_last)), expected, atol=1e-6)


def test_a_planted_half_and_a_planted_pixel_are_found():
    images = pictures(size=(6, 10)).abs()
    left = attribute(seeded(LeftHalf), images, "hirescam", target=0)
    assert torch.allclose(left[..., :5], images.sum(1)[..., :5])
    assert not left[..., 5:].any()
    pixel = attribute(seeded(OnePixel), images, "gradxact", target=1)
    assert torch.allclose(pixel[:, 2, 5], images.sum(1)[:, 2, 5])
    assert pixel.count_nonzero() == len(images)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.unused, self.fc = nn.Conv2d(3, 3, 3, 1, 1), nn.Conv2d(3, 3, 1), nn.Linear(3, K)
        self.aside, self.pair, self.pool = nn.Conv2d(3, 2, 1), Pair(), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.conv(x))
        self.aside(x)
        return self.fc(self.pool(self.pair(x)[0]).flatten(1))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ("conv", "several times"),
        ("unused", "does not run"),
        ("pair", "tuple"),
        ("fc", "no grid"),
        ("aside", "depend"),
    ],
)
def test_a_layer_that_cannot_be_looked_at_says_why(layer, says):
    model, images = seeded(Twice), pictures()
    with pytest.raises(OverfocusError, match=says):
        attribute(model, images, at=layer)
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()


def test_an_unknown_layer_gets_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'conv2'"):
        capture(seeded(Plain), pictures(), "con2")
    with pytest.raises(UnknownName):
        capture(seeded(Plain), pictures(), "")


class Wrapped(nn.Module):
    def __init__(self, wrap) -> None:
        super().__init__()
        self.net, self.wrap = seeded(Plain), wrap

    def forward(self, x: Tensor):
        return self.wrap(self.net(x))


@pytest.mark.parametrize(
    ("wrap", "says"),
    [
        (lambda y: {"logits": y}, "dict with 'logits'"),
        (lambda y: (y, y), "tuple"),
        (lambda y: y[0], "(7,)"),
        (lambda y: y[..., None], "(1, 7, 1)|(3, 7, 1)"),
    ],
)
def test_a_model_that_returns_no_logits_is_told(wrap, says):
    model = Wrapped(wrap)
    for at in ("@features", "net.relu2"):
        with pytest.raises(OverfocusError, match=says.replace("(", r"\(").replace(")", r"\)")):
            capture(model, pictures(), at)


def test_a_wrapped_model_is_seen_inside():
    images = pictures()
    assert features_layer(Wrapped(lambda y: y), images) == "net.relu2"
    assert torch.equal(attribute(Wrapped(lambda y: y), images), attribute(seeded(Plain), images))


class Late(Plain):
    """Its last grid never moves the logits, and no other does on a dark image."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        light = (x.amax((1, 2, 3)) > 0).float()[:, None]
        return super().forward(x) * light + self.last(x * 1).sum() * 0


def test_a_first_image_without_a_gradient_does_not_decide():
    images = pictures()
    images[0] = 0
    assert features_layer(seeded(Late), images[1:]) == features_layer(seeded(Late), images) == "relu2"
    assert features_layer(seeded(Late), images[:1]) == "last"


class Windows(Plain):
    """Cuts its images into windows, as many rows each, and puts them together again."""

    def __init__(self) -> None:
        super().__init__()
        self.window = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.window(torch.cat(x.chunk(2, 3))).view(2, -1, *x.shape[1:3], x.shape[3] // 2).sum(0))


def test_a_layer_with_other_rows_than_images_is_no_grid():
    with pytest.raises(OverfocusError, match="no grid over 3 images"):
        capture(seeded(Windows), pictures(), "window")


class NoGrid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.fc = nn.Flatten(), nn.Linear(3 * 5 * 6, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(x))


def test_a_model_without_a_grid_is_told():
    with pytest.raises(OverfocusError, match="no layer of NoGrid"):
        capture(seeded(NoGrid), pictures(size=(5, 6)))


class Detached(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


def test_a_model_that_detaches_is_told():
    with pytest.raises(OverfocusError, match="no layer of Detached"):
        attribute(seeded(Detached), pictures())
    with pytest.raises(OverfocusError, match="detaches"):
        attribute(seeded(Detached), pictures(), at="relu2")


def test_a_model_that_answers_the_same_for_everything_has_an_empty_map():
    model = seeded(Plain)
    nn.init.zeros_(model.fc.weight)
    maps = attribute(model, pictures())
    assert maps.shape == (B, 10, 14)
    assert not maps.any()


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, 3, 8, 8), [1]]
)
def test_what_are_no_images_is_told(images):
    for method in ("gradcam", "cam", "scorecam", "smoothgrad"):
        with pytest.raises(OverfocusError, match="images are"):
            attribute(seeded(Plain), images, method)


class Vgg(nn.Module):
    """The end of VGG: a pool to 7 x 7 positions, whatever comes in."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1))
        self.avgpool = pool
        self.drop = nn.Dropout()
        self.classifier = nn.Linear(5 * 49, K)

    def forward(self, x):
        return self.classifier(self.drop(self.avgpool(self.features(x))).flatten(1))


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(7), nn.AdaptiveMaxPool2d(7)])
def test_a_pool_that_copies_positions_is_no_layer_to_look_at(pool):
    model = seeded(lambda: Vgg(pool)).eval()
    for side, expected in ((12, "features"), (56, "drop")):
        found = capture(model, torch.randn(B, 3, side, side))
        assert found.layer == expected
        positions = found.features[0].flatten(1).T
        assert len(positions.unique(dim=0)) == len(positions)


class Functional(Vgg):
    """The same with the pool as a function, which no hook sees."""

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), 7)
        return self.classifier(self.drop(x).flatten(1))


class Enlarged(Vgg):
    def forward(self, x):
        x = nn.functional.interpolate(self.features(x), (7, 7), mode="bilinear")
        return self.classifier(self.drop(x).flatten(1))


@pytest.mark.parametrize("kind", [Functional, Enlarged])
def test_a_grid_made_larger_is_no_layer_to_look_at(kind):
    model = seeded(lambda: kind(nn.Identity())).eval()
    assert capture(model, torch.randn(B, 3, 12, 20)).layer == "features"
    assert capture(model, torch.randn(B, 3, 56, 56)).layer == "drop"


class Branches(nn.Module):
    """A block of two branches and a table of positions, before one position that the answer is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.table = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(2, 4)
        self.left = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, (2, 3)))
        self.right, self.fc = nn.Conv2d(4, 4, (2, 3)), nn.Linear(8, K)

    def forward(self, x):
        x = self.stem(x)
        grid = torch.ones(1, *x.shape[2:], 2)
        x = x * self.table(grid).permute(0, 3, 1, 2)
        return self.fc(torch.cat((self.left(x), self.right(x)), dim=1).flatten(1))


def test_neither_a_branch_nor_a_table_of_parameters_is_looked_at():
    """The branch `left` runs last, and the table has as many rows as one picture."""
    model = seeded(Branches).eval()
    for count in (1, 2):
        assert capture(model, pictures(count, (4, 6))).layer == "stem"


@pytest.mark.parametrize("method", ["gradcam", "integrated_gradients"])
def test_a_size_that_the_network_does_not_take_is_refused_with_those_that_work(method):
    model = seeded(lambda: create_model("vit_b_32", K))
    with pytest.raises(OverfocusError, match=r"40 x 56 pixels .*Wrong image height.* 224 pixels a side work"):
        attribute(model, pictures(), method)


def test_a_failure_that_is_not_of_the_size_stays_what_it_is():
    class Broken(Plain):
        def forward(self, x):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        attribute(seeded(Broken), pictures())


def test_a_network_with_one_position_names_sizes_with_more():
    model = nn.Sequential(nn.Conv2d(3, 4, 24, 24), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, K))
    with pytest.raises(OverfocusError, match="24 x 24 pixels; 48, 64, 80 pixels a side work"):
        attribute(model.eval(), pictures(size=(24, 24)))
