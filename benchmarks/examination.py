"""What each section of a diagnosis takes, in passes forward and in the processor's time; and beside an older checkout.

    python benchmarks/examination.py [--runs RUN,...] [--limit 300] [--quick] [--before ../old/src]

RUN is the folder of a run, whose test images are taken; without --runs a small network that is trained on `totem` for
two epochs. Counted are the images passed forward, and those whose gradient was sought, which count three; timed is the
processor's time, all threads together, as that of a clock would be another's as well. What is printed as `x` is how
many times as long a section took as one pass of every image. With --before the whole examination, all sections that run
by default here, is timed once more by the code of the other checkout, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch
from ratios import Bar, Table, parser, run

from overfocus.core.allocator import keep_freed_memory
from overfocus.diagnosis.catalogue import SECTIONS
from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of, dataset_for, split_of
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.examination import diagnose
from overfocus.diagnosis.sample import fitting, from_split

FORWARD, ALL, BEFORE = "one pass of every image", "all sections", "all sections, before"
PASSES = 333.0
"""The bar, in passes of every image: 100,000 for 300 images."""


@dataclass
class Meter:
    """Images passed forward and seconds, since the title that was told last."""

    titles: dict[str, list[float]] = field(default_factory=dict)
    """Title -> seconds, images passed forward without a gradient, and with one."""
    last: float = field(default_factory=process_time)
    counts: list[int] = field(default_factory=lambda: [0, 0])

    def count(self, _: Any, given: Any, answers: torch.Tensor) -> None:
        self.counts[int(answers.requires_grad)] += len(given[0])

    def on_progress(self, title: str, done: int, total: int) -> None:
        """Add what was since the last call to the title that is told now."""
        now, found = process_time(), self.titles.setdefault(title, [0.0, 0, 0])
        for place, value in enumerate((now - self.last, *self.counts)):
            found[place] += value
        self.last, self.counts = now, [0, 0]


def examined(folder: str, limit: int, quick: bool) -> dict[str, Any]:
    """Diagnose a run once; return the time of one pass, what each title took, and of how many images."""
    dataset, experiment = dataset_for([folder], {}, CheckpointOptions())
    sample = from_split(split_of(dataset)[1], limit=limit, size=experiment.data.size)
    classifier = classifier_of(folder, dataset, CheckpointOptions())
    sample = fitting(sample, classifier.classes, classifier.name)
    forward, meter = _forward(classifier, sample), Meter()
    hook, more = classifier.model.register_forward_hook(meter.count), {"quick": True} if quick else {}
    names = [name for name, section in SECTIONS.items() if getattr(section, "by_default", True)]
    found = diagnose(classifier, sample, only=None if quick else names, on_progress=meter.on_progress, **more)
    hook.remove()
    start = process_time()
    leaves = Diagnosis(found.evidence).findings
    seen = {each.title: (len(sample) if each.rows is None else len(each.rows)) for each in leaves}
    return {
        "forward": forward, "titles": meter.titles, "images": len(sample), "seen": seen, "size": list(sample.size),
        "numbers": process_time() - start, "name": classifier.name,
    }  # fmt: skip


def _forward(classifier: Any, sample: Any) -> float:
    pixels = [portion.pixels for portion in sample.batches(None)]
    with torch.no_grad(), classifier.examined():
        classifier(pixels[0])
        start = process_time()
        for each in pixels:
            classifier(each)
    return process_time() - start


def before(source: str, folder: str, limit: int) -> float:
    """Return the seconds of the processor that the examination takes with the code below `source`."""
    environment = {**os.environ, "PYTHONPATH": str(Path(source).resolve())}
    command = [sys.executable, __file__, "--runs", folder, "--limit", str(limit), "--alone"]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return _whole(json.loads(told.splitlines()[-1]))


def _whole(found: dict[str, Any]) -> float:
    return sum(seconds for seconds, *_ in found["titles"].values()) + found["numbers"]


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    """Measure every run once."""
    keep_freed_memory()
    with TemporaryDirectory() as folder:
        for each in asked.runs.split(",") if asked.runs else [trained(folder)]:
            limit = 12 if asked.tiny else asked.limit
            found = examined(each, limit, asked.quick)
            seconds = {FORWARD: [found["forward"]]}
            seconds |= {title: [max(spent, 1e-6)] for title, (spent, *_) in found["titles"].items()}
            seconds["the numbers, from what was collected"] = [found["numbers"]]
            seconds[ALL] = [_whole(found)]
            height, width = found["size"]
            title = f"{found['name']}, {found['images']} images of {height} x {width} pixels"
            yield Table(
                title,
                FORWARD,
                seconds,
                [Bar(ALL, FORWARD, PASSES)],
                notes=list(passes(found)),
                ours=[ALL],
                measured=("s", 1.0),
            )
            if asked.before:
                both = {BEFORE: [before(asked.before, each, limit)], ALL: seconds[ALL]}
                yield Table(title, BEFORE, both, [Bar(ALL, BEFORE, 1.0)], ours=[ALL], measured=("s", 1.0))


def passes(found: dict[str, Any]) -> Iterator[str]:
    """Say how many images each title passed forward."""
    total = 0
    for title, (_, plain, gradient) in found["titles"].items():
        images, total = found["seen"].get(title, found["images"]), total + plain + 3 * gradient
        if plain + gradient:
            yield (
                f"{title}: {(plain + 3 * gradient) / images:.1f} passes of {images} images "
                f"({plain:,.0f} forward, {gradient:,.0f} with a gradient)"
            )
    yield f"together {total:,.0f}"


def trained(folder: str) -> str:
    """Train a small network on the embedded data."""
    from overfocus import Experiment, train

    settings = {"data": {"name": "totem", "fraction": 0.1}, "model": {"settings": {"widths": [8, 16]}},
                "recipe": {"epochs": 2}}  # fmt: skip
    list(train(Experiment.read(settings, "benchmark"), Path(folder) / "run"))
    return str(Path(folder) / "run")


def main() -> None:
    asked = parser(__doc__, rounds=1)
    asked.add_argument("--runs", default="", help="folders of runs, with commas between")
    asked.add_argument("--limit", type=int, default=300)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--before", default="", help="the src of another checkout")
    asked.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    told = asked.parse_args()
    if told.alone:
        keep_freed_memory()
        print(json.dumps(examined(told.runs, told.limit, told.quick)))
    else:
        run(told, tables)


if __name__ == "__main__":
    main()
