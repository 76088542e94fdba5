"""A network is examined by the names of its classes: in any order, and where the data has only some of them."""

import json
import logging
import shutil

import pytest
import torch
from PIL import Image
from torch import nn

import overfocus as of
from overfocus.commands.diagnose import DiagnosisRequest, as_dict, diagnose_checkpoints
from overfocus.core.classes import read_classes
from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.catalogue import SECTIONS
from overfocus.diagnosis.checkpoints import CheckpointOptions
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.training.checkpoint import evaluate_run, load_data
from overfocus.training.run import Run

QUICK = ("spread", "confidence")


def tone(number):
    return 10 + 18 * number


def tones(num_classes):
    """A perfect network: its output k is largest for pictures of `tone(k)`."""
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, num_classes))
    level = torch.tensor([tone(number) / 255 for number in range(num_classes)])
    with torch.no_grad():
        net[0].weight.fill_(1 / 3)
        net[0].bias.zero_()
        net[3].weight.copy_(20000 * level[:, None])
        net[3].bias.copy_(-10000 * level.square())
    return net


def reversed_tones(num_classes):
    """The same with its outputs in the opposite order."""
    net = tones(num_classes)
    with torch.no_grad():
        net[3].weight.copy_(net[3].weight.flip(0))
        net[3].bias.copy_(net[3].bias.flip(0))
    return net


def write_tones(root, numbers, parts=("train", "test"), count=5):
    """Write pictures of 16 x 20 pixels: class name -> number of its tone."""
    for part in parts:
        for name, number in numbers.items():
            (root / part / name).mkdir(parents=True)
            for each in range(count):
                picture = Image.new("RGB", (20, 16), (tone(number),) * 3)
                picture.putpixel((each, 3), (tone(number) + 1,) * 3)
                picture.save(root / part / name / f"{each}.png")
    return root


def examine(models, data, out, *, classes="", only=QUICK, **more):
    options = CheckpointOptions(
        mean=(0.0,) * 3, std=(1.0,) * 3, classes=read_classes(classes) if classes else (), settings=()
    )
    request = DiagnosisRequest(tuple(models), {"data.name": str(data)}, options=options, only=only, **more)
    return diagnose_checkpoints(request, out, per_class=True, images=True)


def accuracy(found, place=0):
    evidence = found.diagnoses[place].evidence
    return float((evidence.logits.argmax(dim=1) == evidence.labels).float().mean())


TONES, REVERSED = (f"test_class_names:{each.__name__}" for each in (tones, reversed_tones))


def test_numbers_are_matched_by_position_with_a_warning_and_by_name_without(tmp_path, caplog):
    data = write_tones(tmp_path / "set", {str(number): number for number in range(12)})
    with caplog.at_level(logging.WARNING):
        by_text = examine([TONES], data, tmp_path / "a")
    assert accuracy(by_text) == pytest.approx(2 / 12)  # 0 and 1 alone stand where they stand as numbers
    assert "which are numbers (0, 1, 10, 11, 2, ...)" in caplog.text
    about = by_text.diagnoses[0].evidence.about
    assert "0, 1, 10, 11, 2" in about["source"]
    assert "--classes" in about["note"]
    caplog.clear()
    by_name = examine([TONES], data, tmp_path / "b", classes=",".join(map(str, range(12))))
    assert accuracy(by_name) == 1.0
    assert not caplog.text
    (tmp_path / "names.txt").write_text("\n".join(f"{number} {number}" for number in range(12)))
    assert accuracy(examine([TONES], data, tmp_path / "c", classes=str(tmp_path / "names.txt"))) == 1.0


def test_a_network_of_three_classes_on_a_folder_of_two_goes_through_every_section(tmp_path):
    data = write_tones(tmp_path / "set", {"cow": 2, "ant": 0})
    found = examine([TONES], data, tmp_path / "d", classes="ant,bee,cow", only=tuple(SECTIONS))
    assert accuracy(found) == 1.0
    evidence = found.diagnoses[0].evidence
    assert evidence.labels.unique().tolist() == [0, 2]
    assert list(evidence.classes) == ["ant", "bee", "cow"]
    assert {each.name for each in found.diagnoses[0].findings} | set(found.diagnoses[0].skipped) == set(SECTIONS)
    by_class = as_dict(found, per_class=True)["sections"]["spread"]["per_class"]
    assert {name: scores["gini_true"]["n"] for name, scores in by_class.items()} == {"ant": 5, "bee": 0, "cow": 5}
    assert by_class["bee"]["gini_true"]["value"] is None
    assert (tmp_path / "d" / "diagnosis.html").is_file()
    assert (tmp_path / "d" / "images" / "images.csv").read_text().count("cow") >= 5


