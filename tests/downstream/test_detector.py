"""The detector: what it sees and returns, how it is trained, and how it is measured."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from overfocus.core.errors import OverfocusError
from overfocus.data.images import TensorImages
from overfocus.downstream.detect import DetectSettings, average_precision, mirrored, train_detector
from overfocus.downstream.detector import Anchors, Encoder, anchors_of, create_detector, shorter_side
from overfocus.downstream.objects import Objects
from overfocus.downstream.scenes import totem_scenes
from overfocus.models.zoo import create_model

CPU = torch.device("cpu")
ANCHORS = Anchors((12.0, 24.0), (0.5, 1.0, 2.0))


def network(name="overfocus_cnn", channels=3, **settings):
    settings = settings or ({"widths": [4, 8]} if name == "overfocus_cnn" else {})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create_model(name, 7, channels=channels, **settings)


def detector_of(model, channels=3, classes=5, side=40, seed=0, anchors=ANCHORS, **encoder):
    mean = [0.5] * channels
    return create_detector(Encoder(model, channels, **encoder), classes, anchors, side=side, mean=mean, std=mean,
                           seed=seed)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "channels", "settings", "at"),
    [
        ("overfocus_cnn", 3, {"widths": [4, 8]}, "@features"),
        ("overfocus_cnn", 1, {"widths": [4, 6, 8], "stem": "large"}, "@features"),
        ("resnet18", 3, {}, "@features"),
        ("resnet18", 3, {}, "layer2"),
    ],
)
def test_images_of_any_sizes_get_boxes_in_their_own_pixels(name, channels, settings, at):
    detector = detector_of(network(name, channels, **settings), channels, at=at).eval()
    detector.roi_heads.score_thresh = 0.0
    images = [torch.rand(channels, 40, 61), torch.rand(channels, 90, 45)]
    with torch.no_grad():
        found = detector(images)
    for image, each in zip(images, found, strict=True):
        height, width = image.shape[1:]
        assert len(each["boxes"]) > 0
        assert (each["boxes"] >= 0).all()
        assert (each["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert set(each["labels"].tolist()) <= set(range(1, 6)), "0 is for nothing"


@pytest.mark.parametrize("shape", [(40, 61), (61, 40), (40, 300)])
def test_the_encoder_sees_the_size_that_was_asked_for(shape):
    seen = []
    detector = detector_of(network()).eval()
    detector.backbone.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[-2:])))
    with torch.no_grad():
        detector([torch.rand(3, *shape)])
    # Not 800 pixels; and a panorama's longer side is four times the 40 that were asked for.
    assert seen == [shape if max(shape) <= 160 else (21, 160)]


def test_a_detector_has_the_encoder_and_its_normalisation_as_they_were():
    model = network("resnet18")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    detector = detector_of(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert detector.transform.image_mean == [0.5] * 3
    images = torch.rand(2, 3, 40, 40)
    model.eval()
    detector.eval()
    pooled = detector.backbone(images).mean(dim=(2, 3))
    assert torch.allclose(model.fc(pooled), model(images), atol=1e-5), "what the classifier's last layer sees"


def test_heads_depend_on_their_seed_alone():
    first, other = detector_of(network()), detector_of(network(), seed=1)
    torch.manual_seed(123)
    again = detector_of(network())
    state = first.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
    assert not torch.equal(other.rpn.head.cls_logits.weight, first.rpn.head.cls_logits.weight)
    assert torch.equal(other.backbone.model.fc.weight, first.backbone.model.fc.weight)


def test_a_network_without_a_map_is_refused():
    with pytest.raises(OverfocusError, match="which is no map"):
        Encoder(network(), 3, at="flatten")


def test_frozen_norms_stay_as_they_came():
    scenes = totem_scenes(4, 1)
    for frozen in (True, False):
        detector = detector_of(network(), classes=10, side=80, frozen_norm=frozen)
        norms = [module for module in detector.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        before = [(norm.running_mean.clone(), norm.weight.detach().clone()) for norm in norms]
        list(train_detector(detector, scenes.train, DetectSettings(epochs=1, batch=2), 0, CPU))
        same = [torch.equal(norm.running_mean, mean) and torch.equal(norm.weight, weight)
                for norm, (mean, weight) in zip(norms, before, strict=True)]  # fmt: skip
        assert all(same) if frozen else not any(same)


def trained(seed=0, **settings):
    scenes = totem_scenes(6, 1)
    detector = detector_of(network(), classes=10, side=80)
    told = list(train_detector(detector, scenes.train, DetectSettings(epochs=2, batch=4, **settings), seed, CPU))
    return [epoch.loss for epoch in told], torch.cat(
        [value.flatten().float() for value in detector.state_dict().values()]
    )


def test_training_depends_on_its_seed_alone_and_leaves_the_global_state():
    loss, weights = trained()
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert trained()[0] == loss
    again = trained()[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(again, weights)
    assert not torch.equal(trained(seed=1)[1], weights)
    assert not torch.equal(trained(flip=True)[1], weights)


def test_an_encoder_with_a_rate_of_nothing_stays_and_its_heads_learn():
    scenes = totem_scenes(4, 1)
    detector = detector_of(network(), classes=10, side=80)
    before = {name: value.detach().clone() for name, value in detector.named_parameters()}
    list(train_detector(detector, scenes.train, DetectSettings(epochs=1, encoder_lr=0.0), 0, CPU))
    for name, value in detector.named_parameters():
        if name.startswith("backbone"):
            assert torch.equal(value, before[name]), name
    assert not torch.equal(detector.rpn.head.cls_logits.weight, before["rpn.head.cls_logits.weight"])


def test_a_loss_that_is_no_number_is_told():
    detector = detector_of(network(), classes=10, side=80)
    with torch.no_grad():
        detector.rpn.head.cls_logits.weight.fill_(float("nan"))
    with pytest.raises(OverfocusError, match="lower the learning rate"):
        list(train_detector(detector, totem_scenes(2, 1).train, DetectSettings(epochs=1), 0, CPU))


def test_a_mirrored_box_holds_the_same_pixels():
    scenes = totem_scenes(3, 1).train
    image, boxes = scenes.images.read(0), scenes.boxes[0]
    turned, moved = mirrored(image, boxes)
    assert (moved[:, 2] > moved[:, 0]).all()
    for (x0, y0, x1, y1), (a0, b0, a1, b1) in zip(boxes.tolist(), moved.tolist(), strict=True):
        assert torch.equal(turned[:, b0:b1, a0:a1].flip(-1), image[:, y0:y1, x0:x1])


def test_anchors_are_like_the_boxes_at_the_scale_that_is_seen():
    scenes = totem_scenes(20, 1).train
    assert shorter_side(scenes) == 80
    at_once, larger = anchors_of(scenes, 80), anchors_of(scenes, 160)
    assert at_once.sizes == pytest.approx([(12 * 36) ** 0.5])
    assert at_once.ratios == larger.ratios == pytest.approx([3.0])
    assert larger.sizes == pytest.approx([2 * (12 * 36) ** 0.5])
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 20, 20], [0, 0, 40, 10]])
    three = Objects(TensorImages(torch.zeros(1, 3, 50, 90, dtype=torch.uint8)), [boxes], [torch.zeros(3).long()])
    assert len(anchors_of(three, 50).sizes) == 2, "two of three areas are the same"
    assert anchors_of(three, 50).ratios == pytest.approx([0.5, 1.0], abs=0.02)


class Canned(nn.Module):
    """Answers with the boxes that it was given, whatever it sees."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def forward(self, images):
        return [self.answers.pop(0) for _ in images]


