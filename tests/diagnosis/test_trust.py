"""Maps that tell where a network looks, and maps that do not: which is which has to be found, and said."""

from dataclasses import dataclass
from io import StringIO

import numpy as np
import pytest
import torch
from nets import Constant, LeftHalf, OnePixel, Spots, halves, marked
from rich.console import Console
from torch import Tensor, nn

import overfocus as of
from overfocus.attribution.attribution import Attribution
from overfocus.core.key import Key
from overfocus.diagnosis.catalogue import SECTIONS, headline
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.diagnosis import DOUBTED, Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.map_choice import CANDIDATES, Candidate, choose, gaps_of
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.metrics.trust import gap_score, gaps, trusted
from overfocus.report.diagnosis.view import view
from overfocus.report.terminal.diagnosis import diagnosis_table
from overfocus.study.study import Examination

READ = [name for name, section in SECTIONS.items() if section.reads_map]


class Mirrored(nn.Module):
    """Two classes by the brightness of the left half, whose features lie where the picture's right half is."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.net = nn.Identity(), LeftHalf()

    def forward(self, x: Tensor) -> Tensor:
        z = self.net.look(x - 0.5)
        features = self.look(z.flip(3))
        right = torch.zeros(x.shape[-1])
        right[(x.shape[-1] + 1) // 2 :] = 1
        return 40 * (features * right).mean(dim=(2, 3)) * torch.tensor([-1.0, 1.0])


class Scrambled(nn.Module):
    """Reads all of the picture, and shows its features at places that have nothing to do with it."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv, self.look = nn.Conv2d(3, 2, 1, bias=False), nn.Identity()
        nn.init.constant_(self.conv.weight, 1 / 3)
        self.register_buffer("order", torch.randperm(size[0] * size[1], generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x - 0.5)
        features = self.look(z.flatten(2)[:, :, self.order].view_as(z))
        left = torch.arange(z.shape[3]) < z.shape[3] // 2
        read = left.expand(z.shape[2:]).flatten()[self.order].view(z.shape[2:])
        return 40 * (features * read).mean(dim=(2, 3)) * torch.tensor([-1.0, 1.0])


@dataclass(frozen=True)
class Noise(Attribution):
    seed: int

    def __call__(self, model, images, target="predicted", labels=None, at=""):
        return Key.seeded(self.seed).fold_in("map").uniform(len(images), 12).view(-1, 3, 4)


def diagnosed(model: nn.Module, count: int = 40, size=(12, 16), at: str = "look", only=("trust",), **options):
    pixels, labels = halves(count, size=size)
    sample = from_pixels(pixels, labels, ("0", "1"), batch=7)
    return of.diagnose(model, sample, at=at, only=only, **options)


def test_the_gap_is_what_hiding_by_the_map_costs_more_than_elsewhere():
    salient = torch.tensor([[0.9, 0.2, torch.nan], [0.1, 0.2, torch.nan]])
    control = torch.tensor([[1.0, 0.1, torch.nan], [0.8, 0.2, torch.nan]])
    found = gaps(salient, control)
    assert found[:2].tolist() == pytest.approx([0.4, -0.05])
    assert found[2].isnan()
    assert gap_score(found).n == 2


def test_the_interval_is_students_and_wider_where_more_was_tried():
    values = torch.tensor([0.1, 0.3, 0.2, 0.0])
    one, five = gap_score(values), gap_score(values, tried=5)
    assert one.value == pytest.approx(0.15)
    assert one.high - one.value == pytest.approx(3.182446 * 0.1290994 / 2, rel=1e-5)
    assert five.low < one.low
    assert not gap_score(torch.tensor([torch.nan])).answered
    assert gap_score(torch.tensor([0.5])).n == 1


@pytest.mark.parametrize(("count", "mean", "verdict"), [(7, 0.5, None), (8, 0.5, True), (30, 0.0, False)])
def test_the_verdict_asks_for_eight_pictures_and_an_interval_above_0(count, mean, verdict):
    values = mean + 0.1 * torch.linspace(-1, 1, count)
    assert trusted(gap_score(values)) is verdict


def test_a_gap_of_nothing_is_no_trust_however_sure():
    assert trusted(gap_score(torch.full((30,), 0.005))) is False
    assert trusted(gap_score(torch.full((30,), 0.02))) is True


@pytest.mark.parametrize("size", [(12, 16), (9, 30)])
def test_a_map_that_is_right_is_trusted(size):
    found = diagnosed(LeftHalf(), size=size)
    assert found["trust"]["gap"].low > 0
    assert found["trust"]["gap"].n == 40
    assert found.trusted is True


@pytest.mark.parametrize("make", [Mirrored, lambda: Scrambled((12, 16))])
def test_a_map_that_is_wrong_is_not(make):
    found = diagnosed(make(), only=["trust", "hiding", "spread"])
    assert found.trusted is False
    assert found["trust"]["gap"].low <= 0
    told = {finding.name: finding.sentence for finding in found.findings}
    assert told["hiding"] == told["spread"] == DOUBTED
    assert told["trust"] != DOUBTED
    assert found.as_dict()["trusted"] is False


def test_of_maps_of_noise_few_are_trusted():
    """One in forty by chance, if the interval is right: each is a smooth map drawn at random, of a net with a place."""
    pixels, labels = halves(24)
    sample = from_pixels(pixels, labels, ("0", "1"), batch=24)
    classifier = Classifier("left", LeftHalf(), (0.0,) * 3, (1.0,) * 3, ("0", "1"), "look")

    found = [gap_score(gaps_of(classifier, sample, Noise(seed), torch.arange(24), seed)) for seed in range(60)]
    assert sum(bool(trusted(score)) for score in found) <= 4
    assert abs(np.mean([score.value for score in found])) < 0.02


def test_where_maps_are_not_trusted_no_number_of_them_is_told_first():
    found = diagnosed(Mirrored(), only=["trust", *READ, "confidence"])
    for finding in found.findings:
        first = headline(finding.name, finding.scores, found.trusted)
        if finding.name in READ:
            assert set(first) <= set(SECTIONS[finding.name].asks_no_map)
            assert finding.sentence == DOUBTED
            assert finding.scores, "still there for whoever looks them up"
        else:
            assert first
    assert "effective_area_predicted" not in str(found)
    assert "occlusion_area_predicted" in str(found)
    together = SideBySide((diagnosed(LeftHalf()), diagnosed(Mirrored())))
    assert together.trusted is False


def test_terminal_and_page_lead_with_no_number_of_maps_that_do_not_tell():
    comparison = SideBySide((diagnosed(Mirrored(), only=["trust", "spread", "deletion"]),))
    written = StringIO()
    diagnosis_table(comparison, Console(file=written, width=200))
    assert "effective area by occlusion" in written.getvalue()
    assert "effective area  " not in written.getvalue()
    assert "deletion gap" not in written.getvalue()
    assert view(comparison, "deletion").track is None
    assert view(comparison, "deletion").scores, "below, for whoever looks them up"
    track = view(comparison, "spread").track
    assert track is not None
    assert track[0].name == "occlusion_area_predicted"
    right = SideBySide((diagnosed(LeftHalf(), only=["trust", "deletion"]),))
    track = view(right, "deletion").track
    assert track is not None
    assert track[0].name == "deletion_gap"


def test_scores_that_ask_no_map_are_there():
    found = diagnosed(LeftHalf(), only=["spread", "hiding"])
    for finding in found.findings:
        assert set(SECTIONS[finding.name].asks_no_map) <= set(finding.scores)
        assert headline(finding.name, finding.scores, True) == headline(finding.name, finding.scores)


def test_auto_finds_the_map_that_is_right():
    found = diagnosed(Mirrored(), only=["trust", "spread"], map="auto", seed=1)
    about = found.evidence.about
    assert about["map"] in (CANDIDATES[3].title, "refined_occlusion")
    assert found.trusted is True
    tried = {each["map"]: each["gap"] for each in about["map_choice"]["tried"]}
    assert list(tried) == [each.title for each in CANDIDATES]
    assert tried["hirescam"]["low"] <= 0
    assert max(tried, key=lambda name: tried[name]["value"]) == about["map_choice"]["chosen"]
    rows = found.evidence.tensor("trust/rows").tolist()
    assert len(rows) == 20
    assert not set(rows) & set(about["map_choice"]["rows"]), "what chose is not what measures"
    assert found.evidence.tensor("maps/predicted").shape == (40, 12, 16)


def test_auto_on_a_network_that_reads_nothing_says_that_no_map_tells():
    """A network whose answer hardly depends on the picture: a map may be right, and there is nothing to tell."""
    model = LeftHalf()
    model.register_forward_hook(lambda _, images, logits: 1e-4 * torch.as_tensor(logits))
    found = diagnosed(model, only=["trust", "hiding"], map="auto")
    assert found["trust"]["gap"].value == pytest.approx(0, abs=1e-3)
    assert found.trusted is False
    assert "5" in found.findings[0].sentence
    assert found.findings[1].sentence == DOUBTED


def test_a_network_without_maps_has_no_verdict():
    found = diagnosed(Constant(), only=["trust", "spread"])
    assert found.trusted is None
    assert found["trust"]["gap"].n == 0
    assert "nan" not in str(found).lower()


def test_it_is_the_same_again_and_in_any_batch():
    pixels, labels = marked(32)
    first, again, other = (
        of.diagnose(
            Spots(), from_pixels(pixels, labels, tuple("abcd"), batch=batch), mean=(0,), std=(1,), map="auto",
            only=["trust"],
        )
        for batch in (8, 8, 1)
    )  # fmt: skip
    assert first.as_dict() == again.as_dict()
    assert other.evidence.about["map"] == first.evidence.about["map"]
    assert other["trust"]["gap"].value == pytest.approx(first["trust"]["gap"].value, abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 15])
