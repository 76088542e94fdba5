"""A network tuned on real photographs, used on others: as right as its evaluation says, and as its exports."""

import csv
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def ours(*words):
    """Run the command as a person does; return what it prints, on standard output and error."""
    done = subprocess.run(
        [sys.executable, "-m", "overfocus", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_photographs_are_named_as_evaluation_says(tmp_path):
    data = os.environ.get("OVERFOCUS_DATA")
    if not data or not (Path(data) / "hymenoptera_data.tar.gz").is_file():
        pytest.skip("needs hymenoptera_data.tar.gz: point OVERFOCUS_DATA at its folder")
    with tarfile.open(Path(data) / "hymenoptera_data.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    photos, run = tmp_path / "hymenoptera_data", tmp_path / "run"
    options = ("--model", "efficientnet_lite0", "--pretrained", "--size", "64", "--epochs", "1", "--val", "0.25")
    ours("train", "--data", photos, "--out", run, *options)
    ours("predict", run, photos / "val", "--accuracy", "0.9", "--out", tmp_path / "p.csv")
    rows = rows_of(tmp_path / "p.csv")
    right = [Path(row["file"]).parent.name == row["class"] for row in rows]
    scores = json.loads((run / "manifest.json").read_text())["last"]["scores"]["test"]
    # Training may compute in bf16 and keeps decoded pictures; a picture at the border may be named otherwise.
    assert len(rows) == scores["images"] == 153
    assert sum(right) / 153 == pytest.approx(scores["accuracy"], abs=0.02)
    sure = [hit for hit, row in zip(right, rows, strict=True) if row["unsure"] == "no"]
    assert len(sure) > 30
    assert sum(sure) / len(sure) >= sum(right) / 153  # what is unsure is wrong more often
    pytest.importorskip("onnxruntime")
    told = json.loads(ours("export", run, "--to", "onnx", "--json")[0])
    assert told["largest_difference_resized"] < 0.02
    ours("predict", run / "export-onnx", photos / "val", "--out", tmp_path / "o.csv")
    for one, other in zip(rows, rows_of(tmp_path / "o.csv"), strict=True):
        assert float(one["confidence"]) == pytest.approx(float(other["confidence"]), abs=1e-3)
