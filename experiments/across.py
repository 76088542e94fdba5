"""What does a setting of the recipe change, which a study has once for all methods? Compare two studies, seed by seed.

    overfocus study experiments/cutmix_paper.toml --data DATA/cifar10-jpeg --out runs/smoothed --methods plain \\
        --set recipe.smoothing=0.1
    python experiments/across.py runs/cutmix_paper runs/smoothed

The methods, data sizes, seeds and numbers that both studies have: the mean of each, and the difference, second minus
first, with its 95 % t interval and p, uncorrected.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from overfocus.core.errors import OverfocusError
from overfocus.study.cell import Cell
from overfocus.study.paired import paired
from overfocus.study.results import Measure, Results, read_results


def rows(first: Results, second: Results) -> Iterator[str]:
    """Yield a line of the table for each number of each method that both studies have."""
    known = {each.key for each in second.measures}
    for cells in pairs(first, second):
        for measure in (each for each in first.measures if each.key in known):
            yield line(first, second, cells, measure)


def pairs(first: Results, second: Results) -> list[list[Cell]]:
    """Return the runs that both studies have, those of one method and data size together."""
    both = [cell for cell in first.results if cell in second.results]
    groups = list(dict.fromkeys((cell.method, cell.size) for cell in both))
    if not groups:
        raise OverfocusError(f"{first.folder} and {second.folder} have no run of the same method, data size and seed")
    return [[cell for cell in both if (cell.method, cell.size) == group] for group in groups]


def line(first: Results, second: Results, cells: list[Cell], measure: Measure) -> str:
    """Return one number of one method."""
    values = [np.array([each.results[cell].value(measure.key) for cell in cells]) for each in (first, second)]
    one, other = (each[np.isfinite(values).all(axis=0)] for each in values)
    found = paired(other, one, better=measure.better)
    of = found.difference
    told = f"{of.value:+.4f} [{of.low:+.4f}, {of.high:+.4f}] | {found.p:.3f} | {found.n}"
    means = f"{one.mean():.4f} | {other.mean():.4f}" if found.n else "|"
    return f"| {cells[0].size} | `{cells[0].method}` | `{measure.key}` | {means} | {told} |"


def main() -> None:
    """Read the arguments and the studies, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first")
    parser.add_argument("second")
    asked = parser.parse_args()
    lines = list(rows(read_results(asked.first), read_results(asked.second)))
    print("| data size | method | number | first | second | difference | p | n |\n|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
