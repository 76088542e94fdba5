"""The section on groups: a network that is bad in one group, names that mean harm, and what it lacks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import LeftHalf, halves

import overfocus as of
from overfocus.data.groups import ImageGroups
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.sections.groups import GroupSection
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.report.diagnosis.page import write_page

HARM = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>')


def known(count=80, bad=30, names=("good", "bad", "never")):
    """Images that the network names rightly, but for a third of those that are said to be in the second group."""
    pixels, labels = halves(count)
    groups = torch.zeros(count, dtype=torch.int64)
    groups[:bad] = 1
    wrong = torch.arange(count) % 3 == 0
    labels = labels.where(~(wrong & (groups == 1)), 1 - labels)
    return from_pixels(pixels, labels, ("dark", "bright"), groups=ImageGroups("site", tuple(names), groups))


@pytest.fixture(scope="module")
def diagnosis():
    return of.diagnose(LeftHalf(), known(), only=["answers", "groups"])


def test_the_worst_group_is_the_bad_one_and_beyond_chance(diagnosis):
    scores = diagnosis["groups"]
    assert diagnosis["answers"]["accuracy"].value == 70 / 80
    assert scores["worst_group"].value == 10 / 15
    assert scores["worst_group"].value < scores["worst_group_by_chance"].low
    assert scores["group_gap"].value == pytest.approx(5 / 15)
    assert scores["group_gap"].value > scores["group_gap_by_chance"].high
    assert scores["class_by_group"].value == pytest.approx(0.5)
    (finding,) = (each for each in diagnosis.findings if each.name == "groups")
    cells, groups, counts = finding.tables
    assert [row[:2] for row in cells.rows] == [("dark", "bad"), ("bright", "bad"), ("dark", "good"), ("bright", "good")]
    assert [row[2].split()[0] for row in cells.rows] == ["0.667", "0.667", "1.000", "1.000"]
    assert groups.rows[0] == ("bad", groups.rows[0][1], "0.667", "30")
    assert [row[0] for row in groups.rows] == ["bad", "good"]
    assert counts.heads == ("class", "good", "bad")
    assert counts.rows == (("dark", "25", "15"), ("bright", "25", "15"))
    for row, seen in zip(cells.rows, cells.seen, strict=True):
        assert bool(seen.rows) == (row[1] == "bad")
        assert all(place < 30 and place % 3 == 0 for place in seen.rows)
    assert not finding.leans


def test_it_is_evaluated_again_from_what_is_kept(diagnosis, tmp_path):
    again = Diagnosis.load(diagnosis.save(tmp_path / "d"))
    assert again["groups"] == diagnosis["groups"]


def test_small_cells_are_listed_and_left_out():
    scores = of.diagnose(LeftHalf(), known(bad=12), only=["groups"])
    finding = scores.findings[0]
    assert [row[-1] for row in finding.tables[0].rows] == ["yes", "yes", "no, under 10", "no, under 10"]
    assert scores["groups"]["worst_group"].value == 1
    assert not scores["groups"]["group_gap"].answered
    assert len(finding.notes) == 3


def test_what_it_lacks_is_said():
    section, sample = GroupSection(), known()
    assert section.lacking(sample) == ""
    assert "--group" in section.lacking(replace(sample, groups=None))
    assert "'site'" in section.lacking(known(bad=80))
    skipped = of.diagnose(LeftHalf(), replace(sample, groups=None), only=["answers", "groups"]).skipped
    assert list(skipped) == ["groups"]


def test_no_cell_large_enough_and_one_class_are_words_and_no_number():
    groups = np.arange(8)
    arrays = {
        "labels": np.zeros(8, np.int64), "logits": np.eye(2, dtype=np.float32)[[0] * 8], "groups/places": groups,
        "groups/names": np.array([str(each) for each in groups]), "groups/column": np.array("id"),
    }  # fmt: skip
    finding = GroupSection().evaluate(Evidence(arrays, {"classes": ["a", "b"], "seed": 0}))
    assert not any(score.answered for score in finding.scores.values())
    assert "nan" not in finding.sentence
    assert len(finding.tables[0].rows) == 8


def test_hostile_names_are_text_on_the_page(tmp_path):
    sample = known(names=(*HARM, "z"))
    found = of.diagnose(LeftHalf(), sample, only=["groups"])
    text = write_page(tmp_path / "page", SideBySide((found,)), sample).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in text
    assert not [harm for harm in HARM if harm in text]
