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
from overfocus.diagnosis import effort
from overfocus.diagnosis.catalogue import DEFAULT, SECTIONS, in_order
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.map_choice import AUTO, Candidate, MapChoice, choose
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
    quick: bool = False,
    limit: int = LIMIT,
    seed: int = 0,
    map: str | MapChoice = "hirescam",
    name: str = "model",
    data_name: str = "data",
    on_progress: OnProgress = lambda title, done, total: None,
) -> Diagnosis:
    """Examine a classifier and return what was found.

    model: any module from images [B, C, H, W] to logits [B, K], on any device; it is left as it was.
    data: a split of `overfocus.load`, or anything that yields (images, labels), such as a DataLoader. Images that a
        loader yields are normalised with `mean` and `std`; those of a split are not, and the model expects them so.
    classes: names of the model's outputs, in their order; the classes of a split are found among them by name, and may
        be fewer. Unless given, those of the split, or numbers.
    at: the layer whose features are attributed, by name; "@features" finds the last ones before pooling.
    only: names of the sections to evaluate; all usual ones that the data allows unless given. `sections` replaces some
        by ones with other settings, such as `Hiding(shares=(0, 0.5))`.
    quick: look at few images, and evaluate only the sections of `effort.QUICK`, unless `only` names others.
    map: a method of `overfocus maps`, "auto" for the one of several that orders the pixels of this model best, or what
        `map_choice.choose` returned.
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
    evaluated, lacking = chosen(sample, only, sections, quick)
    with classifier.examined():
        evidence = _collected(classifier, sample, map, evaluated, seed, on_progress)
    lost = int((~evidence.logits.isfinite().all(dim=1)).sum())
    note = f"{sample.note}; {lost} of them have logits that are not numbers and count as wrong" if lost else sample.note
    if classifier.precision:
        note += (
            f"; computed in float32, where {classifier.name} was trained and evaluated in {classifier.precision}, so a "
            "few images may be named otherwise than there"
        )
    about = {"data": data_name, "sample": note, "source": sample.source, "skipped": lacking}
    return Diagnosis(evidence.with_arrays({}, **about))


def tried(classifier: Classifier, sample: Sample) -> Classifier:
    """Return the classifier with the name of its layer, found on the first images; OverfocusError or UnknownName where
    the two do not fit.
    """
    if classifier.multi_label:
        raise OverfocusError(
            f"diagnose: {classifier.name} gives an image several labels, and the sections ask for one class; "
            "`overfocus evaluate` scores each label, `overfocus explain --target LABEL` maps one"
        )
    first = next(sample.batches(None)).pixels[:2].to(classifier.device)
    instead = "data or a --size that the model was made for"
    try_classifier(classifier, first, len(classifier.classes), classifier.name, instead)
    return classifier.settled(first)


def _collected(
    classifier: Classifier, sample: Sample, map: str | MapChoice, sections: Sequence[Section], seed: int,
    on_progress: OnProgress,
) -> Evidence:  # fmt: skip
    """Run the model for every section in turn."""
    classifier = tried(classifier, sample)
    known = classifier.trained_with
    choice = choose([(classifier, sample)], seed, on_progress=on_progress) if map == AUTO else map
    how = choice.chosen if isinstance(choice, MapChoice) else Candidate(str(choice))
    why = {"map_choice": choice.as_dict()} if isinstance(choice, MapChoice) else {}
    evidence = Evidence(
        MapCollector(how.map, how.settings).collect(classifier, sample, on_progress),
        {
            "model": classifier.name, "classes": list(classifier.classes), "seed": seed, "map": how.title, **why,
            "layer": classifier.at, "size": list(sample.size), "mean": list(classifier.mean),
            "std": list(classifier.std), "note": classifier.note,
            "trained_with": None if known is None else list(known), "sections": [], "settings": {},
            "section_versions": {}, **provenance(),
        },
    )  # fmt: skip
    for section in sections:
        # Some read all their images before the first answer.
        on_progress(section.title, 0, max(1, section.count(sample)))
        arrays = section.collect(classifier, sample, evidence, on_progress)
        names, settings = [*evidence.about["sections"], section.name], dict(evidence.about["settings"])
        settings[section.name] = section.settings()
        versions = {**evidence.about["section_versions"], section.name: section.version}
        evidence = evidence.with_arrays(arrays, sections=names, settings=settings, section_versions=versions)
    return evidence


def _sampled(
    data: Any, classes: Sequence[str] | None, mean: Sequence[float], std: Sequence[float], limit: int, seed: int,
    classifier: Classifier | None,
) -> Sample:  # fmt: skip
    """Return the images of the examination, with the model's classes where those are known."""
    names = tuple(classifier.classes if classifier else classes or ())
    who = classifier.name if classifier else "the model"
    if isinstance(data, Split):
        device = classifier.device if classifier else "cpu"
        data = from_split(data, limit=limit, seed=seed, device=device)
    if not isinstance(data, Sample):
        data = from_loader(data, names, mean, std, limit=limit)
        highest = int(data.labels.max())
        names = names or tuple(str(number) for number in range(highest + 1))
        if highest >= len(names):
            raise OverfocusError(f"diagnose: label {highest} and only {len(names)} classes; name every class")
        data = replace(data, classes=names)
    return fitting(data, names, who) if names else data


def _for_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one value for each channel where all given ones are equal."""
    if len(values) != channels and len(set(values)) == 1:
        return (float(values[0]),) * channels
    return tuple(float(value) for value in values)


def chosen(
    sample: Sample, only: Sequence[str] | None = None, given: Sequence[Section] = (), quick: bool = False
) -> tuple[list[Section], dict[str, str]]:
    """Return the sections that `diagnose` evaluates on `sample`, and why each other that was wanted is not."""
    if quick:
        given = effort.quick(given)
    known = {**SECTIONS, **{section.name: section for section in given if section.name in SECTIONS}}
    usual = [section.name for section in given] if quick else DEFAULT
    wanted = [known[name] for name in in_order(only or usual)]
    skipped = effort.left_out([section.name for section in wanted]) if quick else {}
    skipped |= {section.name: why for section in wanted if (why := section.lacking(sample))}
    return [section for section in wanted if section.name not in skipped], skipped
