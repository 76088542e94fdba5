import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from overfocus.attribution.head import Head, held
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.models.split import split

B, C, H, W, K = 5, 6, 3, 4, 7


class PooledLinear(nn.Module):
    def __init__(self, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.drop, self.fc = nn.Dropout(dropout), nn.Linear(C, K, bias=bias)

    def forward(self, z: Tensor) -> Tensor:
        return self.fc(self.drop(z.mean((2, 3)) if z.ndim == 4 else z))


class MaxPooled(PooledLinear):
    def forward(self, z: Tensor) -> Tensor:
        return self.fc(z.amax((2, 3)))


class Scaled(PooledLinear):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z) * 1.01


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop, self.fc = nn.BatchNorm2d(C), nn.Dropout(0.5), nn.Linear(C, K)

    def forward(self, z: Tensor) -> Tensor:
        return self.fc(self.drop(self.norm(z).mean((2, 3))))


def seeded(make) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def call(model: nn.Module, z: Tensor) -> Tensor:
    return model(z)


def features(*shape: int) -> Tensor:
    shape = shape or (B, C, H, W)
    return Key.seeded(1).normal(shape[0], torch.Size(shape[1:]).numel()).reshape(shape).relu()


@pytest.fixture
def mixed() -> Targets:
    own = Targets.of(torch.arange(B) % K)
    return own.blend(own.take(torch.tensor([3, 2, 1, 0, 0])), torch.tensor([0.2, 1.0, 0.5, 0.7, 0.0]))


def by_autograd(model: nn.Module, z: Tensor, targets: Targets, target: str) -> Tensor:
    leaf = z.clone().requires_grad_()
    logits = model(leaf)
    weights = {
        "label": targets.dense(K),
        "soft": logits.softmax(1).detach(),
        "predicted": nn.functional.one_hot(logits.argmax(1), K),
    }[target]
    return (torch.autograd.grad((logits * weights).sum(), leaf)[0] * z).relu()


@pytest.mark.parametrize("target", ["label", "soft", "predicted"])
@pytest.mark.parametrize("shape", [(B, C, H, W), (B, C, 1, 1), (B, C)])
def test_the_closed_form_is_the_gradient(target, shape, mixed):
    model = seeded(PooledLinear)
    head, z = Head.of(model, call), features(*shape)
    assert head.linear == "fc"
    answer = head.attribute(model, z, mixed, target)
    assert torch.allclose(answer.attribution, by_autograd(model, z, mixed, target), atol=1e-7)
    assert torch.allclose(answer.logits, model(z), atol=1e-6)


@pytest.mark.parametrize("target", ["label", "soft", "predicted"])
@pytest.mark.parametrize("kind", [MaxPooled, Scaled, Normed])
def test_any_other_head_is_run_by_itself(target, kind, mixed):
    model = seeded(kind)
    head, z = Head.of(model, call), features()
    assert head.linear == ""
    answer = head.attribute(model, z, mixed, target)
    assert torch.allclose(answer.attribution, by_autograd(model.eval(), z, mixed, target), atol=1e-6)
    assert torch.allclose(answer.logits, model(z), atol=1e-6)


def test_the_gradient_path_compiles_to_the_same(mixed):
    model = seeded(Scaled)
    head, z = Head.of(model, call), features()
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda z: head.attribute(model, z, mixed, "label").attribution, backend="eager", fullgraph=True
    )
    assert torch.allclose(compiled(z), head.attribute(model, z, mixed, "label").attribution, atol=1e-7)


def test_what_a_pooled_linear_head_attributes_adds_up_to_the_logit():
    model, z = seeded(PooledLinear), features()
    head = Head.of(model, call)
    for label in range(K):
        targets = Targets.of(torch.full((B,), label))
        # Before its ReLU, the map is that of z minus that of -z.
        signed = (
            head.attribute(model, z, targets, "label").attribution
            - head.attribute(model, -z, targets, "label").attribution
        )
        assert torch.allclose(signed.sum((1, 2, 3)) + model.fc.bias[label], model(z)[:, label], atol=1e-6)


def test_a_head_without_bias_and_with_dropout_is_still_one():
    assert Head.of(seeded(lambda: PooledLinear(bias=False)), call).linear == "fc"
    assert Head.of(seeded(lambda: PooledLinear(dropout=0.5)), call).linear == "fc"


WELL_KNOWN = {
    "resnet18": "fc",
    "efficientnet_b0": "classifier.1",
    "timm:resnet18": "fc",
    "mobilenet_v3_small": "",
    "squeezenet1_0": "",
}
MORE = {"densenet121": "classifier", "vgg11": "", "convnext_tiny": "", "regnet_y_400mf": "fc", "timm:convnext_atto": ""}


def well_known(name: str) -> nn.Module:
    if name.startswith("timm:"):
        return timm.create_model(name.removeprefix("timm:"), num_classes=K)
    return torchvision.models.get_model(name, num_classes=K)


def check_the_proof(name: str, linear: str) -> None:
    model = seeded(lambda: well_known(name))
    modes = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert Head.of(model, split(model).classify).linear == linear
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("name", "linear"), WELL_KNOWN.items())
def test_the_proof_knows_the_heads_of_well_known_models(name, linear):
    check_the_proof(name, linear)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "linear"), MORE.items())
def test_the_proof_knows_more_heads(name, linear):
    check_the_proof(name, linear)


def test_a_look_leaves_no_trace(mixed):
    model = seeded(Normed).train()
    model.norm.eval()  # frozen by the user
    head, z = Head.of(model, call), features().requires_grad_()
    before = model.norm.running_mean.clone(), torch.get_rng_state()
    answer = head.attribute(model, z, mixed, "label")
    assert not answer.attribution.requires_grad
    assert not answer.logits.requires_grad
    assert z.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(model.norm.running_mean, before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert (model.norm.training, model.drop.training, model.training) == (False, True, True)


def test_held_gives_back_each_mode_also_after_an_error():
    model = seeded(Normed).train()
    model.norm.eval()
    with held(model, ("norm", "drop")):
        assert not model.drop.training
    assert model.drop.training
    with pytest.raises(ZeroDivisionError), held(model, ("norm", "drop")):
        raise ZeroDivisionError
    assert (model.norm.training, model.drop.training) == (False, True)


def test_half_precision_keeps_its_type(mixed):
    model = seeded(PooledLinear).bfloat16()
    z = features().bfloat16()
    answer = Head.of(model, call).attribute(model, z, mixed, "label")
    assert answer.attribution.dtype == torch.bfloat16
    assert torch.allclose(answer.attribution.float(), by_autograd(model, z, mixed, "label").float(), atol=0.02)
