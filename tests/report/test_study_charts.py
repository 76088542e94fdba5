"""Charts of a study: what they say follows from the numbers, and what they draw is safe in a strict page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from made_results import CUTOUT, METHODS, PLAIN, SGDROP, SHARES, answers_of, cell_of, made, size_of, with_evidence
from PIL import Image
from scipy import stats

from overfocus.diagnosis.evidence import Evidence
from overfocus.report.drawing.axes import method_styles, span
from overfocus.report.study.claim import named
from overfocus.report.study.curves import accuracy_by_size, training_curves
from overfocus.report.study.dots import half_object, localization, part_shares, robustness, split_accuracies
from overfocus.report.study.hiding import hiding
from overfocus.report.study.reliability import reliability
from overfocus.report.study.spread import _ends, spread_against_accuracy
from overfocus.report.study.view import CHAPTERS
from overfocus.statistics.correlation import mean_region, rank_correlation
from overfocus.study.comparison import Comparison

CHARTS = {function.__name__: function for chapter in CHAPTERS for function in chapter.draw}
ALL = sorted(CHARTS)
SPLITS = ("test", "<b>no-disc</b>", "conflict")


def kept(cell):
    drop = 0.05 * METHODS.index(cell.method)
    return (0.8, 0.4 - drop, 0.1), (0.8, 0.7, 0.5)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Cutout is planted to be wider and better, sgdrop to differ in nothing."""
    right, wide = {CUTOUT: 0.9}, {CUTOUT: 0.6}
    return with_evidence(
        made(tmp_path_factory.mktemp("study"), right=right, wide=wide, splits=SPLITS, per_class=[10, 100]), kept
    )


@pytest.fixture(scope="module")
def every(results):
    """All charts of the study by name."""
    return {name: draw(name, results) for name in ALL}


def draw(name, results):
    function = CHARTS[name]
    comparison, size = Comparison(results), size_of(results)
    return function(comparison) if name == "accuracy_by_size" else function(comparison, size)


class TestPage:
    @pytest.mark.parametrize("name", ALL)
    def test_nothing_that_a_strict_policy_blocks(self, every, name):
        root = ET.fromstring(every[name].svg)
        assert root.tag == "svg"
        assert root.get("role") == "img"
        assert root.get("aria-label") == every[name].title
        for node in root.iter():
            assert node.tag not in ("style", "script", "metadata", "foreignObject", "image")
            assert not [key for key in node.attrib if key == "style" or key.startswith("on")]
        assert "http" not in every[name].svg

    @pytest.mark.parametrize("name", ALL)
    def test_colours_are_classes_and_shares_of_the_ink(self, every, name):
        root = ET.fromstring(every[name].svg)
        classes = {node.get("class") for node in root.iter()} - {None, "chart"}
        assert classes == {"m1", "m2", "m3"}
        for node in root.iter():
            for paint in (node.get("fill"), node.get("stroke")):
                assert paint in (None, "none", "currentColor", "var(--paper, #ffffff)")
            assert (node.get("color") is None) == (node.get("class") in (None, "chart"))

    def test_no_two_things_share_a_name(self, every):
        roots = [ET.fromstring(each.svg) for each in every.values()]
        names = [node.get("id") for root in roots for node in root.iter() if node.get("id")]
        assert len(names) == len(set(names))
        used = [node.get("href")[1:] for root in roots for node in root.iter() if node.get("href")]
        assert used
        assert set(used) <= set(names)
        clips = {node.get("clip-path")[5:-1] for root in roots for node in root.iter() if node.get("clip-path")}
        assert clips <= set(names)

    @pytest.mark.parametrize("name", ["spread_against_accuracy", "hiding"])
    def test_the_same_bytes_every_time(self, results, every, name):
        assert draw(name, results).svg == every[name].svg
        assert draw(name, results) == every[name]

    def test_the_settings_of_matplotlib_do_not_matter_and_stay(self, results, every):
        with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "font.size": 30}):
            before = dict(matplotlib.rcParams)
            assert draw("robustness", results).svg == every["robustness"].svg
            assert dict(matplotlib.rcParams) == before

    def test_pictures_for_papers(self, every, tmp_path):
        for name in ("one.png", "two.png"):
            every["robustness"].save_png(tmp_path / name)
        assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
        with Image.open(tmp_path / "one.png") as image:
            assert image.width > 1500
            assert image.convert("RGB").getpixel((3, 3)) == (255, 255, 255)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["one.png", "two.png"]

    def test_hostile_names_are_only_read(self, tmp_path):
        splits = ("test", "</svg><script>alert(1)</script>", "x\udcffy\x00", "\u202eevil")
        of = made(tmp_path, seeds=2, splits=splits)
        chart = split_accuracies(Comparison(of), size_of(of))
        assert "<script" not in chart.svg
        for text in (chart.svg, chart.title, chart.text):
            text.encode()
            assert "\u202e" not in text
            assert "\x00" not in text
        assert ET.fromstring(chart.svg).tag == "svg"

    def test_many_methods_are_told_apart_by_colour_and_marker(self):
        of = method_styles([str(number) for number in range(40)]).values()
        assert len({(key.hue, key.marker) for key in of}) == 40
        assert len({key.marker for key in list(of)[:8]}) == 8


