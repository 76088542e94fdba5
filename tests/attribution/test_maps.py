"""Each map of features and gradients against its formula, read slowly, and against the libraries that are well kept."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from classifiers import B, Flat, K, Plain, densenet, pictures, resnet18, seeded, swin, timm_swin, timm_vit, vit
from torch import Tensor, nn

from overfocus.attribution.capture import capture
from overfocus.attribution.catalogue import attribute, method
from overfocus.attribution.methods.cam import CAM
from overfocus.attribution.methods.scorecam import ScoreCAM
from overfocus.core.errors import OverfocusError

FAMILY = ("eigencam", "gradcam", "gradcampp", "gradxact", "hirescam", "layercam")


def values(seed: int = 0, shape: tuple[int, ...] = (2, 3, 4, 5)) -> tuple[Tensor, Tensor]:
    """Features with zeros, and gradients of both signs with zeros."""
    key = torch.Generator().manual_seed(seed)
    features, gradient = (torch.randn(shape, generator=key) for _ in range(2))
    return features.relu(), gradient * (torch.rand(shape, generator=key) > 0.2)


def read_slowly(name: str, features: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """One image, features and gradient [C, h, w] float64, position by position."""
    channels, height, width = features.shape
    spots = [(y, x) for y in range(height) for x in range(width)]
    result = np.zeros((height, width))
    for y, x in spots:
        terms = []
        for c in range(channels):
            a, g = features[c, y, x], gradient[c, y, x]
            if name == "gradcam":
                terms.append(a * sum(gradient[c, i, j] for i, j in spots) / len(spots))
            elif name == "gradcampp":
                weight = 0.0
                total = sum(features[c, i, j] for i, j in spots)
                for i, j in spots:
                    d = gradient[c, i, j]
                    if d != 0:
                        weight += d**2 / (2 * d**2 + total * d**3) * max(d, 0)
                terms.append(a * weight)
            elif name == "layercam":
                terms.append(a * max(g, 0))
            elif name == "gradxact":
                terms.append(max(a * g, 0))
            else:
                terms.append(a * g)
        result[y, x] = sum(terms) if name in ("hirescam", "gradxact") else max(sum(terms), 0)
    return result


@pytest.mark.parametrize("name", [name for name in FAMILY if name != "eigencam"])
def test_the_formula(name):
    features, gradient = values()
    maps = method(name).map(features, gradient)
    assert maps.shape == (2, 4, 5)
    for row in range(2):
        expected = read_slowly(name, features[row].double().numpy(), gradient[row].double().numpy())
        assert np.allclose(maps[row].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_small_maps_by_hand():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
    gradient = torch.tensor([[[[1.0, 0.0]], [[-1.0, 2.0]]]])
    by_hand = {
        # Mean gradients 1/2 and 1/2.
        "gradcam": [0.5 + 1.5, 1.0],
        "hirescam": [1.0 - 3.0, 0.0],
        "gradxact": [1.0, 0.0],
        "layercam": [1.0, 0.0],
        # alpha 1 / (2 + 3 * 1) for the first channel, 1 / (2 + 3 * 2) * 2 for the second.
        "gradcampp": [1 / 5 + 3 / 4, 2 / 5],
    }
    for name, expected in by_hand.items():
        assert torch.allclose(method(name).map(features, gradient), torch.tensor([[expected]])), name


@pytest.mark.parametrize("centred", [False, True])
def test_eigencam_is_the_projection_on_the_first_singular_vector(centred):
    features, gradient = values(shape=(3, 4, 2, 5))
    maps = method("eigencam", centred=centred).map(features, gradient)
    for row in range(3):
        matrix = features[row].double().flatten(1).T.numpy()
        matrix = matrix - matrix.mean(axis=0) if centred else matrix
        sizes, directions = np.linalg.eigh(matrix.T @ matrix)
        projected = (matrix @ directions[:, sizes.argmax()]).reshape(2, 5)
        projected *= np.sign(projected.flat[np.abs(projected).argmax()])
        assert np.allclose(maps[row].numpy(), projected, atol=1e-5)


def test_eigencam_of_positive_features_is_positive_and_asks_for_no_class():
    model, images = seeded(Plain), pictures()
    maps = attribute(model, images, "eigencam", target=0)
    assert (maps > -1e-6).all()
    assert torch.equal(maps, attribute(model, images, "eigencam", target=3))


@pytest.mark.parametrize("name", FAMILY)
def test_nothing_stays_nothing_and_no_number_stays_none(name):
    features, gradient = values()
    assert not method(name).map(torch.zeros_like(features), gradient).any()
    if name != "eigencam":
        assert not method(name).map(features, torch.zeros_like(gradient)).any()
    broken = features.clone()
    broken[1, 2, 3, 4] = torch.nan
    maps = method(name).map(broken, gradient.abs() + 0.1)
    assert maps[0].isfinite().all()
    assert maps[1].isnan().any()


@pytest.mark.parametrize("name", FAMILY)
def test_a_map_is_pure(name):
    features, gradient = values()
    kept = features.clone(), gradient.clone()
    maps = method(name).map(features.bfloat16().requires_grad_(), gradient.bfloat16())
    assert (maps.dtype, maps.requires_grad) == (torch.float32, False)
    assert torch.equal(method(name).map(features, gradient), method(name).map(*kept))
    assert torch.equal(features, kept[0])
    assert torch.equal(gradient, kept[1])


def test_gradcampp_has_no_answer_where_its_denominator_is_zero():
    features, gradient = torch.full((1, 1, 1, 2), -0.5), torch.full((1, 1, 1, 2), 2.0)
    assert method("gradcampp").map(features, gradient).isnan().all()


def test_gradcampp_knows_small_gradients():
    """At a millionth of the gradient alpha is 1/2: the map is a sum of positive gradients."""
    features, gradient = values()
    expected = (features * (0.5e-6 * gradient.relu()).sum((2, 3), keepdim=True)).sum(1)
    assert torch.allclose(method("gradcampp").map(features, gradient * 1e-6), expected, rtol=1e-3)


def test_one_sight_serves_all_maps():
    model, images = seeded(Plain), pictures()
    seen = capture(model, images)
    weights = torch.eye(K)[[4, 4, 4]]
    for name in FAMILY:
        assert torch.equal(method(name).of(seen, weights), attribute(model, images, name, target=4)), name


@pytest.mark.parametrize("name", [name for name in FAMILY if name != "eigencam"])
def test_the_target_decides(name):
    model, images, labels = seeded(Flat), pictures(size=(9, 11)), torch.tensor([3, 0, 5])
    by_label = attribute(model, images, name, target="label", labels=labels)
    assert torch.equal(attribute(model, images, name, target=labels), by_label)
    assert torch.equal(attribute(model, images, name, target=3)[0], by_label[0])
    assert not torch.allclose(attribute(model, images, name, target=1), by_label)
    with torch.no_grad():
        predicted = model.eval()(images).argmax(1)
    assert torch.equal(attribute(model, images, name), attribute(model, images, name, target=predicted))


def test_hirescam_and_cam_of_a_mixture_are_the_mixture():
    model, images = seeded(Plain), pictures()
    weights = torch.zeros(B, K)
    weights[:, 1], weights[:, 4] = 0.25, -2.0
    for name in ("hirescam", "cam"):
        one, four = (attribute(model, images, name, target=k) for k in (1, 4))
        assert torch.allclose(attribute(model, images, name, target=weights), 0.25 * one - 2 * four, atol=1e-6)


# CAM


@pytest.mark.parametrize(
    ("make", "size", "linear"),
    [
        (Plain, (40, 56), "fc"),
        pytest.param(resnet18, (40, 72), "fc", marks=pytest.mark.slow),
        (swin, (40, 56), "head"),
        (timm_swin, (32, 64), "head.fc"),
        (lambda: timm_vit(class_token=True, global_pool="avg", fc_norm=False), (48, 80), "head"),
    ],
)
def test_cam_adds_up_to_the_logit(make, size, linear):
    model, images = seeded(make), pictures(size=size)
    bias = model.get_submodule(linear).bias
    for label in (0, K - 1):
        maps = attribute(model, images, "cam", target=label)
        with torch.no_grad():
            assert torch.allclose(maps.mean((1, 2)) + bias[label], model.eval()(images)[:, label], atol=1e-5)
        hires = attribute(model, images, "hirescam", target=label)
        assert torch.allclose(maps, hires * maps[0].numel(), atol=1e-5)
        assert torch.allclose(maps.relu(), attribute(model, images, target=label) * maps[0].numel(), atol=1e-5)


class MaxPooled(Plain):
    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.fc(self.relu2(self.bn2(self.conv2(x))).amax((2, 3)))


class Beside(Plain):
    """A shortcut goes round the layer."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.fc(self.relu2(self.bn2(self.conv2(x))).mean((2, 3)) + x[:, :5].mean((2, 3)))


