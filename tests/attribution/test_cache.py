import gc
from collections.abc import Callable

import pytest
import torch
from torch import nn

from overfocus.attribution import cache as memo
from overfocus.attribution.cache import cached
from overfocus.attribution.catalogue import attribute
from overfocus.attribution.features import features_layer


def small() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3))
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)).eval()


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "a step": lambda model: model[3].weight.add_(0.1),
    "another tensor": lambda model: setattr(model[3].weight, "data", torch.ones(5, 6)),
    "a loaded state": lambda model: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}),
    "a buffer": lambda model: model[0][1].running_mean.add_(1),
    "a module replaced": lambda model: model.__setitem__(1, nn.AdaptiveMaxPool2d(1)),
    "a module added": lambda model: model.append(nn.Identity()),
    "a setting": lambda model: setattr(model[0][1], "eps", 0.5),
    "a hook": lambda model: model[0].register_forward_hook(lambda *_: None),
    "a hook before": lambda model: model[0].register_forward_pre_hook(lambda *_: None),
}


def test_the_same_is_asked_once_and_another_question_is_another():
    model, asked = small(), []
    for question in ("a", "b", "a", "b"):
        assert cached(model, question, lambda question=question: asked.append(question) or question) == question
    assert asked == ["a", "b"]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_model_is_asked_anew(change):
    model = small()
    assert cached(model, "q", lambda: "before") == "before"
    with torch.no_grad():
        change(model)
    assert cached(model, "q", lambda: "after") == "after"
    assert cached(model, "q", lambda: "later") == "after"


def test_empty_answers_errors_and_tensors_without_a_count_are_not_kept():
    model = small()
    assert cached(model, "q", lambda: "") == ""
    with pytest.raises(ZeroDivisionError):
        cached(model, "q", lambda: 1 / 0)
    assert cached(model, "q", lambda: "found") == "found"
    with torch.inference_mode():
        uncounted = small()
    assert cached(uncounted, "q", lambda: "one") == "one"
    assert cached(uncounted, "q", lambda: "two") == "two"


def test_a_model_is_not_kept_alive():
    model = small()
    features_layer(model, torch.rand(1, 3, 9, 8))
    count = len(memo._KNOWN)
    del model
    gc.collect()
    assert len(memo._KNOWN) < count


@pytest.mark.parametrize(("method", "passes"), [("gradcam", 1), ("cam", 1)])
def test_a_second_batch_costs_one_forward(method, passes):
    model, images, seen = small(), torch.rand(4, 3, 20, 17), []
    first = attribute(model, images, method)
    handle = model[3].register_forward_hook(lambda *_: seen.append(1))
    attribute(model, images, method)  # the hook makes it another model
    seen.clear()
    assert torch.equal(attribute(model, images, method), first)
    assert len(seen) == passes
    handle.remove()


def test_a_batch_without_a_gradient_does_not_decide_for_the_next():
    model = small()
    with torch.no_grad():
        model[0].append(nn.ReLU())
        model[0][3].bias.fill_(-0.2)
        model[0][3].weight.abs_()
        model[0][1].running_mean.fill_(-0.001)
    dark, light = torch.full((2, 3, 9, 8), -100.0), torch.rand(2, 3, 9, 8) * 10
    features_layer(model, dark)
    assert features_layer(model, light) == "0"