class TestTitles:
    def test_what_was_planted_is_said(self, every):
        title = every["spread_against_accuracy"].title
        assert re.search(r"cutout \w+ wider .*more accurate; .*sgdrop", title)
        assert re.search("lower .*cutout .*plain", every["hiding"].title)
        assert re.search("higher .*cutout .*plain", every["training_curves"].title)
        assert len(re.findall("cutout above plain", every["accuracy_by_size"].title)) == 2

    def test_a_wider_map_stands_beside_the_picture(self, every):
        assert re.search(
            r"By occlusion .*higher with cutout .*plain 0\.\d+.*cutout 0\.\d+", every["spread_against_accuracy"].text
        )

    def test_half_of_the_object_names_every_filling(self, every):
        assert re.search("higher with cutout than with plain", every["half_object"].title)
        for name in ("Nothing hidden", "The mean colour", "Blur", "Noise", "Another picture", "Chance 0.5"):
            assert name in every["half_object"].text

    def test_without_half_of_the_object_or_occlusion_a_study_of_before_is_shown(self, tmp_path):
        of = made(tmp_path)
        for run in of.results.values():
            del run.sections["halves"], run.sections["spread"]["scores"]["occlusion_area_predicted"]
        assert half_object(Comparison(of), size_of(of)) is None
        assert "cclusion" not in spread_against_accuracy(Comparison(of), size_of(of)).text

    def test_wider_and_worse_is_said_as_well(self, tmp_path):
        of = made(tmp_path, right={CUTOUT: 0.7}, wide={CUTOUT: 0.6, SGDROP: 0.1})
        title = spread_against_accuracy(Comparison(of), size_of(of)).title
        assert re.search(r"cutout \w+ wider .*less accurate; sgdrop \w+ narrower maps$", title)

    @pytest.mark.parametrize(
        ("seeds", "methods", "said"),
        [(1, METHODS, "luck"), (5, (PLAIN,), "wide plain"), (5, METHODS, "No method")],
    )
    def test_nothing_is_said_that_is_not_shown(self, tmp_path, seeds, methods, said):
        of = made(tmp_path, methods, seeds)
        assert said in spread_against_accuracy(Comparison(of), size_of(of)).title
        assert robustness(Comparison(of), size_of(of)) is not None

    def test_names_in_a_row(self):
        assert named(["a"]) == "a"
        assert named(["a", "b"]) == "a and b"
        assert named(list("abcde")) == "a, b, c and 2 more"


