"""A section is described in its own file: in full, truly, and nowhere else."""

import ast
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from test_examination import net, sampled

import overfocus as of
from overfocus.diagnosis import sections as folder
from overfocus.diagnosis.catalogue import DEFAULT, MOST, SECTIONS, headline, in_order
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.section import Section
from overfocus.diagnosis.staged import FIRST

SOURCE = Path(of.__file__).parent
OTHER_ROOMS = [path for room in ("report", "cli", "commands", "study") for path in (SOURCE / room).rglob("*.*")]
PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"


@pytest.fixture(scope="module")
def scores():
    """The scores of every section: on small images with boxes and masks, and of corruptions on ImageNet as well."""
    found = {
        finding.name: dict(finding.scores) for finding in of.diagnose(net(), sampled(), seed=3, only=SECTIONS).findings
    }
    arrays = {
        "labels": np.array([1, 2]), "logits": np.eye(1000, dtype=np.float32)[1:3],
        "corruptions/rows": np.array([0, 1]), "corruptions/predicted": np.ones((15, 5, 2), np.int64),
    }  # fmt: skip
    imagenet = Evidence(arrays, {"classes": [str(each) for each in range(1000)], "size": [224, 224]})
    found["corruptions"] |= SECTIONS["corruptions"].evaluate(imagenet).scores
    return found


def test_every_file_is_a_section_of_its_name():
    assert sorted(SECTIONS) == sorted(folder.NAMES)
    for name, section in SECTIONS.items():
        assert type(section) in vars(import_module(f"{folder.__name__}.{name}")).values()


def test_what_is_looked_for_elsewhere_runs_on_request_only():
    assert set(SECTIONS) - set(DEFAULT) == {"transplant"}, "`marks` finds what it finds, and more"


def test_their_order_is_stable():
    assert list(SECTIONS)[:7] == ["answers", "groups", "cues", "marks", "halves", "trust", "spread"]
    orders = [section.order for section in SECTIONS.values()]
    assert orders == sorted(set(orders))
    assert in_order(["transplant", "hiding", "spread"]) == ("spread", "hiding", "transplant")


@pytest.mark.parametrize("name", SECTIONS)
def test_what_is_shown_first_are_its_scores(name, scores):
    assert set(SECTIONS[name].headline) <= set(scores[name])
    shown = headline(name, scores[name])
    assert 1 <= len(shown) <= MOST
    assert set(shown) <= set(scores[name])


def test_localization_leads_with_what_needs_no_model_beside_it(scores):
    shown = headline("localization", scores["localization"])
    assert shown[:3] == ["max_box_acc_v2", "centre_box_v2", "whole_picture_v2"]


@pytest.mark.parametrize("name", SECTIONS)
def test_it_says_what_it_costs_and_asks(name):
    reads_only = type(SECTIONS[name]).collect is Section.collect
    assert SECTIONS[name].passes > 0 or reads_only, "only what runs no model of its own is free"
    assert SECTIONS[name].question.endswith("?")


def test_no_section_is_described_elsewhere():
    titles = {section.title for section in SECTIONS.values()}
    questions = {section.question for section in SECTIONS.values()}
    for path in OTHER_ROOMS:
        if path.suffix in (".py", ".j2"):
            text = path.read_text(encoding="utf-8")
            assert not [question for question in questions if question in text], path
        if path.suffix == ".py":
            texts = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
            assert not titles & texts, path


def test_the_page_lists_them():
    rows = "".join(f"| `{name}` | {each.question} | {each.needs} |\n" for name, each in SECTIONS.items())
    assert rows in PAGE.read_text(encoding="utf-8")


def test_what_the_page_says_of_their_cost_is_so():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+|all) \| (yes|no) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(rows) == 13
    for name, passes, images, early in rows:
        section = SECTIONS[name]
        assert section.passes == int(passes), name
        assert str(section.settings().get("images") or "all") == images, name
        # Nothing is seen before the first 64 images are.
        ends = section.settings().get("half_width", 0) > 0 and section.settings()["images"] > FIRST
        assert ends == (early == "yes"), name
