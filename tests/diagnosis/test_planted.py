"""Models whose flaw is known: the examination must find it."""

import math

import pytest
import torch
from nets import Constant, LeftHalf, Linear, OnePixel, Shattered, Spots, Templates, halves, marked, templated

import overfocus as of
from overfocus.diagnosis.attacks.gradient_masking import NOT_TRIED
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.sections.hiding import Hiding
from overfocus.diagnosis.sections.shortcut import suspects
from overfocus.diagnosis.sections.spread import cells
from overfocus.diagnosis.sections.transplant import Transplant, carriers, grid

NAMES = ("0", "1")


def sampled(pixels, labels, classes=NAMES, **known):
    return from_pixels(pixels, labels, classes, batch=7, **known)


def left_masks(count, size):
    left = torch.zeros(count, *size, dtype=torch.bool)
    left[..., : size[1] // 2] = True
    return {"left": left, "right": ~left}


def test_a_model_that_reads_the_left_half_is_seen_to():
    pixels, labels = halves(40)
    sample = sampled(pixels, labels, masks=left_masks(40, pixels.shape[2:]))
    found = of.diagnose(LeftHalf(), sample, at="look", only=["focus", "hiding", "confidence"])
    assert found["confidence"]["accuracy"].value == 1
    assert found["focus"]["part_left"].value == pytest.approx(1, abs=0.02)
    assert found["focus"]["part_right"].value == pytest.approx(0, abs=0.02)


def test_what_is_hidden_first_is_what_it_reads():
    pixels, labels = halves(40)
    found = of.diagnose(LeftHalf(), sampled(pixels, labels), at="look", only=["hiding"])
    evidence = found.evidence
    shares = evidence.tensor("hiding/shares")
    half = int((shares - 0.5).abs().argmin())
    # With the salient half gone only the mean colour is left, with the other half gone nothing is lost.
    assert evidence.tensor("hiding/least/right")[half].mean() == 1
    assert evidence.tensor("hiding/salient/right")[half].mean() < 0.8
    assert found["hiding"]["overfocus"].low > 0


def test_a_model_that_reads_one_pixel_is_as_narrow_as_can_be():
    pixels = torch.rand(30, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.1
    labels = torch.arange(30) % 2
    pixels[:, :, 1, 2] = 0.95 * labels[:, None].float()
    found = of.diagnose(OnePixel(), sampled(pixels, labels), at="look", only=["spread", "hiding"])
    bright = found.evidence.tensor("maps/predicted")[labels == 1]
    assert (bright.flatten(1).argmax(dim=1) == 1 * 16 + 2).all()
    assert found["spread"]["effective_area_predicted"].value == pytest.approx(1 / (12 * 16), rel=1e-5)
    assert found["spread"]["gini_predicted"].value == pytest.approx(1 - 1 / (12 * 16), rel=1e-5)


def test_a_constant_model_looks_nowhere_and_gets_no_number_for_it():
    pixels, labels = halves(20)
    found = of.diagnose(
        Constant(),
        sampled(pixels, labels),
        at="look",
        only=["spread", "hiding", "confidence", "shortcut", "transplant"],
    )
    assert not found["spread"]["gini_predicted"].answered
    assert not found["hiding"]["overfocus"].answered
    assert not found["shortcut"]["flagged"].answered
    for score in found["transplant"].values():
        assert not score.answered
    assert found["confidence"]["accuracy"].value == 0.5
    assert found["hiding"]["area_pixels"].value == pytest.approx(0.5)
    assert "nan" not in str(found).lower()


class Named(LeftHalf):
    """Looks at the left half, and yet names one class whatever it sees there."""

    def forward(self, x):
        return super().forward(x) * 0.01 + torch.tensor([0.0, 5.0])


def test_one_class_for_everything_is_no_overfocus_of_zero():
    pixels, labels = halves(20)
    found = of.diagnose(Named(), sampled(pixels, labels), at="look", only=["hiding"])
    assert found["hiding"]["area_pixels"].value == pytest.approx(0.5)
    assert found["hiding"]["area_salient"].n > 0, "it looks somewhere"
    for name in ("overfocus", "overfocus_relative", "overfocus_pixels"):
        score = found["hiding"][name]
        assert not score.answered
        assert "'1'" in score.note
    by_class = found.as_dict(per_class=True)["sections"]["hiding"]["per_class"]
    assert all(scores["overfocus"]["value"] is None for scores in by_class.values())


def test_of_what_there_is_to_lose_a_narrow_network_loses_the_same_at_any_accuracy():
    """Half of the labels are turned round: accuracy, and with it the score, halves; the relative one does not."""
    pixels, labels = halves(80)
    half, whole = torch.where(torch.arange(80) % 4 < 2, labels, 1 - labels), [Hiding(half_width=0)]
    right, wrong = (
        of.diagnose(LeftHalf(), sampled(pixels, given), at="look", only=["hiding"], sections=whole)["hiding"]
        for given in (labels, half)
    )
    assert abs(wrong["overfocus"].value) < 0.3 * right["overfocus"].value
    assert wrong["overfocus_relative"].value == pytest.approx(right["overfocus_relative"].value, abs=0.06)
    assert wrong["overfocus_relative"].n == 40
    assert right["overfocus_relative"].value == pytest.approx(2 * right["overfocus"].value)


def test_by_occlusion_a_network_is_as_wide_as_the_cells_that_it_reads():
    pixels, labels = halves(20)
    found = of.diagnose(LeftHalf(), sampled(pixels, labels), at="look", only=["spread"])
    falls = found.evidence.tensor("spread/falls/predicted")
    assert falls.shape == (20, 7, 7)
    assert (falls[:, :, 4:] == 0).all(), "cells of the right half, which is never read"
    assert (falls[labels == 1, :, :3] > 0).all(), "hidden is dark, which speaks against bright"
    assert 3 / 7 < found["spread"]["occlusion_area_predicted"].value < 4 / 7
    assert found["spread"]["occlusion_area_true"].value == found["spread"]["occlusion_area_predicted"].value


def test_by_occlusion_one_pixel_is_one_cell():
    pixels = torch.rand(30, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.1
    labels = torch.arange(30) % 2
    pixels[:, :, 1, 2] = 0.95 * labels[:, None].float()
    found = of.diagnose(OnePixel(), sampled(pixels, labels), at="look", only=["spread"])
    falls = found.evidence.tensor("spread/falls/predicted")[labels == 1].flatten(1)
    assert (falls.argmax(dim=1) == 1 * 7 + 1).all(), "row 1 of 12, column 2 of 16"
    area = next(one for one in found.findings if one.name == "spread").per_image["occlusion_area_predicted"][1]
    assert area[labels == 1].tolist() == pytest.approx([1 / 49] * 15)


@pytest.mark.parametrize(("size", "shape"), [((12, 16), (7, 7)), ((3, 20), (3, 7)), ((1, 1), (1, 1))])
def test_cells_tile_a_picture_of_any_shape(size, shape):
    boxes = cells(size, 7)
    assert boxes.shape[:2] == shape
    covered = torch.zeros(size, dtype=torch.int64)
    for x0, y0, x1, y1 in boxes.flatten(0, 1).tolist():
        assert x0 < x1
        assert y0 < y1
        covered[y0:y1, x0:x1] += 1
    assert (covered == 1).all()


def test_a_diagnosis_of_the_version_before_has_spread_without_occlusion():
    pixels, labels = halves(20)
    found = of.diagnose(LeftHalf(), sampled(pixels, labels), at="look", only=["spread"])
    arrays = {name: each for name, each in found.evidence.arrays.items() if not name.startswith("spread/")}
    old = Diagnosis(Evidence(arrays, found.evidence.about))
    assert "occlusion_area_predicted" not in old["spread"]
    assert old["spread"]["effective_area_predicted"] == found["spread"]["effective_area_predicted"]


def test_a_watermark_in_one_class_is_flagged_and_no_other_class_is():
    pixels, labels = marked(80)
    found = of.diagnose(
        Spots(), sampled(pixels, labels, tuple("abcd")), only=["shortcut", "confidence"], mean=(0,), std=(1,)
    )
    assert found["confidence"]["accuracy"].value == 1
    assert found["shortcut"]["flagged"].value == 1
    finding = next(each for each in found.findings if each.name == "shortcut")
    assert "'a'" in finding.sentence
    flagged = [row for row in finding.tables[0].rows if row[1] == "suspicious"]
    assert [row[0] for row in flagged] == ["a"]
    assert flagged[0][2].startswith("x 0.00 to 0.")
    first = finding.tables[0].seen[0]
    assert first.box is not None
    assert first.box[0] == 0
    assert len(first.rows) == 3
    assert (found.evidence.logits[list(first.rows)].argmax(1) == 0).all()
    assert finding.tables[1].seen[0].rows == (suspects(found.evidence)[0]["row"],)


def test_without_a_watermark_nothing_is_flagged():
    pixels, labels = marked(80)
    source = torch.Generator().manual_seed(5)
    moved = torch.stack(
        [image.roll(tuple(torch.randint(0, 16, (2,), generator=source).tolist()), (1, 2)) for image in pixels]
    )
    found = of.diagnose(Spots(), sampled(moved, labels, tuple("abcd")), only=["shortcut"], mean=(0,), std=(1,))
    assert found["shortcut"]["flagged"].value == 0


def test_the_first_suspect_is_sure_narrow_and_lost_without_its_place():
    pixels, labels = marked(24)
    found = of.diagnose(Spots(), sampled(pixels, labels, tuple("abcd")), only=["shortcut"], mean=(0,), std=(1,))
    rows = suspects(found.evidence)
    assert [row["rank"] for row in rows] == list(range(1, 25))
    values = [row["suspicion"] for row in rows]
    assert values == sorted(values, reverse=True)
    assert rows[0]["confidence"] > 0.9
    assert rows[0]["confidence_hidden"] < 0.9


def test_an_attack_on_what_it_reads_works_and_one_beside_it_does_not():
    pixels, labels = halves(24)
    pixels[..., :8] = 0.5 + (pixels[..., :8] - 0.5) * 0.02
    found = of.diagnose(LeftHalf(), sampled(pixels, labels), at="look", only=["robustness"])["robustness"]
    assert found["clean"].value > 0.9
    assert found["pgd_8"].value == 0
    assert found["salient"].value < 0.2
    assert found["other"].value > 0.9


@pytest.mark.parametrize("masked", [False, True])
def test_a_shattered_gradient_is_told(masked):
    """Both networks fall to a change of a fifth of 8/255; only of one does the gradient say so."""
    pixels, labels, templates = templated(24)
    pixels, net = 0.5 + 0.2 * (pixels - 0.5), Templates(templates * 0.1, 0.0)
    sample, at = sampled(pixels, labels, tuple("abcd")), "model.look" if masked else "look"
    found = of.diagnose(Shattered(net) if masked else net, sample, at=at, only=["robustness"])
    told = [note for note in found.findings[0].notes if "smoothed copy" in note]
    tried = {name: found.evidence.tensor(f"robustness/check/{name}") for name in ("transfer", "square", "unbounded")}
    assert found["robustness"]["clean"].value == 1
    if not masked:
        assert found["robustness"]["pgd_8"].value == 0
        assert not told
        assert all((classes == NOT_TRIED).all() for classes in tried.values())
        return
    assert found["robustness"]["pgd_8"].value > 0.9
    assert len(told) == 1
    assert (
        ((tried["transfer"] != labels) & (tried["transfer"] != NOT_TRIED)).sum()
        == (tried["transfer"] != NOT_TRIED).sum()
        > 20
    )
    assert found.findings[0].tables[0].rows[0][1:] == ("24", "24")


def test_evidence_of_ten_steps_is_still_read_and_named_as_what_it_is():
    pixels, labels = halves(12)
    found = of.diagnose(LeftHalf(), sampled(pixels, labels), at="look", only=["robustness"])
    new = ("robustness/rising/", "robustness/check/")
    older = {name: values for name, values in found.evidence.arrays.items() if not name.startswith(new)}
    finding = of.Diagnosis(Evidence(older, found.evidence.about)).findings[0]
    assert finding.scores["pgd_8"].metric.title == "accuracy, PGD-10, 8/255"
    assert found["robustness"]["pgd_8"].metric.title == "accuracy, PGD, 8/255"
    assert finding.scores["noise"] == found["robustness"]["noise"]
    assert not finding.tables


def test_what_falls_within_smaller_limits_falls_within_larger_ones():
    pixels, labels = halves(12)
    evidence = of.diagnose(LeftHalf(), sampled(pixels, labels), at="look", only=["robustness"]).evidence
    stands = torch.as_tensor(labels).numpy()
    fooled = stands.copy()
    fooled[3] = 1 - fooled[3]
    named = {f"robustness/predicted/{name}": stands for name in evidence.below("robustness/predicted")}
    changed = evidence.with_arrays({**named, "robustness/predicted/salient": fooled})
    scores = of.Diagnosis(changed).findings[0].scores
    for name in ("salient", "pgd_2", "pgd_8"):
        assert scores[name].value == pytest.approx(11 / 12)
    assert scores["other"].value == scores["fgsm"].value == scores["pgd_l2"].value == 1


def test_an_even_confidence_is_said_to_be_what_it_is():
    pixels, labels = halves(40)
    found = of.diagnose(LeftHalf(), sampled(pixels, 1 - labels), at="look", only=["confidence"])["confidence"]
    assert found["accuracy"].value == 0
    assert found["gap"].value > 0.9
    assert math.isclose(found["gap"].value, found["confidence"].value)


@pytest.mark.parametrize(("mark", "flagged"), [(20.0, ["b"]), (0.0, [])])
def test_a_mark_that_carries_a_class_is_found_only_where_the_network_uses_it(mark, flagged):
    pixels, labels, templates = templated(160)
    sample = sampled(pixels, labels, tuple("abcd"))
    found = of.diagnose(Templates(templates * 0.1, mark), sample, at="look", only=["transplant"])
    each = carriers(found.evidence)
    assert [found.evidence.classes[one.label] for one in each if one.flagged] == flagged
    assert found["transplant"]["flagged"].value == len(flagged)
    if flagged:
        x0, y0, x1, y1 = found.evidence.tensor("transplant/places")[each[1].place].tolist()
        assert (x1, y0) == (20, 0), "it covers the white corner"
        assert (y1, x0) == (4, 15)
        table = next(one for one in found.findings if one.name == "transplant").tables[0]
        assert table.rows[0][:3] == ("b", "suspicious", "x 0.75 to 1.00, y 0.00 to 0.25")
        assert table.seen[0].box == pytest.approx((0.75, 0, 1, 4 / 16), abs=0.02)
        assert len(table.seen[0].rows) == 3
        assert (found.evidence.logits[list(table.seen[0].rows)].argmax(1) == 1).all()


def test_the_pieces_of_an_image_carry_it_whole_where_the_network_is_linear():
    """Two classes, no noise, pieces that tile the image: their shares are those of the weights, and sum to 1."""
    weights = torch.rand(12, 16, generator=torch.Generator().manual_seed(3)) - 0.3
    labels = torch.arange(60) % 2
    pixels = (0.4 + 0.2 * labels[:, None, None, None].float()).expand(60, 3, 12, 16).contiguous()
    tiles = Transplant(steps=4)
    found = of.diagnose(Linear(weights), sampled(pixels, labels), at="look", only=["transplant"], sections=[tiles])
    evidence = found.evidence
    places = grid((12, 16), tiles)
    expected = torch.stack([weights[y0:y1, x0:x1].sum() for x0, y0, x1, y1 in places.tolist()]) / weights.sum()
    assert float(expected.sum()) == pytest.approx(1)
    one = carriers(evidence)[1]
    assert one.place == int(expected.argmax())
    assert one.share == pytest.approx(float(expected.max()), rel=1e-4)


def test_pieces_are_pasted_where_they_were_and_reach_every_border():
    places = grid((12, 17), Transplant())
    assert len(places) == 49
    assert places[:, 0].min() == 0
    assert places[:, 1].min() == 0
    assert places[:, 2].max() == 17
    assert places[:, 3].max() == 12
    assert ((places[:, 2] - places[:, 0]) == 4).all()
    assert ((places[:, 3] - places[:, 1]) == 3).all()
    assert len(grid((2, 3), Transplant())) == 6, "one place each where there are not more"
