"""The report of a study in a browser: what moves, what it may not do, and whether everybody can use it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
from studies import planted, small_study

from overfocus.report.study.page import write_report
from overfocus.study.comparison import Comparison
from overfocus.study.results import read_results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="needs a browser")]
METHODS = {"plain": 0.80, "cutout": 0.86, "cutmix + sgdrop": 0.70}
HOSTILE = ["<script>alert(1)</script>", "../../x", "A" * 10_000, "\U0001f98a", "\u05d0\u05d1\u05d2", "</script>",
           '"><img src=x onerror=alert(1)>', "word " * 40, "x\udcffy", "9"]  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page of three methods, three seeds and two data sizes, whose classes have every kind of name."""
    study = small_study(METHODS, 3, fraction=[0.1, 1.0])
    folder = planted(tmp_path_factory.mktemp("browser") / "study", study, METHODS, classes=HOSTILE, attacked=True)
    return write_report(Comparison(read_results(folder)), images=12).absolute().as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def shown(browser, address, width=1400, scheme="light", **more):
    """Open the page; on leaving, it must have complained of nothing and asked for nothing."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    try:
        yield page
        assert said == []
        assert [each for each in asked if not each.startswith("data:")] == [address]
    finally:
        context.close()


def column(page, number, table="table.main"):
    """Return what the rows of the first such table say in a column."""
    cells = page.locator(table).first.locator(f"tbody tr > :nth-child({number})")
    return [text.split("\n")[0] for text in cells.all_inner_texts()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_it_renders_with_nothing_off_the_page(browser, address, width, scheme):
    with shown(browser, address, width, scheme) as page:
        for each in page.locator("details").all():
            each.evaluate("element => { element.open = true; }")
        wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= room
        assert page.locator("h1").inner_text() == "Study of totem"
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
        assert dark == (scheme == "dark")
        off = """[...document.querySelectorAll('main *')].filter((each) => !each.closest('.scroll, pre, svg, .unseen')
            && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML.slice(0, 90))"""
        assert page.evaluate(off) == []


def test_a_table_sorts_by_click(browser, address):
    with shown(browser, address) as page:
        before = column(page, 1)
        assert before == list(METHODS)
        head = page.locator("table.main").first.locator("th", has_text="mean accuracy")
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        assert column(page, 1) == ["cutout", "plain", "cutmix + sgdrop"]
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert column(page, 1) == ["cutmix + sgdrop", "plain", "cutout"]
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "none"
        assert column(page, 1) == before


def test_a_table_sorts_by_keyboard_and_what_has_no_number_goes_last(browser, address):
    with shown(browser, address) as page:
        head = page.locator("table.main").first.locator("th", has_text="difference")
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert column(page, 1) == ["cutout", "cutmix + sgdrop", "plain"]
        page.keyboard.press("Space")
        assert column(page, 1) == ["cutmix + sgdrop", "cutout", "plain"]
        assert page.locator('th[aria-sort="ascending"]').count() == 1


INTRUDER = """() => {
    const script = document.createElement('script');
    script.textContent = 'window.got = 1';
    document.body.append(script);
    const line = '<p id="in" style="color: red" onclick="window.got = 2">x</p><img src="https://example.invalid/x.png">';
    document.body.insertAdjacentHTML('beforeend', line);
    document.getElementById('in').click();
}"""


def rows(page):
    return page.locator(".wall-box:not([hidden]) tbody tr:not([hidden])")


def test_the_gallery_filters(browser, address):
    with shown(browser, address) as page:
        assert rows(page).count() == 12
        page.locator("select[name=kind]").select_option("3")
        kinds = rows(page).evaluate_all("rows => rows.map((row) => row.dataset.kind)")
        assert set(kinds) == {"3"}
        assert page.get_by_role("status").inner_text() == f"{len(kinds)} of 12 images shown"
        page.locator("select[name=kind]").select_option("all")
        page.get_by_label("only where predictions differ").check()
        said = rows(page).evaluate_all(
            "rows => rows.map((row) => [...row.cells].slice(1).map((cell) => cell.querySelector('bdi').textContent))"
        )
        assert 0 < len(said) <= 12
        assert all(len(set(each)) > 1 for each in said)


def test_the_narrowest_map_comes_first(browser, address):
    with shown(browser, address) as page:
        page.get_by_label("Order").select_option("1")
        areas = rows(page).evaluate_all("rows => rows.map((row) => Number(row.dataset.areas.split(' ')[1]))")
        assert areas == sorted(areas)
        assert len(set(areas)) > 6
        page.get_by_label("Order").select_option("any")
        least = rows(page).evaluate_all(
            "rows => rows.map((row) => Math.min(...row.dataset.areas.split(' ').map(Number)))"
        )
        assert least == sorted(least)


def test_one_data_size_is_shown_at_a_time(browser, address):
    with shown(browser, address) as page:
        assert page.locator(".wall-box:not([hidden])").get_attribute("aria-label") == "Heat maps, 100 %"
        page.locator("select[name=size]").select_option("0")
        assert page.locator(".wall-box:not([hidden])").get_attribute("aria-label") == "Heat maps, 10 %"


def test_the_slider_changes_how_strongly_maps_cover(browser, address):
    opacity = "getComputedStyle(document.querySelector('.wall-box:not([hidden]) .heat')).opacity"
    with shown(browser, address) as page:
        assert float(page.evaluate(opacity)) == 0.75
        page.locator('input[name="heat"]').focus()
        page.keyboard.press("Home")
        assert float(page.evaluate(opacity)) == 0
        page.keyboard.press("End")
        assert float(page.evaluate(opacity)) == 1
        assert page.locator("#strength").inner_text() == "100 %"


def test_boxes_can_be_taken_away(browser, address):
    with shown(browser, address) as page:
        box = page.locator(".wall-box:not([hidden]) rect.box").first
        assert box.is_visible()
        page.get_by_label("boxes").uncheck()
        assert not box.is_visible()


def test_a_wide_gallery_scrolls_in_its_own_box(browser, address):
    with shown(browser, address, 390) as page:
        wide, room = page.locator(".wall-box:not([hidden])").evaluate("box => [box.scrollWidth, box.clientWidth]")
        assert wide > room


def test_the_policy_stops_a_script_that_got_in(browser, address):
    """What a name could do at worst, were it not escaped."""
    context = browser.new_context()
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto(address)
    page.evaluate(INTRUDER)
    page.wait_for_timeout(200)
    assert page.evaluate("window.got") is None
    assert page.evaluate("getComputedStyle(document.getElementById('in')).color") != "rgb(255, 0, 0)"
    assert sum("Content Security Policy" in each for each in said) >= 3
    context.close()


def test_without_scripts_all_is_there(browser, address):
    with shown(browser, address, java_script_enabled=False) as page:
        assert page.locator("#controls").is_hidden()
        assert page.locator(".wall-box").count() == 2
        assert page.locator(".wall-box tbody tr").count() == 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_no_serious_fault(browser, address, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(address)
    for each in page.locator("details").all():
        each.evaluate("element => { element.open = true; }")
    found = axe.Axe().run(page).response
    faults = [
        (each["id"], [node["html"][:160] for node in each["nodes"][:3]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    context.close()
    assert len(found["passes"]) > 15
    assert faults == []
