"""What networks lean on, at the head of the terminal and of the page: each network's own, any name harmless."""

import re
import shutil
from io import StringIO

import pytest
from planted_leans import BEYOND, COLOUR, EVIL, FRAME, MARK, OBJECT, UNKNOWN, lean, planted, sampled
from rich.console import Console
from test_diagnosis_page import read

from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.report.diagnosis.lean_view import lean_scale, lean_views
from overfocus.report.diagnosis.page import write_page
from overfocus.report.terminal.diagnosis import diagnosis_table

CHROMIUM = shutil.which("chromium")
THINGS = tuple(lean(f"thing {number}", number / 30, number / 30 - 0.1, number / 30 + 0.1) for number in range(9))
LEANS = {"one": (FRAME, OBJECT, COLOUR, MARK, UNKNOWN, *THINGS), "two": (OBJECT, BEYOND), "three": (), "four": None}


def printed(diagnoses, width=200, is_terminal=False):
    console = Console(file=StringIO(), width=width, force_terminal=is_terminal, color_system=None, markup=False,
                      emoji=False, highlight=False)  # fmt: skip
    diagnosis_table(SideBySide(diagnoses), console)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with planted(**LEANS) as diagnoses:
        path = write_page(tmp_path_factory.mktemp("leans"), SideBySide(diagnoses), sampled())
        return path, path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def views():
    with planted(**LEANS) as diagnoses:
        return lean_views(SideBySide(diagnoses))


class TestTerminal:
    def test_one_network_is_headed_by_its_sentence_and_its_list(self):
        with planted(one=LEANS["one"]) as diagnoses:
            lines = [line for line in printed(diagnoses).splitlines() if line]
        assert FRAME.title in lines[1]
        assert "46 %" in lines[1]
        assert [line.split("  ")[0] for line in lines[4:6]] == ["the object", FRAME.title]
        assert "46 % [38, 54]" in lines[5]
        assert "found, n = 150" in lines[5]
        assert lines[5].endswith(FRAME.advice)
        assert not [line for line in lines if COLOUR.advice in line], "nothing is to be done about what is no finding"
        assert lines.index("Planted") > 6, "the sections come after it"

    def test_each_of_several_networks_has_its_own(self):
        with planted(**LEANS) as diagnoses:
            text = printed(diagnoses)
        starts = [text.index(f"\n{name}: ") for name in ("one", "two", "three")]
        assert starts == sorted(starts)
        assert FRAME.title in text[starts[0] : starts[1]]
        assert FRAME.title not in text[starts[1] :]
        assert "130 % [110, 160]" in text[starts[1] : starts[2]]
        assert "\nfour: " not in text[: text.index("\nPlanted")], "nothing is said where nothing was looked for"

    def test_nothing_is_said_where_nothing_was_looked_for(self):
        with planted(one=None) as diagnoses:
            lines = [line for line in printed(diagnoses).splitlines() if line]
        assert lines[1:] == ["Planted", "It was planted."]

    @pytest.mark.parametrize("width", [60, 100])
    def test_hostile_names_stay_within_their_width(self, width):
        with planted(one=LEANS["one"]) as diagnoses:
            text = printed(diagnoses, width, is_terminal=True)
        assert "\u202e" not in text
        assert max(map(len, text.splitlines())) <= width


