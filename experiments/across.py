"""What does a setting of the recipe change, which a study has once for all methods? Compare two studies, seed by seed.

    python experiments/across.py runs/cutmix_paper runs/smoothing --methods plain

The same method in both studies, at every data size and for every number that both have: the mean of each, and the
difference, second minus first, with its 95 % t interval and p, uncorrected.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from overfocus.study.paired import paired
from overfocus.study.results import Results, read_results


def rows(first: Results, second: Results, methods: list[str]) -> Iterator[str]:
    """Yield a line of the table for each number of each method that both studies have."""
    both = [each for each in first.measures if each.key in {other.key for other in second.measures}]
    for size in (each for each in first.study.sizes if each in second.study.sizes):
        for measure in both:
            one, other = first.values(measure, size), second.values(measure, size)
            for method in (each for each in methods if each in one and each in other):
                n = min(len(one[method]), len(other[method]))
                found = paired(other[method][:n], one[method][:n], better=measure.better)
                low, high = found.difference.low, found.difference.high
                told = f"{found.difference.value:+.4f} [{low:+.4f}, {high:+.4f}] | {found.p:.3f} | {found.n}"
                means = (f"{each[method][:n].mean():.4f}" for each in (one, other))
                yield f"| {size} | `{method}` | `{measure.key}` | {' | '.join(means)} | {told} |"


def main() -> None:
    """Read the arguments and the studies, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--methods", nargs="+", help="default: all that both have")
    asked = parser.parse_args()
    first, second = read_results(asked.first), read_results(asked.second)
    print("| data size | method | number | first | second | difference | p | n |\n|---|---|---|---|---|---|---|---|")
    for line in rows(first, second, asked.methods or list(first.study.methods)):
        print(line)


if __name__ == "__main__":
    main()
