import pytest
import torch

import overfocus as of
from overfocus.core.batch import Batch

SHAPE, CLASSES = (6, 3, 10, 14), 5
FUNCTIONS = {of.cutmix: "cutmix(prob=1.0)", of.mixup: "mixup", of.cutout: "cutout(size=5)"}


@pytest.fixture
def images():
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.tensor([4, 0, 1, 3, 2, 2])


def seeded(seed=7):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("function", "spec"), FUNCTIONS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_function_is_the_method_with_a_draw_from_the_generator(images, labels, function, spec):
    before, settings = images.clone(), {"size": 5} if "cutout" in spec else {}
    found, targets = function(images, labels, generator=seeded(), **settings)
    seed = int(torch.randint(2**62, (), generator=seeded()))
    expected = of.parse(spec).on_batch(Batch(images, of.Targets.of(labels)), of.Key.seeded(seed))
    assert torch.equal(found, expected.images)
    assert torch.equal(targets.dense(CLASSES), expected.targets.dense(CLASSES))
    assert not torch.equal(found, images)
    assert torch.equal(images, before)
    again, _ = function(images, labels, generator=seeded(8), **settings)
    assert not torch.equal(again, found)


def test_without_a_generator_the_seed_of_torch_counts(images, labels):
    torch.manual_seed(3)
    first, _ = of.cutmix(images, labels)
    second, _ = of.cutmix(images, labels)
    torch.manual_seed(3)
    assert torch.equal(of.cutmix(images, labels)[0], first)
    assert not torch.equal(first, second)


def test_functions_chain_and_take_soft_labels_and_settings(images, labels):
    mixed, targets = of.mixup(*of.cutmix(images, labels, generator=seeded()), generator=seeded(), alpha=0.4)
    assert targets.labels.shape == (6, 4)
    assert torch.allclose(targets.weights.sum(1), torch.ones(6))
    soft = torch.nn.functional.one_hot(labels, CLASSES).float()
    same, of_soft = of.cutmix(images, soft, generator=seeded())
    hard, of_hard = of.cutmix(images, labels, generator=seeded())
    assert torch.equal(same, hard)
    assert torch.allclose(of_soft.dense(CLASSES), of_hard.dense(CLASSES))
    assert torch.equal(of.cutmix(images, labels, prob=0.0)[0], images)
    assert mixed.shape == SHAPE


def test_what_a_function_cannot_do_it_says(images, labels):
    with pytest.raises(of.OverfocusError, match=r"of\.Objective"):
        of.cutmix(images, labels, at="layer3")
    with pytest.raises(of.OverfocusError, match="6 images and 5 targets"):
        of.mixup(images, labels[:5])
    with pytest.raises(of.OverfocusError, match="prob=2"):
        of.cutout(images, labels, prob=2)
