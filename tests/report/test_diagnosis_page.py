"""The page of a diagnosis: whole in one file, safe with any name, readable without a mouse."""

import re
import shutil
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

import overfocus as of
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.section import Examples
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.report.diagnosis.gallery import thumbnails
from overfocus.report.diagnosis.page import write_page

CHROMIUM = shutil.which("chromium")
EVIL = "<script>alert('x')</script>&\"'"
VOID = {"meta", "img", "br", "hr", "link", "input", "col", "path", "use", "source", "wbr"}


def net(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    )


def sampled():
    source = torch.Generator().manual_seed(0)
    pixels, labels = torch.rand(24, 3, 12, 16, generator=source), torch.arange(24) % 3
    masks = {"left": torch.zeros(24, 12, 16, dtype=torch.bool), "right": torch.zeros(24, 12, 16, dtype=torch.bool)}
    masks["left"][:, :, :7] = True
    masks["right"][:, :, 9:] = True
    boxes = [torch.tensor([[1, 1, 9, 9]]) for _ in labels]
    return from_pixels(pixels, labels, ("cat", EVIL, "dog"), masks=masks, boxes=boxes)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of one model and a page of two, with every section."""
    sample, folder = sampled(), tmp_path_factory.mktemp("pages")
    diagnoses = tuple(of.diagnose(net(seed), sample, name=name) for seed, name in enumerate(("one", EVIL)))
    return {
        1: (write_page(folder / "one", SideBySide(diagnoses[:1]), sample), diagnoses[:1], sample),
        2: (write_page(folder / "two", SideBySide(diagnoses), sample), diagnoses, sample),
    }


class Reader(HTMLParser):
    """Collects what is looked for, and whether all that opens closes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.addresses, self.wrong = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "action", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


@pytest.mark.parametrize("count", [1, 2])
class TestPage:
    def test_all_that_opens_closes(self, pages, count):
        reader = read(pages[count][0])
        assert not reader.wrong
        assert not reader.open

    def test_it_asks_for_nothing_outside(self, pages, count):
        page = pages[count][0]
        for address in read(page).addresses:
            assert address.startswith(("#", "data:")), address[:80]
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"url\((?!#|['\"]?data:)", text)
        assert "@import" not in text

    def test_names_are_text_and_never_code(self, pages, count):
        reader = read(pages[count][0])
        assert not [attrs for tag, attrs in reader.tags if tag == "script"]
        assert not [attrs for _, attrs in reader.tags if any(name.startswith("on") for name in attrs)]
        if count == 2:
            assert EVIL in "".join(reader.text)

    def test_pictures_have_words_and_tables_have_heads(self, pages, count):
        reader = read(pages[count][0])
        pictures = [attrs for tag, attrs in reader.tags if tag == "img"]
        assert pictures
        assert all("alt" in attrs for attrs in pictures)
        tables, captions = (sum(tag == name for tag, _ in reader.tags) for name in ("table", "caption"))
        assert tables == captions > 5
        assert all("scope" in attrs for tag, attrs in reader.tags if tag == "th")
        assert [attrs["lang"] for tag, attrs in reader.tags if tag == "html"] == ["en"]

    def test_every_sentence_and_every_number_is_there(self, pages, count):
        page, diagnoses, _ = pages[count]
        text = " ".join("".join(read(page).text).split())
        for diagnosis in diagnoses:
            for finding in diagnosis.findings:
                assert " ".join(finding.sentence.split()) in text, finding.name
                for score in finding.scores.values():
                    assert score.metric.title in text
        assert not re.search(r"\bnan\b", text, re.IGNORECASE)
        assert "no answer" in text

    def test_the_same_evidence_gives_the_same_bytes(self, pages, count, tmp_path):
        page, diagnoses, sample = pages[count]
        again = write_page(tmp_path / "again", SideBySide(diagnoses), sample)
        assert again.read_bytes() == page.read_bytes()

    def test_tables_of_images_and_of_places_show_them(self, pages, count):
        page, diagnoses, _ = pages[count]
        tables = [table for each in diagnoses for finding in each.findings for table in finding.tables if table.seen]
        assert {table.title[:6] for table in tables} == {"Images", "Most c", "Places", "What i"}
        assert all(len(table.seen) == len(table.rows) > 0 for table in tables)
        wanted = sum(len(seen.rows) for table in tables for seen in table.seen)
        assert wanted > 0
        assert page.read_text(encoding="utf-8").count('<td class="seen">') == sum(len(table.rows) for table in tables)
        cells = re.findall(r'<td class="seen">(.*?)</td>', page.read_text(encoding="utf-8"))
        assert sum(cell.count("<img") for cell in cells) == wanted

    def test_the_policy_lets_nothing_run(self, pages, count):
        text = pages[count][0].read_text(encoding="utf-8")
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
        digest = b64encode(sha256(re.findall("<style>(.*?)</style>", text, re.DOTALL)[0].encode()).digest()).decode()
        assert "default-src 'none'" in policy
        assert "script-src 'none'" in policy
        assert f"style-src 'sha256-{digest}'" in policy
        assert not [tag for tag, attrs in read(pages[count][0]).tags if "style" in attrs]

    @pytest.mark.slow
    @pytest.mark.skipif(not CHROMIUM, reason="needs a browser")
    @pytest.mark.parametrize("width", [400, 1400])
    def test_a_browser_shows_it_without_a_bar_below_and_without_complaint(self, pages, count, width):
        playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
        with playwright.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab, complaints = browser.new_page(viewport={"width": width, "height": 900}), []
            tab.on("console", lambda message: complaints.append(message.text))
            tab.goto(pages[count][0].absolute().as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
            assert complaints == []
            browser.close()


def test_a_place_is_outlined_where_it_is():
    sample, seen = sampled(), Examples((3, 0), (0.25, 0.5, 0.75, 1.0))
    (found,) = thumbnails(sample, [seen]).values()
    (plain,) = thumbnails(sample, [Examples((3, 0))]).values()
    assert [name for name, _ in found] == [sample.names[3], sample.names[0]]
    for (_, marked), (_, image) in zip(found, plain, strict=True):
        changed = (np.asarray(marked) != np.asarray(image)).any(axis=2)
        rows, columns = changed.any(axis=1).nonzero()[0], changed.any(axis=0).nonzero()[0]
        assert image.size == (96, 72)
        assert (columns[0], columns[-1], rows[0], rows[-1]) == (21, 74, 33, 71)
        assert not changed[36:69, 24:72].any(), "the line stays outside, but for the border of the image"


def test_a_sample_of_other_images_is_refused(pages, tmp_path):
    from overfocus.core.errors import OverfocusError

    _, diagnoses, _ = pages[1]
    other = from_pixels(torch.rand(5, 3, 12, 16), torch.arange(5) % 3, ("cat", EVIL, "dog"))
    with pytest.raises(OverfocusError):
        write_page(tmp_path, SideBySide(diagnoses), other)


def test_a_diagnosis_from_its_folder_gives_a_page_without_images(pages, tmp_path):
    _, diagnoses, _ = pages[1]
    diagnoses[0].save(tmp_path / "d")
    page = write_page(tmp_path / "page", SideBySide((of.Diagnosis.load(tmp_path / "d"),)))
    assert "Spread" in page.read_text(encoding="utf-8")
