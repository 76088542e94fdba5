"""What is said of leans: what was found, how sure it is, and nothing that nobody looked for."""

import json
from math import nan

import pytest
from planted_leans import BEYOND, CLASSES, COLOUR, EVIL, FRAME, MARK, OBJECT, UNKNOWN, evidence, lean, planted

import overfocus as of
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.lean import ranked
from overfocus.diagnosis.lean_wording import how_sure, in_words, listed, of_classes, sentence

EVERY = (COLOUR, UNKNOWN, MARK, FRAME, OBJECT)


def test_the_public_name_is_the_value():
    assert isinstance(FRAME, of.Lean)


def test_the_surest_is_first_and_what_has_no_answer_last():
    assert ranked(EVERY) == (OBJECT, FRAME, MARK, COLOUR, UNKNOWN)
    wide = lean("wide", 0.9, 0.1, 1.0)
    assert ranked([wide, FRAME]) == (FRAME, wide), "by the lower end, not by the value"


def test_a_finding_is_told_first_whatever_else_is_larger():
    said = sentence(ranked(EVERY), CLASSES)
    assert FRAME.title in said
    assert "46 %" in said
    assert "[38, 54]" in said
    assert OBJECT.title not in said


@pytest.mark.parametrize(
    ("leans", "parts"),
    [
        ((), ("Nothing was found",)),
        ((OBJECT, COLOUR), ("Nothing was found", "the object", "91 % [85, 96]")),
        ((lean("the object", 0.02, -0.1, 0.1, intended=True),), ("Nothing was found",)),
        ((UNKNOWN,), ("has no answer", "no accuracy above chance")),
        ((UNKNOWN, COLOUR), ("Nothing was found",)),
        ((lean("the frame", 0.4, 0.2, 0.6, n=12, found=True),), ("may lean on the frame", "12 pictures are few")),
        ((lean("the object", 0.9, 0.8, 1.0, n=12, intended=True),), ("Nothing was found", "12 pictures are few")),
        ((lean("the frame", 0.4, found=True),), ("the frame", "40 %")),
        ((lean("the frame", found=True),), ("the frame", "no answer")),
        ((lean("a mark", 0.4, 0.3, 0.5, found=True, classes=(0, 2)),), ("a mark", "'cat' and 'dog'")),
    ],
)
def test_each_case_has_its_sentence(leans, parts):
    said = sentence(leans, CLASSES)
    assert all(part in said for part in parts), said
    assert said.endswith(".")
    assert "nan" not in said


def test_what_may_be_zero_is_not_said_to_be_read():
    assert "the object" not in sentence((lean("the object", 0.02, -0.1, 0.1, intended=True),), CLASSES)


def test_many_classes_are_counted():
    many = lean("a mark", 0.4, 0.3, 0.5, found=True, classes=(0, 1, 2, 3))
    assert of_classes(many, list("abcdefg")) == "4 of 7"
    assert "4 of 7 classes" in sentence((many,), list("abcdefg"))
    assert of_classes(FRAME, CLASSES) == "all"


def test_how_sure_tells_a_finding_from_a_hint_and_from_nothing():
    small = lean("small", 0.1, 0.05, 0.2)
    words = [how_sure(each).split(",")[0] for each in (FRAME, MARK, OBJECT, small, COLOUR)]
    assert words == ["found", "a hint", "meant to be read", "no finding", "may be nothing"]
    assert how_sure(FRAME).endswith("n = 150")
    assert how_sure(UNKNOWN) == "no answer: no accuracy above chance"


def test_a_share_is_in_per_cent():
    assert in_words(BEYOND.share) == "130 % [110, 160]"
    assert in_words(COLOUR.share) == "5 % [-2, 12]"
    assert in_words(lean("one picture", -0.001, nan, nan, n=1).share) == "0 %"
    assert in_words(UNKNOWN.share) == "no answer"


def test_no_finding_is_left_out_of_a_short_list():
    others = [lean(f"thing {number}", 0.3, 0.2, 0.4) for number in range(5)]
    found = [lean(f"mark {number}", 0.2, 0.1, 0.3, found=True) for number in range(4)]
    assert listed([*others, *found], 6) == [*others[:2], *found]
    assert listed([*others, *found], 3) == found
    assert listed(others, 3) == others[:3]


def test_a_diagnosis_is_headed_by_what_is_leaned_on():
    with planted(one=EVERY) as (diagnosis,):
        assert diagnosis.leans == ranked(EVERY)
        head = str(diagnosis).splitlines()
        assert head[2] == diagnosis.sentence
        assert [line.split()[1] for line in head[3:5]] == ["object", "frame,"]
        assert "found, n = 150" in head[4]
        assert len(head) == len(str(diagnosis).split("\n")), "no name breaks a line"
        kept = json.loads(json.dumps(diagnosis.as_dict()))
        assert kept["sentence"] == diagnosis.sentence
        assert [each["share"]["value"] for each in kept["leans"]] == [0.91, 0.46, 0.22, 0.05, None]
        assert kept["leans"][2]["classes"] == [EVIL, "dog"]
        assert kept["leans"][2]["box"] == [0.0, 0.0, 0.25, 0.25]


def test_scores_json_has_the_sentence_and_the_list(tmp_path):
    with planted(one=EVERY) as (diagnosis,):
        diagnosis.save(tmp_path / "kept")
        again = Diagnosis.load(tmp_path / "kept")
        kept = json.loads((tmp_path / "kept" / "scores.json").read_text())
        assert again.leans == diagnosis.leans
        assert kept["sentence"] == again.sentence
        assert len(kept["leans"]) == 5


def test_what_was_not_looked_for_is_not_said_to_be_absent():
    with planted(one=None, two=()) as (unlooked, looked):
        assert (unlooked.leans, unlooked.sentence) == ((), "")
        assert looked.leans == ()
        assert "Nothing was found" in looked.sentence
        assert "found" not in str(unlooked)
    bare = Diagnosis(evidence("bare").with_arrays({}, sections=[]))
    assert bare.sentence == ""
