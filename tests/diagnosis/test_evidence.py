"""Evidence and diagnoses in files: the same numbers from the file, whole or not at all, and nothing is run."""

import json
import os

import numpy as np
import pytest
import torch
from nets import Spots, marked

import overfocus as of
from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.evidence import Evidence, packed, unpacked
from overfocus.diagnosis.sample import from_pixels


@pytest.fixture(scope="module")
def diagnosis():
    pixels, labels = marked(24)
    sample = from_pixels(pixels, labels, tuple("abcd"), batch=5)
    asked = ["spread", "hiding", "deletion", "confidence", "shortcut", "outliers"]
    return of.diagnose(Spots(), sample, mean=(0,), std=(1,), only=asked)


def test_the_file_gives_the_same_numbers(diagnosis, tmp_path):
    diagnosis.save(tmp_path / "d", per_class=True)
    again = of.Diagnosis.load(tmp_path / "d")
    assert str(again) == str(diagnosis)
    written = json.loads((tmp_path / "d" / "scores.json").read_text())
    assert written == json.loads(json.dumps(again.as_dict(per_class=True)))
    assert set(written["sections"]["spread"]["per_class"]) == set("abcd")
    assert written["sections"]["spread"]["per_class"]["a"]["gini_true"]["n"] == 6


def test_json_has_no_nan(diagnosis):
    json.dumps(diagnosis.as_dict(per_class=True), allow_nan=False)


def test_a_folder_of_something_else_is_not_touched(diagnosis, tmp_path):
    (tmp_path / "thesis.txt").write_text("two years of work")
    with pytest.raises(OverfocusError, match="something else"):
        diagnosis.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "two years of work"


def test_an_older_diagnosis_is_replaced_and_nothing_is_left_beside(diagnosis, tmp_path):
    diagnosis.save(tmp_path / "d")
    diagnosis.save(tmp_path / "d")
    assert os.listdir(tmp_path) == ["d"]


def test_a_failure_leaves_the_older_one_and_nothing_beside(diagnosis, tmp_path, monkeypatch):
    diagnosis.save(tmp_path / "d")
    before = (tmp_path / "d" / "scores.json").read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OverfocusError, match="disk is full"):
        diagnosis.save(tmp_path / "d")
    assert (tmp_path / "d" / "scores.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"hello"])
def test_a_damaged_file_is_an_error_that_names_it(content, tmp_path):
    (tmp_path / "evidence.npz").write_bytes(content)
    with pytest.raises(OverfocusError, match=r"evidence\.npz is not evidence"):
        of.Diagnosis.load(tmp_path)


def test_objects_in_a_file_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "evidence.npz", **{"about.json": np.array([print], dtype=object)})
    with pytest.raises(OverfocusError, match="not evidence"):
        Evidence.load(tmp_path / "evidence.npz")


def test_masks_are_bits_and_come_back():
    masks = torch.rand(3, 5, 7) < 0.4
    assert torch.equal(unpacked(packed(masks), (5, 7)), masks)


def test_an_unknown_section_says_what_there_is(diagnosis):
    with pytest.raises(KeyError, match="spread"):
        diagnosis["spraed"]
    assert (
        "the data does not say"
        in of.diagnose(
            Spots(), from_pixels(*marked(8), tuple("abcd")), mean=(0,), std=(1,), only=["focus", "confidence"]
        ).skipped["focus"]
    )
