"""What an examination costs is known before it runs, and is what it then takes."""

from dataclasses import dataclass, replace

import pytest
import torch
from test_examination import net, pictures, sampled

import overfocus as of
from overfocus.diagnosis import effort
from overfocus.diagnosis.catalogue import DEFAULT, SECTIONS
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.examination import chosen
from overfocus.diagnosis.price import MAPS, prices
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.section import Section

MEASURED = {"robustness", "cues", "marks"}
"""Sections that go on as they find: their price is measured, not counted."""


def counted(model):
    """Return a dict that counts the images passed forward by `model`, those with a gradient apart."""
    found = {"forward": 0, "gradient": 0}

    def count(_, given, answers):
        found["gradient" if answers.requires_grad else "forward"] += len(given[0])

    model.register_forward_hook(count)
    return found


@dataclass(frozen=True)
class Fake(Section):
    name, title, question, order, passes = "fake", "Fake", "?", 1, 7
    images: int = 5

    def evaluate(self, evidence):
        raise AssertionError


def test_a_price_is_passes_times_images():
    sample = sampled(count=12)
    assert Fake().price(sample) == 7 * 5
    assert Fake(images=40).price(sample) == 7 * 12
    assert Fake(images=0).price(sample) == 7 * 12
    found = prices([Fake(), replace(Fake(), images=1)], sample)
    assert found == {"Maps": MAPS * 12, "Fake": 7}
    assert list(prices([Fake()], sample)) == ["Fake", "Maps"], "the dearest first"


@pytest.mark.parametrize("name", [name for name in SECTIONS if name not in MEASURED])
@pytest.mark.parametrize("classes", [4, 1])
def test_a_price_is_what_is_then_passed_forward(name, classes):
    pixels, labels = pictures(7)
    box = [torch.tensor([[0, 0, 5, 8]]) for _ in labels]
    sample = from_pixels(pixels, labels % classes, tuple("abcd"), batch=3, boxes=box)
    section = effort.limited(SECTIONS[name], 6)
    if section.lacking(sample):
        pytest.skip(f"{name} needs more than one class")
    model = net()
    evidence = of.diagnose(model, sample, only=["answers"], seed=3).evidence
    classifier, seen = Classifier("net", model, (0.0,) * 3, (1.0,) * 3, sample.classes, "5"), counted(model)
    with classifier.examined():
        section.collect(classifier, sample, evidence, lambda *_: None)
    assert seen["gradient"] == 0
    # All of these images are named alike, and then no piece is pasted.
    assert seen["forward"] == (section.price(sample) if name != "transplant" else 0)


def test_the_price_follows_the_settings():
    sample = sampled(count=12)
    spread, hiding, deletion = (SECTIONS[name] for name in ("spread", "hiding", "deletion"))
    assert spread.price(sample) == 50 * 12
    assert replace(spread, cells=2).price(sample) == 5 * 12
    assert replace(hiding, shares=(0.0, 0.5)).price(sample) == 6 * 12
    assert replace(deletion, steps=2).price(sample) == 6 * 12
    for name, section in SECTIONS.items():
        assert section.price(sample) == section.passes * section.count(sample), name


def test_a_quick_examination_asks_few_and_says_what_it_left_out():
    sample = sampled(count=12)
    found = of.diagnose(net(), sample, quick=True)
    known = [name for name in effort.QUICK if name in SECTIONS]
    assert [finding.name for finding in found.findings] == [name for name in SECTIONS if name in known]
    assert {"answers", "halves", "spread", "confidence"} <= set(known)
    assert found.skipped == {name: effort.LEFT_OUT for name in DEFAULT if name not in known}
    assert found.evidence.about["settings"]["spread"]["images"] == effort.QUICK["spread"]
    assert found["spread"]["occlusion_area_predicted"].n == 12


def test_quick_takes_under_a_fifth_of_the_usual_price():
    pixels, labels = torch.zeros(1, 3, 10, 14).expand(300, -1, -1, -1), torch.arange(300) % 4
    sample = from_pixels(pixels, labels, tuple("abcd"))
    whole, quick = (sum(prices(chosen(sample, quick=each)[0], sample).values()) for each in (False, True))
    assert quick < whole / 5
    assert whole <= 100_000, "five minutes on two cores, of EfficientNet-Lite0 at 128 pixels"
    assert quick <= 20_000, "one minute"


def test_studies_look_at_as_many_images_however_sure_they_are():
    settings = {section.name: section.settings() for section in effort.studied()}
    assert list(settings) == list(SECTIONS)
    for name, images in effort.STUDIED.items():
        assert settings[name]["images"] == images
        assert settings[name].get("half_width", 0) == 0
    given = replace(SECTIONS["robustness"], checked=3)
    (robustness,) = [each for each in effort.studied([given]) if each.name == "robustness"]
    assert (robustness.checked, robustness.images) == (3, 250)
    outsiders = replace(SECTIONS["outliers"], other_name="mine")
    assert outsiders in effort.studied([outsiders]), "what is given is evaluated, also where its images are not chosen"
