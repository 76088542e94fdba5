"""A study of 24 short runs: two workers against one, and what a run costs beside its training.

One thread for each run throughout, so a run is the same work for one worker as for two. Both studies are whole: worker
processes begin, read the data, train, evaluate, write, end. `one worker, two threads` is what one would otherwise do
with two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ratios import Bar, Table, Work, parser, run, turns

from overfocus.study.engines.backend import Backend, engine_for
from overfocus.study.results import read_results
from overfocus.study.run_study import run_study
from overfocus.study.study import Study, claimed, settle_study

ONE, TWO, THREADS = "one worker", "two workers", "one worker, two threads"


def study(seeds: int, epochs: int, train: int, threads: int = 1) -> Study:
    """Return a study of four methods on the embedded set."""
    return settle_study(None, {
        "methods": ["plain", "cutout", "cutmix", "sgdrop"], "seeds": seeds, "threads": threads,
        "data.name": "totem", "per_class": [train // 10], "model.settings": {"widths": [16, 32]},
        "recipe.epochs": epochs, "recipe.batch": 50, "recipe.evaluate_every": epochs, "examine.sections": [],
    }, [])  # fmt: skip


def done(made: Study, workers: int) -> Work:
    def work() -> None:
        with TemporaryDirectory() as folder:
            claimed(Path(folder), made)
            with engine_for(Backend(workers=workers), made, Path(folder)) as engine:
                *_, standing = run_study(made, Path(folder), engine)
            assert not standing.failed, standing.failed
            read_results(Path(folder))

    return work


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    seeds, epochs, train = (1, 1, 50) if asked.tiny else (6, 2, 300)
    variants = {ONE: done(study(seeds, epochs, train), 1), TWO: done(study(seeds, epochs, train), 2)}
    variants[THREADS] = done(study(seeds, epochs, train, threads=2), 1)
    yield Table(f"A study of {4 * seeds} runs", ONE, turns(variants, asked.rounds, warm=0), [Bar(TWO, ONE, 1 / 1.8)],
                ours=list(variants), per=4 * seeds, unit="runs")  # fmt: skip
    yield growth(asked)


def growth(asked: argparse.Namespace) -> Table:
    """Time studies of more and more runs; what a run costs must not grow with how many there are."""
    counts = (1, 2) if asked.tiny else (1, 2, 4, 8)
    variants = {f"{4 * count} runs": done(study(count, 1, 50), 2) for count in counts}
    seconds = turns(variants, max(1, asked.rounds // 2), warm=0)
    first, last = f"{4 * counts[0]} runs", f"{4 * counts[-1]} runs"
    bar = Bar(last, first, counts[-1] / counts[0])
    return Table("Studies of more runs; law: at most linear", first, seconds, [bar], ours=list(variants))


def main() -> None:
    run(parser(__doc__, rounds=3).parse_args(), tables)


if __name__ == "__main__":
    main()
