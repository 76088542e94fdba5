"""How often does the diagnosis find something in honest networks, which have nothing to lean on but the object?

    OMP_NUM_THREADS=1 python experiments/honest.py leeds-butterfly/images --masks leeds-butterfly/masks \
        --out /tmp/honest

An honest network is a linear probe (`train --tune probe`): efficientnet_lite0 with ImageNet's weights, frozen, and a
last layer fitted to the pictures of one draw. No mark, frame or background was tied to a class, and the features never
saw the task. Each network is examined by the sections `cues` and `marks` on pictures that were not drawn; whatever they
say is found (`Lean.found`, or a class that is flagged) is a false alarm.

Fixed before the first run: leeds-butterfly, 128 px, draws 0 to 19, 20 pictures of each class to fit, 200 of the others
examined, balanced over classes; the sections as they come. Printed: the networks with any alarm, with Wilson's 95 %
interval, and the classes with one, of all classes of all networks, together and by kind. An alarm that names no class
counts for all. The background is counted like everything else, although the butterflies of one kind sit on plants of
one kind, so that it may be one that is true.

Each examination is kept in --out, and a stopped command goes on. The features of all pictures are computed once.
`--networks 1 --only transplant` tries it with another section.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from probes import drawn
from torch import Tensor, nn

from overfocus import Experiment
from overfocus.core.interval import wilson
from overfocus.core.key import Key
from overfocus.data import Dataset
from overfocus.data.joined import joined
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.examination import diagnose
from overfocus.diagnosis.sample import from_split
from overfocus.training.linear_probe import Features, features_of, fit_head

ANY = "anything"


@dataclass(frozen=True, eq=False)
class Frozen:
    """A network that is never trained, and what its last layer sees of all pictures."""

    model: nn.Module
    dataset: Dataset
    """All pictures are its split `all`."""
    features: Features

    def probe(self, seed: int, per_class: int) -> tuple[Classifier, Tensor]:
        """Return the probe of draw `seed`, and the rows of the pictures that it was not fitted to."""
        labels, classes = self.features.labels, self.dataset.classes
        rows, others = drawn(labels, per_class, seed), torch.ones(len(labels), dtype=torch.bool)
        others[rows] = False
        fitted = Features(self.features.values[rows], labels[rows])
        head = fit_head(fitted, len(classes), Key.seeded(seed).fold_in("tune"))
        mean, std = self.dataset.mean, self.dataset.std
        probe = Classifier(f"probe {seed}", head.into(self.model), mean, std, classes, trained_with=())
        return probe, others.nonzero()[:, 0]


def frozen(given: argparse.Namespace) -> Frozen:
    """Return the network and the features of all pictures of a folder."""
    boxes = {"boxes": str(given.masks)} if given.masks else {}
    data = {"name": str(given.folder), "size": given.size, **boxes}
    model = {"name": "efficientnet_lite0", "pretrained": "default"}
    experiment = Experiment.read({"data": data, "model": model, "recipe": {"tune": "probe"}}, "honest")
    dataset = experiment.dataset()
    dataset = replace(dataset, splits={"all": joined(dataset)})
    network = experiment.create_model(len(dataset.classes), 3).eval()
    return Frozen(network, dataset, features_of(network, experiment.stream(dataset, "all").epoch()))


def examined(network: Frozen, given: argparse.Namespace, seed: int) -> Diagnosis:
    """Return the diagnosis of the probe of draw `seed`, or read it where it is finished."""
    kept, only = given.out / f"{'-'.join(given.only)}-{seed}", given.only
    if not kept.exists():
        classifier, rows = network.probe(seed, given.per_class)
        part = network.dataset.splits["all"].subset(rows)
        sample = from_split(part, limit=given.images, seed=seed, size=given.size)
        diagnose(classifier, sample, only=only, seed=seed).save(kept)
    return Diagnosis.load(kept)


def alarms(diagnosis: Diagnosis) -> Iterator[tuple[str, str, Sequence[int]]]:
    """Yield what was found: its kind, what it is, and its classes."""
    every = range(len(diagnosis.evidence.classes))
    for lean in diagnosis.leans:
        if lean.found:
            yield lean.cue, f"{lean.title} {lean.share:.2f}", lean.classes or every
    for finding in diagnosis.findings:
        if finding.flagged:
            yield f"flagged by {finding.name}", f"flagged by {finding.name}", sorted(finding.flagged)


def table(diagnoses: Sequence[Diagnosis]) -> str:
    """Return how many networks and classes have an alarm, together and by kind."""
    found: dict[str, list[set[int]]] = {ANY: [set() for _ in diagnoses]}
    for number, diagnosis in enumerate(diagnoses):
        for kind, _, classes in alarms(diagnosis):
            found.setdefault(kind, [set() for _ in diagnoses])[number] |= set(classes)
            found[ANY][number] |= set(classes)
    count, every = len(diagnoses), sum(len(diagnosis.evidence.classes) for diagnosis in diagnoses)
    lines = ["| found | networks | 95 % interval | classes |", "|---|---|---|---|"]
    for kind, classes in found.items():
        networks = sum(map(bool, classes))
        low, high = wilson(networks / count, count)
        named = sum(map(len, classes))
        lines.append(
            f"| {kind} | {networks} of {count} | {low:.3f} to {high:.3f} | {named} of {every} ({named / every:.3f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Examine every network, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of pictures for each class")
    parser.add_argument("--masks", type=Path, help="a mask for each picture, in the same folders")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--per-class", type=int, default=20)
    parser.add_argument("--images", type=int, default=200, help="examined of the pictures that were not drawn")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--only", type=lambda names: names.split(","), default=["cues", "marks"])
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    network, diagnoses = frozen(given), []
    for seed in range(given.networks):
        diagnoses.append(examined(network, given, seed))
        evidence = diagnoses[-1].evidence
        accuracy = float((evidence.logits.argmax(dim=1) == evidence.labels).double().mean())
        said = "; ".join(f"{what} ({len(classes)} classes)" for _, what, classes in alarms(diagnoses[-1]))
        print(f"network {seed}: accuracy {accuracy:.3f}, found: {said or 'nothing'}", flush=True)
    print(f"\n{table(diagnoses)}")


if __name__ == "__main__":
    main()
