"""What does a setting of the recipe change, which a study has once for all methods? Compare two studies, seed by seed.

    overfocus study experiments/cutmix_paper.toml --data DATA/cifar10-jpeg --out runs/smoothed --methods plain \\
        --set recipe.smoothing=0.1
    python experiments/across.py runs/cutmix_paper runs/smoothed
    python experiments/across.py runs/plain_longer runs/sgdrop --methods "plain; sgdrop"

The methods, data sizes, seeds and numbers that both studies have: the mean of each, and the difference, second minus
first, with its 95 % t interval and p, uncorrected. --methods compares one method of the first study with one of the
second, such as plain with as much computation.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from overfocus.core.errors import OverfocusError
from overfocus.regularizers.spec import parse
from overfocus.statistics.paired import paired
from overfocus.study.results import Measure, Results, read_results
from overfocus.study.run_key import RunKey, Size

Pair = tuple[RunKey, RunKey]
"""A run of the first study and one of the second, of one data size and seed."""


def rows(first: Results, second: Results, methods: tuple[str, str] | None) -> Iterator[str]:
    """Yield a line of the table for each number of each method that both studies have."""
    known = {(each.key, each.title) for each in second.measures}
    for group in pairs(first, second, methods):
        for measure in (each for each in first.measures if (each.key, each.title) in known):
            yield line(first, second, group, measure)


def pairs(first: Results, second: Results, methods: tuple[str, str] | None) -> list[list[Pair]]:
    """Return the runs to compare, those of one method and data size together."""
    found: dict[tuple[str, Size], list[Pair]] = {}
    for cell in first.results:
        other = replace(cell, method=methods[1]) if methods else cell
        if other in second.results and (methods is None or cell.method == methods[0]):
            found.setdefault((cell.method, cell.size), []).append((cell, other))
    if not found:
        which = f" of {' and '.join(methods)}" if methods else " of the same method"
        raise OverfocusError(f"{first.folder} and {second.folder} have no run{which}, data size and seed")
    return list(found.values())


def line(first: Results, second: Results, group: list[Pair], measure: Measure) -> str:
    """Return one number of one method."""
    values = np.array([[first.value(a, measure.key), second.value(b, measure.key)] for a, b in group]).T
    one, other = values[:, np.isfinite(values).all(axis=0)]
    found = paired(other, one, better=measure.better)
    of = found.difference
    told = f"{of.value:+.4f} [{of.low:+.4f}, {of.high:+.4f}] | {found.p:.3f} | {found.n}"
    means = f"{one.mean():.4f} | {other.mean():.4f}" if found.n else "|"
    named = " to ".join(f"`{method}`" for method in dict.fromkeys(cell.method for cell in group[0]))
    return f"| {group[0][0].size} | {named} | `{measure.key}` | {means} | {told} |"


def main() -> None:
    """Read the arguments and the studies, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--methods", metavar='"A; B"', help="a method of the first study, and one of the second")
    options = parser.parse_args()
    methods = [str(parse(spec)) for spec in (options.methods or "").split(";") if spec.strip()]
    if len(methods) != 2 and options.methods is not None:
        parser.error("--methods: give two, separated by a semicolon")
    both = (methods[0], methods[1]) if methods else None
    lines = list(rows(read_results(options.first), read_results(options.second), both))
    print("| data size | method | number | first | second | difference | p | n |\n|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
