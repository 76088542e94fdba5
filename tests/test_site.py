"""The documentation builds strictly, holds what the code says, and is read without a network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from overfocus.attribution import catalogue
from overfocus.regularizers import spec

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_every_card_and_public_name_is_there(site):
    methods, maps, api = ((site / f"{name}.html").read_text(encoding="utf-8") for name in ("methods", "maps", "api"))
    for name in spec.methods():
        assert f'id="{name}"' in methods
    for name in catalogue.methods():
        assert f'id="{name}"' in maps
    for name in ("Objective", "cutmix", "diagnose", "CutMix", "attribute"):
        assert re.search(rf'id="overfocus\.[\w.]*\.{name}"', api), name


def test_nothing_is_fetched_and_no_link_leads_nowhere(site):
    for page in set(site.glob("*.html")) - {site / "404.html"}:  # that one is for servers
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', text), page.name
        assert not re.search(r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="(?:https?:)?//', text), page.name
        for target in re.findall(r'href="([^"#?]+)', text):
            if not re.match(r"[a-z]+:", target) and target != ".":
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
