"""When does a mask give the label away, and how early is that noticed? Print what the training of each method logged.

    python experiments/leak.py runs/sgdrop_units

Test accuracy after the last epoch, mean over the runs; training accuracy in the last epoch through the mask and without
it, on the same images; in how many runs the objective warned, and the epochs in which it first did.
"""

from __future__ import annotations

import argparse
from statistics import fmean

from overfocus.study.results import Result, read_results

SEEN = ("masked_accuracy", "clean_accuracy")


def warned(result: Result) -> int | None:
    """Return the first epoch in which the objective warned of the mask; None where it never did."""
    first = (epoch.number for epoch in result.epochs if any("tells the label" in each for each in epoch.warnings))
    return next(first, None)


def row(method: str, runs: list[Result]) -> str:
    """Return a line of the table."""
    cells = [f"{100 * fmean(each.value('accuracy') for each in runs):.1f}"]
    for name in SEEN:
        last = [each.epochs[-1].train.get(name) for each in runs]
        known = [100 * value for value in last if value is not None]
        cells.append(f"{fmean(known):.1f}" if known else "")
    epochs = sorted(epoch for epoch in map(warned, runs) if epoch is not None)
    of = f", from epoch {epochs[0]}" + (f" to {epochs[-1]}" if epochs[0] < epochs[-1] else "") if epochs else ""
    cells.append(f"{len(epochs)} of {len(runs)}{of}")
    return f"| `{method}` | " + " | ".join(cells) + " |"


def main() -> None:
    """Read the arguments and the study, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    results = read_results(parser.parse_args().study)
    for size in results.study.sizes:
        print(f"\n| {size} | test accuracy, % | through the mask | without it | warned |\n|---|---|---|---|---|")
        for method in results.study.methods:
            runs = [each for cell, each in results.results.items() if (cell.method, cell.size) == (method, size)]
            if runs:
                print(row(method, runs))


if __name__ == "__main__":
    main()
