"""Wide cues: each edit by hand, networks that read one thing alone, and no answer where there is none."""

import numpy as np
import pytest
import torch
from nets import Constant
from torch import nn

import overfocus as of
from overfocus.core.key import Key
from overfocus.diagnosis.cue import Cue, MarkedPictures
from overfocus.diagnosis.cues.background import Background
from overfocus.diagnosis.cues.border import Border
from overfocus.diagnosis.cues.colour import Colour
from overfocus.diagnosis.cues.edges import Edges
from overfocus.diagnosis.cues.low_frequencies import LowFrequencies
from overfocus.diagnosis.cues.part import Part
from overfocus.diagnosis.cues.texture import Texture
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.inpaint import grown, without
from overfocus.diagnosis.mix import classmates
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.sections import cues as module
from overfocus.diagnosis.sections.cues import KINDS, Cues

SIZE, COUNT = (16, 24), 60


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(count=3, channels=2, size=(13, 18), seed=0):
    """Pictures of an odd shape with two parts, one in each half."""
    left = torch.zeros(count, *size, dtype=torch.bool)
    right = left.clone()
    left[:, 2:6, 1:5], right[:, 5:9, 10:16] = True, True
    fill, key = torch.full((channels, 1, 1), 0.5), Key.seeded(1).at(torch.arange(count) + 4)
    return MarkedPictures(
        noise(count, channels, *size, seed=seed), left | right, {"left": left, "right": right}, fill, key
    )


EVERY = [cue for kind in KINDS for cue in kind.variants(["left", "right"])]


@pytest.mark.parametrize("cue", EVERY, ids=lambda cue: cue.name)
@pytest.mark.parametrize("size", [(13, 18), (2, 3), (1, 1)])
def test_laws_of_a_cue(cue: Cue, size):
    """Every edit keeps the shape and [0, 1], writes to no input, and is the same whatever the batch."""
    ours, theirs = pictures(size=size), pictures(size=size, seed=1)
    before = ours.pixels.clone(), theirs.pixels.clone()
    one = torch.tensor([1])
    for whole, alone in (
        (cue.only(ours), cue.only(ours.at(one))), (cue.rest_only(ours), cue.rest_only(ours.at(one))),
        (cue.swapped(ours, theirs), cue.swapped(ours.at(one), theirs.at(one))),
    ):  # fmt: skip
        if whole is None:
            assert cue.rest is None
            continue
        assert whole.shape == ours.pixels.shape
        assert ((whole >= 0) & (whole <= 1)).all()
        torch.testing.assert_close(alone, whole[1:2])
    assert torch.equal(ours.pixels, before[0])
    assert torch.equal(theirs.pixels, before[1])
    assert cue.known(ours).shape == (3,)
    assert cue.title


@pytest.mark.parametrize("cue", [Border(8), Border(4), LowFrequencies()], ids=lambda cue: cue.name)
def test_of_itself_a_picture_gets_nothing_new(cue):
    ours = pictures()
    torch.testing.assert_close(cue.swapped(ours, ours), ours.pixels, atol=1e-6, rtol=0)


def test_a_frame_is_as_wide_as_it_says():
    ours, theirs = pictures(size=(16, 40)), pictures(size=(16, 40), seed=1)
    swapped = Border(8).swapped(ours, theirs)
    assert torch.equal(swapped[..., 2:14, 5:35], ours.pixels[..., 2:14, 5:35])
    for frame in (np.s_[..., :2, :], np.s_[..., 14:, :], np.s_[..., :5], np.s_[..., 35:]):
        assert torch.equal(swapped[frame], theirs.pixels[frame])
    assert Border(8).only(ours)[..., 2:14, 5:35].unique().tolist() == [0.5]
    assert Border(4).even == pytest.approx(0.75)
    assert not Border(4).known(pictures(size=(2, 9))).any()


def test_a_background_has_nothing_of_the_donors_object():
    ours, theirs = pictures(), pictures(seed=1)
    theirs.pixels[:] = 0.25
    theirs.pixels[theirs.objects[:, None].expand_as(theirs.pixels)] = 1.0
    swapped, inside = Background().swapped(ours, theirs), ours.objects[:, None].expand_as(ours.pixels)
    assert torch.equal(swapped[inside], ours.pixels[inside])
    torch.testing.assert_close(swapped[~inside], torch.full_like(swapped[~inside], 0.25))


