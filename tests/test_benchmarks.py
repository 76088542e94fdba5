"""Every benchmark still runs, at its smallest size; what it measures there says nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem not in ("all", "ratios"))
sys.path.append(str(BENCHMARKS))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_it_runs(script, tmp_path):
    found = tmp_path / "found.json"
    command = [sys.executable, str(BENCHMARKS / f"{script}.py"), "--tiny", "--json", str(found)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    tables = json.loads(found.read_text())["tables"]
    assert tables
    for table in tables:
        assert table["base"] in table["seconds"]
        assert {name for bar in table["bars"] for name in (bar["of"], bar["to"])} & set(table["seconds"])
        assert all(seconds > 0 for each in table["seconds"].values() for seconds in each)


def test_all_of_them_are_in_the_page():
    from all import SCRIPTS as LISTED

    assert sorted(LISTED) == SCRIPTS


def test_ratios_are_within_a_round_and_bars_by_the_median():
    from ratios import Bar, Table, markdown

    table = Table("t", "b", {"a": [1.0, 4.0, 9.0], "b": [1.0, 2.0, 3.0]}, [Bar("a", "b", 2.0), Bar("a", "b", 1.9)])
    assert table.ratios("a", "b") == [1, 2, 3]
    text = markdown(table)
    assert "- held: a 2.000 [1.500, 2.500] x b, bar 2" in text
    assert "- MISSED: a 2.000 [1.500, 2.500] x b, bar 1.9" in text
    assert "| a | 4,000.00 | 2.000 | 1.500 to 2.500 |" in text


def test_the_order_turns_with_the_rounds():
    from ratios import turns

    said: list[str] = []
    seconds = turns({name: lambda name=name: said.append(name) for name in "abc"}, rounds=3, warm=0)
    assert "".join(said) == "abcbcacab"
    assert {name: len(each) for name, each in seconds.items()} == {"a": 3, "b": 3, "c": 3}
