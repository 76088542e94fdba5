"""Tables of a study: true to the numbers in every format, and safe with names that anybody gave."""

from __future__ import annotations

import csv
import json
import re
from io import StringIO

import numpy as np
import pytest
from made_results import CUTOUT, PLAIN, SGDROP, cell_of, made, size_of
from rich.console import Console
from scipy import stats

from overfocus.core.interval import Interval
from overfocus.report.study.table_text import Column, StudyTable, as_csv, as_latex, as_markdown
from overfocus.report.study.tables import (
    as_dict,
    classes_table,
    measures_table,
    methods_table,
    runs_table,
    write_tables,
)
from overfocus.report.terminal.study import show_study
from overfocus.study.comparison import Comparison
from prose import numbers

HEADS = (Column("name", "name"), Column("share", "share, %", 100, 1), Column("p", "p"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Cutout is planted to be better; of sgdrop one run failed with a long error, and one is missing."""
    folder, right = tmp_path_factory.mktemp("study"), {CUTOUT: 0.9}
    whole = made(folder, right=right, per_class=[10, 100])
    failed = {cell_of(whole, SGDROP, 0): "loss is nan\n  at step 3"}
    return made(folder, right=right, per_class=[10, 100], failed=failed, missing=[cell_of(whole, SGDROP, 1)])


def read(table):
    return list(csv.DictReader(StringIO(as_csv(table))))


def of(*cells, heads=HEADS):
    return StudyTable("t", "A title", heads, (cells,))


class TestCsv:
    def test_numbers_are_as_they_are(self):
        row = read(of("a", Interval(1 / 3, 0.1, 0.6, 5), -1e-7))[0]
        assert [float(row[k]) for k in ("share", "share_low", "share_high", "p")] == [1 / 3, 0.1, 0.6, -1e-7]

    def test_what_is_not_known_is_empty(self):
        row = read(of("a", Interval(0.5), float("nan")))[0]
        assert row == {"name": "a", "share": "0.5", "share_low": "", "share_high": "", "p": ""}
        both = StudyTable("t", "t", HEADS, (("a", Interval(0.5, 0.4, 0.6), 1), ("b", None, float("inf"))))
        assert read(both)[1] == {"name": "b", "share": "", "share_low": "", "share_high": "", "p": ""}

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\uff1d1", "-", "=cmd|' /C calc'!A0"])
    def test_no_text_is_a_formula(self, text):
        assert read(of(text, 1, 2))[0]["name"] == f"'{text}"

    def test_numbers_below_0_are_no_formulas(self):
        assert as_csv(of("a", -0.5, -2)).splitlines()[1] == "a,-0.5,-2"

    @pytest.mark.parametrize("text", ["a,b", 'say "x"', "cutmix(prob=0.5) + sgdrop", "\U0001f98a", "a;b", "\u00e9"])
    def test_other_text_stays(self, text):
        assert read(of(text, 1, 2))[0]["name"] == text

    @pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x00b", "a\u202eb", "a\udcffb"])
    def test_a_cell_is_one_line_that_can_be_written(self, text):
        written = as_csv(of(text, 1, 2))
        written.encode()
        assert len(written.splitlines()) == 2
        assert read(of(text, 1, 2))[0]["name"] == "a\ufffdb"

    def test_a_table_without_rows_has_its_heads(self):
        assert as_csv(StudyTable("t", "t", HEADS, ())) == "name,share,p\n"
        assert as_markdown(StudyTable("t", "t", HEADS, ())).count("|") == 8
        assert "toprule" in as_latex(StudyTable("t", "t", HEADS, ()))


class TestForPeople:
    @pytest.mark.parametrize(
        ("cell", "said"),
        [
            (Interval(0.5, 0.4, 0.6), "50.0 ± 10.0"), (Interval(0.5, 0.2, 0.6), "50.0 [20.0, 60.0]"),
            (Interval(0.5), "50.0"), (Interval(float("nan")), ""), (None, ""), (float("nan"), ""), (-0.0001, "0.0"),
            (-0.25, "−25.0"),
        ],
    )  # fmt: skip
    def test_a_share_in_per_cent(self, cell, said):
        assert (
            as_markdown(of("a", cell, 1)).splitlines()[-1]
            == f"| a | {said.replace('[', chr(92) + '[').replace(']', chr(92) + ']')} | 1 |"
        )

    def test_signs_and_small_p(self):
        heads = (Column("difference", "d", 100, 2, signed=True), Column("p", "p", 1, 3))
        row = as_markdown(StudyTable("t", "t", heads, ((0.012, 0.0004), (-0.012, 0.04)))).splitlines()[-2:]
        assert row == ["| +1.20 | &lt; 0.001 |", "| −1.20 | 0.040 |"]

    @pytest.mark.parametrize(
        "text", ["a|b", "a\\|b", "`x`", "*x*", "_x_", "<script>", "[x](http://y)", "~~x~~", "&lt;"]
    )
    def test_no_name_is_markdown(self, text):
        line = as_markdown(of(text, 1, 2)).splitlines()[-1]
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 4
        assert not re.search(r"(?<!\\)[`*_~\[\]]|<", line.replace("\\\\", ""))
        plain = re.sub(r"\\(.)", r"\1", line).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        assert plain == f"| {text} | 1 | 2 |"

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            (r"a&b%c$d#e_f{g}h", r"a\&b\%c\$d\#e\_f\{g\}h"), ("~^", r"\textasciitilde{}\textasciicircum{}"),
            ("\\input{x}", r"\textbackslash{}input\{x\}"), ("a--b", "a{-}{-}b"),
            ("<a>|b", r"\textless{}a\textgreater{}\textbar{}b"),
            ("e\u0301t\u00e9", "\u00e9t\u00e9"), ("\u0105", "a"), ("\U0001f98a", "[U+1F98A]"), ("\u05d0", "[U+05D0]"),
            ("1 ± 2 − 3", r"1 $\pm$ 2 $-$ 3"), ("\u00f0\u00fe", "[U+00F0][U+00FE]"), ("a\nb", "a[U+FFFD]b"),
            ("\ufb01", "fi"), ("\uff05", r"\%"),
        ],
    )  # fmt: skip
    def test_no_name_is_latex(self, text, written):
        rows = as_latex(of(text, 1, 2)).splitlines()
        row = rows[rows.index(r"\midrule") + 1]
        assert row.removeprefix("{}") == f"{written} & 1 & 2 \\\\"

    @pytest.mark.parametrize("text", ["[1ex]", "*", "\U0001f98a"])
    def test_a_row_is_no_argument_of_the_break_before_it(self, text):
        rows = as_latex(of(text, 1, 2)).splitlines()
        assert rows[rows.index(r"\midrule") + 1].startswith("{}")

    def test_latex_opens_and_closes(self, results):
        for table in (methods_table(Comparison(results)), classes_table(Comparison(results))):
            text = as_latex(table)
            assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular"]
            assert re.findall(r"\\end\{(\w+)\}", text) == ["tabular", "table"]
            bare = re.sub(r"\\[{}]", "", text)
            assert bare.count("{") == bare.count("}")
            body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
            assert len(body) == len(table.rows)
            assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(table.heads) - 1}
            assert re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1].count("l") == sum(
                any(isinstance(row[n], str) for row in table.rows) for n in range(len(table.heads))
            )

    def test_long_names_are_cut_for_people_only(self):
        name = "A" * 10_000
        assert read(of(name, 1, 2))[0]["name"] == name
        assert max(map(len, as_markdown(of(name, 1, 2)).splitlines())) < 100
        assert max(map(len, as_latex(of(name, 1, 2)).splitlines())) < 100


class TestComparison:
    def test_the_numbers_by_hand(self, results):
        size = size_of(results)
        plain, cutout = (results.values("accuracy", size)[method] for method in (PLAIN, CUTOUT))
        rows = {(row["size"], row["method"]): row for row in read(methods_table(Comparison(results)))}
        row = rows[str(size), CUTOUT]
        gain = cutout - plain
        half = stats.t.ppf(0.975, 4) * gain.std(ddof=1) / np.sqrt(5)
        assert float(row["accuracy"]) == pytest.approx(cutout.mean())
        assert float(row["difference"]) == pytest.approx(gain.mean())
        assert float(row["difference_low"]) == pytest.approx(gain.mean() - half)
        others = stats.ttest_rel(cutout, plain).pvalue, float(rows[str(size), SGDROP]["p"])
        assert float(row["p"]) == pytest.approx(2 * others[0])
        assert others[0] < others[1]
        assert row["verdict"] == "better"
        assert rows[str(size), PLAIN]["verdict"] == "baseline"
        assert rows[str(size), PLAIN]["difference"] == ""
        assert [row["seeds"] for row in rows.values()] == ["5", "5", "3", "5", "5", "5"]

    def test_last_and_best_epoch_are_apart_and_the_note_says_how_it_was_chosen(self, results):
        table = methods_table(Comparison(results))
        assert [head.title for head in table.heads if "epoch" in head.title] == ["best epoch, %"]
        assert "last" in table.note
        for row in read(table):
            assert float(row["best_epoch_accuracy"]) == pytest.approx(float(row["accuracy"]) + 0.02)
        assert results.results[next(iter(results.results))].manifest["best"]["note"] in table.note

    def test_a_method_without_a_run_has_no_row(self, tmp_path):
        whole = made(tmp_path, seeds=1)
        found = made(tmp_path, seeds=1, missing=[cell_of(whole, CUTOUT, 0)])
        assert [row["method"] for row in read(methods_table(Comparison(found)))] == [PLAIN, SGDROP]

    def test_one_seed_has_no_interval_and_no_p(self, tmp_path):
        row = read(methods_table(Comparison(made(tmp_path, seeds=1))))[1]
        assert row["accuracy"]
        assert (row["p"], row["verdict"]) == ("", "too few seeds")
        assert "accuracy_low" not in row or not row["accuracy_low"]

    def test_every_class_has_its_effect(self, results):
        rows = read(classes_table(Comparison(results)))
        assert len(rows) == 2 * 3 * 2
        accuracy = results.per_class(size_of(results))
        row = next(each for each in rows if (each["method"], each["class"]) == (CUTOUT, "two"))
        gain = accuracy[CUTOUT][:, 1] - accuracy[PLAIN][:, 1]
        assert float(row["difference"]) == pytest.approx(gain.mean())

    def test_measures_are_the_foremost_of_each_section(self, results):
        rows = read(measures_table(Comparison(results)))
        found = {row["measure"] for row in rows}
        assert {"accuracy", "best_accuracy", "spread.effective_area_predicted", "robustness.pgd_8"} <= found
        assert "localization.centre_box_v2" in found, "what needs no model stands beside it"
        assert "spread.gini_true" not in found
        assert len(rows) == len(found) * 2 * 3
        worse = next(row for row in rows if (row["measure"], row["method"]) == ("hiding.overfocus", CUTOUT))
        assert worse["better"] == "lower"


class TestRuns:
    def test_one_row_a_run_whatever_became_of_it(self, results):
        rows = read(runs_table(results))
        assert len(rows) == 30
        states = [row["state"] for row in rows]
        assert states.count("finished") == 28
        assert [state for state in states if "loss is nan at step 3" in state and state.startswith("failed")]
        assert states.count("missing") == 1
        for row in rows:
            assert all((row[m.key] == "") == (row["state"] != "finished") for m in results.measures)
            assert row["folder"].startswith(f"runs/{row['per_class']}-per-class/")

    def test_the_raw_numbers(self, results):
        rows = {(r["per_class"], r["method"], r["seed"]): r for r in read(runs_table(results))}
        for cell, run in results.results.items():
            row = rows[str(cell.size.per_class), cell.method, str(cell.seed)]
            for key in ("accuracy", "spread.effective_area_predicted"):
                assert float(row[key]) == run.value(key)


class TestFiles:
    def test_all_are_written_and_written_again(self, results, tmp_path):
        names = [f"{name}{kind}" for name in ("comparison", "classes") for kind in (".csv", ".md", ".tex")]
        first = write_tables(Comparison(results), tmp_path / "tables")
        assert [each.name for each in first] == [*names, "runs.csv", "measures.csv"]
        assert sorted(first) == sorted((tmp_path / "tables").iterdir())
        before = [each.read_bytes() for each in first]
        assert [each.read_bytes() for each in write_tables(Comparison(results), tmp_path / "tables")] == before

    def test_json_holds_the_verdicts(self, results):
        found = json.loads(json.dumps(as_dict(Comparison(results)), allow_nan=False))
        assert list(found["sizes"]) == ["10 per class", "100 per class"]
        effect = found["sizes"]["10 per class"]["accuracy"]["effects"][CUTOUT]
        assert effect["verdict"] == "better"
        assert found["finished"] == 28
        assert list(found["failed"].values()) == ["loss is nan\n  at step 3"]
        assert len(found["missing"]) == 1


class TestTerminal:
    def shown(self, results, **console):
        text = StringIO()
        plain = {"markup": False, "emoji": False, "highlight": False}
        show_study(Comparison(results), Console(file=text, **plain, **console))
        return text.getvalue()

    def test_it_fits_80_columns(self, tmp_path):
        long = "cutmix(prob=0.25) + cutout(size=9) + sgdrop(prob=0.75)"
        found = made(tmp_path, (PLAIN, long), 3)
        text = self.shown(found, width=80, force_terminal=True, no_color=True, color_system=None)
        assert max(map(len, text.splitlines())) <= 80
        assert "too few seeds" in text
        assert re.search(r"\[[+−]\d+\.\d\d, [+−]\d+\.\d\d\]", text)

    def test_it_says_what_was_planted_and_what_is_missing(self, results):
        text = self.shown(results, width=80)
        plain = results.values("accuracy", size_of(results))[PLAIN]
        half = stats.t.ppf(0.975, 4) * plain.std(ddof=1) / np.sqrt(5)
        assert f"{100 * plain.mean():.2f} ± {100 * half:.2f}" in text
        row = next(line for line in text.splitlines() if line.startswith(CUTOUT))
        assert row.endswith("better")
        assert re.search(r"cutout \w+ the highest", " ".join(text.split()))
        assert [line for line in text.splitlines() if numbers(line) == ["1", "1"] and "failed" in line]
        assert "<" not in text

    def test_colour_is_left_out_where_it_is_not_wanted(self, monkeypatch, results):
        monkeypatch.setenv("NO_COLOR", "1")
        text = self.shown(results, width=80, force_terminal=True)
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]", text)
        monkeypatch.delenv("NO_COLOR")
        text = self.shown(results, width=80, force_terminal=True, color_system="standard")
        assert "\x1b[32mcutout" in text

    def test_one_seed(self, tmp_path):
        text = self.shown(made(tmp_path, seeds=1), width=80)
        assert "±" not in text
        assert "[" not in text
        assert "too few seeds" in text