class TestNumbers:
    def test_a_missing_run_is_left_out_of_its_mean(self, tmp_path):
        whole = made(tmp_path)
        gone = cell_of(whole, CUTOUT, 4)
        of = made(tmp_path, missing=[gone])
        values = [whole.results[cell_of(whole, CUTOUT, seed)].value("robustness.fgsm") for seed in range(4)]
        chart = robustness(Comparison(of), size_of(of))
        line = next(each for each in chart.lines if each.name == "fgsm: cutout")
        assert line.y == [pytest.approx(np.mean(values))]
        half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) / 2
        assert line.high[0] - line.y[0] == pytest.approx(half)
        assert re.search(r"\b4 to 5\b", chart.text)

    def test_a_method_without_runs_is_not_drawn(self, tmp_path):
        whole = made(tmp_path, seeds=2)
        of = made(tmp_path, seeds=2, failed={cell_of(whole, CUTOUT, seed): "no" for seed in range(2)})
        for name in ("spread_against_accuracy", "training_curves", "robustness", "reliability"):
            chart = draw(name, of)
            assert chart.lines
            assert not [each for each in chart.lines if CUTOUT in each.name]
        assert "m2" not in draw("robustness", of).svg

    def test_charts_without_numbers_are_not_drawn(self, tmp_path):
        of = made(tmp_path, examined=False)
        for name in ALL:
            known = name in ("training_curves", "reliability")
            assert (draw(name, of) is not None) == known, name

    def test_one_size_is_no_course(self, tmp_path, results):
        one = made(tmp_path, per_class=[10])
        assert accuracy_by_size(Comparison(one)) is None
        chart = accuracy_by_size(Comparison(results))
        assert {tuple(each.x) for each in chart.lines} == {(10.0, 100.0)}
        of = results.values("accuracy", size_of(results))[PLAIN]
        assert chart.lines[0].y[0] == pytest.approx(of.mean())

    def test_references_need_no_model(self, results):
        text = localization(Comparison(results), size_of(results)).text
        assert "Centre box 0.250." in text
        assert "Whole picture 0.260." in text

    def test_parts_and_splits(self, results):
        assert "Digit: plain 0." in part_shares(Comparison(results), size_of(results)).text
        assert "Chance 0.500." in split_accuracies(Comparison(results), size_of(results)).text

    def test_training_bands_reach_from_the_lowest_to_the_highest_seed(self, results):
        line = training_curves(Comparison(results), size_of(results)).lines[0]
        last = results.values("accuracy", size_of(results))[PLAIN]
        found = [run.epochs[-1].scores["test"]["accuracy"] for run in results.of(PLAIN, size_of(results))]
        assert line.x == [1, 2, 3]
        assert (line.low[-1], line.high[-1]) == (min(found), max(found))
        assert line.y[-1] == pytest.approx(last.mean(), abs=1e-3)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
    def test_runs_that_all_say_the_same_or_nothing_are_drawn(self, tmp_path, value):
        of = with_evidence(
            made(tmp_path, seeds=3, right=dict.fromkeys(METHODS, 9.0 * np.nan_to_num(value)), noise=0), kept
        )
        for cell, run in of.results.items():
            epochs = tuple(replace(each, scores={"test": {"accuracy": value, "loss": value}}) for each in run.epochs)
            scores = {n: {"title": n, "scores": {k: v | {"value": value} for k, v in of_section["scores"].items()}}
                      for n, of_section in run.sections.items()}  # fmt: skip
            of.results[cell] = replace(run, epochs=epochs, sections=scores)
        found = [draw(name, of) for name in ALL]
        assert all(ET.fromstring(each.svg).tag == "svg" for each in found if each is not None)
        assert (draw("robustness", of) is None) == np.isnan(value)
        assert draw("training_curves", of) is not None

    def test_one_evaluation_is_no_curve(self, tmp_path):
        of = made(tmp_path, seeds=2)
        for cell, run in of.results.items():
            of.results[cell] = replace(run, epochs=(*(replace(e, scores={}) for e in run.epochs[:-1]), run.epochs[-1]))
        assert training_curves(Comparison(of), size_of(of)) is None

    def test_epochs_that_were_not_evaluated_are_left_out(self, tmp_path):
        of = made(tmp_path, seeds=2)
        for cell, run in of.results.items():
            of.results[cell] = replace(run, epochs=(replace(run.epochs[0], scores={}), *run.epochs[1:]))
        assert training_curves(Comparison(of), size_of(of)).lines[0].x == [2, 3]


