"""The answer of a study, in tables and sentences: which method helps, by how much, and whether it may be luck."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, nan

from markupsafe import Markup

from overfocus.core.interval import Interval
from overfocus.report.label import Label, label
from overfocus.report.number import NONE, in_percent, in_points
from overfocus.report.scale import Scale, known
from overfocus.report.study.claim import claim
from overfocus.statistics.verdict import Compared, Effect, Verdict
from overfocus.study.comparison import Comparison
from overfocus.study.growth import Change, changes, ranges
from overfocus.study.metric_changes import metric_changes
from overfocus.study.results import Measure, Results
from overfocus.study.run_key import Size

GROUPS: dict[Verdict, str] = {
    "better": "Better than the baseline", "worse": "Worse", "different": "Different",
    "no difference": "No difference that matters", "too few seeds": "Too few seeds to say",
}  # fmt: skip
"""Verdict -> how a list of the methods that have it begins."""


@dataclass(frozen=True)
class MethodRow:
    """A method at one data size."""

    method: Label
    mean: Interval
    best: Interval
    effect: Effect | None
    """None for the baseline."""
    p_page: float
    """The p value over the whole page; NaN for the baseline."""


@dataclass(frozen=True)
class SizeTable:
    """All methods at one data size, with what they say in a paragraph."""

    size: Size
    sentences: list[Markup]
    rows: list[MethodRow]
    scale: Scale
    """Of the differences."""


def size_tables(comparison: Comparison) -> list[SizeTable]:
    """Return one table for each data size at which a run is finished, smallest first."""
    return [_table(comparison, size) for size in comparison.sizes]


def _table(comparison: Comparison, size: Size) -> SizeTable:
    results = comparison.results
    last, best = (comparison.of(measure, size) for measure in (results.metric, results.best_metric))
    rows = [
        MethodRow(
            label(method, number), last.means[method], best.means[method], effect := last.effects.get(method),
            comparison.p_page(effect) if effect else nan,
        )
        for number, method in enumerate(comparison.study.methods)
    ]  # fmt: skip
    return SizeTable(size, sentences(comparison, size), rows, _scale(last.effects.values()))


def _scale(effects: Iterable[Effect]) -> Scale:
    """Return a scale that holds 0 and every interval."""
    found = [0.0, *known(effect.paired.difference for effect in effects)]
    room = 0.05 * (max(found) - min(found)) or 1.0
    return Scale(min(found) - room, max(found) + room)


def plan(results: Results) -> list[str]:
    """Say at which look a study that may stop early stands, and what that does to its numbers; nothing for another."""
    look = results.look
    if not look.looks:
        return []
    planned = ", ".join(map(str, look.looks))
    if not look.number:
        return [f"The study is compared at {planned} seeds. The first look is not reached, so nothing is tested yet."]
    return [
        f"Look {look.number} of {len(look.looks)}, planned before the first run at {planned} seeds: {look.seeds} "
        f"seeds. This look may spend {100 * look.share:.2g} % of the level of 5 %: p values of differences are divided "
        "by that share, and intervals of differences are as much wider, so that stopping at a look does not raise the "
        "rate of false verdicts."
    ]


def cross_validation(comparison: Comparison) -> list[str]:
    """Say what a study by folds rests on, and its score over all pictures; nothing for another."""
    results, folds = comparison.results, comparison.study.folds
    if not folds:
        return []
    times = len(comparison.study.seeds) // folds
    often = f", done {times} times" if times > 1 else ""
    found = [
        f"Cross-validation in {folds} folds{often}: the run of seed s is tested on fold s mod {folds}, trained on the "
        "other folds, so runs share training pictures. Intervals and p values are those of the corrected resampled t "
        f"test (Nadeau and Bengio 2003), whose variance is (1 / n + 1 / {folds - 1}) s\u00b2; sign flips and the "
        "bootstrap, which take runs as independent, are left out. More pictures would tell more, more folds would not."
    ]
    for size in comparison.sizes:
        whole = {m: a for m in comparison.study.methods if (a := results.out_of_fold(m, size))}
        named = ", ".join(
            f"{label(m, most=30).short} {100 * a.score(results.metric.key):.2f} %" for m, a in whole.items()
        )
        count = max(len(a.labels) for a in whole.values())
        sized = f", {size}" if len(comparison.sizes) > 1 else ""
        what = "" if results.metric.key == "accuracy" else f"{results.metric.words} "
        found.append(f"Out of fold, {what}over all {count:,} answers together{sized}: {named}.")
    return found


def grown(results: Results) -> list[str]:
    """Say which seeds were added, or left out, after results were there; nothing of a plan, whose seeds are fixed."""
    return [] if results.look.looks else [_changed(each) for each in changes(results.folder)]


def judged_anew(results: Results) -> list[str]:
    """Say by which metric the study was judged before, where results were there when that changed."""
    return [
        f"The study is judged by {_words(each.after)}, and was by {_words(each.before)} when results of seeds "
        f"{ranges(each.seen)} were there ({each.date[:10]}): the level of 5 % holds for a metric that is chosen before "
        "any result."
        for each in metric_changes(results.folder)
    ]


def _words(metric: str) -> str:
    return metric.replace("_", " ")


def _changed(change: Change) -> str:
    parts = [
        f"seeds {ranges(of)} were {what}" for of, what in ((change.added, "added"), (change.removed, "left out")) if of
    ]
    text = " and ".join(parts)
    return (
        f"{text[:1].upper()}{text[1:]} after results of seeds {ranges(change.seen)} were there ({change.date[:10]}): "
        "the level of 5 % does not hold for that. --until-settled plans it."
    )


def false_discovery(comparison: Comparison) -> list[str]:
    """Say how many of all comparisons of the page are found after Benjamini and Hochberg; nothing without a p value."""
    found, count = comparison.discoveries
    if not count:
        return []
    return [
        f"The page makes {count:,} comparisons, all measures, data sizes and classes; {found:,} of them have p at most "
        "0.05 after Benjamini and Hochberg over the whole page. Of those found so, 5 % are expected to be false."
    ]


def sentences(comparison: Comparison, size: Size) -> list[Markup]:
    """Say which method is ahead at a data size, by how much, whether that may be luck, and what is known of the
    others.
    """
    metric = comparison.results.metric
    last = comparison.of(metric, size)
    values = {method: mean.value for method, mean in last.means.items() if mean.answered}
    if not values:
        return [Markup("No run is finished.")]
    ahead = max(values, key=lambda method: values[method])
    others = {method: effect for method, effect in last.effects.items() if method != ahead}
    sized = f"with {size.words}, " if len(comparison.study.sizes) > 1 else ""
    luck = [*_grouped(others, comparison.study.folds), *_luck(last.effects)]
    return [_ahead(ahead, last, sized, metric), *luck, *_half_object(comparison, size)]


def _half_object(comparison: Comparison, size: Size) -> list[Markup]:
    """Say what half of the object leaves; nothing where it was not asked."""
    measure = comparison.results.half_object
    of = comparison.of(measure, size) if measure else None
    if measure is None or of is None or not of.means[of.baseline].answered:
        return []
    title = f"{measure.title[:1].upper()}{measure.title[1:]}"
    return [Markup("{} ({} of {}).").format(claim(title, of), _mean(of, of.baseline), _name(of.baseline))]


def _ahead(ahead: str, last: Compared, sized: str, metric: Measure) -> Markup:
    base = last.baseline
    if ahead == base:
        text = Markup("{}no method is ahead of {}, the baseline, with a mean {} of {}.")
        return _begun(text.format(sized, _name(base), metric.words, _mean(last, base)))
    text = Markup("{}{} has the highest mean {}, {} against {} of {}, the baseline: {}.")
    means = _mean(last, ahead), _mean(last, base)
    return _begun(text.format(sized, _name(ahead), metric.words, *means, _name(base), last.effects[ahead].sentence))


def _begun(text: Markup) -> Markup:
    """Begin a sentence with a capital, unless it begins with a name."""
    return text if text.startswith("<") else text[:1].upper() + text[1:]


def _mean(last: Compared, method: str) -> str:
    mean = in_percent(last.means[method])
    return f"{mean.value}\u00a0%" if isfinite(mean.key) else NONE


def _grouped(effects: Mapping[str, Effect], folds: int) -> list[Markup]:
    """Name the other methods by verdict, with their differences in points."""
    parts = []
    titles = GROUPS | {"too few seeds": "Too few pictures to say"} if folds else GROUPS
    for verdict, title in titles.items():
        found = [(m, in_points(e.paired.difference)) for m, e in effects.items() if e.verdict == verdict]
        named = [Markup("{} ({})").format(_name(m), d.value) for m, d in found]
        if named:
            parts.append(Markup("{}: {}.").format(title, Markup(", ").join(named)))
    return parts


def _luck(effects: Mapping[str, Effect]) -> list[Markup]:
    if not effects or any(effect.verdict in ("better", "worse") for effect in effects.values()):
        return []
    return [Markup("No method is shown to be better or worse than the baseline: the differences may be luck.")]


def _name(method: str) -> Markup:
    return Markup("<b><bdi>{}</bdi></b>").format(label(method).short)