def test_networks_whose_classes_stand_in_another_order_are_compared_on_the_same_images(tmp_path):
    data = write_tones(tmp_path / "set", {"ant": 0, "bee": 1, "cow": 2})
    split = of.load(data).splits["test"]
    first, second = (
        of.diagnose(net(3), split, classes=names, only=QUICK)
        for net, names in ((tones, ("ant", "bee", "cow")), (reversed_tones, ("cow", "bee", "ant")))
    )
    side = SideBySide((first, second))
    assert [accuracy(side, place) for place in (0, 1)] == [1.0, 1.0]
    assert first.evidence.labels.tolist() == [2 - label for label in second.evidence.labels.tolist()]
    other = of.diagnose(tones(3), of.load(data).splits["test"].subset([0, 1, 2, 5, 10]), only=QUICK)
    with pytest.raises(OverfocusError, match="same images"):
        SideBySide((first, other))


def test_names_that_differ_in_case_only_are_matched_and_named(tmp_path, caplog):
    data = write_tones(tmp_path / "set", {"ant": 1, "Bee": 0})
    found = examine([TONES], data, tmp_path / "d", classes="bee,Ant")
    assert accuracy(found) == 1.0
    assert "differ in case only" in found.diagnoses[0].evidence.about["sample"]
    assert "'ant' is 'Ant'" in caplog.text


def test_nothing_is_computed_before_what_can_fail_was_tried(tmp_path, capsys):
    data = write_tones(tmp_path / "set", {"ant": 0, "eel": 1})
    with pytest.raises(OverfocusError, match="'eel'"):
        examine([TONES], data, tmp_path / "d", classes="ant,bee,cow")
    with pytest.raises(OverfocusError, match="returns"):
        examine([TONES, "test_class_names:one_more"], data, tmp_path / "d")
    assert "Maps" not in capsys.readouterr().err  # no progress of the first network
    assert not (tmp_path / "d").exists()


def one_more(num_classes):
    """A network with a class more than it is asked for."""
    return tones(num_classes + 1)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("b\na\n\n", ("b", "a")),
        ("/a/airfield 0\n/a/alcove 1\n", ("/a/airfield", "/a/alcove")),
        ('["b", "a"]', ("b", "a")),
        ('{"1": "a", "0": "b"}', ("b", "a")),
        ('{"a": 1, "b": 0}', ("b", "a")),
    ],
)
def test_files_of_class_names(tmp_path, content, names):
    path = tmp_path / ("names.json" if content[0] in "[{" else "names.txt")
    path.write_text(content)
    assert read_classes(str(path)) == names


@pytest.mark.parametrize("content", ['{"1": "a", "2": "b"}', "{", "[1, 2]", '"ab"', "[]"])
def test_files_that_are_no_class_names(tmp_path, content):
    (tmp_path / "names.json").write_text(content)
    with pytest.raises(OverfocusError, match=r"names\.json"):
        read_classes(str(tmp_path / "names.json"))
    with pytest.raises(OverfocusError, match="neither a file nor"):
        read_classes("nowhere.txt")


def test_a_run_is_evaluated_on_its_data_where_a_class_is_gone_and_stands_elsewhere(tmp_path):
    data = write_tones(tmp_path / "set", {"ant": 0, "bee": 4, "cow": 9})
    values = {
        "data": {"name": str(data)}, "model": {"settings": {"widths": [4, 8]}},
        "recipe": {"epochs": 3, "batch": 4, "lr": 0.01},
    }  # fmt: skip
    list(of.train(of.Experiment.read(values, "test"), tmp_path / "run"))
    whole = evaluate_run(tmp_path / "run", ["test"])["test"]
    for part in ("train", "test"):
        shutil.rmtree(data / part / "ant")
    _, dataset = load_data(Run(tmp_path / "run"))
    assert dataset.classes == ("ant", "bee", "cow")
    assert dataset.splits["test"].counts().tolist() == [0, 5, 5]
    assert "without images: ant" in dataset.note
    rest = evaluate_run(tmp_path / "run", ["test"])["test"]
    right = round(whole["accuracy"] * 15)
    assert rest["images"] == 10
    assert right - 5 <= round(rest["accuracy"] * 10) <= right
    (data / "train" / "eel").mkdir()
    Image.new("RGB", (20, 16)).save(data / "train" / "eel" / "0.png")
    with pytest.raises(OverfocusError, match="'eel'"):
        load_data(Run(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["classes"] == ["ant", "bee", "cow"]
