import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """A clean set but for one file in two classes of a name that is markup."""
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in ("<b>ants", "bees"):
            folder = tmp_path / "photos" / part / label
            folder.mkdir(parents=True)
            for number in range(12):
                coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((80, 60)).save(folder / f"{number}.jpg")
    train = tmp_path / "photos" / "train"
    (train / "bees" / "both.jpg").write_bytes((train / "<b>ants" / "3.jpg").read_bytes())
    return tmp_path / "photos"


def test_the_terminal_names_the_worst_first_and_the_page_is_written(photos, overfocus, tmp_path):
    page = tmp_path / "pages" / "check.html"
    code, out, _ = overfocus("check", photos, "--out", page)
    assert code == 0
    rows = [word for line in out.splitlines() if (word := line.split()[0]) in {"problem", "warning", "note", "fine"}]
    assert rows == ["warning", "note", *["fine"] * 7]
    text = page.read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;ants" in text
    assert text.count("<img") >= 14


def test_json_is_all_that_is_printed(photos, overfocus, tmp_path):
    code, out, err = overfocus("check", photos, "--json", "--out", tmp_path / "check.html")
    assert code == 0
    assert err == ""
    assert json.loads(out)["findings"]["conflicts"]["severity"] == "warning"
    assert (tmp_path / "check.html").exists()


@pytest.mark.parametrize(("severity", "code"), [("warning", 3), ("problem", 0)])
def test_the_exit_code_says_whether_something_was_found(photos, overfocus, severity, code):
    assert overfocus("check", photos, "--fail-on", severity)[0] == code


@pytest.mark.parametrize(
    "words", [["--fail-on", "fine"], ["--open"], ["--boxes", "no-such.csv"]], ids=["severity", "open", "boxes"]
)
def test_invalid_input_is_one_line(photos, overfocus, words):
    code, out, err = overfocus("check", photos, *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)


def test_data_that_is_not_there(overfocus, tmp_path):
    assert overfocus("check", tmp_path / "nothing")[0] == 2


def test_what_is_not_used_is_printed_once(photos, overfocus):
    (photos / "train" / "loose.jpg").write_bytes((photos / "train" / "bees" / "1.jpg").read_bytes())
    _, out, _ = overfocus("check", photos)
    assert " ".join(out.split()).count("they lie in no class folder") == 1
