"""A section ends as soon as its number is sure: at the same images whatever their batches, and nested."""

from dataclasses import dataclass, replace

import pytest
import torch
from nets import LeftHalf, halves

import overfocus as of
from overfocus.diagnosis.catalogue import SECTIONS
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.staged import Staged, evaluated, narrow
from overfocus.metrics.score import Metric, Score

METRIC = Metric("mean", "mean brightness")


@dataclass(frozen=True)
class Brightness(Staged):
    """The mean of the first pixel; draws nothing, runs nothing."""

    name, title, question, order, passes, headline = "halves", "Brightness", "?", 5, 1, ("mean",)
    images: int = 0

    def portion(self, classifier, sample, evidence, portion, tick):
        tick(0.5)
        return {"value": portion.pixels[:, 0, 0, 0], "row": portion.rows}

    def evaluate(self, evidence):
        values = evidence.tensor("halves/value")
        return self.found(lambda scores: "It is.", {"mean": (METRIC, values.double())}, evidence.seed)


def seen_by(section, spread, batch=64, count=300, ticks=None):
    pixels = torch.full((count, 3, 4, 6), 0.5)
    pixels[::2] += spread
    pixels[1::2] -= spread
    sample = from_pixels(pixels, torch.arange(count) % 2, ("a", "b"), batch=batch)
    on_progress = (lambda *_: None) if ticks is None else lambda *told: ticks.append(told)
    return of.diagnose(LeftHalf(), sample, at="look", only=["halves"], sections=[section],
                       on_progress=on_progress).evidence, sample  # fmt: skip


# The interval of the mean of n values of standard deviation s reaches 1.96 s / sqrt(n): 0.25 s at 64, 0.17 s at 128.
@pytest.mark.parametrize(("spread", "stage"), [(0.0, 64), (0.15, 64), (0.25, 128), (0.35, 256), (0.5, 300)])
def test_it_ends_at_the_first_stage_whose_interval_is_narrow(spread, stage):
    evidence, sample = seen_by(Brightness(), spread)
    assert torch.equal(evidence.tensor("halves/rows"), sample.some(stage, 0))


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_it_ends_at_the_same_images_whatever_their_batches(batch):
    one, other = (seen_by(Brightness(), 0.25, each)[0] for each in (64, batch))
    for name in ("halves/rows", "halves/value"):
        assert torch.equal(one.tensor(name), other.tensor(name))
    assert torch.equal(other.tensor("halves/rows"), other.tensor("halves/row")), "values lie at their images"


def test_without_a_half_width_it_sees_them_all_and_never_more_than_asked():
    assert len(seen_by(Brightness(half_width=0), 0.0)[0].tensor("halves/rows")) == 300
    assert len(seen_by(Brightness(half_width=0, images=70), 0.0)[0].tensor("halves/rows")) == 70
    assert len(seen_by(Brightness(images=100), 0.5)[0].tensor("halves/rows")) == 100
    assert len(seen_by(Brightness(images=10), 0.5)[0].tensor("halves/rows")) == 10
    assert list(Brightness().stages(128)) == [64, 128]
    assert list(Brightness().stages(129)) == [64, 128, 129]


def test_no_interval_is_not_narrow():
    assert not narrow(Score(METRIC, 0.5), 0.05)
    assert narrow(Score(METRIC, 0.5, 0.45, 0.55 - 1e-9), 0.05)
    assert not narrow(Score(METRIC, 0.5, 0.44, 0.55), 0.05)


def test_its_title_is_told_before_its_first_image():
    ticks = []
    seen_by(Brightness(), 0.25, ticks=ticks)
    own = [told[1:] for told in ticks if told[0] == "Brightness"]
    assert own[0] == (0, 300)
    assert own[-1] == (128, 128)
    assert [done for done, _ in own] == sorted(done for done, _ in own)


def test_hiding_on_few_images_and_of_older_evidence_on_all():
    pixels, labels = halves(20)
    sample = from_pixels(pixels, labels, ("dark", "bright"))
    hiding = replace(SECTIONS["hiding"], images=8, half_width=0.0, shares=(0.0, 0.5))
    found = of.diagnose(LeftHalf(), sample, at="look", only=["hiding"], sections=[hiding])
    rows = sample.some(8, 0)
    (finding,) = found.findings
    assert torch.equal(finding.rows, rows)
    assert found["hiding"]["overfocus"].n == 8
    values = finding.per_image["overfocus"][1]
    assert values.isfinite().nonzero()[:, 0].tolist() == rows.tolist()
    whole = of.diagnose(LeftHalf(), sample, at="look", only=["hiding"], sections=[replace(hiding, images=0)])
    arrays = {name: array for name, array in whole.evidence.arrays.items() if name != "hiding/rows"}
    older = Diagnosis(Evidence(arrays, whole.evidence.about))
    assert torch.equal(evaluated(older.evidence, "hiding"), torch.arange(20))
    assert older["hiding"] == whole["hiding"]
    assert torch.equal(whole.findings[0].per_image["overfocus"][1][rows], values[rows])
