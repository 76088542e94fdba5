"""The examination as a whole: leaves no trace, is the same in any batch, and takes what people have."""

import pytest
import torch
from nets import Spots, marked
from torch import nn

import overfocus as of
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.data.groups import ImageGroups
from overfocus.diagnosis.catalogue import DEFAULT, SECTIONS
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.section import Section
from overfocus.diagnosis.sections.hiding import KINDS, Hiding

NAMES = list(DEFAULT)


def net(channels=3, classes=4):
    """A small network with everything that a look could disturb."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, padding=1),
        nn.Dropout(0.5), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
    )  # fmt: skip


def pictures(count=12, channels=3, size=(10, 14), seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, *size, generator=source), torch.arange(count) % 4


def sampled(batch=5, **options):
    pixels, labels = pictures(**options)
    left = torch.zeros(len(labels), *pixels.shape[2:], dtype=torch.bool)
    left[:, :, :5] = True
    boxes = [torch.tensor([[0, 0, 5, 8]]) for _ in labels]
    groups = ImageGroups("site", ("p", "q"), torch.arange(len(labels)) // 2 % 2)
    masks = {"left": left, "right": ~left}
    return from_pixels(pixels, labels, tuple("abcd"), batch=batch, masks=masks, boxes=boxes, groups=groups)


@pytest.fixture(scope="module")
def whole():
    return of.diagnose(net().train(), sampled(), seed=3)


def test_every_section_is_asked_and_speaks(whole):
    assert [finding.name for finding in whole.findings] == NAMES
    for finding in whole.findings:
        assert finding.sentence.endswith((".", "]")), finding.sentence
        assert "nan" not in finding.sentence.lower()
        assert finding.scores
        for name, score in finding.scores.items():
            assert score.n > 0 or score.note, f"{finding.name} {name}: no number and no reason"
            assert score.metric.formula
            if score.answered and score.low == score.low:
                assert score.low - 1e-9 <= score.high


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 12])
def test_numbers_do_not_depend_on_the_batch(whole, batch):
    other = of.diagnose(net(), sampled(batch=batch), seed=3)
    for finding in whole.findings:
        for name, score in finding.scores.items():
            again = other[finding.name][name]
            assert again.n == score.n
            assert again.value == pytest.approx(score.value, abs=1e-4, nan_ok=True), f"{finding.name} {name}"


def test_another_seed_draws_anew(whole):
    other = of.diagnose(net(), sampled(), seed=4, only=["outliers"])
    same = [
        torch.equal(other.evidence.tensor(f"outliers/{kind}"), whole.evidence.tensor(f"outliers/{kind}"))
        for kind in whole.evidence.below("outliers")
    ]
    assert not any(same)


def test_the_model_is_left_as_it_was():
    model = net().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, wanted = torch.get_rng_state(), [each.requires_grad for each in model.parameters()]
    of.diagnose(model, sampled())
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model] == [True, False] + [True] * 7
    assert [each.requires_grad for each in model.parameters()] == wanted
    assert all(each.grad is None for each in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_it_is_given_back_after_an_error_too():
    class Fails(Section):
        name, title, question = "hiding", "fails", "?"

        def settings(self):
            return {}

        def collect(self, classifier, sample, evidence, tick):
            raise ZeroDivisionError

        def evaluate(self, evidence):
            raise AssertionError

    model = net().train()
    with pytest.raises(ZeroDivisionError):
        of.diagnose(model, sampled(), only=["hiding"], sections=[Fails()])
    assert all(module.training for module in model.modules())
    assert all(each.requires_grad for each in model.parameters())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_grey_and_single_images_give_numbers_or_reasons(channels, count):
    pixels, labels = pictures(count, channels)
    found = of.diagnose(net(channels), from_pixels(pixels, labels, tuple("abcd")), limit=0)
    text = str(found)
    assert "nan" not in text.replace("none", "").lower().replace("finance", "")
    assert {finding.name for finding in found.findings} | set(found.skipped) == set(NAMES)


def test_a_compiled_model_is_examined_like_the_plain_one(whole):
    model = torch.compile(net().eval(), backend="eager")
    model(torch.rand(2, 3, 10, 14))
    found = of.diagnose(model, sampled(), seed=3, only=["spread", "hiding"])
    for name, score in found["spread"].items():
        assert score.value == pytest.approx(whole["spread"][name].value, abs=1e-5)


def test_a_loader_is_enough():
    pixels, labels = pictures()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pixels, labels), batch_size=4)
    for limit, count in ((0, 12), (5, 5)):
        found = of.diagnose(net(), loader, limit=limit, classes=tuple("abcd"), only=["confidence"])
        assert found["confidence"]["accuracy"].n == count


class SometimesNaN(nn.Module):
    """Answers NaN to bright images."""

    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        return torch.where(x.mean(dim=(1, 2, 3))[:, None] > 0.5, torch.nan, self.net(x))


def test_an_answer_that_is_no_number_is_never_right():
    sample = sampled()
    pixels = torch.cat([portion.pixels for portion in sample.batches(None)])
    bright = pixels.mean(dim=(1, 2, 3)) > 0.5
    assert 0 < bright.sum() < 12
    found = of.diagnose(SometimesNaN(), sample)
    assert f"{int(bright.sum())} of them have logits that are not numbers" in found.evidence.about["sample"]
    for kind in KINDS:
        right = found.evidence.tensor(f"hiding/{kind}/right")
        assert not right[0, bright].nan_to_num(0).any()
    clean = next(each for each in found.findings if each.name == "robustness").per_image["clean"][1]
    assert not clean[bright].any()
    assert found["confidence"]["accuracy"].n == 12 - int(bright.sum())


def test_a_class_without_images_has_no_answer_and_the_others_do():
    pixels, labels = pictures()
    found = of.diagnose(net(), from_pixels(pixels, labels % 2, tuple("abcd")), only=["spread"])
    by_class = found.as_dict(per_class=True)["sections"]["spread"]["per_class"]
    assert by_class["d"]["entropy_true"]["value"] is None
    assert by_class["d"]["entropy_true"]["n"] == 0
    assert by_class["a"]["entropy_true"]["n"] > 0


def test_images_that_were_not_asked_about_are_not_said_to_be_left_out():
    from overfocus.diagnosis.sections.robustness import Robustness

    found = of.diagnose(net(), sampled(), only=["robustness"], sections=[Robustness(images=8)])
    for score in found["robustness"].values():
        assert (score.n, score.note) == (8, "")
    by_class = found.as_dict(per_class=True)["sections"]["robustness"]["per_class"]
    assert [scores["clean"]["n"] for scores in by_class.values()] == [2, 2, 2, 2]
    assert not any(scores["clean"]["note"] for scores in by_class.values())


def test_progress_is_reported_to_its_end():
    reported = {}

    def on_progress(title, done, total):
        reported.setdefault(title, []).append((done, total))

    of.diagnose(net(), sampled(), on_progress=on_progress)
    assert list(reported) == ["Maps", *(SECTIONS[name].title for name in DEFAULT)]
    for title, steps in reported.items():
        assert steps[-1][0] == steps[-1][1], title
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_the_old_name_of_on_progress_still_works():
    titles = []
    with pytest.warns(DeprecationWarning, match="on_progress"):
        of.diagnose(net(), sampled(), only=["spread"], watch=lambda title, done, total: titles.append(title))
    assert titles[-1] == "Spread"


def test_what_does_not_fit_is_told():
    with pytest.raises(OverfocusError, match="4 classes"):
        of.diagnose(net(classes=7), sampled())
    grey = from_pixels(torch.rand(4, 1, 10, 14), torch.arange(4), tuple("abcd"))
    with pytest.raises(OverfocusError, match="given images of 1 channels and 10 x 14 pixels"):
        of.diagnose(net(channels=3), grey)
    with pytest.raises(UnknownName, match="spread"):
        of.diagnose(net(), sampled(), only=["spred"])
    with pytest.raises(UnknownName):
        of.diagnose(net(), sampled(), at="layer9")


class TestHiding:
    def test_each_kind_hides_as_many_pixels_and_each_pixel_once(self):
        from overfocus.core.key import Key
        from overfocus.diagnosis.hiding_orders import hidden, orders_of

        maps = torch.rand(3, 6, 9)
        for _, order in orders_of(maps, Key.seeded(0).at(torch.arange(3))):
            assert (order.sort(dim=1).values == torch.arange(54)).all()
            gone = hidden(torch.zeros(3, 1, 6, 9), order, 1 / 3, torch.ones(1, 1, 1))
            assert gone.sum(dim=(1, 2, 3)).tolist() == [18, 18, 18]

    def test_salient_and_least_are_what_they_say(self):
        from overfocus.core.key import Key
        from overfocus.diagnosis.hiding_orders import orders_of

        maps = torch.rand(2, 5, 7)
        orders = dict(orders_of(maps, Key.seeded(0).at(torch.arange(2))))
        flat = maps.flatten(1)
        assert (orders["salient"] == 0).nonzero()[:, 1].tolist() == flat.argmax(dim=1).tolist()
        assert (orders["least"] == 0).nonzero()[:, 1].tolist() == flat.argmin(dim=1).tolist()
        middle = (orders["centre"] == 0).view(2, 5, 7)
        assert middle[:, 2, 3].all()
        corners = orders["border"].view(2, 5, 7)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners < 24).all()  # the frame is of 20 pixels, of which some tie with the next

    def test_the_control_has_the_same_shape_elsewhere(self):
        from overfocus.core.key import Key
        from overfocus.diagnosis.hiding_orders import elsewhere

        maps = torch.rand(40, 5, 8)
        moved = elsewhere(maps, Key.seeded(1).at(torch.arange(40)))
        for one, other in zip(maps, moved, strict=True):
            candidates = [
                flipped.roll((y, x), (0, 1))
                for flipped in (one, one.flip(0), one.flip(1), one.flip(0, 1))
                for y in range(5)
                for x in range(8)
            ]
            assert any(torch.equal(other, each) for each in candidates)
        assert sum(torch.equal(one, other) for one, other in zip(maps, moved, strict=True)) < 5

    def test_shares_can_be_set_and_nothing_hidden_is_the_plain_answer(self):
        pixels, labels = marked(12)
        found = of.diagnose(
            Spots(), from_pixels(pixels, labels, tuple("abcd")), mean=(0,), std=(1,), only=["hiding"],
            sections=[Hiding(shares=(0, 0.5))],
        )  # fmt: skip
        for kind in KINDS:
            right = found.evidence.tensor(f"hiding/{kind}/right")
            assert right.shape == (2, 12)
            assert right[0].mean() == 1


@pytest.mark.parametrize(("precision", "told"), [("bf16-mixed", True), ("", False)])
def test_another_precision_than_that_of_the_run_is_told_where_the_images_are(precision, told):
    sample = sampled()
    classifier = Classifier("run", net(), (0.0,) * 3, (1.0,) * 3, sample.classes, precision=precision)
    found = of.diagnose(classifier, sample, only=["answers"])
    assert ("bf16-mixed" in found.evidence.about["sample"]) is told
