"""What README shows is run as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overfocus.cli import app

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code):
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["loss"].ndim == 0
    assert names["loss"].isfinite()


def commands() -> list[str]:
    lines = "\n".join(blocks("sh")).splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.startswith("overfocus")]


@pytest.mark.parametrize("command", commands())
def test_commands_have_these_options(command):
    """Every option that README uses is one that the command's help lists."""
    _, name, *rest = shlex.split(command)
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
    for option in (word for word in rest if word.startswith("--")):
        assert option in shown


def test_make_targets_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\S+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