def test_a_hole_shows_what_surrounds_it():
    pixels = torch.zeros(1, 1, 32, 48)
    pixels[..., 24:] = 1.0
    hidden = torch.zeros(1, 32, 48, dtype=torch.bool)
    hidden[:, 8:24, 4:12] = hidden[:, 8:24, 36:44] = True
    filled = without(torch.where(hidden[:, None], 0.5, pixels), hidden)
    torch.testing.assert_close(filled[..., 4:12], torch.zeros(1, 1, 32, 8), atol=0.02, rtol=0)
    torch.testing.assert_close(filled[..., 36:44], torch.ones(1, 1, 32, 8), atol=0.02, rtol=0)
    assert without(pixels, torch.ones_like(hidden)).unique().tolist() == [0.5]
    assert int(grown(hidden).sum()) == 2 * 18 * 10


def test_a_part_is_laid_in_the_place_of_the_other():
    ours, theirs = pictures(), pictures(seed=1)
    theirs.parts["left"][:] = False
    theirs.parts["left"][:, 7:11, 12:16] = True
    swapped = Part("left").swapped(ours, theirs)
    assert torch.equal(swapped[..., 2:6, 1:5], theirs.pixels[..., 7:11, 12:16])
    outside = ~ours.parts["left"][:, None].expand_as(swapped)
    assert torch.equal(swapped[outside], ours.pixels[outside])
    theirs.parts["left"][:, 7:9] = False  # half as high: laid in the middle, as wide
    flat = Part("left").swapped(ours, theirs)
    assert torch.equal(flat[..., 3:5, 1:5], theirs.pixels[..., 9:11, 12:16])


def test_a_part_is_scaled_to_the_other():
    ours, theirs = pictures(), pictures(seed=1)
    theirs.parts["left"][:] = False
    theirs.parts["left"][:, 7:9, 12:14] = True
    swapped = Part("left").swapped(ours, theirs)
    assert torch.equal(swapped[..., 2:6:2, 1:5:2], theirs.pixels[..., 7:9, 12:14])


def test_colours_are_the_donors_and_their_order_the_receivers():
    ours, theirs = pictures(), pictures(seed=1)
    swapped = Colour().swapped(ours, theirs).flatten(2)
    assert torch.equal(swapped.sort(dim=2).values, theirs.pixels.flatten(2).sort(dim=2).values)
    rank = torch.corrcoef(torch.stack((swapped[0, 0], ours.pixels[0, 0].flatten())))[0, 1]
    assert rank > 0.98
    only = Colour().only(ours).flatten(2)
    assert torch.equal(only.sort(dim=2).values, ours.pixels.flatten(2).sort(dim=2).values)


def test_pieces_keep_what_is_in_them():
    ours = pictures(size=(13, 18))
    ours.pixels[:] = torch.arange(4 * 3).repeat_interleave(1)[0] / 16  # one value, then one of each cell
    cells = (torch.arange(16) / 16).view(4, 4).repeat_interleave(3, 0).repeat_interleave(4, 1)
    ours.pixels[..., :12, :16] = cells
    mixed = Texture().only(ours)
    assert not torch.equal(mixed, ours.pixels)
    blocks = mixed[..., :12, :16].unfold(2, 3, 3).unfold(3, 4, 4)
    assert (blocks.amax(dim=(-1, -2)) == blocks.amin(dim=(-1, -2))).all()
    assert torch.equal(blocks[0, 0, :, :, 0, 0].flatten().sort().values, torch.arange(16) / 16)


def test_outlines_are_where_it_is_steep():
    ours = pictures(size=(8, 12))
    ours.pixels[:] = 0
    ours.pixels[..., 6:] = 1
    assert Edges().only(ours)[0, 0, 4].tolist() == [0.0] * 5 + [1.0] * 2 + [0.0] * 5


