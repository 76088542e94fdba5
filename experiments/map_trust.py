"""Which map orders the pixels of a trained network best, does the choice find it, and does it beat chance?

    OMP_NUM_THREADS=1 python experiments/map_trust.py RUN ...

For each run (`overfocus train`): as `overfocus diagnose --map auto` does, 24 of its test images choose among
`diagnosis.map_choice.CANDIDATES`; then every candidate is measured on 48 others: by how much more the probability of
the first prediction falls, over hidden shares of 5 to 50 %, when what the map shows first is hidden than when the same
shape is hidden elsewhere (the gap to chance), with the interval that holds for all candidates together. Hidden pixels
take the mean colour, as in the choice; and, so that occlusion by the mean colour is not favoured, a blur of 1/8 of the
side, which nothing is chosen by.

Fixed beforehand: seed 0; 24 pictures choose, 48 measure; four networks of leeds-butterfly (`photo_methods.py`: plain,
draws 0 to 3, efficientnet_lite0 fine-tuned at 128 px on five pictures of each class), one of covid-xray (the same, on
90 of each class, 8 epochs), and one of totem (`overfocus train experiments/totem.toml --set recipe.epochs=4`). The
choice is good where the chosen map's gap is within 0.02 of the best one's on the pictures that measure; `--map auto`
becomes the default of `diagnose` only if its map beats HiResCAM on every network.
"""

from __future__ import annotations

import argparse
import time

import torch

from overfocus.attribution.catalogue import upsampled
from overfocus.core.key import Key
from overfocus.diagnosis.checkpoints import classifier_of, dataset_for, split_of
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.examination import tried
from overfocus.diagnosis.fillings import fillings
from overfocus.diagnosis.foreign import CheckpointOptions
from overfocus.diagnosis.map_choice import CANDIDATES, Candidate, choose
from overfocus.diagnosis.map_collector import maps_of
from overfocus.diagnosis.map_trust import probabilities
from overfocus.diagnosis.sample import Sample, from_split
from overfocus.metrics.trust import gap_score, gaps, trusted

CHOOSE, MEASURE, SEED = 24, 48, 0


def examined(run: str) -> tuple[Classifier, Sample]:
    """Return a run with the test images that choose and measure."""
    dataset, experiment = dataset_for([run], {}, CheckpointOptions())
    _, split = split_of(dataset)
    sample = from_split(split, limit=CHOOSE + MEASURE, seed=SEED, size=experiment.data.size)
    classifier = classifier_of(run, dataset, CheckpointOptions(), torch.device("cpu"))
    with classifier.examined():
        return tried(classifier, sample), sample


def measured(
    classifier: Classifier, sample: Sample, candidate: Candidate, rows: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return filling -> the gap [n] of each of the pictures `rows` [n]."""
    found: dict[str, list[torch.Tensor]] = {"mean": [], "blur": []}
    with classifier.examined():
        for portion in sample.batches(rows):
            with torch.no_grad():
                predicted = classifier(portion.pixels).argmax(dim=1)
            maps = upsampled(maps_of(classifier, candidate.method, portion.pixels, predicted), sample.size)
            key = Key.seeded(SEED).fold_in("measured").at(portion.rows)
            shown = fillings(portion.pixels, classifier.fill, key)
            for name, of in found.items():
                kept = probabilities(classifier, portion.pixels, maps, key, fill=shown[name])
                of.append(gaps(kept["salient"], kept["control"]))
    return {name: torch.cat(each) for name, each in found.items()}


def main() -> None:
    """Choose and measure on every run, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    for run in parser.parse_args().runs:
        classifier, sample = examined(run)
        start = time.perf_counter()
        choice = choose([(classifier, sample)], SEED)
        seconds = time.perf_counter() - start
        rest = torch.tensor([row for row in range(len(sample)) if row not in choice.rows])
        of_chosen = torch.empty(0)
        print(f"\n{run}: {len(choice.rows)} chose {choice.chosen.title} in {seconds:.0f} s, n = {len(rest)}\n")
        print("| map | gap where it was chosen | gap | gap by blur | ms a picture |\n|---|---|---|---|---|")
        for candidate, score in choice.tried:
            start = time.perf_counter()
            of = measured(classifier, sample, candidate, rest)
            spent = 1000 * (time.perf_counter() - start) / len(rest)
            cells = [format(gap_score(each, tried=len(CANDIDATES)), ".3f") for each in of.values()]
            print(f"| {candidate.title} | {score:.3f} | {' | '.join(cells)} | {spent:.0f} |", flush=True)
            of_chosen = of["mean"] if candidate == choice.chosen else of_chosen
        alone = gap_score(of_chosen)
        print(f"\nthe chosen map alone: {alone}, trusted: {trusted(alone)}")


if __name__ == "__main__":
    main()