@pytest.mark.parametrize(("make", "size"), [(MaxPooled, (40, 56)), (Beside, (40, 56)), (Flat, (9, 11)), (vit, (64, 64)),
                                            (densenet, (40, 56))])  # fmt: skip
def test_cam_refuses_any_other_head(make, size):
    with pytest.raises(OverfocusError, match="hirescam"):
        attribute(seeded(make), pictures(size=size), "cam")


def test_cam_refuses_an_earlier_layer():
    with pytest.raises(OverfocusError, match="'relu1'"):
        attribute(seeded(Plain), pictures(), "cam", at="relu1")


# Score-CAM


def score_cam_slowly(model: nn.Module, layer: str, images: Tensor, label: int) -> Tensor:
    features, rows = capture(model, images, layer).features, []
    for image, maps in zip(images, features):
        scores = []
        for channel in maps:
            mask = nn.functional.interpolate(channel[None, None], image.shape[1:], mode="bilinear")[0, 0]
            if mask.max() == mask.min():
                scores.append(-torch.inf)
                continue
            with torch.no_grad():
                scores.append(
                    model.eval()(image[None] * (mask - mask.min()) / (mask.max() - mask.min()))[0, label].item()
                )
        share = torch.tensor(scores).softmax(0)
        rows.append(sum(w * channel for w, channel in zip(share, maps)).relu())
    return torch.stack(rows)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_scorecam_is_its_slow_reading_whatever_the_chunk(chunk):
    model, images = seeded(lambda: Plain(scale=5)), pictures()
    maps = ScoreCAM(chunk=chunk)(model, images, 2, at="bn1")
    assert maps.shape == (B, 20, 28)
    assert torch.allclose(maps, score_cam_slowly(model, "bn1", images, 2), atol=1e-5)


