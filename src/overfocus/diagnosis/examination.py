"""One call from a model and images to a diagnosis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from overfocus.core.deprecation import renamed_arguments
from overfocus.core.errors import OverfocusError
from overfocus.core.layer_name import FEATURES
from overfocus.core.provenance import provenance
from overfocus.data import Split
from overfocus.diagnosis.catalogue import SECTIONS, in_order
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.map_collector import MapCollector
from overfocus.diagnosis.sample import Sample, fitting, from_loader, from_split
from overfocus.diagnosis.section import OnProgress, Section
from overfocus.models.smoke import try_classifier

LIMIT = 1000
"""Images of an examination unless another number is requested."""


@renamed_arguments(watch="on_progress")
def diagnose(  # noqa: PLR0913
    model: nn.Module | Classifier,
    data: Sample | Split | Iterable,
    *,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    at: str = FEATURES,
    only: Sequence[str] | None = None,
    sections: Sequence[Section] = (),
    limit: int = LIMIT,
    seed: int = 0,
    map: str = "hirescam",
    name: str = "model",
    data_name: str = "data",
    on_progress: OnProgress = lambda title, done, total: None,
) -> Diagnosis:
    """Examine a classifier and return what was found.

    model: any module from images [B, C, H, W] to logits [B, K], on any device; it is left as it was.
    data: a split of `overfocus.load`, or anything that yields (images, labels), such as a DataLoader. Images that a
        loader yields are normalised with `mean` and `std`; those of a split are not, and the model expects them so.
    classes: their names; those of the split, or numbers, unless given.
    at: the layer whose features are attributed, by name; "@features" finds the last ones before pooling.
    only: names of the sections to evaluate; all that the data allows unless given. `sections` replaces some by ones
        with other settings, such as `Hiding(shares=(0, 0.5))`.
    limit: at most this many images, balanced over the classes where the data is a split; 0 takes all.
    on_progress: called with the title of a section, how much of it is done, and how much there is.
    Raises UnknownName for a layer or section that is not there, OverfocusError for data that does not fit the model.
    """
    classifier = model if isinstance(model, Classifier) else None
    sample = _sampled(data, classes, mean, std, limit, seed, classifier)
    if not isinstance(model, Classifier):
        channels = sample.channels
        mean, std = _for_channels(mean, channels), _for_channels(std, channels)
        classifier = Classifier(name, model, mean, std, sample.classes, at)
    assert classifier is not None
    chosen = _chosen(only, sections)
    lacking = {section.name: why for section in chosen if (why := section.lacking(sample))}
    evaluated = [section for section in chosen if section.name not in lacking]
    with classifier.examined():
        evidence = _collected(classifier, sample, MapCollector(map), evaluated, seed, on_progress)
    lost = int((~evidence.logits.isfinite().all(dim=1)).sum())
    note = f"{sample.note}; {lost} of them have logits that are not numbers and count as wrong" if lost else sample.note
    about = {"data": data_name, "sample": note, "source": sample.source, "skipped": lacking}
    return Diagnosis(evidence.with_arrays({}, **about))


def _collected(
    classifier: Classifier, sample: Sample, collector: MapCollector, sections: Sequence[Section], seed: int,
    on_progress: OnProgress,
) -> Evidence:  # fmt: skip
    """Run the model for every section in turn."""
    first = next(sample.batches(None)).pixels[:2].to(classifier.device)
    instead = "data or a --size that the model was made for"
    try_classifier(classifier, first, len(classifier.classes), classifier.name, instead)
    classifier = classifier.settled(first)
    evidence = Evidence(
        collector.collect(classifier, sample, on_progress),
        {
            "model": classifier.name, "classes": list(classifier.classes), "seed": seed, "map": collector.map,
            "layer": classifier.at, "size": list(sample.size), "mean": list(classifier.mean),
            "std": list(classifier.std), "note": classifier.note, "sections": [], "settings": {}, **provenance(),
        },
    )  # fmt: skip
    for section in sections:
        arrays = section.collect(classifier, sample, evidence, on_progress)
        names, settings = [*evidence.about["sections"], section.name], dict(evidence.about["settings"])
        settings[section.name] = section.settings()
        evidence = evidence.with_arrays(arrays, sections=names, settings=settings)
    return evidence


def _sampled(
    data: Any, classes: Sequence[str] | None, mean: Sequence[float], std: Sequence[float], limit: int, seed: int,
    classifier: Classifier | None,
) -> Sample:  # fmt: skip
    """Return the images of the examination, with the model's classes where those are known."""
    if isinstance(data, Split):
        device = classifier.device if classifier else "cpu"
        data = from_split(data, limit=limit, seed=seed, device=device)
    if not isinstance(data, Sample):
        names = classes or (classifier.classes if classifier else ())
        data = from_loader(data, tuple(names), mean, std, limit=limit)
        if not names:
            numbers = range(int(data.labels.max()) + 1)
            data = _named(data, tuple(str(number) for number in numbers))
    if classes and not classifier:
        data = _named(data, tuple(classes))
    return fitting(data, classifier.classes, classifier.name) if classifier else data


def _named(sample: Sample, classes: tuple[str, ...]) -> Sample:
    if int(sample.labels.max()) >= len(classes):
        raise OverfocusError(
            f"diagnose: label {int(sample.labels.max())} and only {len(classes)} classes; name every class"
        )
    return replace(sample, classes=classes)


def _for_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one value for each channel where all given ones are equal."""
    if len(values) != channels and len(set(values)) == 1:
        return (float(values[0]),) * channels
    return tuple(float(value) for value in values)


def _chosen(only: Sequence[str] | None, given: Sequence[Section]) -> list[Section]:
    known = {**SECTIONS, **{section.name: section for section in given if section.name in SECTIONS}}
    return [known[name] for name in in_order(only or SECTIONS)]
