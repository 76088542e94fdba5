"""What README shows is run as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overfocus.cli.app import app

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