class TestHiding:
    def test_means_over_seeds_of_what_is_left(self, results):
        chart = hiding(Comparison(results), size_of(results))
        lines = {each.name: each for each in chart.lines}
        assert lines[CUTOUT].y == pytest.approx([0.8, 0.35, 0.1])
        control = next(each for each in chart.lines if each.control and each.name.startswith(CUTOUT))
        assert control.y == pytest.approx([0.8, 0.7, 0.5])
        assert "cutout 0.35 (control 0.70)" in chart.text

    def test_a_run_whose_evidence_is_gone_or_differs_is_left_out(self, tmp_path):
        of = with_evidence(made(tmp_path, (PLAIN, CUTOUT), 3), kept)
        (of.results[cell_of(of, PLAIN, 1)].path / "diagnosis" / "evidence.npz").write_bytes(b"torn")
        other = {"hiding/shares": SHARES + 0.05, "hiding/salient/right": np.ones((3, 4), np.float32)}
        other["hiding/blobs/right"] = other["hiding/salient/right"]
        Evidence(other, {}).save(of.results[cell_of(of, PLAIN, 2)].path / "diagnosis" / "evidence.npz")
        assert hiding(Comparison(of), size_of(of)).lines[0].y == pytest.approx([0.8, 0.4, 0.1])

    def test_images_without_a_map_do_not_count(self, tmp_path):
        of = with_evidence(made(tmp_path, (PLAIN,), 1), kept)
        right = np.array([[1, 0, np.nan], [1, np.nan, np.nan], [np.nan] * 3], np.float32)
        arrays = {"hiding/shares": SHARES, "hiding/salient/right": right, "hiding/blobs/right": right}
        Evidence(arrays, {}).save(of.results[cell_of(of, PLAIN, 0)].path / "diagnosis" / "evidence.npz")
        chart = hiding(Comparison(of), size_of(of))
        assert chart.lines[0].y == pytest.approx([0.5, 1, np.nan], nan_ok=True)


class TestReliability:
    def planted(self, tmp_path, confidence):
        of = made(tmp_path, (PLAIN,), 3)
        for seed, right in enumerate((0.78, 0.8, 0.82)):
            sure = np.full(1000, confidence, np.float32)
            cell = cell_of(of, PLAIN, seed)
            of.results[cell] = replace(of.results[cell], answers=answers_of(right, confidence=sure))
        return reliability(Comparison(of), size_of(of))

    def test_one_bin_by_hand(self, tmp_path):
        line = self.planted(tmp_path, 0.75).lines[0]
        assert line.x == pytest.approx([0.75])
        assert line.y == pytest.approx([0.8])
        assert (line.low, line.high) == (pytest.approx([0.78]), pytest.approx([0.82]))

    def test_sure_and_right(self, tmp_path):
        assert "more sure than right: plain" in self.planted(tmp_path, 0.95).title
        assert "less sure than right: plain" in self.planted(tmp_path, 0.6).title
        assert "sure than" not in self.planted(tmp_path, 0.8).title

    def test_bins_of_few_images_and_answers_without_a_number_are_left_out(self, tmp_path):
        of = made(tmp_path, (PLAIN,), 1)
        sure = np.r_[np.full(20, 0.15), np.full(480, 0.95), np.full(500, np.nan)].astype(np.float32)
        of.results[cell_of(of, PLAIN, 0)] = replace(
            of.results[cell_of(of, PLAIN, 0)], answers=answers_of(0.5, confidence=sure)
        )
        line = reliability(Comparison(of), size_of(of)).lines[0]
        assert line.x == pytest.approx([0.95])
        assert line.y == pytest.approx([1.0])