def test_scorecam_leaves_out_a_channel_that_is_the_same_everywhere():
    model, images = seeded(Plain), pictures()
    nn.init.zeros_(model.conv1.weight[2:3])
    nn.init.constant_(model.conv1.bias[2:3], 9.0)
    maps = attribute(model, images, "scorecam", target=0, at="relu1")
    assert torch.allclose(maps, score_cam_slowly(model, "relu1", images, 0), atol=1e-5)
    nn.init.zeros_(model.conv1.weight)
    assert attribute(model, images, "scorecam", at="relu1").isnan().all()


# Well-kept libraries

PARITY = [
    (Plain, (40, 56), "relu2"),
    (Plain, (41, 33), "bn1"),
    (Flat, (9, 11), "act"),
    pytest.param(resnet18, (65, 97), "layer4", marks=pytest.mark.slow),
]
LABELS = torch.tensor([3, 0, 5])


def held_off(make, louder: float = 1.0) -> nn.Module:
    """A model whose ReLUs write nowhere, since libraries keep the layer's output as it is written over; and with a
    louder linear layer, since they add 1e-6 to the denominator of Grad-CAM++.
    """
    model = seeded(make).eval()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(louder)
    return model


@pytest.mark.parametrize(("make", "size", "layer"), PARITY)
def test_captum_agrees(make, size, layer):
    model, images = held_off(make), pictures(size=size)
    module = model.get_submodule(layer)

    def ours(name: str) -> Tensor:
        return attribute(model, images, name, target=LABELS, at=layer)

    gradcam = LayerGradCam(model, module).attribute(images, LABELS, relu_attributions=True)[:, 0]
    assert torch.allclose(ours("gradcam"), gradcam, atol=1e-5)
    product = LayerGradientXActivation(model, module).attribute(images, LABELS)
    assert torch.allclose(ours("hirescam"), product.sum(1), atol=1e-5)
    assert torch.allclose(ours("gradxact"), product.relu().sum(1), atol=1e-5)
    assert gradcam.any()


