import json
from io import StringIO

import pytest
from rich.console import Console

from overfocus.commands import catalogue
from overfocus.report.terminal import tables as terminal
from overfocus.report.terminal.training import Progress
from overfocus.training.experiment import Experiment
from overfocus.training.run import Epoch, Run

WEIRD = ["[bold]b[/bold]", "猫:cat:", "[/nothing]", "n" * 90, "ünïcode"]
SCORE = {"accuracy": 0.5, "loss": 0.6931, "images": 1000}


def screen(width, is_terminal=True):
    return Console(
        file=StringIO(),
        width=width,
        force_terminal=is_terminal,
        color_system=None,
        markup=False,
        emoji=False,
        highlight=False,
    )


def printed(console):
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_weird_names_are_printed_as_they_are(width):
    console = screen(width)
    terminal.scores_table(dict.fromkeys(WEIRD, SCORE), console)
    terminal.rates_table({name: {"nominal": None, "measured": 0.5, "sd": 0.1, "n": 9} for name in WEIRD}, console)
    terminal.names_table([(name, name) for name in WEIRD], console)
    text = printed(console)
    assert max(map(len, text.splitlines())) <= width
    letters = text.replace("\n", "").replace(" ", "")
    assert letters.count("n" * 3) > 3
    if width == 200:
        assert all(text.count(name) == 4 for name in WEIRD)


@pytest.mark.parametrize("width", [60, 100])
def test_numbers_are_whole_and_end_in_one_column(width):
    console = screen(width)
    scores = {name: {"accuracy": a, "loss": loss, "images": n} for name, a, loss, n in (
        ("all", 1.0, 0.01, 10_000), ("no-disc-and-more", 0.05, 123.4567, 7), ("digit-only", 0.5, 2.3, 1_281_167)
    )}  # fmt: skip
    terminal.scores_table(scores, console)
    rows = [line.rstrip() for line in printed(console).splitlines() if "to" in line]
    assert len({len(row) for row in rows}) == 1
    for score, row in zip(scores.values(), rows, strict=True):
        assert f"{score['accuracy']:.4f}" in row
        assert f"{score['loss']:.4f}" in row
        assert row.endswith(f" {score['images']:,}")


def test_a_pipe_gets_a_row_a_line():
    console = screen(80, is_terminal=False)
    terminal.names_table([("name", "word " * 60), ("longer-name", "short")], console)
    lines = printed(console).splitlines()
    assert lines == ["name         " + ("word " * 60).rstrip(), "longer-name  short"]


def test_long_lists_are_cut():
    console = screen(80)
    terminal.names_table([(f"model{n}", "") for n in range(terminal.MOST + 5)], console)
    assert len(printed(console).splitlines()) == terminal.MOST + 1
    assert "and 5 more" in printed(console)


def test_the_rates_of_nothing_are_told():
    console = screen(80)
    terminal.rates_table({}, console)
    assert "nothing measured" in printed(console)


def test_wilson_stays_inside_where_all_are_right():
    low, high = terminal.wilson(1.0, 100)
    assert low == pytest.approx(0.9630, abs=1e-4)
    assert high == 1.0


def test_a_summary_tells_last_from_best(tmp_path):
    run = Run(tmp_path / ("[red]deep" * 12))
    best = {"epoch": 2, "split": "[b]", "note": "chosen on held-out images", **SCORE, "accuracy": 0.75}
    run.finish(
        {"method": "cutmix", "last": {"epoch": 3, "scores": {"[b]": SCORE}}, "best": best, "data": {"note": ":cat:"}}
    )
    console = screen(60)
    terminal.run_summary(run, console)
    text = printed(console)
    first, last, *_ = text.splitlines()
    assert first == ":cat:"
    assert "3" in last
    assert "cutmix" in last
    assert [line for line in text.splitlines() if "0.7500" in line and "[b]" in line and "2" in line]
    assert text.splitlines()[-1] == f"run: {run.path}"


def test_progress_prints_names_as_they_are(tmp_path, capsys):
    epoch = Epoch(1, 1.0, 10.0, 0.1, {"loss": 1.0, "accuracy": 0.5}, {"[b]x": SCORE}, ("look at [red] :cat:",))
    with Progress(Experiment(), tmp_path / ":cat:") as progress:
        progress.on_epoch(epoch)
    out = capsys.readouterr().out
    assert "/:cat:\n" in out
    assert "[b]x 0.5000" in out
    assert "warning: look at [red] :cat:\n" in out


def test_families_stand_on_one_line():
    rows = [(name, "card") for name in ("own_cnn", "resnet101", "resnet18", "resnext50", "timm:NAME", "a.b:c")]
    assert catalogue.families(rows) == [
        ("own_cnn", "card"),
        ("resnet", "resnet18, resnet101"),
        ("resnext50", "card"),
        ("timm:NAME", "card"),
        ("a.b:c", "card"),
    ]


def test_models_are_found_by_a_part_of_their_name(monkeypatch):
    monkeypatch.setattr(catalogue, "timm_names", lambda: ["timm:resnet18d", "timm:vit_tiny"])
    assert [name for name, _ in catalogue.models("ResNet18")] == ["resnet18", "timm:resnet18d"]
    with pytest.raises(LookupError, match="resnet"):
        catalogue.models("resnt")
    assert json.dumps(dict(catalogue.models()))