class TestRegion:
    def test_four_points_by_hand(self):
        # S = 2/3 on both sides, F(0.95; 2, 2) = 19: half axes of sqrt(2 * 3 / (4 * 2) * 19 * 2 / 3).
        region = mean_region(np.array([[6, 7], [4, 7], [5, 8], [5, 6.0]]))
        assert region.centre == pytest.approx([5, 7])
        assert np.linalg.norm(region.axes, axis=1) == pytest.approx([np.sqrt(9.5)] * 2)
        assert np.linalg.norm(region.outline() - [5, 7], axis=1) == pytest.approx(np.sqrt(9.5))

    def test_the_border_is_where_the_test_turns(self):
        values = np.random.Generator(np.random.Philox(3)).multivariate_normal([0, 0], [[2, 1], [1, 1]], 6)
        inverse, mean = np.linalg.inv(np.cov(values.T)), values.mean(axis=0)
        for point in mean_region(values).outline(7):
            squared = 6 * (mean - point) @ inverse @ (mean - point)
            assert stats.f.sf(squared * (6 - 2) / (2 * (6 - 1)), 2, 4) == pytest.approx(0.05)

    def test_units_do_not_matter(self):
        values = np.random.Generator(np.random.Philox(4)).normal(size=(5, 2))
        scaled = mean_region(values * [1, 1e-4])
        inverse = np.linalg.inv(np.cov((values * [1, 1e-4]).T))
        far = [5 * (p - scaled.centre) @ inverse @ (p - scaled.centre) for p in scaled.outline(9)]
        assert far == pytest.approx([2 * 4 / 3 * stats.f.ppf(0.95, 2, 3)] * 10)

    @pytest.mark.parametrize(
        "values", [[[0, 1], [1, 0]], [[0, 0], [1, 1], [2, 2]], [[0, 1], [1, 1], [2, 1]], [[1, 1]] * 4]
    )
    def test_no_region_where_there_is_none(self, values):
        assert mean_region(np.array(values, float)) is None

    def test_it_covers_the_true_pair(self):
        draw, covered = np.random.Generator(np.random.Philox(5)), 0
        for _ in range(800):
            region = mean_region(draw.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 5))
            covered += np.linalg.norm(np.linalg.solve(region.axes.T, -region.centre)) <= 1
        assert covered / 800 == pytest.approx(0.95, abs=0.025)

    def test_all_runs_lie_in_the_frame_however_large_the_regions(self, tmp_path):
        from overfocus.report.study.spread import Cloud

        points = np.array([[0.1, 0.5], [0.3, 0.6], [0.2, 0.9]])
        cloud = Cloud(method_styles([PLAIN])[PLAIN], points, mean_region(points))
        for axis in range(2):
            low, high = _ends([cloud], axis)
            assert low < points[:, axis].min()
            assert high > points[:, axis].max()
            assert high - low < 3 * np.ptp(points[:, axis])


class TestRankCorrelation:
    def test_seeds_that_are_good_for_all_do_not_count(self):
        shift = np.array([0, 10, 20, 30, 40.0])
        x = np.array([[1, 1, 1, 1, 1], [2, 2, 2, 2, 2]]) + shift
        y = np.array([[2, 2, 2, 2, 2], [1, 1, 1, 1, 1]]) + shift
        assert stats.spearmanr(x.ravel(), y.ravel())[0] > 0.9
        found = rank_correlation(x, y)
        assert found.value == pytest.approx(-1)
        assert found.n == 10
        assert found.high < 0

    def test_as_scipy_says_after_centring(self):
        x, y = np.random.Generator(np.random.Philox(6)).normal(size=(2, 3, 4))
        x[1, 2] = np.nan
        kept = np.isfinite(x)
        centred = [(v - np.nanmean(np.where(kept, v, np.nan), axis=0))[kept] for v in (x, y)]
        assert rank_correlation(x, y).value == pytest.approx(stats.spearmanr(*centred)[0])

    @pytest.mark.parametrize("shape", [(1, 9), (3, 1), (2, 3)])
    def test_no_answer_from_one_method_or_few_runs(self, shape):
        x, y = np.random.Generator(np.random.Philox(7)).normal(size=(2, *shape))
        assert not rank_correlation(x, y).answered

    def test_no_answer_where_nothing_changes(self):
        found = rank_correlation(np.full((3, 5), 0.1), np.random.Generator(np.random.Philox(8)).normal(size=(3, 5)))
        assert not found.answered
        assert "same" in found.note

    def test_its_interval_covers(self):
        draw, covered = np.random.Generator(np.random.Philox(9)), 0
        true = 6 / np.pi * np.arcsin(0.5 / 2)
        for _ in range(300):
            runs = draw.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], (5, 5)) + 2 * draw.normal(size=(1, 5, 2))
            found = rank_correlation(runs[..., 0], runs[..., 1])
            covered += found.low <= true <= found.high
        assert covered / 300 == pytest.approx(0.955, abs=0.035)


def test_ends_of_an_axis():
    assert span(np.array([np.nan])) == (0, 1)
    low, high = span(np.array([0.5, 0.99]))
    assert 0 <= low < 0.5
    assert 0.99 < high <= 1.03
    assert span(np.array([3.0, 3.0]), share=False)[0] < 3
