"""The section on answers: networks whose answers are known, their tables, matrix and files."""

import csv

import numpy as np
import pytest
import torch
from nets import Constant, LeftHalf, halves

import overfocus as of
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.sections.answers import AnswerSection, confusion_of, one_class
from overfocus.report.diagnosis.class_tables import write_classes


def evidence(named, labels, classes):
    """Evidence of a network that names images so; less sure of each than of the one before."""
    labels, named = torch.tensor(labels), torch.tensor(named)
    logits = torch.eye(len(classes))[named] * torch.linspace(9, 5, len(labels))[:, None]
    return Evidence({"labels": labels.numpy(), "logits": logits.numpy()}, {"classes": list(classes), "seed": 0})


def found(*given):
    return AnswerSection().evaluate(evidence(*given))


class TestThroughADiagnosis:
    def test_numbers_of_known_answers(self):
        pixels, labels = halves(20)
        wrong = labels.clone()
        wrong[[1, 3, 5, 7]] = 0  # bright ones, said to be dark: the network names them as bright
        diagnosis = of.diagnose(LeftHalf(), from_pixels(pixels, wrong, ("dark", "bright")), only=["answers"])
        scores = diagnosis["answers"]
        assert scores["accuracy"].value == pytest.approx(16 / 20)
        assert scores["largest_class"].value == pytest.approx(14 / 20)
        assert scores["balanced_accuracy"].value == pytest.approx((10 / 14 + 1) / 2)
        assert scores["macro_f1"].value == pytest.approx((20 / 24 + 12 / 16) / 2)
        assert scores["commonest_answer"].value == pytest.approx(0.5)
        (finding,) = diagnosis.findings
        assert finding.matrices[0].counts == ((10, 4), (0, 6))
        (shown,) = finding.tables[0].seen
        assert len(shown.rows) == 3
        assert set(shown.rows) < {1, 3, 5, 7}
        per_class = finding.per_class(wrong, ["dark", "bright"])
        assert per_class["dark"]["accuracy"].value == pytest.approx(10 / 14)

    def test_a_constant_network_is_told_first(self):
        pixels, labels = halves(20)
        diagnosis = of.diagnose(Constant(), from_pixels(pixels, labels, ("dark", "bright")), only=["answers"])
        assert diagnosis["answers"]["commonest_answer"].value == 1
        assert one_class(confusion_of(diagnosis.evidence))
        assert "'bright'" in diagnosis.findings[0].sentence.partition(". ")[0]
        assert len(diagnosis.findings[0].notes) == 2


@pytest.mark.parametrize(
    ("named", "labels", "told"),
    [
        ([0] * 40, [0] * 38 + [1] * 2, True),  # everything, of which nearly all is right
        ([0] * 39 + [1], [0] * 38 + [1] * 2, False),  # nearly everything is of that class
        ([0] * 39 + [1], [0] * 30 + [1] * 10, True),
        ([0] * 37 + [1] * 3, [0] * 20 + [1] * 20, False),
        ([0] * 9, [0] * 9, False),  # there is one class
        ([1], [0], False),
    ],
)
def test_one_class_for_nearly_everything(named, labels, told):
    given = evidence(named, labels, "ab")
    assert one_class(confusion_of(given)) is told
    assert len(AnswerSection().evaluate(given).notes) == 1 + told


def test_swapped_classes_are_the_first_pairs_with_the_images_of_which_it_is_surest():
    labels = [0, 1, 2, 3, 4] * 6
    swap = {1: 3, 3: 1}
    named = [swap.get(k, k) for k in labels]
    named[0] = 2
    pairs = found(named, labels, "abcde").tables[0]
    assert [row[:3] for row in pairs.rows] == [("b", "d", "6 of 6"), ("d", "b", "6 of 6"), ("a", "c", "1 of 6")]
    assert [each.rows for each in pairs.seen] == [(1, 6, 11), (3, 8, 13), (0,)]


def test_a_class_without_images_has_no_number_and_comes_last():
    labels, named = [0, 0, 0, 2, 2], [0, 0, 1, 2, 2]
    finding = found(named, labels, "abc")
    rows = finding.tables[1].rows
    assert [row[0] for row in rows] == ["a", "c", "b"]
    assert rows[-1][2:] == ("-", "-", "0", "1")
    assert finding.scores["balanced_accuracy"].value == pytest.approx((2 / 3 + 1) / 2)


def test_of_many_classes_the_matrix_shows_those_that_are_confused_and_loses_no_image():
    classes = [f"class {k}" for k in range(40)]
    labels = list(range(40)) * 3
    named = [k if k != 30 else 2 for k in labels]
    named[39], named[0] = 38, 39
    (matrix,) = found(named, labels, classes).matrices
    assert len(matrix.rows) == 12
    assert {"class 2", "class 30", "class 38", "class 39", "class 0"} <= set(matrix.rows)
    assert matrix.columns[:12] == matrix.rows
    assert [sum(row) for row in matrix.counts] == [3] * 12
    assert matrix.counts[matrix.rows.index("class 30")][matrix.columns.index("class 2")] == 3


def test_answers_that_are_no_numbers_have_a_column_and_count_as_wrong():
    given = evidence([0, 1, 0, 1], [0, 1, 0, 1], "ab")
    given.arrays["logits"][3] = np.nan
    finding = AnswerSection().evaluate(given)
    assert finding.scores["accuracy"].value == 0.75
    assert finding.matrices[0].columns[2:] == ("no answer",)
    assert finding.matrices[0].counts == ((2, 0, 0), (0, 1, 1))
    assert finding.per_image["accuracy"][1].tolist() == [1, 1, 1, 0]


def test_files_hold_every_class_and_no_name_is_a_formula(tmp_path):
    evil = "=cmd|' !A1"
    write_classes(evidence([1, 1, 0, 0], [0, 1, 0, 0], [evil, "b,\n", "c"]), tmp_path)
    with (tmp_path / "confusion.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1] == rows[1][0] == f"'{evil}"
    assert [row[1:] for row in rows[1:]] == [["2", "1", "0"], ["0", "1", "0"], ["0", "0", "0"]]
    with (tmp_path / "classes.csv").open(newline="") as file:
        one, two, absent = csv.DictReader(file)
    assert one["class"] == f"'{evil}"
    assert float(one["recall"]) == pytest.approx(2 / 3)
    assert 0 <= float(one["recall_low"]) <= float(one["recall"]) <= float(one["recall_high"]) <= 1
    assert (float(two["precision"]), two["images"], two["named"]) == (0.5, "1", "2")
    assert absent["recall"] == absent["precision"] == absent["f1"] == ""