def found(*rows):
    boxes, scores, labels = zip(*rows, strict=True)
    return {"boxes": torch.tensor(boxes).float(), "scores": torch.tensor(scores), "labels": torch.tensor(labels)}


SQUARE, FAR, OTHER = (0, 0, 10, 10), (40, 40, 50, 50), (20, 20, 30, 30)
TRUTH = Objects(
    TensorImages(torch.zeros(3, 3, 60, 60, dtype=torch.uint8)),
    [torch.tensor([SQUARE, FAR, OTHER]), torch.tensor([SQUARE]), torch.zeros(0, 4, dtype=torch.int64)],
    [torch.tensor([0, 0, 1]), torch.tensor([0]), torch.zeros(0, dtype=torch.int64)],
)


def test_average_precision_is_as_counted_by_hand():
    """Class 0 has three objects: a hit, a miss, a hit, so precision 1 up to recall 1/3 and 2/3 up to 2/3: of 101
    points of recall 34 and 33. Class 1 has one, overlapped by 0.72: a hit at 0.5 to 0.7, five thresholds of ten.
    """
    pytest.importorskip("pycocotools")
    detector = Canned(
        found((SQUARE, 0.9, 1), ((20, 20, 30, 27.2), 0.5, 2)),
        found(((30, 30, 40, 40), 0.8, 1), (SQUARE, 0.7, 1)),
        {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)},
    )
    of_0 = (34 + 33 * 2 / 3) / 101
    measured = average_precision(detector, TRUTH, 2, CPU)
    assert measured == pytest.approx({"mAP": (of_0 + 0.5) / 2, "AP50": (of_0 + 1) / 2, "AP75": of_0 / 2}, abs=1e-5)


def test_the_right_boxes_of_the_wrong_class_are_worth_nothing():
    pytest.importorskip("pycocotools")
    of_others = [found((SQUARE, 0.9, 2), (FAR, 0.9, 2), (OTHER, 0.9, 1)), found((SQUARE, 0.9, 2)), found((FAR, 0.9, 2))]
    assert average_precision(Canned(*of_others), TRUTH, 8, CPU)["mAP"] == 0
    right = [found((SQUARE, 0.9, 1), (FAR, 0.9, 1), (OTHER, 0.9, 2)), found((SQUARE, 0.9, 1)), found((FAR, 0.1, 1))]
    assert average_precision(Canned(*right), TRUTH, 8, CPU)["mAP"] == pytest.approx(1)


@pytest.mark.slow
def test_a_detector_learns_a_few_scenes_by_heart():
    pytest.importorskip("pycocotools")
    scenes = totem_scenes(6, 1)
    one = replace(scenes, train=replace(scenes.train, labels=[label * 0 for label in scenes.train.labels])).train
    detector = detector_of(network(widths=[8, 16, 32]), classes=1, side=80, anchors=anchors_of(one, 80))
    settings = DetectSettings(epochs=40, batch=2)
    losses = [epoch.loss for epoch in train_detector(detector, one, settings, 0, CPU)]
    assert losses[-1] < losses[0] / 2
    assert average_precision(detector, one, 2, CPU)["AP50"] > 0.6
