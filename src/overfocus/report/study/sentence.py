"""The answer of a study in words: what follows from its verdicts, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from markupsafe import Markup

from overfocus.report.label import label
from overfocus.report.study.number import NONE, percent, points
from overfocus.statistics.verdict import Compared, Effect, Verdict
from overfocus.study.comparison import Comparison
from overfocus.study.results import ACCURACY
from overfocus.study.run_key import Size


def sentences(comparison: Comparison, size: Size) -> list[Markup]:
    """Say which method is ahead at a data size, by how much, whether that may be luck, and what is known of the
    others.
    """
    last = comparison.of(ACCURACY, size)
    known = {method: mean.value for method, mean in last.means.items() if mean.answered}
    if not known:
        return [Markup("No run is finished.")]
    ahead = max(known, key=lambda method: known[method])
    others = {method: effect for method, effect in last.effects.items() if method != ahead}
    sized = f"with {size.words}, " if len(comparison.study.sizes) > 1 else ""
    return [_ahead(ahead, last, sized), *_grouped(others), *_luck(last.effects)]


def _ahead(ahead: str, last: Compared, sized: str) -> Markup:
    base = last.baseline
    if ahead == base:
        text = Markup("{}no method is ahead of {}, the baseline, with a mean accuracy of {}.")
        return _begun(text.format(sized, _name(base), _mean(last, base)))
    text = Markup("{}{} has the highest mean accuracy, {} against {} of {}, the baseline: {}.")
    means = _mean(last, ahead), _mean(last, base)
    return _begun(text.format(sized, _name(ahead), *means, _name(base), last.effects[ahead].sentence))


def _begun(text: Markup) -> Markup:
    """Begin a sentence with a capital, unless it begins with a name."""
    return text if text.startswith("<") else text[:1].upper() + text[1:]


def _mean(last: Compared, method: str) -> str:
    mean = percent(last.means[method])
    return f"{mean.value}\u00a0%" if isfinite(mean.key) else NONE


GROUPS: dict[Verdict, str] = {
    "better": "Better than the baseline", "worse": "Worse", "different": "Different",
    "no difference": "No difference that matters", "too few seeds": "Too few seeds to say",
}  # fmt: skip


def _grouped(effects: Mapping[str, Effect]) -> list[Markup]:
    """Name the other methods by verdict, with their differences in points."""
    parts = []
    for verdict, title in GROUPS.items():
        found = [(m, points(e.paired.difference)) for m, e in effects.items() if e.verdict == verdict]
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
