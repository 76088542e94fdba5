"""Groups from the command line: a column that a run keeps, the worst group wherever accuracy stands, other columns."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.data import Split, Stream, TensorImages
from overfocus.data.groups import ImageGroups
from overfocus.training.answer_report import AnswerReport, Collected
from overfocus.training.evaluate import evaluate
from overfocus.training.experiment import Experiment
from overfocus.training.loop import train
from overfocus.training.run import Run

CLASSES, SITES = ("a", "b"), ("<b>x", "=y")


class First(torch.nn.Module):
    """Names the first class where the first pixel is dark."""

    def forward(self, images):
        return torch.stack((0.5 - images[:, 0, 0, 0], images[:, 0, 0, 0] - 0.5), dim=1)


def answered(groups, batch=7):
    """Forty images of two classes, of which every fourth is named wrongly; `groups` [40]."""
    labels = torch.arange(40) % 2
    bright = labels.where(torch.arange(40) % 4 > 0, 1 - labels)
    pixels = (255 * bright).to(torch.uint8)[:, None, None, None].expand(-1, 1, 2, 3)
    of = ImageGroups("site", ("x", "y", "z"), torch.as_tensor(groups))
    split = Split(TensorImages(pixels.contiguous()), labels, CLASSES, groups=of)
    return split, Stream(split, batch=batch, mean=(0.0,), std=(1.0,), train=False)


def test_the_worst_group_is_counted_where_the_answers_are():
    split, stream = answered([0] * 20 + [1] * 20)
    collected = Collected()
    scores = evaluate(First(), stream, keep=collected)
    report = AnswerReport.of([collected.together()], CLASSES, split.groups)
    assert scores["accuracy"] == 30 / 40
    assert scores["worst_group"] == report.scores["worst_group"].value == 5 / 10
    found = report.as_dict()["groups"]
    assert found["column"] == "site"
    assert [(each["class"], each["group"], each["accuracy"], each["images"]) for each in found["cells"]] == [
        ("a", "x", 0.5, 10), ("a", "y", 0.5, 10), ("b", "x", 1.0, 10), ("b", "y", 1.0, 10),
    ]  # fmt: skip


def test_groups_of_few_images_have_no_number():
    split, stream = answered([number % 3 for number in range(40)])
    collected = Collected()
    assert "worst_group" not in evaluate(First(), stream, keep=collected)
    report = AnswerReport.of([collected.together()], CLASSES, split.groups)
    assert report.scores["worst_group"].note
    assert not any(each["compared"] for each in report.as_dict()["groups"]["cells"])
    json.dumps(report.as_dict(), allow_nan=False)


def test_shares_of_processes_come_to_the_same_groups():
    split, stream = answered([0] * 12 + [1] * 28)
    collected = Collected()
    evaluate(First(), stream, keep=collected)
    logits, labels, rows = collected.together()
    shares = [(logits[part], labels[part], rows[part]) for part in (slice(25, 40), slice(0, 25))]
    whole = AnswerReport.of([(logits, labels, rows)], CLASSES, split.groups).as_dict()
    assert AnswerReport.of(shares, CLASSES, split.groups).as_dict() == whole


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder whose second class is of one site in training and of both in the test."""
    folder, source = tmp_path_factory.mktemp("data") / "photos", np.random.default_rng(0)
    rows = ["file,width,site,camera"]
    for part, count in (("train", 12), ("test", 24)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                path = folder / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = source.integers(0, 150, (12, 10, 3), dtype=np.uint8) + 60 * label
                Image.fromarray(pixels.astype(np.uint8)).save(path)
                site = SITES[label if part == "train" else number % 2]
                rows.append(f"{part}/{name}/{number}.png,10,{site},{'pq'[number < 12]}")
    (folder / "origin.csv").write_text("\n".join(rows) + "\n")
    return folder


def trained(data, out, **more):
    settings = {
        "data": {"name": str(data), "augment": {}, **more}, "model": {"settings": {"widths": [4, 6]}},
        "recipe": {"epochs": 1, "batch": 6, "lr": 0.05, "precision": "32-true"},
    }  # fmt: skip
    list(train(Experiment.model_validate(settings), out))
    return out


@pytest.fixture(scope="module")
def run(data):
    return trained(data, data.parent / "run", group="origin.csv:site")


def test_a_run_keeps_its_column(overfocus, run):
    manifest = Run(run).manifest()
    kept = manifest["answers"]["test"]
    assert manifest["last"]["scores"]["test"]["worst_group"] == kept["answers"]["worst_group"]["value"]
    code, out, err = overfocus("evaluate", run, "--json")
    assert code == 0, err
    test = json.loads(out)["test"]
    assert test["groups"] == kept["groups"]
    assert {each["group"] for each in test["groups"]["cells"]} == {*SITES}
    lowest = min(each["accuracy"] for each in test["groups"]["cells"] if each["compared"])
    assert test["worst_group"] == test["answers"]["worst_group"]["value"] == lowest
    shown, last = overfocus("evaluate", run)[1], overfocus("train", run / "experiment.toml", "--out", run)[1]
    for said in (shown, last):
        assert "worst group" in said
        assert f"{lowest:.4f}" in said
    assert f"{test['groups']['cells'][0]['class']}, {test['groups']['cells'][0]['group']}" in shown


def test_a_run_without_groups_takes_them_later_and_gets_the_same_weights(overfocus, data, run):
    other = trained(data, data.parent / "without")
    assert (other / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    before = json.loads(overfocus("evaluate", other, "--json")[1])["test"]
    assert "groups" not in before
    assert "worst_group" not in before["answers"]
    assert "worst group" not in overfocus("evaluate", other)[1]
    after = json.loads(overfocus("evaluate", other, "--group", "origin.csv:camera", "--json")[1])["test"]
    assert {each["group"] for each in after["groups"]["cells"]} == {"p", "q"}
    assert after["accuracy"] == before["accuracy"]


def test_a_diagnosis_takes_the_column_of_the_run(overfocus, run, tmp_path):
    code, said, err = overfocus("diagnose", run, "--only", "groups", "--out", tmp_path / "d")
    assert code == 0, err
    found = json.loads((tmp_path / "d" / "scores.json").read_text())["sections"]["groups"]
    assert found["scores"]["class_by_group"]["value"] == 0.5
    assert "worst-group accuracy" in said
    page = (tmp_path / "d" / "diagnosis.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;x" in page
    assert "<b>x" not in page


@pytest.mark.parametrize("words", [("train", "--out", "x"), ("diagnose", "RUN", "--out", "x"), ("evaluate", "RUN")])
def test_a_column_that_is_not_there_names_the_nearest(overfocus, data, run, tmp_path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [run if word == "RUN" else word for word in words]
    more = ("--data", data) if words[0] == "train" else ()
    code, _, err = overfocus(*words, *more, "--group", "origin.csv:sit")
    assert code != 0
    assert "did you mean 'site'?" in err
