"""The report of a study: what it says follows from planted numbers, and no name can do more than be read."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from studies import METHODS, planted, small_study

from overfocus.core.errors import OverfocusError
from overfocus.core.interval import Interval
from overfocus.report.label import label, visible
from overfocus.report.number import in_percent, in_points, p_value
from overfocus.report.study.answer import size_tables
from overfocus.report.study.gallery import Gallery, Glance, Pictured, Wall, heat, study_gallery
from overfocus.report.study.origin import same_data
from overfocus.report.study.page import page, rests, trouble, write_report
from overfocus.report.study.view import class_tables
from overfocus.study.comparison import Comparison
from overfocus.study.results import read_results
from overfocus.study.run_key import RunKey
from prose import numbers

VOID = {"meta", "img", "br", "hr", "link", "input", "col", "wbr"}
EVIL = ["<script>alert(1)</script>", "../../x", "A" * 10_000, "\U0001f98a", "\u05d0\u05d1\u05d2", "x\udcffy",
        "a\u202eb", "' onload='x", '"><img src=x>', "</style>"]  # fmt: skip


class Reader(HTMLParser):
    """Collects what is looked for, and whether all that opens closes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.wrong = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)

    def said(self):
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three methods and seeds, of which cutout is planted to be better."""
    return planted(tmp_path_factory.mktemp("page") / "study", small_study(), noise=0.002)


@pytest.fixture(scope="module")
def results(folder):
    return read_results(folder)


@pytest.fixture(scope="module")
def gallery(results):
    return study_gallery(results, 12)


@pytest.fixture(scope="module")
def text(results, gallery):
    return page(Comparison(results), gallery)


@pytest.fixture(scope="module")
def reader(text):
    return Reader(text)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Every class, file and directory has a name that means harm."""
    study = small_study(["plain", "cutout"], 2, data__name="<script>alert(2)</script>/\u202e")
    results = read_results(planted(tmp_path_factory.mktemp("evil") / "s'<b>", study, classes=EVIL))
    pictures = tuple(Pictured(name, k, "data:,", 8, 8, ((1, 1, 3, 3),)) for k, name in enumerate(EVIL))
    rows = tuple((Glance(k, 0.5, 0.5, "data:,"), Glance(0, 0.5, 0.5, "")) for k in range(len(EVIL)))
    return page(Comparison(results), Gallery(pictures, (Wall("all images", (0, 1), (0, 0), rows),)))