def test_too_few_pictures_choose_nothing(count):
    found = diagnosed(LeftHalf(), count, only=["trust", "spread"], map="auto")
    assert found.evidence.about["map"] == "hirescam"
    assert found.evidence.about["map_choice"]["tried"] == []
    assert found["trust"]["gap"].n == count


def test_a_study_names_its_map():
    assert Examination.model_validate({"map": "gradcam"}).map == "gradcam"
    with pytest.raises(ValueError, match="auto"):
        Examination.model_validate({"map": "auto"})


def test_one_map_is_chosen_for_several_models():
    pixels, labels = halves(40)
    sample = from_pixels(pixels, labels, ("0", "1"), batch=40)
    left, mirrored = (
        Classifier("a", model, (0.0,) * 3, (1.0,) * 3, ("0", "1"), "look") for model in (LeftHalf(), Mirrored())
    )
    rows = sample.some(20, 0)
    together = choose([(left, sample), (mirrored, sample)])
    assert together.rows == tuple(rows.tolist())
    for candidate, score in together.tried:
        alone = [gaps_of(each, sample, candidate.method, rows, 0).nan_to_num().mean() for each in (left, mirrored)]
        assert score.value == pytest.approx(float(np.mean(alone)))
    found = of.diagnose(mirrored, sample, only=["trust"], map=together)
    assert found.evidence.about["map_choice"]["chosen"] == together.chosen.title