@pytest.mark.parametrize(("make", "size", "layer"), PARITY)
@pytest.mark.parametrize("name", ["gradcam", "layercam", "cam"])
def test_torchcam_agrees(make, size, layer, name):
    """Not on Grad-CAM++: release 0.5.0 divides a copy there, so its weights are sums of cubed gradients."""
    torchcam = pytest.importorskip("torchcam.methods")
    if name == "cam" and layer not in ("relu2", "layer4"):
        pytest.skip("no mean pooling and linear layer behind")
    model, images = held_off(make, 30), pictures(size=size)
    kind = {"gradcam": "GradCAM", "layercam": "LayerCAM", "cam": "CAM"}[name]
    with getattr(torchcam, kind)(model, layer, **({"fc_layer": "fc"} if name == "cam" else {})) as extractor:
        scores = model(images)
        (theirs,) = extractor(LABELS.tolist(), scores, normalized=False)
    ours = attribute(model, images, name, target=LABELS, at=layer)
    assert theirs.any()
    assert (ours.relu() - theirs.relu()).abs().max() <= 1e-5 * theirs.max()


def test_torchcam_agrees_on_scorecam():
    """At a layer of the image's size, where it does not matter that it scales before it upsamples."""
    torchcam = pytest.importorskip("torchcam.methods")
    model, images = held_off(Flat, 30), pictures(size=(9, 11))
    with torchcam.ScoreCAM(model, "act", input_shape=(3, 9, 11)) as extractor:
        model(images)
        (theirs,) = extractor(LABELS.tolist(), normalized=False)
    ours = attribute(model, images, "scorecam", target=LABELS, at="act")
    assert theirs.any()
    assert torch.allclose(ours, theirs, atol=1e-5)


PEERS = {
    "gradcam": "GradCAM",
    "gradcampp": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "gradxact": "GradCAMElementWise",
    "eigencam": "EigenCAM",
    "scorecam": "ScoreCAM",
}


@pytest.mark.slow  # its import alone takes seconds
@pytest.mark.parametrize(("make", "size", "layer"), PARITY)
@pytest.mark.parametrize("name", PEERS)
def test_pytorch_grad_cam_agrees(make, size, layer, name):
    peer = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if name == "scorecam" and layer != "act":
        pytest.skip("it upsamples by corners")
    model, images = held_off(make, 1e4 if name == "gradcampp" else 30), pictures(size=size)
    targets = [ClassifierOutputTarget(int(label)) for label in LABELS]
    with getattr(peer, PEERS[name])(model, [model.get_submodule(layer)]) as extractor:
        theirs = extractor(images, targets)
    how = method(name, centred=True) if name == "eigencam" else method(name)
    ours = how(model, images, LABELS, at=layer)
    candidates = [ours.relu(), (-ours).relu()] if name == "eigencam" else [ours.relu()]  # its sign is by chance

    def brought_to_one(maps: Tensor) -> np.ndarray:
        return scale_cam_image(scale_cam_image(maps.numpy(), images.shape[:1:-1]))

    gaps = [np.abs(brought_to_one(maps) - theirs).reshape(B, -1).max(axis=1) for maps in candidates]
    # Features of both signs bring a denominator of Grad-CAM++ close to 0, where float32 decides.
    assert np.min(gaps, axis=0).max() <= (1e-3 if (name, layer) == ("gradcampp", "bn1") else 2e-5)
    assert theirs.any()


@pytest.mark.slow
@pytest.mark.parametrize("make", [vit, timm_vit], ids=["torchvision", "timm"])
def test_pytorch_grad_cam_agrees_on_tokens(make):
    peer = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    size = (64, 64) if make is vit else (48, 80)
    model, images = seeded(make).eval(), pictures(size=size)
    layer = capture(model, images).layer

    def reshape(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].reshape(B, size[0] // 16, size[1] // 16, -1).permute(0, 3, 1, 2)

    targets = [ClassifierOutputTarget(int(label)) for label in LABELS]
    with peer.GradCAM(model, [model.get_submodule(layer)], reshape_transform=reshape) as extractor:
        theirs = extractor(images, targets)
    ours = attribute(model, images, target=LABELS).numpy()
    assert np.abs(scale_cam_image(scale_cam_image(ours, size[::-1])) - theirs).max() <= 2e-5
    assert theirs.any()


def test_the_registry_makes_what_the_file_holds():
    assert method("cam") == CAM()
