"""Studies that are compared more than once: how often a method that does nothing is called better or worse.

`python tests/study/stopping.py` prints the figures of docs/decisions/0012-when-a-study-may-stop.md (some minutes).
"""

import sys

import numpy as np
from scipy import stats
from study_noise import null_family, philox, t_p

from overfocus.statistics.sequential import shares

PLANS = [(5, 10, 15, 20), (3, 6, 9, 12), (5, 10), tuple(range(3, 11))]
SIZE = 0.66
"""A true difference in standard deviations."""


def lan_demets(looks, level=0.05):
    """Levels of the looks after Lan and DeMets, by the recursion of Armitage, McPherson and Rowe over normal scores."""
    part = np.asarray(looks) / looks[-1]
    spend = 2 * stats.norm.sf(stats.norm.isf(level / 2) / np.sqrt(part))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    grid, mass, before, found = np.zeros(1), np.ones(1), 0.0, []
    for t, target in zip(part, np.diff(spend, prepend=0)):
        step = np.sqrt(t - before)
        bounds = np.linspace(0.5, 6, 20_001)
        beyond = 2 * (mass @ stats.norm.sf((bounds * np.sqrt(t) - grid[:, None]) / step))
        reach = bounds[np.argmin(np.abs(beyond - target))] * np.sqrt(t)
        new = nodes * reach
        mass = (mass @ stats.norm.pdf((new - grid[:, None]) / step) / step) * weights * reach
        grid, before = new, t
        found.append(2 * stats.norm.sf(reach / np.sqrt(t)))
    return np.array(found)


def ever(p, looks, levels):
    """Whether Holm lets a method through at any look: [studies]; p(n): the p values [studies, methods] at n seeds."""
    return np.any([p(n).min(axis=1) * p(n).shape[1] <= level for n, level in zip(looks, levels)], axis=0)


def false_verdicts(kind, looks, levels, methods=1, studies=100_000):
    d = null_family(kind, studies, looks[-1], methods, philox(methods))
    return float(ever(lambda n: t_p(d[:, :, :n]), looks, levels).mean())


def power(looks, levels, studies=100_000):
    """Return how often a difference of SIZE is found, and the mean number of seeds until it is or none are left."""
    d = philox(5).standard_normal((studies, looks[-1])) + SIZE
    hits = np.stack([t_p(d[:, :n]) <= level for n, level in zip(looks, levels)])
    seeds = np.where(hits.any(axis=0), np.array(looks)[hits.argmax(axis=0)], looks[-1])
    return 100 * hits.any(axis=0).mean(), seeds.mean()


if __name__ == "__main__":
    for looks in PLANS:
        levels = [0.05] * len(looks), lan_demets(looks), 0.05 * shares(looks)
        cells = [f"{100 * false_verdicts('normal', looks, of):.1f} "
                 f"({100 * false_verdicts('normal', looks, of, 4, 50_000):.1f})" for of in levels]  # fmt: skip
        sys.stdout.write(f"| {', '.join(map(str, looks))} | {' | '.join(cells)} |\n")
        sys.stdout.flush()
    looks = PLANS[0]
    for name, at, levels in (
        ("one comparison", looks[-1:], [0.05]), ("Lan and DeMets", looks, lan_demets(looks)),
        ("plan", looks, 0.05 * shares(looks)),
    ):  # fmt: skip
        found, seeds = power(at, levels)
        sys.stdout.write(f"{name}: finds {SIZE} standard deviations in {found:.1f} %, after {seeds:.1f} seeds\n")
