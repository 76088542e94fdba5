"""`--classes` and `--split all` as a person uses them, on weights that do not say what their classes are."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from overfocus import create_model


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    for name in ("2", "10", "1"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(5):
            pixels = random.integers(0, 256, (17, 14, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{number}.png")
    Image.new("RGB", (14, 17)).save(tmp_path / "set" / "loose.png")
    torch.manual_seed(0)
    torch.save(create_model("overfocus_cnn", 4, widths=[4, 8]).state_dict(), tmp_path / "net.pt")
    return tmp_path


OWN = ("--model", "overfocus_cnn", "--setting", "widths=[4,8]", "--mean", "0,0,0", "--std", "1,1,1")


def test_diagnose(overfocus, photos):
    asked = (photos / "net.pt", "--data", photos / "set", *OWN, "--only", "spread", "--split", "all")
    (photos / "names.txt").write_text("1\n2\n3\n10\n")
    code, out, err = overfocus("diagnose", *asked, "--classes", photos / "names.txt", "--out", photos / "d")
    assert code == 0, err
    assert "Looked at 15 of 15 images: train and test together" in out
    assert "1 picture (they lie in no class folder, so they have no label)" in out
    about = json.loads((photos / "d" / "scores.json").read_text())["about"]
    assert about["classes"] == ["1", "2", "3", "10"]
    with np.load(photos / "d" / "evidence.npz") as arrays:
        assert np.bincount(arrays["labels"], minlength=4).tolist() == [5, 5, 0, 5]
    assert "they lie in no class folder" in (photos / "d" / "diagnosis.html").read_text()
    for names, said in (("cat,dog,eel,fox", "10"), ("1,2,3,4", "'10'"), ("1", "neither a file"), ("1,2", "net.pt")):
        code, _, err = overfocus("diagnose", *asked, "--classes", names, "--out", photos / "e")
        assert (code, (photos / "e").exists()) == (2, False)
        assert said in err
        assert [line.startswith("error: ") for line in err.splitlines()].count(True) == 1
        assert err.splitlines()[-1].startswith("error: ")


def test_explain(overfocus, photos):
    torch.save(create_model("overfocus_cnn", 4).state_dict(), photos / "net.pt")
    code, out, err = overfocus(
        "explain", photos / "net.pt", photos / "set" / "1" / "0.png", "--data", photos / "set",
        *OWN[:2], *OWN[4:], "--classes", "ant,bee,cow,dog", "--target", "cow",
        "--out", photos / "maps", "--json",
    )  # fmt: skip
    assert code == 0, err
    (found,) = json.loads(out)
    assert found["asked"] == "cow"
    assert found["predicted"] in ("ant", "bee", "cow", "dog")


def test_a_run_knows_its_own(overfocus, tmp_path):
    from overfocus import Experiment, train

    values = {
        "data": {"name": "totem", "fraction": 0.02},
        "model": {"settings": {"widths": [4]}},
        "recipe": {"epochs": 1},
    }
    list(train(Experiment.read(values, "test"), tmp_path / "run"))
    own = ("--limit", 4, "--only", "spread", "--out", tmp_path / "d")
    code, _, err = overfocus("diagnose", tmp_path / "run", "--classes", "a,b", *own)
    assert code == 2
    assert "has its own" in err