def test_a_classmate_is_another_of_the_class():
    labels = torch.tensor([2, 0, 1, 0, 2, 2, 5, 0])
    drawn = torch.stack([classmates(labels, Key.seeded(seed)) for seed in range(40)])
    for row, label in enumerate(labels.tolist()):
        others = {place for place in range(8) if labels[place] == label and place != row}
        assert set(drawn[:, row].tolist()) == (others or {-1})


class Reads(nn.Module):
    """As many classes as levels of grey, by the mean of the pixels in `where` [H, W]."""

    def __init__(self, where, classes=2):
        super().__init__()
        self.look = nn.Conv2d(3, classes, 1, bias=False)
        nn.init.constant_(self.look.weight, 1 / 3)
        self.register_buffer("where", where.float() / where.sum())
        self.levels = torch.linspace(0.2, 0.8, classes)

    def forward(self, x):
        level = (self.look(x) * self.where).sum(dim=(2, 3))
        return -100 * (level - self.levels).square()


def frame_of(size=SIZE, part=8):
    down, along = size[0] // part, size[1] // part
    where = torch.ones(size, dtype=torch.bool)
    where[down:-down, along:-along] = False
    return where


def levels(where, classes=2, count=COUNT):
    """Return pictures that name their class by their level in `where` [H, W], and by nothing else."""
    labels = torch.arange(count) % classes
    pixels = noise(count, 3, *SIZE)
    told = torch.linspace(0.2, 0.8, classes)[labels][:, None, None, None] + 0.1 * (pixels - 0.5)
    return torch.where(where, told, pixels), labels


def asked(model, pixels, labels, sections=(), classes=None, **known):
    names = classes or tuple(str(each) for each in range(int(labels.max()) + 1))
    sample = from_pixels(pixels, labels, names, batch=7, **known)
    return of.diagnose(model, sample, at="look", only=["cues"], seed=3, sections=sections)


def found_in(diagnosis):
    return [lean.title for lean in diagnosis.leans if lean.found]


@pytest.mark.parametrize("classes", [2, 3])
def test_a_network_that_reads_the_frame_is_found_to(classes):
    found = asked(Reads(frame_of(), classes), *levels(frame_of(), classes))
    scores = found["cues"]
    assert scores["border_8"].value == scores["border_8_only"].value == scores["border_8_taken"].value == 1
    assert list(scores)[:3] == ["border_8", "middle_8", "border_4"], "where there is no room for all, shares are shown"
    assert scores["middle_8"].value == 0
    assert scores["middle_8_only"].value == pytest.approx(1 / classes)
    assert found_in(found)[:2] == [Border(8).title, Border(4).title]
    assert found.findings[0].sentence.lower().startswith(Border(8).title)
    first = found.leans[0]
    assert first.cue == "border"
    assert first.advice
    assert len(first.rows) == 3
    assert next(lean for lean in found.leans if lean.cue == "middle").intended


def test_a_network_that_reads_the_middle_is_not():
    found = asked(Reads(~frame_of(part=4)), *levels(~frame_of(part=4)))
    assert found["cues"]["border_4"].value == found["cues"]["border_8"].value == 0
    assert found["cues"]["middle_4"].value == found["cues"]["middle_8"].value == 1
    assert not [title for title in found_in(found) if "frame" in title]
    assert found.leans[0].cue == "middle"


def test_a_network_that_reads_all_of_a_picture_evenly_does_not_lean_on_its_frame():
    everywhere = torch.ones(SIZE, dtype=torch.bool)
    found = asked(Reads(everywhere), *levels(everywhere))
    assert not [title for title in found_in(found) if "frame" in title]
    for name in ("colour", "low_frequencies"):
        assert found["cues"][name].value == pytest.approx(1, abs=0.05)
        assert found["cues"][f"{name}_only"].value == pytest.approx(1)
    assert set(found_in(found)) == {Colour().title, LowFrequencies().title}


def masks(count=COUNT, size=SIZE):
    """An object in the upper middle, its left and its right part."""
    left = torch.zeros(count, *size, dtype=torch.bool)
    right = left.clone()
    left[:, 4:10, 8:12], right[:, 4:10, 13:17] = True, True
    return {"left": left, "right": right}


