"""`overfocus evaluate` and the last words of `train`: scores of unequal classes, confusions, names of anybody."""

import csv
import json
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics as sk

from overfocus.data import Split, Stream, TensorImages
from overfocus.report.confusion import write_confusion
from overfocus.training.answer_report import AnswerReport, Collected
from overfocus.training.checkpoint import load_data, load_run
from overfocus.training.evaluate import evaluate
from overfocus.training.experiment import Experiment
from overfocus.training.loop import train
from overfocus.training.run import Run

CLASSES = ("=1+1", "b", "c")
TEST = (7, 2, 4)


def test_hand_made_answers_of_unequal_classes_one_of_them_absent():
    labels, said = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 3]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 0, 2])
    found = AnswerReport.of([(torch.eye(4)[said], labels, torch.arange(9))], ("a", "b", "c", "d")).as_dict()
    values = {name: score["value"] for name, score in found["answers"].items()}
    assert values["accuracy"] == pytest.approx(5 / 9)
    assert values["largest_class"] == pytest.approx(6 / 9)
    assert values["balanced_accuracy"] == pytest.approx((4 / 6 + 1 / 2 + 0) / 3)
    f1 = 2 * 4 / (6 + 5), 2 * 1 / (2 + 3), 0
    assert values["macro_f1"] == pytest.approx(sum(f1) / 3)
    assert values["weighted_f1"] == pytest.approx((6 * f1[0] + 2 * f1[1]) / 9)
    assert "top5" not in values
    assert found["classes"]["a"] == pytest.approx({"precision": 4 / 5, "recall": 4 / 6, "f1": f1[0], "support": 6})
    assert found["classes"]["c"] == {"precision": 0.0, "recall": None, "f1": None, "support": 0}
    assert found["classes"]["d"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}
    assert found["confused"][0] == {"class": "a", "named": "b", "images": 2}
    assert 0.25 < found["answers"]["accuracy"]["low"] < 5 / 9 < found["answers"]["accuracy"]["high"] < 0.85
    json.dumps(found, allow_nan=False)


def test_an_image_without_an_answer_is_wrong_and_named_as_nothing(tmp_path):
    logits, labels = torch.eye(3)[torch.tensor([0, 1, 2, 0])], torch.tensor([0, 1, 2, 0])
    whole = AnswerReport.of([(logits, labels, torch.arange(4))], CLASSES)
    logits = logits.clone()
    logits[3] = torch.nan
    lost = AnswerReport.of([(logits, labels, torch.arange(4))], CLASSES)
    found = lost.as_dict()
    assert found["answers"]["accuracy"]["value"] == pytest.approx(3 / 4)
    assert found["classes"][CLASSES[0]] == pytest.approx({"precision": 1, "recall": 1 / 2, "f1": 2 / 3, "support": 2})
    assert found["confused"] == []
    write_confusion(tmp_path / "m.csv", {"val": whole, "test": lost})
    head, *rows = list(csv.reader((tmp_path / "m.csv").open(encoding="utf-8", newline="")))
    assert head[-1] == "no answer"
    assert [row[2:] for row in rows[:1] + rows[3:4]] == [["2", "0", "0", "0"], ["1", "0", "0", "1"]]


def test_shares_of_processes_come_to_the_same_numbers():
    draw = torch.Generator().manual_seed(0)
    logits, labels, rows = torch.randn(40, 12, generator=draw), torch.arange(40) % 12, torch.arange(40)
    names = tuple("abcdefghijkl")
    whole = AnswerReport.of([(logits, labels, rows)], names).as_dict()
    shares = [(logits[part], labels[part], rows[part]) for part in (slice(25, 40), slice(0, 25))]
    assert AnswerReport.of(shares, names).as_dict() == whole
    assert "top5" in whole["answers"]


class Counting(torch.nn.Module):
    """A network that counts the images that pass."""

    images = 0

    def forward(self, images):
        self.images += len(images)
        return images.flatten(1)[:, :4]


