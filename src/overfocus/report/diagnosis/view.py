"""The content of a diagnosis page, section by section, as text: the template only lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.catalogue import headline
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.section import Finding, Table
from overfocus.diagnosis.side_by_side import MetricRow, SideBySide
from overfocus.metrics.score import Metric, Score
from overfocus.report.drawing.line_chart import line_chart, overlaid, y_span
from overfocus.report.drawing.plot import Plot
from overfocus.report.terminal.diagnosis import apart

NONE, MINUS = "no answer", "\u2212"


@dataclass(frozen=True)
class ScoreText:
    """A number in words."""

    value: str
    interval: str = ""
    note: str = ""
    """Why there is no answer, or whether a difference is shown."""
    count: str = ""


@dataclass(frozen=True)
class Mark:
    """Where a number and its interval lie on a track, in per cent of its length."""

    model: str
    text: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Track:
    """The headline score of a section on a scale."""

    title: str
    ends: tuple[str, str]
    zero: float | None
    """Where 0 lies, if between the ends."""
    marks: list[Mark]


@dataclass(frozen=True)
class ChartView:
    """A chart, and in a comparison the whole chart of each model."""

    plot: Plot
    by_model: list[tuple[str, Plot]] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """A section."""

    name: str
    title: str
    question: str
    sentences: list[tuple[str, str]]
    """Model and its sentence."""
    track: Track | None
    scores: list[tuple[MetricRow, list[ScoreText]]]
    """Of each model, and the difference of each further model to the first; the headline scores first."""
    charts: list[ChartView] = field(default_factory=list)
    tables: list[tuple[str, Table]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def view(comparison: SideBySide, section: str) -> View:
    """Return what the page says of a section."""
    findings, rows = comparison.findings(section), comparison.rows(section)
    keys = headline(section, [row.name for row in rows])
    first = findings[0]
    known = {row.name: row for row in rows}
    return View(
        section, first.title, first.question,
        [(name, finding.sentence) for name, finding in zip(comparison.names, findings, strict=True)],
        track(known[keys[0]], comparison.names) if keys else None,
        [(row, [*map(cell, row.scores), *map(difference, row.differences)])
         for row in sorted(rows, key=lambda row: row.name not in keys)],
        _charts(comparison.names, findings),
        [(name, _in_words(table)) for name, finding in zip(comparison.names, findings, strict=True)
         for table in finding.tables],
        _notes(comparison.names, findings),
    )  # fmt: skip


def number(value: float, sign: str = "") -> str:
    """Return a number with three decimals, or four digits where it is small or large."""
    if not isfinite(value):
        return NONE
    plain = f"{value:{sign}.3f}" if value == 0 or 0.001 <= abs(value) < 10_000 else f"{value:{sign}.3g}"
    return plain.replace("-", MINUS)


def cell(score: Score, sign: str = "") -> ScoreText:
    """Return a score in words."""
    count = f"{score.n:,}"
    if not score.answered:
        return ScoreText(NONE, note=score.note, count=count)
    known = isfinite(score.low) and isfinite(score.high)
    interval = f"[{number(score.low, sign)}, {number(score.high, sign)}]" if known else ""
    return ScoreText(number(score.value, sign), interval, score.note, count)


def difference(score: Score) -> ScoreText:
    """Return a paired difference in words, and whether its interval leaves 0 out."""
    plain = cell(score, "+")
    if not score.answered or not plain.interval:
        return plain
    return replace(plain, note="differs" if apart(score) else "not shown to differ from 0")


def track(row: MetricRow, names: Sequence[str]) -> Track:
    """Return where the scores of `row` lie between the least and the most that the metric can be."""
    low, high = _range(row)
    marks = [_mark(name, score, low, high) for name, score in zip(names, row.scores, strict=True)]
    title = f"{row.metric.title} {row.metric.arrow}".rstrip()
    ends = f"{low:.3g}".replace("-", MINUS), f"{high:.3g}"
    return Track(title, ends, _place(0.0, low, high) if low < 0 < high else None, marks)


def _range(row: MetricRow) -> tuple[float, float]:
    values = [v for score in row.scores for v in (score.value, score.low, score.high) if isfinite(v)]
    low = row.metric.low if isfinite(row.metric.low) else min([0.0, *values])
    high = row.metric.high if isfinite(row.metric.high) else float(f"{max([1e-3, *values]):.1g}")
    low, high = min([low, *values]), max([high, *values])
    return (low, high) if high > low else (low, low + 1)


def _mark(name: str, score: Score, low: float, high: float) -> Mark:
    at, start, end = (_place(value, low, high) for value in (score.value, score.low, score.high))
    return Mark(name, str(score).replace("-", MINUS) if score.answered else NONE, at, start, end)


def _place(value: float, low: float, high: float) -> float | None:
    return round(100 * (value - low) / (high - low), 2) if isfinite(value) else None


def _charts(names: Sequence[str], findings: Sequence[Finding]) -> list[ChartView]:
    """Return the charts that all models have; several are overlaid, with each model's own beside them."""
    found = []
    for chart in findings[0].charts:
        same = [next((each for each in finding.charts if each.title == chart.title), None) for finding in findings]
        charts = [each for each in same if each is not None]
        if len(charts) == 1:
            found.append(ChartView(line_chart(charts[0])))
        elif len(charts) == len(findings):
            together, ends = overlaid(charts, names), y_span(charts)
            complete = len(together.lines) == sum(len(each.lines) for each in charts)
            by_model = [(name, line_chart(own, ends)) for name, own in zip(names, charts, strict=True)]
            found.append(ChartView(line_chart(together), [] if complete else by_model))
    return found


