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
from overfocus.metrics.score import Score
from overfocus.report.drawing.line_chart import line_chart, overlaid, y_span
from overfocus.report.drawing.matrix_chart import matrix_chart
from overfocus.report.drawing.plot import Plot
from overfocus.report.number import NONE, compact
from overfocus.report.scale import Scale, known


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
    track: tuple[MetricRow, Scale] | None
    """The headline score, and the scale that it is drawn on."""
    scores: list[MetricRow]
    """The headline scores first."""
    charts: list[ChartView] = field(default_factory=list)
    tables: list[tuple[str, Table]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def view(comparison: SideBySide, section: str) -> View:
    """Return what the page says of a section."""
    findings, rows = comparison.findings(section), comparison.rows(section)
    keys = headline(section, [row.name for row in rows], comparison.trusted)
    first = findings[0]
    by_name = {row.name: row for row in rows}
    return View(
        section, first.title, first.question,
        [(name, finding.sentence) for name, finding in zip(comparison.names, findings, strict=True)],
        (by_name[keys[0]], _scale(by_name[keys[0]])) if keys else None,
        sorted(rows, key=lambda row: row.name not in keys),
        _charts(comparison.names, findings) + _matrices(comparison.names, findings),
        [(name, _in_words(table)) for name, finding in zip(comparison.names, findings, strict=True)
         for table in finding.tables],
        _notes(comparison.names, findings),
    )  # fmt: skip


def _scale(row: MetricRow) -> Scale:
    """Return a scale from the least to the most that the metric can be."""
    values = known(row.scores)
    low = row.metric.low if isfinite(row.metric.low) else min([0.0, *values])
    high = row.metric.high if isfinite(row.metric.high) else float(f"{max([1e-3, *values]):.1g}")
    low, high = min([low, *values]), max([high, *values])
    return Scale(low, high if high > low else low + 1)


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


def _matrices(names: Sequence[str], findings: Sequence[Finding]) -> list[ChartView]:
    """Return the matrices of all models, which cannot lie over one another."""
    found = []
    for name, finding in zip(names, findings, strict=True):
        for matrix in finding.matrices:
            title = matrix.title if len(names) == 1 else f"{matrix.title}, {name}"
            found.append(ChartView(matrix_chart(replace(matrix, title=title))))
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
        "accuracy on these images": compact(right),
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


def agreements(comparison: SideBySide) -> tuple[Mapping[str, Mapping[str, Score]], str]:
    """Return how far each model's maps agree with those of the first, and why that cannot be said."""
    try:
        return comparison.agreements, ""
    except OverfocusError as error:
        return {}, str(error)


def skipped(comparison: SideBySide) -> list[tuple[str, str]]:
    """Return the sections that were not evaluated, or not for every model, and why."""
    found = {name: why for each in comparison.diagnoses for name, why in each.skipped.items()}
    for each in comparison.diagnoses:
        for finding in each.findings:
            if finding.name not in comparison.sections:
                found.setdefault(finding.name, f"evaluated for some models only, such as {each.name}")
    return list(found.items())