def test_a_network_that_reads_the_background_is_found_to_and_of_the_object_it_is_meant_to():
    marked = masks(1)["left"] | masks(1)["right"]
    inside = grown(marked)[0]
    outside = asked(Reads(~inside), *levels(~inside), masks=masks())
    assert outside["cues"]["background"].value == 1
    assert outside["cues"]["object"].value == 0
    assert Background().title in found_in(outside)
    of_object = asked(Reads(marked[0]), *levels(marked[0]), masks=masks())
    assert of_object["cues"]["object"].value == 1
    assert not {Background().title, Border(8).title, Border(4).title} & set(found_in(of_object))


def test_a_part_that_is_not_used_is_said_to_be():
    left = masks(1)["left"][0]
    found = asked(Reads(left), *levels(left), masks=masks())
    assert found["cues"]["part_left"].value == 1
    assert found["cues"]["part_right"].value == 0
    parts = {lean.title: lean.share.low for lean in found.leans if lean.cue == "part"}
    assert list(parts) == [Part("left").title, Part("right").title]
    said = found.findings[0].sentence
    assert said.index(Part("left").title) < said.index(Part("right").title)
    assert "background" in found["cues"]


def test_boxes_mark_the_background_and_nothing_marked_leaves_it_out():
    pixels, labels = levels(frame_of())
    boxes = [torch.tensor([[4, 4, 20, 12]])] * COUNT
    assert "background" in asked(Reads(frame_of()), pixels, labels, boxes=boxes)["cues"]
    bare = asked(Reads(frame_of()), pixels, labels)
    assert "background" not in bare["cues"]
    assert bare.findings[0].notes != asked(Reads(frame_of()), pixels, labels, boxes=boxes).findings[0].notes


def test_pictures_where_nothing_is_marked_have_no_background():
    pixels, labels = levels(frame_of())
    some = [torch.tensor([[4, 4, 20, 12]])] * 40 + [torch.zeros(0, 4, dtype=torch.int64)] * 20
    found = asked(Reads(frame_of()), pixels, labels, boxes=some)
    assert found.evidence.tensor("cues/answers/background/known").tolist() == [True] * 40 + [False] * 20
    assert found["cues"]["background"].n <= 40
    assert found["cues"]["border_8"].n == COUNT


def test_one_class_for_everything_leans_on_nothing():
    found = asked(Constant(), *levels(frame_of()))
    assert not found_in(found)
    assert not any(lean.share.answered for lean in found.leans)
    assert "nan" not in found.findings[0].sentence.lower()


def test_few_pictures_find_nothing():
    assert not found_in(asked(Reads(frame_of()), *levels(frame_of(), count=12)))
    pixels, labels = levels(frame_of(), count=2)
    alone = asked(Reads(frame_of()), pixels, labels)  # each the only one of its class: no control
    assert not any(lean.share.answered for lean in alone.leans)
    skipped = asked(Reads(frame_of()), pixels[:1], labels[:1], classes=("0", "1"))
    assert skipped.skipped["cues"]


def test_batches_change_nothing(monkeypatch):
    given = (Reads(frame_of(), 3), *levels(frame_of(), 3))
    whole = asked(*given, masks=masks())
    monkeypatch.setattr(module, "BATCH", 7)
    small = asked(*given, masks=masks())
    for name, values in whole.evidence.arrays.items():
        np.testing.assert_allclose(small.evidence.arrays[name], values, atol=1e-4, err_msg=name)


def test_at_most_so_many_pictures_and_donors():
    found = asked(Reads(frame_of()), *levels(frame_of()), sections=[Cues(images=40, donors=3)])
    assert found.evidence.arrays["cues/answers/border_8/conflict"].shape == (3, 40)
    assert found["cues"]["border_8"].n == 40


def test_it_is_read_again_and_a_diagnosis_of_before_has_none(tmp_path):
    found = asked(Reads(frame_of()), *levels(frame_of()), masks=masks())
    again = Diagnosis.load(found.save(tmp_path / "d"))
    assert again["cues"] == found["cues"]
    assert again.leans == found.leans
    arrays = {name: each for name, each in found.evidence.arrays.items() if not name.startswith("cues/")}
    before = Diagnosis(Evidence(arrays, {**found.evidence.about, "sections": ["answers"]}))
    assert before.leans == ()
