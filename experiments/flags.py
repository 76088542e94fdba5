"""Does the diagnosis find a shortcut that is known? Print how often classes are flagged, and what their marks do.

    python experiments/flags.py runs/shortcut --without runs/sgdrop_low_data --out runs/flags
    python experiments/flags.py runs/shortcut --without runs/sgdrop_low_data --out runs/flags --leave \\
        "shortcut*_plain_seed[012]" "sgdrop_low_data*_plain_seed[01]" "sgdrop_low_data*_sgdrop-drop=0.4-prob*_seed0"

The runs of the first study were trained on images with watermarks (experiments/shortcut.toml), those of the others
without. Each is examined on images like those that it was trained on (`test-tied`, `test`); what was seen is kept in
--out. How much a class relies on its mark is measured by painting the mark into clean images of all other classes: the
mean rise of its log-odds. A place that is named counts where it covers half of the mark or more. For each run it prints
the classes that `transplant` flags and their places (x0, y0, x1, y1) in pixels. --leave leaves out runs: in the second
line those on which the rule for a flag was chosen.
"""

from __future__ import annotations

import argparse
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

import overfocus as of
from overfocus.data import Dataset, balanced
from overfocus.data.planted_shortcut import place, watermarked
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sections.transplant import carriers
from overfocus.metrics.transplant import Carried, log_odds
from overfocus.study.results import read_results
from overfocus.training.checkpoint import load_data, load_run
from overfocus.training.run import Run

BINS = ((2.0, np.inf), (1.0, 2.0), (0.5, 1.0), (-np.inf, 0.5))
"""Rises of the log-odds in nats; 2 is odds of 7 to 1."""


def examined(classifier: Classifier, dataset: Dataset, split: str, limit: int, kept: Path) -> Diagnosis:
    """Return what `shortcut` and `transplant` find, from `kept` where that was seen before."""
    if not kept.is_file():
        of.diagnose(classifier, dataset.splits[split], only=["shortcut", "transplant"], limit=limit).evidence.save(kept)
    return Diagnosis(Evidence.load(kept))


@torch.no_grad()
def leanings(classifier: Classifier, dataset: Dataset, limit: int) -> Tensor:
    """Return how much the mark of each class raises its log-odds in clean images of the others: [K] nats."""
    clean = dataset.splits["test-clean"]
    rows = balanced(clean.labels, limit, 0)
    pixels = torch.stack([clean.images.read(row) for row in rows.tolist()])
    before, classes = log_odds(classifier(pixels.float() / 255)), len(dataset.classes)
    found = []
    for mark in range(classes):
        painted = torch.stack([watermarked(classes, image, mark, 0) for image in pixels])
        rises = log_odds(classifier(painted.float() / 255)) - before
        found.append(rises[clean.labels[rows] != mark, mark].mean())
    return torch.stack(found)


def covers(one: Carried, evidence: Evidence) -> bool:
    """Tell whether the place of a class covers half of its mark or more."""
    y, x, side = place(one.label, len(evidence.classes), tuple(evidence.about["size"]))
    x0, y0, x1, y1 = evidence.tensor("transplant/places")[one.place].tolist()
    return max(0, min(x1, x + side) - max(x0, x)) * max(0, min(y1, y + side) - max(y0, y)) >= side**2 / 2


def arguments() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--without", type=Path, nargs="*", default=[], help="studies of runs without a shortcut")
    parser.add_argument("--leave", nargs="*", default=[], help="patterns of runs that are left out")
    parser.add_argument("--limit", type=int, default=300, help="images of each examination")
    parser.add_argument("--root", help="where the data lies by now")
    parser.add_argument("--out", type=Path, default=Path("runs/flags"))
    return parser.parse_args()


def main() -> None:
    """Examine every run, and print."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    counts, carried, leaning = Counter[tuple[str, str]](), [], []
    for study in (options.study, *options.without):
        for cell, result in read_results(study).results.items():
            run, name = Run(result.path), str(cell.folder(Path(study.name))).replace("/", "_")
            if any(fnmatch(name, pattern) for pattern in options.leave):
                continue
            _, dataset = load_data(run, options.root)
            classifier = Classifier(name, load_run(run.path), dataset.mean, dataset.std, dataset.classes)
            marked = "test-tied" in dataset.splits
            split = "test-tied" if marked else "test"
            found = examined(classifier, dataset, split, options.limit, options.out / f"{name}-{split}.npz")
            flags = {finding.name: finding.flagged or frozenset() for finding in found.findings}
            leans = leanings(classifier, dataset, options.limit).tolist() if marked else None
            if leans is not None:
                carried.append(found["transplant"]["carried"].value)
                leaning.append(float(np.mean(leans)))
            each = carriers(found.evidence)
            for one, lean in zip(each, leans or [None] * len(each), strict=True):
                kind = _kind(lean)
                counts[kind, "classes"] += 1
                counts[kind, "shortcut"] += one.label in flags["shortcut"]
                counts[kind, "transplant"] += one.flagged
                counts[kind, "at the mark"] += one.flagged and marked and covers(one, found.evidence)
            places = found.evidence.tensor("transplant/places")
            told = (f"{dataset.classes[one.label]} at {places[one.place].tolist()}" for one in each if one.flagged)
            print(f"{name}: {'; '.join(told) or 'none'}", flush=True)
    _table(counts)
    print(f"`carried` and leaning over {len(carried)} runs: rank correlation {spearmanr(carried, leaning)[0]:.2f}")


def _kind(lean: float | None) -> str:
    if lean is None:
        return "no mark in training"
    low, high = next((low, high) for low, high in BINS if low <= lean < high)
    return f"its mark raises its log-odds by {low:g} to {high:g}"


def _table(counts: Counter[tuple[str, str]]) -> None:
    columns = ("classes", "shortcut", "transplant", "at the mark")
    print("\n| | classes | flagged by `shortcut` | by `transplant` | of these at the mark |\n|---|---|---|---|---|")
    for kind in sorted({kind for kind, _ in counts}, reverse=True):
        print(f"| {kind} | " + " | ".join(str(counts[kind, column]) for column in columns) + " |")


if __name__ == "__main__":
    main()