def test_answers_are_collected_in_the_same_pass():
    split = Split(
        TensorImages(torch.randint(0, 255, (9, 1, 2, 3), dtype=torch.uint8)), torch.arange(9) % 4, tuple("abcd")
    )
    stream, model, collected = Stream(split, batch=4, mean=(0.0,), std=(1.0,), train=False), Counting(), Collected()
    scores = evaluate(model, stream, keep=collected)
    report = AnswerReport.of([collected.together()], split.classes)
    assert model.images == 9
    assert report.scores["accuracy"].value == pytest.approx(scores["accuracy"])
    assert report.scores["balanced_accuracy"].value == pytest.approx(scores["balanced_accuracy"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, source = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, counts in (("train", (12, 6, 6)), ("val", (3, 3, 3)), ("test", TEST)):
        for label, (name, count) in enumerate(zip(CLASSES, counts, strict=True)):
            for number in range(count):
                pixels = source.integers(0, 200, (18, 14, 3), dtype=np.uint8)
                pixels[..., label] += 20
                path = folder / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    settings = {
        "data": {"name": str(folder), "size": (18, 14), "augment": {}},
        "model": {"settings": {"widths": [4, 6, 8]}},
        "recipe": {"epochs": 2, "batch": 6, "lr": 0.05, "precision": "32-true"},
    }
    list(train(Experiment.model_validate(settings), folder / "run"))
    return folder / "run"


@pytest.fixture(scope="module")
def truth(run):
    """Labels and probabilities of the test images, by a forward pass of its own."""
    experiment, data = load_data(Run(run))
    batches, model = list(experiment.stream(data, "test").epoch()), load_run(run)
    with torch.no_grad():
        logits = torch.cat([model(images) for images, _, _ in batches])
    labels = torch.cat([labels for _, labels, _ in batches])
    assert len(labels) == sum(TEST)
    return labels.numpy(), logits.double().softmax(dim=1).numpy()


def test_json_has_the_scores_beside_the_keys_of_before(overfocus, run, truth):
    code, out, err = overfocus("evaluate", run, "--json")
    assert code == 0, err
    found, (labels, shares) = json.loads(out), truth
    said = shares.argmax(axis=1)
    assert set(found) == {"val", "test"}
    test = found["test"]
    assert test["accuracy"] == pytest.approx(sk.accuracy_score(labels, said))
    assert {"loss", "images", "balanced_accuracy"} < set(test)
    values = {name: score["value"] for name, score in test["answers"].items()}
    assert values["largest_class"] == pytest.approx(max(TEST) / sum(TEST))
    assert values["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, said))
    assert values["macro_f1"] == pytest.approx(sk.f1_score(labels, said, average="macro", labels=range(3)))
    assert values["auroc"] == pytest.approx(sk.roc_auc_score(labels, shares, multi_class="ovr"))
    assert [test["classes"][name]["support"] for name in CLASSES] == list(TEST)


def test_the_run_keeps_the_same_scores(overfocus, run):
    kept = Run(run).manifest()["answers"]
    found = json.loads(overfocus("evaluate", run, "--json")[1])
    for split in ("val", "test"):
        assert kept[split]["classes"] == found[split]["classes"]
        assert kept[split]["confused"] == found[split]["confused"]
        assert kept[split]["answers"]["macro_f1"] == found[split]["answers"]["macro_f1"]


def test_the_terminal_names_unequal_classes_and_what_is_confused(overfocus, run):
    found = Run(run).manifest()["answers"]["test"]
    shown = overfocus("evaluate", run, "--split", "test")[1]
    last = overfocus("train", run / "experiment.toml", "--out", run)[1]
    for score in ("largest_class", "balanced_accuracy", "macro_f1"):
        assert f"{found['answers'][score]['value']:.4f}" in shown
        assert f"{found['answers'][score]['value']:.4f}" in last
    for pair in found["confused"]:
        assert f"{pair['class']}, named {pair['named']}" in shown


def test_the_matrix_as_csv_runs_no_formula(overfocus, run, truth, tmp_path):
    file = tmp_path / "confusion.csv"
    assert overfocus("evaluate", run, "--split", "test", "--confusion", file)[0] == 0
    head, *rows = list(csv.reader(file.open(encoding="utf-8", newline="")))
    assert head == ["split", "class", "'=1+1", "b", "c"]
    assert [row[:2] for row in rows] == [["test", "'=1+1"], ["test", "b"], ["test", "c"]]
    matrix = np.array([row[2:] for row in rows], dtype=int)
    assert (matrix == sk.confusion_matrix(truth[0], truth[1].argmax(axis=1), labels=range(3))).all()


def test_a_run_that_ended_before_its_manifest_reports_the_same(run, tmp_path):
    settings = Run(run).experiment()
    assert [epoch.number for epoch in islice(train(settings, tmp_path / "again"), 2)] == [1, 2]
    assert not Run(tmp_path / "again").finished
    list(train(settings, tmp_path / "again"))
    assert Run(tmp_path / "again").manifest()["answers"] == Run(run).manifest()["answers"]
