"""Does looking wider pay? Print how numbers of the same runs go together, over the runs of one or more studies.

    python experiments/together.py runs/shortcut runs/sgdrop_low_data
    python experiments/together.py runs/shortcut --looking transplant.carried --doing test-clean.accuracy
    python experiments/together.py runs/cifar10_few_long --leave mixup

Rank correlations (Spearman) over the runs of each data size, each run less the mean of its seed, with Fisher's 95 %
interval. They are of these methods, and say nothing of the cause.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from overfocus.regularizers.spec import parse
from overfocus.statistics.correlation import rank_correlation
from overfocus.study.results import Results, read_results

LOOKING = ("spread.effective_area_predicted", "hiding.overfocus", "transplant.carried")
DOING = ("accuracy", "test-clean.accuracy", "test-tied.accuracy", "hiding.area_blobs")


def rows(name: str, results: Results, looking: list[str], doing: list[str], left: list[str]) -> list[str]:
    """Return a line of the table for each pair of numbers that the study has, at each of its data sizes."""
    known, found = {measure.key: measure for measure in results.measures}, []
    for size in results.study.sizes:
        for wide in (known[key] for key in looking if key in known):
            for right in (known[key] for key in doing if key in known and key != wide.key):
                of = [results.values(each, size) for each in (wide, right)]
                x, y = (np.stack([each[method] for method in each if method not in left]) for each in of)
                r = rank_correlation(x, y)
                numbers = f"{r.value:+.2f} [{r.low:+.2f}, {r.high:+.2f}]" if r.answered else r.note
                found.append(f"| {name}, {size} | `{wide.key}` | `{right.key}` | {numbers} | {r.n} |")
    return found


def main() -> None:
    """Read the arguments and the studies, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+")
    parser.add_argument("--looking", action="append", help=f"numbers of how it looks; default {', '.join(LOOKING)}")
    parser.add_argument("--doing", action="append", help=f"numbers of what it is worth; default {', '.join(DOING)}")
    parser.add_argument("--leave", action="append", default=[], help="a method that is left out; repeatable")
    options = parser.parse_args()
    left = [str(parse(spec)) for spec in options.leave]
    print("| study | looks | does | rank correlation | runs |\n|---|---|---|---|---|")
    for study in options.studies:
        for line in rows(
            Path(study).name, read_results(study), options.looking or [*LOOKING], options.doing or [*DOING], left
        ):
            print(line)


if __name__ == "__main__":
    main()
