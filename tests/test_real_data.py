"""The command line on real data, from training to evaluation, in the layouts in which people have it."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SMALL = ["--epochs", "1", "--batch", "64", "--set", "model.settings.widths=[4,8,8]"]


def ours(*words):
    """Run the command as a person does; return what it prints."""
    command = [sys.executable, "-m", "overfocus", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def real():
    folder = os.environ.get("OVERFOCUS_DATA")
    if not folder:
        pytest.skip("needs real data: point OVERFOCUS_DATA at it")
    return Path(folder)


@pytest.fixture(scope="module")
def tiny_imagenet(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(real / "tiny-imagenet-50.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "tiny-imagenet-50"


def trained_and_evaluated(data, out, *options):
    manifest = json.loads(ours("train", "--data", str(data), "--out", str(out), *SMALL, *options, "--json"))
    scores = json.loads(ours("evaluate", str(out), "--json"))
    for name, trained in manifest["last"]["scores"].items():
        assert {key: scores[name][key] for key in trained} == pytest.approx(trained)
    return manifest


def test_fashion_mnist(real, tmp_path):
    manifest = trained_and_evaluated("fashion_mnist", tmp_path / "run", "--root", str(real), "--per-class", "20")
    assert manifest["images"] == {"train": 200, "test": 10_000}


def test_cifar10_parquet(real, tmp_path):
    options = ("--per-class", "20", "--method", "cutmix + sgdrop")
    manifest = trained_and_evaluated(real / "cifar10-jpeg", tmp_path / "run", *options)
    assert manifest["images"] == {"train": 200, "test": 10_000}
    assert manifest["classes"][0] == "airplane"


def test_tiny_imagenet(tiny_imagenet, tmp_path):
    manifest = trained_and_evaluated(tiny_imagenet, tmp_path / "run", "--per-class", "10", "--method", "cutout")
    assert manifest["images"]["train"] == 500
    assert len(manifest["classes"]) == 50
