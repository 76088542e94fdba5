"""SGDrop in whole networks against a literal version: one image at a time, autograd through the written-out head."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.models.zoo import create_model
from overfocus.regularizers.spec import parse
from overfocus.training.objective import Objective

B, K, SIDE, RATE = 3, 5, 72, 0.05


def resnet18(model: nn.Module, x: Tensor) -> Tensor:
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


NETS = {
    "resnet18": (resnet18, lambda model, z: model.fc(z.mean((2, 3)))),
    "vgg11": (
        lambda model, x: model.features(x),
        lambda model, z: model.classifier(F.adaptive_avg_pool2d(z, 7).flatten(1)),
    ),
    "convnext_tiny": (
        lambda model, x: model.features(x),
        lambda model, z: model.classifier(z.mean((2, 3), keepdim=True)),
    ),
}
SPECS = [
    "sgdrop(drop=0.4, prob=1.0)",
    "sgdrop(drop=0.4, prob=1.0, views='both')",
    "sgdrop(drop=0.4, prob=1.0, views='both', teacher='ema')",
]


def network(name: str) -> nn.Module:
    """In float64, without the draws of the network itself."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model(name, K)
        if name == "vgg11":  # a hundred million weights, several times over in float64, would fill the memory
            model.classifier = nn.Sequential(nn.Linear(512 * 49, 32), nn.ReLU(), nn.Linear(32, K))
        model = model.double()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if type(module).__name__ == "StochasticDepth":
            module.p = 0.0
    return model.train()


def kept(head, model: nn.Module, z: Tensor, label: int, drop: float) -> Tensor:
    """1 where a position [h, w] of the features `z` [C, h, w] stays, 0 where it goes."""
    leaf = z[None].detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(head(model, leaf)[0, label], leaf)
    evidence = torch.clamp(gradient[0] * z.detach(), min=0).sum(0)
    places = sorted((float(evidence[i, j]), i, j) for i in range(len(evidence)) for j in range(evidence.shape[1]))
    mask = torch.ones_like(evidence)
    for value, i, j in places[::-1][: int(drop * len(places))]:
        mask[i, j] = 0.0 if value > 0 else 1.0
    return mask


def literal_step(name, model, teacher, images, labels, both: bool, smoothing: float) -> Tensor:
    encode, head = NETS[name]
    z = encode(model, images)
    judge, seen = (model, z) if teacher is None else (teacher, encode(teacher, images))
    masks = [kept(head, judge, seen[row], int(labels[row]), 0.4) for row in range(len(images))]
    views = [z * torch.stack(masks)[:, None]]
    views = [z, *views] if both else views
    losses = [
        F.cross_entropy(head(model, view[row : row + 1]), labels[row : row + 1], label_smoothing=smoothing)
        for view in views
        for row in range(len(images))
    ]
    return torch.stack(losses).mean()


def follow(teacher: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    keep, ours = min(decay, (1 + step) / (10 + step)), model.state_dict()
    for entry, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.mul_(keep).add_((1 - keep) * ours[entry])
        else:
            value.copy_(ours[entry])


def close(one: Tensor, other: Tensor) -> None:
    """Equal but for the loss of a step, which the objective takes in float32."""
    assert float((one.double() - other).abs().max()) <= 1e-5 * float(other.double().abs().max()) + 1e-9


def same(one: nn.Module, other: nn.Module) -> None:
    theirs = other.state_dict()
    for entry, value in one.state_dict().items():
        close(value, theirs[entry])


EACH = [
    pytest.param(name, spec, marks=[] if name == "resnet18" and "ema" in spec else [pytest.mark.slow])
    for name in NETS
    for spec in SPECS
]


@pytest.mark.parametrize(("name", "spec"), EACH)
def test_sgdrop_is_its_literal_version(name, spec):
    """Losses, gradients, weights after each step, buffers and teacher, over two steps, with smoothed labels."""
    model, both, smoothing = network(name), "both" in spec, 0.1
    literal = deepcopy(model)
    teacher = deepcopy(model).eval().requires_grad_(False) if "ema" in spec else None
    objective = Objective(model, parse(spec), smoothing=smoothing, decay=0.9)
    for step in range(2):
        images = torch.randn(B, 3, SIDE, SIDE + 32, generator=torch.Generator().manual_seed(step)).double()
        labels = torch.tensor([4, 0, 2 + step])
        if teacher is not None:
            follow(teacher, literal, step, 0.9)
        expected = literal_step(name, literal, teacher, images, labels, both, smoothing)
        loss = objective(images, labels)
        assert abs(loss.item() - expected.item()) < 1e-5 * expected.item()
        assert float(objective.last["sgdrop_dropped"].min()) > 0.1
        for net, value in ((literal, expected), (model, loss)):
            net.zero_grad()
            value.backward()
        for ours, theirs in zip(model.parameters(), literal.parameters(), strict=True):
            close(ours.grad, theirs.grad)
        with torch.no_grad():
            for net in (model, literal):
                for value in net.parameters():
                    value -= RATE * value.grad
        same(model, literal)
        if teacher is not None:
            same(objective.teacher, teacher)


def test_the_literal_version_tells_a_mask_that_is_turned_round(monkeypatch):
    from overfocus.regularizers import sgdrop

    right = sgdrop.keep_mask
    monkeypatch.setattr(sgdrop, "keep_mask", lambda scores, drop: right(scores.amax(1, keepdim=True) - scores, drop))
    with pytest.raises(AssertionError):
        test_sgdrop_is_its_literal_version("resnet18", SPECS[0])
