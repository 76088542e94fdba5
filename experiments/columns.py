"""Print numbers of a study as a table: methods down, numbers across, and what each is less the baseline's.

    python experiments/columns.py runs/cutmix_paper accuracy hiding.area_centre robustness.fgsm "outliers.*_auroc"

A pattern is the mean of all numbers that it names; the best epoch, `best_accuracy`, is named by its own name alone.
Differences are paired by seed, with 95 % t intervals; a star stands where the paired t test, after Holm over the
methods, has p below 0.05.
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatch

import numpy as np

from overfocus.core.errors import OverfocusError
from overfocus.regularizers.spec import parse
from overfocus.statistics.power import LEVEL
from overfocus.statistics.verdict import compared
from overfocus.study.results import BEST, Results, read_results
from overfocus.study.run_key import Size


def column(results: Results, size: Size, pattern: str, baseline: str) -> list[str]:
    """Return a cell for each method of the study."""
    found = [each.key for each in results.measures if fnmatch(each.key, pattern)]
    keys = [key for key in found if key != BEST.key or pattern == BEST.key]
    if not keys:
        raise OverfocusError(f"{pattern}: no number of {results.folder} is called so")
    every = [results.values(key, size) for key in keys]
    values = {method: np.mean([each[method] for each in every], axis=0) for method in results.study.methods}
    found, cells = compared(values, baseline), []
    for method in results.study.methods:
        mean, effect = f"{found.means[method].value:.3f}", found.effects.get(method)
        if effect is None:
            cells.append(mean)
            continue
        of = effect.paired.difference
        cells.append(f"{mean}, {of.value:+.3f} [{of.low:+.3f}, {of.high:+.3f}]{'*' if effect.p <= LEVEL else ''}")
    return cells


def main() -> None:
    """Read the arguments and the study, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("numbers", nargs="+", help="`accuracy`, SPLIT.accuracy, or SECTION.SCORE of the examination")
    parser.add_argument("--baseline", help="default: the study's")
    options = parser.parse_args()
    results = read_results(options.study)
    baseline = str(parse(options.baseline)) if options.baseline else results.study.baseline
    if baseline not in results.study.methods:
        raise OverfocusError(f"--baseline {baseline!r}: the study has {', '.join(results.study.methods)}")
    for size in results.study.sizes:
        print(f"\n| {size} | " + " | ".join(options.numbers) + " |\n" + "|---" * (len(options.numbers) + 1) + "|")
        columns = [column(results, size, pattern, baseline) for pattern in options.numbers]
        for method, *cells in zip(results.study.methods, *columns, strict=True):
            print(f"| `{method}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