def test_every_candidate_is_a_method_and_no_two_are_one():
    made = [each.method for each in CANDIDATES]
    assert len(set(made)) == len(made)
    assert Candidate("smoothgrad", {"samples": 3}).title == "smoothgrad(samples=3)"


def test_a_map_of_the_pixels_is_read_by_every_section():
    pixels = torch.rand(10, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(10) % 2
    inside = torch.zeros(10, 40, 56, dtype=torch.bool)
    inside[:, :20] = True
    sample = from_pixels(pixels, labels, ("0", "1"), masks={"top": inside})
    found = of.diagnose(OnePixel(), sample, at="look", only=["trust", *READ], map="smoothgrad")
    assert found.evidence.tensor("maps/predicted").shape == (10, 32, 32)
    assert {finding.name for finding in found.findings} == {"trust", *READ}
    plain = of.diagnose(OnePixel(), sample, at="look", only=["spread"])
    assert plain.evidence.tensor("maps/predicted").shape == (10, 40, 56), "that of a layer stays as it is"


def test_a_diagnosis_of_the_version_before_is_read_as_it_was(tmp_path):
    found = diagnosed(Mirrored(), only=["hiding", "spread"])
    found.save(tmp_path / "old")
    old = Diagnosis.load(tmp_path / "old")
    assert old.trusted is None
    assert all(finding.sentence != DOUBTED for finding in old.findings)
    assert isinstance(old.evidence, Evidence)
