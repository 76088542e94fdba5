"""What README shows is run as it stands."""

import re
import shlex
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overfocus.cli.app import app
from overfocus.regularizers.spec import parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_loop_of_readme_gives_a_loss():
    names = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)
    assert names["loss"].ndim == 0
    assert names["loss"].isfinite()


CODE = [(page.name, code) for page in PAGES for code in blocks("python", page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "code"), CODE[1:])
def test_python_runs(page, code):
    for library in ("lightning", "datasets", "transformers"):
        if f"from {library}" in code:
            pytest.importorskip(library)
    exec(compile(code, page, "exec"), {})


def commands() -> list[str]:
    lines = "\n".join(code for page in PAGES for code in blocks("sh", page.read_text(encoding="utf-8"))).splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.startswith("overfocus")]


@pytest.mark.parametrize("command", commands())
def test_commands_have_these_options(command):
    """Every option that the pages use is one that the command's help lists."""
    _, name, *rest = shlex.split(command)
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
    for option in (word for word in rest if word.startswith("--")):
        assert option in shown


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\S+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def words_before_the_map() -> int:
    """Count words of README before the map of the code: prose, headings and tables, without code blocks and addresses
    of links; a word has a letter or a digit in it.
    """
    text = README.partition("\n## Map of the code\n")[0]
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def test_readme_is_read_in_two_minutes():
    assert 100 < words_before_the_map() <= 500


MARKDOWN = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "examples").rglob("*.md"),
    *(ROOT / "benchmarks").rglob("*.md"),
]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", [page.name for page in PAGES])
def test_specs_are_understood(page):
    """Every spec with settings that a page shows in code font is one that `parse` takes."""
    text = next(each for each in PAGES if each.name == page).read_text(encoding="utf-8")
    for written in re.findall(r"`((?:cutmix|cutout|mixup|sgdrop|dropblock)\([^`]*\)(?: \+ [^`]+)?)`", text):
        if "…" not in written and "?" not in written:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                parse(written)