class TestPage:
    def test_it_comes_before_all_other_sections(self, page):
        ids = re.findall(r'<section id="([^"]*)"', page[1])
        assert ids[:2] == ["leans", "summary"]
        assert re.findall(r'<li><a href="#([^"]*)"', page[1])[0] == "leans"

    def test_every_lean_is_listed_with_its_number(self, page, views):
        items = re.findall(r"<li[^>]*><div>(.*?)</div></li>", page[1], re.DOTALL)
        assert len(items) == sum(len(view.rows) for view in views) == len(LEANS["one"]) + len(LEANS["two"])
        assert "91\u00a0% [85, 96]" in items[0]
        assert "46\u00a0% [38, 54]" in items[1]
        assert "<code>overfocus heal RUN</code>, or other pictures" in items[1]
        assert COLOUR.advice not in page[1], "nothing is to be done about what is no finding"
        assert page[1].count('<li class="found">') == 2
        assert [len(view.first) for view in views] == [8, 2, 0]
        assert f'start="{len(views[0].first) + 1}"' in page[1]

    def test_the_pictures_are_those_that_it_speaks_of(self, page):
        items = re.findall(r"<li[^>]*><div>(.*?)</div></li>", page[1], re.DOTALL)
        assert [item.count("<img") for item in items[:2]] == [1, 2]
        sources = re.findall(r'<img src="([^"]*)"', items[1])
        marked = re.findall(r'<img src="([^"]*)"', next(item for item in items if "onerror" in item))
        assert len({*sources, *marked}) == 4, "the box is drawn into what is marked"

    def test_a_bar_goes_from_nought_to_the_share(self, page, views):
        scale = lean_scale(views)
        assert (scale.low, scale.high) == (min(each.share.low for each in THINGS), 1.6)
        item = re.findall(r"<li[^>]*><div>(.*?)</div></li>", page[1], re.DOTALL)[1]
        x, width = re.search(r'class="band" x="([\d.]+)%" width="([\d.]+)%"', item).groups()
        assert float(x) == pytest.approx(scale.place(0), abs=0.01)
        assert float(x) + float(width) == pytest.approx(scale.place(0.46), abs=0.02)
        ends = [float(end) for end in re.findall(r'class="span" x1="([\d.]+)%" x2="\1%"', item)]
        assert ends == pytest.approx([scale.place(0.38), scale.place(0.54)], abs=0.01)
        assert all(0 <= end <= 100 for end in ends)

    def test_names_are_text_and_what_has_no_answer_says_so(self, page):
        reader = read(page[0])
        assert not reader.wrong
        assert not reader.open
        assert not [attrs for _, attrs in reader.tags if any(name.startswith("on") for name in attrs)]
        assert not [attrs for _, attrs in reader.tags if "style" in attrs]
        text = "".join(reader.text)
        assert EVIL[:28] in text
        assert "\u202e" not in page[1].partition('<section id="leans"')[2].partition("<section")[0]
        assert "no answer: no accuracy above chance" in text
        assert not re.search(r"\bnan\b", text, re.IGNORECASE)

    def test_a_network_on_which_nothing_was_looked_for_is_not_listed(self, views):
        assert [(view.name, view.number) for view in views] == [("one", 0), ("two", 1), ("three", 2)]

    def test_an_interval_is_not_broken_over_lines(self, page):
        assert "46\u00a0% of its accuracy above chance goes with it [38,\u00a054]." in page[1]

    def test_without_leans_the_page_begins_with_its_summary(self, tmp_path):
        with planted(one=None) as diagnoses:
            text = write_page(tmp_path, SideBySide(diagnoses), sampled()).read_text(encoding="utf-8")
        assert re.findall(r'<section id="([^"]*)"', text)[0] == "summary"

    def test_without_pictures_it_is_still_written(self, tmp_path):
        with planted(one=LEANS["one"]) as diagnoses:
            text = write_page(tmp_path, SideBySide(diagnoses)).read_text(encoding="utf-8")
        assert "46\u00a0% [38, 54]" in text

    @pytest.mark.slow
    @pytest.mark.skipif(not CHROMIUM, reason="needs a browser")
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 1400])
    def test_a_browser_shows_it_within_its_width(self, page, width, scheme):
        playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
        with playwright.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            complaints = []
            tab.on("console", lambda message: complaints.append(message.text))
            tab.goto(page[0].absolute().as_uri())
            for each in tab.locator("details").all():
                each.evaluate("element => { element.open = true; }")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            off = """[...document.querySelectorAll('#leans *')].filter((each) => !each.closest('svg')
                && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML.slice(0, 90))"""
            assert tab.evaluate(off) == []
            bars = tab.locator("#leans svg rect.band").all()
            assert all(bar.bounding_box()["width"] > 0 for bar in bars[:3])
            assert complaints == []
            browser.close()