def _in_words(table: Table) -> Table:
    rows = tuple(
        tuple(NONE if text.strip().lower() in ("", "nan", "-") else text for text in row) for row in table.rows
    )
    return replace(table, rows=rows)


def _notes(names: Sequence[str], findings: Sequence[Finding]) -> list[str]:
    """Return every note once; one that does not hold for all models names those that it holds for."""
    found = list(dict.fromkeys(note for finding in findings for note in finding.notes))
    whose = {note: [n for n, f in zip(names, findings, strict=True) if note in f.notes] for note in found}
    return [note if len(whose[note]) == len(names) else f"{', '.join(whose[note])}: {note}" for note in found]


def facts(comparison: SideBySide) -> list[tuple[str, list[str]]]:
    """Return what each model is and what it was evaluated on: a title, and a text for each model."""
    found = [_facts(each) for each in comparison.diagnoses]
    return [(title, [each[title] for each in found]) for title in found[0]]


def _facts(diagnosis: Diagnosis) -> dict[str, str]:
    evidence, about = diagnosis.evidence, diagnosis.evidence.about
    right = float((evidence.logits.argmax(dim=1) == evidence.labels).double().mean())
    size = " x ".join(map(str, about.get("size", ())))
    maps = " x ".join(map(str, evidence.arrays["maps/predicted"].shape[1:]))
    return {
        "weights": str(about.get("note") or "not known"),
        "accuracy on these images": number(right),
        "images": f"{about.get('data', 'not said')}: {about.get('sample') or len(evidence.labels)}, {size} pixels",
        **({"about the data": str(about["source"])} if about.get("source") else {}),
        "classes": f"{len(evidence.classes)}",
        "layer": f"{about.get('layer', 'not said')}, {maps} positions",
        "map": str(about.get("map", "not known")),
        "normalisation": f"mean {_few(about.get('mean', ()))}, std {_few(about.get('std', ()))}",
        "seed": str(about.get("seed", 0)),
        "versions": ", ".join(f"{name} {version}" for name, version in dict(about.get("versions", {})).items()),
        "commit": str(about.get("commit") or "not known"),
    }


def _few(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values) or "not known"


def agreements(comparison: SideBySide) -> tuple[list[tuple[str, list[tuple[Metric, ScoreText]]]], str]:
    """Return how far each model's maps agree with those of the first, and why that cannot be said."""
    try:
        found: Mapping[str, Mapping[str, Score]] = comparison.agreements
    except OverfocusError as error:
        return [], str(error)
    return [(name, [(each.metric, cell(each)) for each in of.values()]) for name, of in found.items()], ""


def skipped(comparison: SideBySide) -> list[tuple[str, str]]:
    """Return the sections that were not evaluated, or not for every model, and why."""
    found = {name: why for each in comparison.diagnoses for name, why in each.skipped.items()}
    for each in comparison.diagnoses:
        for finding in each.findings:
            if finding.name not in comparison.sections:
                found.setdefault(finding.name, f"evaluated for some models only, such as {each.name}")
    return list(found.items())
