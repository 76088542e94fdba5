"""`overfocus diagnose` and `overfocus explain` as a person uses them."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

QUICK = "spread,focus,localization,confidence,shortcut"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    from overfocus import Experiment, train

    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        values = {
            "data": {"name": "totem", "fraction": 0.03},
            "model": {"settings": {"widths": [4, 8]}},
            "recipe": {"epochs": 1},
            "seed": seed,
        }
        list(train(Experiment.read(values, "test"), folder / f"run{seed}"))
    return folder


def test_one_run(overfocus, runs, tmp_path):
    code, out, err = overfocus("diagnose", runs / "run0", "--limit", 30, "--only", QUICK, "--per-class",
                               "--out", tmp_path / "d")  # fmt: skip
    assert code == 0, err
    assert "effective area" in out
    assert "diagnosis.html" in out
    assert "run0 (plain): Spread" in err
    scores = json.loads((tmp_path / "d" / "scores.json").read_text())
    assert list(scores["sections"]) == QUICK.split(",")
    assert scores["sections"]["focus"]["scores"]["part_digit"]["n"] == 30
    assert set(scores["sections"]["spread"]["per_class"]) == {str(digit) for digit in range(10)}
    page = (tmp_path / "d" / "diagnosis.html").read_text()
    assert "attribution on digit" in page
    with (tmp_path / "d" / "suspects.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 30
    assert rows[0]["file"].startswith("totem/all#")
    assert (tmp_path / "d" / "evidence.npz").exists()
    assert not (tmp_path / "d" / "classes.csv").exists(), "its section was not evaluated"
    assert list((tmp_path / "d" / "pictures").glob("*.png"))


def test_two_runs_side_by_side(overfocus, runs, tmp_path):
    code, out, err = overfocus("diagnose", runs / "run0", runs / "run1", "--limit", 24, "--only", "spread,focus",
                               "--out", tmp_path / "d", "--json")  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert [each["about"]["model"] for each in found["models"]] == ["run0 (plain)", "run1 (plain)"]
    (difference,) = found["differences_to_first"]["spread"]["gini_predicted"]
    first, second = (each["sections"]["spread"]["scores"]["gini_predicted"]["value"] for each in found["models"])
    assert difference["value"] == pytest.approx(second - first)
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert 0 <= found["agreement_with_first"]["run1 (plain)"]["iou"]["value"] <= 1
    assert sorted(path.name for path in (tmp_path / "d").iterdir() if path.is_dir()) == [
        "1-run0-plain", "2-run1-plain", "pictures",
    ]  # fmt: skip


def test_what_is_confused_lies_beside_the_page(overfocus, runs, tmp_path):
    code, _, err = overfocus("diagnose", runs / "run0", "--limit", 30, "--only", "answers", "--out", tmp_path / "d")
    assert code == 0, err
    scores = json.loads((tmp_path / "d" / "scores.json").read_text())["sections"]["answers"]["scores"]
    with (tmp_path / "d" / "confusion.csv").open() as lines:
        counts = [list(map(int, row[1:])) for row in list(csv.reader(lines))[1:]]
    assert np.sum(counts) == 30
    assert np.trace(counts) / 30 == pytest.approx(scores["accuracy"]["value"])
    with (tmp_path / "d" / "classes.csv").open() as lines:
        assert [row["class"] for row in csv.DictReader(lines)] == [str(digit) for digit in range(10)]
    assert (tmp_path / "d" / "pictures" / "answers-1.png").is_file()


def photos(folder):
    """Write a folder of squares with boxes, three of which cannot be used as they are."""
    random, rows = np.random.default_rng(0), ["file,x0,y0,x1,y1"]
    for part, count in (("train", 9), ("test", 8)):
        for name in ("a", "<script>b"):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
                box = {0: "5,5,5,9", 1: "20,10,90,40", 2: "3,3,1,8"}.get(number, "4,4,20,16")
                rows += [f"test/{name}/{number}.png,{box}"] * (part == "test")
    (folder.parent / "boxes.csv").write_text("\n".join([*rows, "test/a/99.png,0,0,4,4"]))


def test_a_strangers_file_on_a_folder_with_boxes_that_are_not_all_good(overfocus, tmp_path):
    import torch

    from overfocus import create_model

    photos(tmp_path / "photos")
    torch.manual_seed(0)
    torch.save(create_model("overfocus_cnn", 2, widths=[4, 8]).state_dict(), tmp_path / "net.pt")
    asked = ("--data", tmp_path / "photos", "--boxes", tmp_path / "boxes.csv", "--only", "focus,localization")
    own = ("--model", "overfocus_cnn", "--setting", "widths=[4,8]", "--out", tmp_path / "d")
    code, _, err = overfocus("diagnose", tmp_path / "net.pt", *asked, *own)
    assert code == 2
    assert "--preprocess imagenet" in err
    code, out, err = overfocus("diagnose", tmp_path / "net.pt", *asked, *own, "--preprocess", "half")
    assert code == 0, err
    for count, word in (("4", "without area"), ("2", "beyond"), ("1", "annotations")):
        assert re.search(rf"\b{count} [^\n;.]*{word}", out)
    found = json.loads((tmp_path / "d" / "scores.json").read_text())["sections"]
    assert found["focus"]["scores"]["energy_inside"]["n"] == 12
    assert found["localization"]["scores"]["max_box_acc"]["n"] == 12
    assert any(re.search(r"\b4 [^;.]*\bbox", note) for note in found["localization"]["notes"])
    page = (tmp_path / "d" / "diagnosis.html").read_text()
    assert "<script>b" not in page
    code, _, err = overfocus(
        "diagnose", tmp_path / "net.pt", *asked, "--model", "overfocus_cnn", "--out", tmp_path / "e"
    )
    assert (code, (tmp_path / "e").exists()) == (2, False)
    assert "net.pt" in err


def test_a_second_set_in_a_folder_is_called_by_its_name(overfocus, runs, tmp_path):
    photos(tmp_path / "gaussian")  # as one of the kinds of noise
    photos(tmp_path / "cats and dogs")
    for name, called in (("gaussian", "gaussian (data)"), ("cats and dogs/", "cats and dogs")):
        asked = ("--only", "outliers", "--limit", "20", "--ood", tmp_path / name, "--out", tmp_path / "d")
        code, out, err = overfocus("diagnose", runs / "run0", *asked)
        assert code == 0, err
        assert f"AUROC, {called}" in out, "told first"
        scores = json.loads((tmp_path / "d" / "scores.json").read_text())["sections"]["outliers"]["scores"]
        assert scores[f"{called}_auroc"]["n"] == 20 + 16


@pytest.mark.parametrize(("words", "said"), [
    (("--only", "spraed"), "did you mean 'spread'"),
    (("--at", "features.9"), "no layer"),
    (("--split", "digitonly"), "digit-only"),
    (("--map", "gradcamm"), "gradcam"),
    (("--map", "automatic"), "method of attribution"),
    (("--mean", "a,b,c"), "numbers"),
    (("--data", "nowhere/at/all"), "nowhere/at/all"),
    (("--ood", "fashion_mnist", "--root", "nowhere"), "fashion_mnist"),
])  # fmt: skip
def test_a_wrong_argument_is_told_in_a_line_and_nothing_is_written(words, said, overfocus, runs, tmp_path):
    code, _, err = overfocus(
        "diagnose", runs / "run0", "--limit", 4, "--only", "spread", *words, "--out", tmp_path / "d"
    )
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "d").exists()


def test_a_folder_with_other_things_is_refused_before_any_work(overfocus, runs, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    code, _, err = overfocus("diagnose", runs / "run0", "--limit", 4, "--out", tmp_path)
    assert code == 2
    assert "something else" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_explain(overfocus, runs, tmp_path):
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(random.integers(0, 256, (30, 30), dtype=np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(random.integers(0, 256, (41, 40, 4), dtype=np.uint8)).save(tmp_path / "alpha.png")
    pictures = [tmp_path / f"{name}.png" for name in ("rgb", "grey", "alpha")]
    code, out, err = overfocus("explain", runs / "run0", *pictures, "--methods", "cam,gradcam,integrated_gradients",
                               "--out", tmp_path / "out", "--json")  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert [set(each["methods"]) for each in found] == [{"cam", "gradcam", "integrated_gradients"}] * 3
    assert all(each["methods"]["cam"]["note"] == "" for each in found)
    assert (tmp_path / "out" / "explained.png").exists()
    assert len(list((tmp_path / "out").glob("*.png"))) == 10


@pytest.mark.parametrize(("words", "said"), [
    (("--methods", "gradcan"), "gradcam"),
    (("--target", "eleven"), "no class"),
])  # fmt: skip
def test_explain_tells_what_is_wrong(words, said, overfocus, runs, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    code, _, err = overfocus("explain", runs / "run0", tmp_path / "a.png", *words, "--out", tmp_path / "out")
    assert code == 2
    assert said in err


def test_explain_names_a_file_that_is_no_picture(overfocus, runs, tmp_path):
    (tmp_path / "a.png").write_bytes(b"text")
    code, _, err = overfocus("explain", runs / "run0", tmp_path / "a.png", "--out", tmp_path / "out")
    assert code == 2
    assert "a.png" in err


def test_maps_are_listed_with_their_cards(overfocus):
    code, out, _ = overfocus("maps")
    assert code == 0
    assert "gradcam" in out
    assert "2011.08891" in overfocus("maps", "hirescam")[1]


def test_a_row_for_each_image_with_its_pictures(overfocus, runs, tmp_path):
    pandas = pytest.importorskip("pandas")
    code, _, err = overfocus("diagnose", runs / "run0", "--limit", 20, "--only", "spread,hiding,shortcut,in_between",
                             "--images", "--out", tmp_path / "d")  # fmt: skip
    assert code == 0, err
    folder = tmp_path / "d" / "images"
    table = pandas.read_csv(folder / "images.csv")
    assert len(table) == 20
    assert table["file"].str.startswith("totem/all#").all()
    assert (table["right"] == (table["label"] == table["predicted"])).all()
    scores = json.loads((tmp_path / "d" / "scores.json").read_text())["sections"]
    area = scores["spread"]["scores"]["effective_area_predicted"]["value"]
    assert table["spread_effective_area_predicted"].mean() == pytest.approx(area, abs=1e-6)
    assert table["hiding_overfocus"].mean() == pytest.approx(scores["hiding"]["scores"]["overfocus"]["value"], abs=1e-6)
    assert set(table["flagged"]) <= {True, False}
    for row in table.itertuples():
        image, seen, laid = (np.asarray(Image.open(folder / path)) for path in (row.picture, row.map, row.overlay))
        assert image.shape == (40, 40, 3)
        assert (seen.shape, seen.dtype) == ((40, 40), np.uint8)
        assert 100 < seen.max() <= 255
        assert laid.shape[2] == 3


def test_names_in_the_table_of_images_are_not_run_by_a_spreadsheet():
    from overfocus.report.diagnosis.image_table import csv_of

    assert csv_of([{"file": '=cmd|"/c calc"', "value": float("nan")}]) == 'file,value\n"\'=cmd|""/c calc""",\n'


def test_quick_tells_its_price_first_and_what_it_left_out(overfocus, runs, tmp_path):
    from overfocus.diagnosis.catalogue import DEFAULT, SECTIONS
    from overfocus.diagnosis.effort import LEFT_OUT, QUICK

    code, out, err = overfocus("diagnose", runs / "run0", "--limit", 20, "--quick", "--without", "spread", "--json",
                               "--out", tmp_path / "d")  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    asked = [name for name in QUICK if name in SECTIONS and name != "spread"]
    assert list(found["sections"]) == [name for name in SECTIONS if name in asked]
    assert found["about"]["skipped"] == {name: LEFT_OUT for name in DEFAULT if name not in asked}
    price, _, after = err.partition("run0 (plain): Maps")
    assert "Half of the object" in price
    assert re.search(r"\d ms a picture and [\d,]+ of them", price)
    assert after, "the price stands before what it is of"
    code, _, err = overfocus("diagnose", runs / "run0", "--quick", "--only", "spread", "--out", tmp_path / "e")
    assert code == 2
    assert "--quick" in err
