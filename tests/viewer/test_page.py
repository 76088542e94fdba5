"""The window in a browser: one visit from the link to what is kept, by keyboard and by pointer, and whether everybody
can use it.
"""

import shutil
from contextlib import contextmanager

import pytest
from corner import SIZE, corner, encoded, window

from overfocus.core.place import read_places
from overfocus.viewer.routes import UPLOAD
from overfocus.viewer.server import serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="needs a browser")]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visited(browser, link, **how):
    """Open the window; on leaving, it must have asked for nothing but what is its own."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **how})
    page, wrong, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("console", lambda line: wrong.append(line.text) if "Failed to load" not in line.text else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link)
    page.locator("#cards .heat:not([hidden])").first.wait_for(timeout=60_000)
    yield page
    assert wrong == []
    own = link.partition("?")[0]
    assert [each for each in asked if not each.startswith((own, "data:", "blob:"))] == []
    context.close()


def said(page, text):
    """Wait until the page says `text` to those who cannot see it."""
    page.locator("#said", has_text=text).wait_for(state="attached", timeout=30_000)
    return page.locator("#said").text_content()


def fault(page):
    page.locator("#fault:not([hidden])").wait_for(timeout=30_000)
    return page.locator("#fault p").inner_text()


def test_a_visit(browser, tmp_path):
    """By the keyboard: paint over what the network reads, keep the place; then what is wrong is a sentence."""
    with serve(window(corner("one", at="red"), corner("two", at="red"))) as link, visited(browser, link) as page:
        assert "token" not in page.url
        assert "red, 100 %" in said(page, "red")
        page.locator("#brush").evaluate("each => { each.value = 4; }")
        page.locator("#canvas").focus()
        for _ in range(4):
            page.keyboard.press("Shift+ArrowLeft")
        for _ in range(3):
            page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Space")
        assert "Now grey" in said(page, "Now grey")
        rows = page.locator("#cards tbody tr", has_text="red").first.locator("td").all_inner_texts()
        before, after, elsewhere = (float(each.removesuffix(" %")) for each in rows)
        assert before > 99
        assert elsewhere > 50 > 1 > after
        page.keyboard.press("z")
        said(page, "red, 100 %")
        page.keyboard.press("Enter")
        said(page, "Now grey")

        page.get_by_role("button", name="Keep this place").click()
        page.locator("#places li").nth(1).wait_for()
        with page.expect_download() as download:
            page.locator("#save-places").click()
        download.value.save_as(tmp_path / "places.json")
        places = read_places(tmp_path / "places.json")
        assert [each.run for each in places] == ["runs/one", "runs/two"]
        assert {each.label for each in places} == {"red"}
        assert places[0].mask.shape == SIZE
        assert places[0].box[:2] == (0, 0)
        assert places[0].box[2] < 0.5
        with page.expect_download() as download:
            page.locator("#save-sheet").click()
        download.value.save_as(tmp_path / "sheet.png")
        assert (tmp_path / "sheet.png").read_bytes()[1:4] == b"PNG"

        page.get_by_role("button", name="Find them").click()
        page.locator("#nears img").nth(7).wait_for(timeout=30_000)

        page.get_by_role("button", name="Clear").click()
        said(page, "red, 100 %")
        page.locator("#cards figure:not(.busy)").nth(1).wait_for()
        page.locator("#hidden").focus()
        page.keyboard.press("Home")
        assert "red: 100 %" in page.locator("#hides b").first.inner_text().replace("\u200b", "")
        page.keyboard.press("End")
        assert "answers grey" in page.locator("#hides b").first.inner_text()

        page.locator("#file").set_input_files({"name": "own.png", "mimeType": "image/png", "buffer": encoded()})
        page.locator("#name", has_text="own.png").wait_for()
        text = {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}
        page.locator("#file").set_input_files(text)
        assert "not an image" in fault(page)
        page.locator("#fault button").click()
        (tmp_path / "huge.png").write_bytes(bytes(UPLOAD + 1))
        page.locator("#file").set_input_files(tmp_path / "huge.png")
        assert "20 MiB at most" in fault(page)
        page.locator("#fault button").click()


def test_painting_by_pointer_and_a_window_that_ended(browser):
    with serve(window()) as link, visited(browser, link) as page:
        said(page, "red, 100 %")
        around = page.locator("#canvas").bounding_box()
        page.mouse.move(around["x"] + 2, around["y"] + 2)
        page.mouse.down()
        page.mouse.move(around["x"] + around["width"] * 0.3, around["y"] + around["height"] * 0.3, steps=5)
        page.mouse.up()
        said(page, "changed elsewhere")

        page.locator(".switch label", has_text="Paste").click()
        page.locator("#strip button").nth(8).click()
        page.locator("#donor-same:enabled").click()
        page.locator("#undo:enabled").wait_for()
        page.get_by_role("button", name="Undo").click()
        page.context.set_offline(True)
        page.locator(".switch label", has_text="Paint").click()
        page.locator("#canvas").focus()
        page.keyboard.press("Space")
        assert "no longer answers" in fault(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_everybody_can_use_it(browser, width, scheme):
    """Nothing lies off the page, and axe finds no serious fault."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    how = {"viewport": {"width": width, "height": 850}, "color_scheme": scheme, "bypass_csp": True}
    with (
        serve(window(corner("one", at="red"), corner("a name that is long_and_without_a_space" * 3, at="red"))) as link,
        visited(browser, link, **how) as page,
    ):
        page.locator("#canvas").focus()
        page.keyboard.press("Space")
        said(page, "changed elsewhere")
        page.locator("#keep-place").click()
        page.locator(".switch label", has_text="Paste").click()
        wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= room
        found = axe.Axe().run(page).response
        faults = [
            (each["id"], [node["html"][:160] for node in each["nodes"][:3]])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical", "moderate")
        ]
        assert len(found["passes"]) > 15
        assert faults == []
