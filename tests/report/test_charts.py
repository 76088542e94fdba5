"""Charts and overlays: safe with holes, the same every time, and true to their numbers."""

import math
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.section import Chart, Line, Matrix
from overfocus.report.drawing.line_chart import line_chart, overlaid
from overfocus.report.drawing.matrix_chart import matrix_chart
from overfocus.report.drawing.overlay import overlay, picture

HOLES = Line("with <holes> & more", [0, 0.5, 1], [1, math.nan, 0], [0.9, math.nan, math.nan], [1, math.nan, 0.1])
CONTROL = Line("control", [0, 0.5, 1], [1, 0.8, 0.6], [0.9, 0.7, 0.5], [1, 0.9, 0.7], control=True)
CHART = Chart("A <title>", "share", "accuracy", (HOLES, CONTROL))
EMPTY = Chart("nothing", "x", "y", (Line("none", [], []), Line("all nan", [0, 1], [math.nan, math.nan])))


@pytest.mark.parametrize(
    "chart", [CHART, EMPTY, Chart("d", "x", "y", (CONTROL,), diagonal=True), Chart("", "", "", ())]
)
def test_it_is_drawn_the_same_every_time_and_is_xml(chart):
    text = line_chart(chart).svg
    assert text == line_chart(chart).svg
    assert ET.fromstring(text).tag.endswith("svg")
    assert "<holes>" not in text


def test_the_settings_of_matplotlib_are_left_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    plot = line_chart(CHART)
    assert plot.svg
    plot.save_png(tmp_path / "c.png", dpi=144)
    assert dict(matplotlib.rcParams) == before
    with Image.open(tmp_path / "c.png") as image:
        assert image.width >= 480


def test_two_models_share_a_chart_with_their_names():
    both = overlaid([CHART, CHART], ["one", "two"])
    assert any("one" in line.name for line in both.lines)
    assert any("two" in line.name for line in both.lines)


def test_heat_lies_where_the_map_is_high():
    map_ = torch.zeros(4, 6)
    map_[1, 4] = 1
    pixels = torch.full((3, 8, 12), 0.5)
    plain, heated = np.asarray(picture(pixels, colour=False)), np.asarray(overlay(pixels, map_))
    change = np.abs(heated.astype(int) - plain.astype(int)).sum(axis=2)
    factor = heated.shape[0] // 8
    y, x = np.unravel_index(change.argmax(), change.shape)
    assert abs(y / factor - 3) <= 1
    assert abs(x / factor - 9) <= 1
    assert change[-1, 0] == 0


@pytest.mark.parametrize("map_", [torch.zeros(3, 3), -torch.ones(3, 3), torch.full((3, 3), math.nan)])
def test_a_map_without_mass_leaves_the_image(map_):
    pixels = torch.rand(1, 9, 7)
    assert np.array_equal(np.asarray(overlay(pixels, map_)), np.asarray(picture(pixels, colour=False)))


def test_small_images_are_enlarged_by_whole_pixels_and_large_ones_kept():
    small, large = picture(torch.rand(3, 10, 14), side=50), picture(torch.rand(1, 300, 200), side=50)
    assert (small.width, small.height) == (56, 40)
    assert (large.width, large.height) == (200, 300)
    with pytest.raises(OverfocusError, match="one image"):
        picture(torch.rand(2, 3, 4, 4))


@pytest.mark.parametrize("more", [(), ("any other class",)])
def test_a_matrix_has_every_count_and_says_it_in_words(more):
    counts = ((7, 1203, *(0 for _ in more)), (0, 5, *(41 for _ in more)))
    matrix = Matrix("M", "named as", "class", ("<a>", "b" * 90), ("<a>", "b" * 90, *more), counts)
    plot = matrix_chart(matrix)
    texts = [node.text.strip() for node in ET.fromstring(plot.svg).iter() if node.tag.endswith("text") and node.text]
    wanted = [f"{count:,}" for row in counts for count in row if count]
    assert [text for text in texts if text.replace(",", "").isdigit()] == wanted
    assert all(text in plot.text for text in wanted)
    assert plot.svg == matrix_chart(matrix).svg
    assert "style=" not in plot.svg
