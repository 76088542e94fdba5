"""Data whose classes, files and folders have names that mean harm, from the study to its report and the browser."""

import csv
import json
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from overfocus.cli.app import app

HARM = {
    "folder": [
        "<script>alert(1)<", "a..%2f..%2fx", "🦊" * 60, "=cmd|' !A1", "new\nline\u202e",
        '"><img src=x onerror=alert(1)>',
    ],
    "table": ["<script>alert(1)</script>", "../../x", "m" * 10_000, "🦊", "/etc/passwd", "</style>${x}{{ 7 * 7 }}"],
}  # fmt: skip
"""What a file system takes as the name of a folder; and what a table may hold besides."""


def picture(label: int, number: int) -> Image.Image:
    random = np.random.default_rng(100 * label + number)
    return Image.fromarray((random.integers(0, 60, (14, 12, 3)) + 38 * label).astype(np.uint8))


def as_folder(root: Path) -> Path:
    root = root / "<b>photos & 'others'"
    for part, count in (("train", 8), ("test", 4)):
        for label, name in enumerate(HARM["folder"]):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                picture(label, number).save(root / part / name / f"<i>{number}\u202e.png")
    return root


def as_table(root: Path) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root.mkdir()
    label = {"names": HARM["table"], "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": label}}})}
    for part, count in (("train", 8), ("test", 4)):
        images, labels = [], []
        for each in range(6 * count):
            data = BytesIO()
            picture(each % 6, each).save(data, "PNG")
            images.append({"bytes": data.getvalue(), "path": "../../../<x>.png"})
            labels.append(each % 6)
        pq.write_table(
            pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata), root / f"{part}.parquet"
        )
    return root


class Said(HTMLParser):
    """All text and the attributes of a page, as a reader of HTML sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "table"])
def test_a_study_of_hostile_names_harms_nobody(kind, tmp_path):
    data = {"folder": as_folder, "table": as_table}[kind](tmp_path / "data")
    around = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out" / "a '<b>study"
    arguments = [
        "study", "--methods", "plain; cutout", "--seeds", "2", "--data", str(data), "--out", str(out), "--workers", "1",
        "--epochs", "2", "--batch", "8", "--set", "model.settings.widths=[4,8]", "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert not json.loads(result.stdout)["failed"]
    written = set(tmp_path.rglob("*")) - set(around)
    assert all(out in each.parents or each in (out, out.parent) for each in written), "nothing is written elsewhere"
    page = (out / "report.html").read_text()
    said = Said(page)
    assert [tag for tag, _ in said.tags].count("script") == 1
    assert not [attrs for _, attrs in said.tags if any(name.startswith("on") for name in attrs)]
    for name in HARM[kind][:2] + HARM[kind][-1:]:
        assert name in "".join(said.text), "it is shown as it is, and is text"
    with (out / "tables" / "classes.csv").open(newline="") as lines:
        cells = [cell for row in csv.reader(lines) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=@\t\r" and cell], "a spreadsheet would run it"
    assert (out / "report.html").stat().st_size < 5 * 2**20
    quiet_in_a_browser(out / "report.html")


def quiet_in_a_browser(page: Path) -> None:
    """Open the page, if there is a browser, and see that nothing runs, is asked for, or overflows."""
    browser = pytest.importorskip("playwright.sync_api")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        return
    with browser.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"])
        tab = opened.new_page(viewport={"width": 390, "height": 800})
        told: list[str] = []
        tab.on("dialog", lambda dialog: (told.append("dialog " + dialog.message), dialog.dismiss()))
        tab.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: told.append(str(error)))
        tab.on("request", lambda request: told.append(request.url[:80]) if request.url[:5] != "data:" else None)
        tab.goto(page.as_uri())
        tab.wait_for_timeout(300)
        assert told == [page.as_uri()[:80]]
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        opened.close()