class TestPage:
    def test_all_that_opens_closes_and_nothing_is_asked_for(self, reader):
        assert not reader.wrong
        assert not reader.open
        addresses = [
            v for _, attrs in reader.tags for k, v in attrs.items() if k in ("src", "href", "action", "xlink:href")
        ]
        assert addresses
        assert all(each.startswith(("#", "data:")) for each in addresses)

    def test_the_policy_names_the_blocks_and_nothing_else_may_run(self, text):
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for tag in ("style", "script"):
            blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
            assert len(blocks) == 1
            digest = b64encode(sha256(blocks[0].encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy

    def test_no_attribute_that_the_policy_would_block(self, reader):
        for tag, attrs in reader.tags:
            assert "style" not in attrs, tag
            assert not [name for name in attrs if name.startswith("on")], tag

    def test_identities_are_single_and_links_lead_somewhere(self, reader):
        ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        links = [attrs["href"][1:] for tag, attrs in reader.tags if tag in ("a", "use")]
        assert set(links) <= set(ids)

    def test_no_nan(self, reader):
        assert not re.search(r"\bnan\b|\binf\b", reader.said(), re.IGNORECASE)

    @pytest.mark.slow
    def test_the_same_study_gives_the_same_bytes(self, results, gallery, text):
        assert page(Comparison(results), gallery) == text


class TestAnswer:
    def test_the_planted_method_is_ahead_and_better(self, results, reader):
        (table,) = size_tables(Comparison(results))
        assert table.rows[0].effect is None
        assert table.rows[1].effect.verdict == "better"
        assert table.sentences[0].startswith("<b><bdi>cutout</bdi></b>")
        assert re.search(r"cutout [^.]*8\d\.\d\d\s%[^.]*\d\d\.\d\d\s%[^.]* plain[^.]*better", reader.said())

    def test_the_numbers_are_those_of_the_answers(self, results):
        (table,) = size_tables(Comparison(results))
        values = results.values("accuracy", results.study.sizes[0])
        for row, method in zip(table.rows, METHODS):
            assert row.mean.value == pytest.approx(values[method].mean())
        difference = (values["cutout"] - values["plain"]).mean()
        assert table.rows[1].effect.paired.difference.value == pytest.approx(difference)
        assert table.rows[0].best.value == pytest.approx(table.rows[0].mean.value + 0.01, abs=0.0001)

    def test_the_scale_of_differences_has_zero_where_it_belongs(self, results):
        (table,) = size_tables(Comparison(results))
        for row in table.rows[1:]:
            difference = row.effect.paired.difference
            low, at, high = map(table.scale.place, (difference.low, difference.value, difference.high))
            assert 0 <= low <= at <= high <= 100
            assert (at > table.scale.place(0)) == (difference.value > 0)

    def test_one_seed_says_so(self, tmp_path):
        results = read_results(planted(tmp_path / "s", small_study(["plain", "cutout"], 1)))
        (table,) = size_tables(Comparison(results))
        assert not table.rows[0].mean.bounded
        assert table.rows[1].effect.verdict == "too few seeds"
        assert "luck" in " ".join(table.sentences)
        assert "One seed" in rests(Comparison(results))[0]

    def test_several_sizes_have_a_table_each_smallest_first(self, tmp_path):
        study = small_study(["plain", "cutout"], 2, fraction=[1.0, 0.1])
        tables = size_tables(Comparison(read_results(planted(tmp_path / "s", study))))
        assert [str(each.size) for each in tables] == ["10 %", "100 %"]
        assert numbers(tables[0].sentences[0])[0] == "10"

    def test_what_failed_and_what_is_missing_is_named(self, tmp_path):
        study = small_study(["plain", "cutout"], 3)
        cells = {(cell.method, cell.seed): cell for cell in study.run_keys()}
        path = planted(
            tmp_path / "s", study, failed={cells["cutout", 1]: "the loss is no number"}, missing=[cells["plain", 2]]
        )
        results = read_results(path)
        found = trouble(results)
        assert numbers(found.sentence)[:2] == ["1", "1"]
        assert found.runs[0] == (str(cells["cutout", 1]), "the loss is no number")
        assert found.runs[1] == (str(cells["plain", 2]), "not finished")
        (table,) = size_tables(Comparison(results))
        assert [row.mean.n for row in table.rows] == [2, 2]
        assert not table.rows[1].effect.paired.difference.bounded  # one pair is left
        assert numbers(table.rows[1].effect.caveat)[:2] == ["2", "3"]

    def test_a_whole_study_has_no_trouble(self, results):
        assert trouble(results) is None

    def test_numbers_in_words(self):
        assert in_percent(Interval(0.12345)).value == "12.35"
        assert in_points(Interval(-0.0123, -0.02, 0.01, 3)).value == "\u22121.23"
        assert in_points(Interval(-0.0123, -0.02, 0.01, 3)).interval == "[\u22122.00, +1.00]"
        assert in_percent(Interval(float("nan"), note="no seed")).value == "no answer"
        assert in_percent(Interval(float("nan"))).sort == ""
        assert p_value(0.0004).value == "< 0.001"
        assert p_value(float("nan")).value == "no answer"


class TestClasses:
    def test_the_effect_on_a_class_is_the_difference_of_its_accuracies(self, results):
        (table,) = class_tables(Comparison(results))
        found = results.per_class(results.study.sizes[0])
        label, base, cells = table.rows[3]
        assert label.short == "3"
        assert base.value == f"{100 * found['plain'][:, 3].mean():.1f}"
        assert cells[0].key == pytest.approx((found["cutout"] - found["plain"])[:, 3].mean())


class TestGallery:
    def test_the_same_images_in_rows_and_the_methods_in_columns(self, gallery):
        assert not gallery.why_not
        assert len(gallery.pictures) == 12
        (wall,) = gallery.walls
        assert wall.methods == (0, 1, 2)
        assert len(wall.rows) == 12
        assert all(len(row) == 3 for row in wall.rows)
        assert all(box[2:] == (12, 36) for each in gallery.pictures for box in each.boxes)  # three parts of 12 pixels
        assert all(len(each.boxes) == 1 for each in gallery.pictures)
        assert all(0 < glance.area <= 1 for row in wall.rows for glance in row)

    def test_a_heat_map_is_clear_where_it_is_nothing_and_strongest_at_its_maximum(self):
        map = torch.zeros(8, 8)
        map[2, 5] = 3.0
        image = Image.open(BytesIO(b64decode(heat(map, (40, 40)).partition(",")[2]))).convert("RGBA")
        opacity = np.asarray(image)[..., 3]
        assert image.size == (40, 40)
        assert opacity[35, 2] == 0
        row, column = np.unravel_index(opacity.argmax(), opacity.shape)
        assert (row // 5, column // 5) == (2, 5)

    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
    def test_a_map_without_mass_is_no_picture(self, value):
        assert heat(torch.full((4, 4), value), (8, 8)) == ""

    def test_images_that_are_gone_are_said_to_be(self, results):
        away = results.study.model_copy(update={"data": results.study.data.model_copy(update={"name": "/no/such"})})
        assert "could not be read again" in study_gallery(replace(results, study=away), 4).why_not

    def test_other_images_than_were_examined_are_refused(self, results):
        study = results.study
        other = study.model_copy(update={"examine": study.examine.model_copy(update={"limit": 10})})
        assert "has changed" in study_gallery(replace(results, study=other), 4).why_not

    def test_none_asked_none_given(self, results):
        assert study_gallery(results, 0).walls == ()


class TestNames:
    def test_names_are_text_and_never_code(self, hostile):
        found = Reader(hostile)
        assert not found.wrong
        assert sum(tag == "script" for tag, _ in found.tags) == 1
        assert not [tag for tag, attrs in found.tags if attrs.get("src") == "x"]
        assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
        assert EVIL[0] in found.said()
        assert "\u05d0\u05d1\u05d2" in found.said()

    def test_long_names_are_shortened_and_the_page_can_be_written(self, hostile):
        assert "A" * 201 not in hostile
        assert "A" * 150 in hostile  # in a title
        hostile.encode("utf-8")
        assert "\u202e" not in hostile

    def test_labels(self):
        assert label("cutmix").full == ""
        assert len(label("B" * 10_000).short) == 60
        assert len(label("B" * 10_000).full) == 200
        assert label("").short == "(no name)"
        assert visible("a\x00\ud800\u202eb") == "a\ufffd\ufffd\ufffdb"
        assert visible("\U0001f469\u200d\U0001f680") == "\U0001f469\u200d\U0001f680"


class TestOrigin:
    def test_every_run_has_its_command(self, results, folder, reader):
        said = reader.said()
        for cell in results.study.run_keys():
            assert str(cell.folder(folder) / "experiment.toml") in said
        assert said.count("overfocus train ") == 9

    def test_methods_of_a_seed_that_saw_other_data_are_found_out(self, tmp_path):
        folder = planted(tmp_path / "s", small_study(["plain", "cutout"], 2))
        assert same_data(read_results(folder))
        path = next(folder.glob("runs/all/cutout/seed1/manifest.json"))
        content = json.loads(path.read_text())
        content["data"]["fingerprint"] = "other"
        path.write_text(json.dumps(content))
        assert not same_data(read_results(folder))


@pytest.mark.slow
def test_a_page_of_a_study_that_is_not_whole_says_so(tmp_path):
    study = small_study(["plain", "cutout"], 3)
    first, *_, last = study.run_keys()
    folder = planted(tmp_path / "s", study, failed={first: "the loss is no number"})
    path = last.folder(folder) / "manifest.json"
    content = json.loads(path.read_text())
    content["data"]["fingerprint"] = "other"
    path.write_text(json.dumps(content))
    results = read_results(folder)
    said = Reader(page(Comparison(results), Gallery(why_not="the data is gone"))).said()
    assert not same_data(results)
    assert "not to be trusted" in said
    assert "failed: the loss is no number" in said
    assert "No pictures here: the data is gone." in said


@pytest.mark.slow
def test_the_report_is_written_beside_its_tables(folder, tmp_path):
    path = write_report(Comparison(read_results(folder)), out=tmp_path / "deep" / "r.html", images=2)
    assert path == tmp_path / "deep" / "r.html"
    assert path.stat().st_size > 50_000
    assert {each.suffix for each in (tmp_path / "deep" / "tables").iterdir()} == {".csv", ".md", ".tex"}


def test_a_study_without_a_finished_run_is_refused(tmp_path):
    study = small_study(["plain"], 1)
    with pytest.raises(OverfocusError, match="no run"):
        read_results(planted(tmp_path / "s", study, missing=[RunKey("plain", study.sizes[0], 0)]))


@pytest.mark.slow
def test_six_methods_five_seeds_two_sizes_stay_below_five_megabytes(tmp_path):
    methods = {"plain": 0.8, "cutout": 0.82, "cutmix": 0.84, "mixup": 0.79, "sgdrop": 0.83, "dropout": 0.8}
    study = small_study(methods, 5, fraction=[0.1, 1.0])
    path = write_report(Comparison(read_results(planted(tmp_path / "s", study, methods, attacked=True))))
    assert path.stat().st_size < 5e6
