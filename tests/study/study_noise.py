"""Studies whose truth is known: how often intervals hold it, and how often a verdict is wrong.

`python tests/study/study_noise.py` prints the figures of docs/decisions/0008-what-a-verdict-rests-on.md (some minutes).
"""

import sys
from functools import lru_cache, partial

import numpy as np
from scipy import stats

from overfocus.statistics.paired import holm, mann_whitney_ends
from overfocus.statistics.pictures import two_level_interval

KINDS = ("normal", "skewed", "heavy", "discrete", "coarse")
SEEDS = (3, 5, 8, 10, 20)


def philox(seed):
    return np.random.Generator(np.random.Philox(seed))


def runs(kind, shape, generator):
    """Numbers of runs: normal; exponential; t with 3 degrees; the accuracy on 1,000 images at 0.9, on 100 at 0.97."""
    return {
        "normal": generator.standard_normal,
        "skewed": generator.standard_exponential,
        "heavy": partial(generator.standard_t, 3),
        "discrete": lambda shape: generator.binomial(1000, 0.9, shape) / 1000,
        "coarse": lambda shape: generator.binomial(100, 0.97, shape) / 100,
    }[kind](shape)


MEANS = {"normal": 0.0, "skewed": 1.0, "heavy": 0.0, "discrete": 0.9, "coarse": 0.97}


def differences(kind, shape, generator):
    """Differences of mean 0: for the accuracies those of two runs, otherwise the noise itself, which may be skewed."""
    found = runs(kind, shape, generator) - MEANS[kind]
    return found if MEANS[kind] in (0.0, 1.0) else found - runs(kind, shape, generator) + MEANS[kind]


def t_ends(d):
    half = stats.t.ppf(0.975, d.shape[1] - 1) * stats.sem(d, axis=1)
    half[np.ptp(d, axis=1) < 1e-9] = np.nan  # no interval is given there
    return d.mean(axis=1) - half, d.mean(axis=1) + half


def bootstrap_ends(method, d, generator):
    found = stats.bootstrap((d,), np.mean, axis=1, n_resamples=999, method=method, rng=generator).confidence_interval
    return found.low, found.high


def studentized_ends(d, generator):
    drawn = d[:, generator.integers(0, d.shape[1], (999, d.shape[1]))]
    mean, error = d.mean(axis=1), stats.sem(d, axis=1)
    with np.errstate(all="ignore"):
        t = (drawn.mean(axis=2) - mean[:, None]) / stats.sem(drawn, axis=2)
    low, high = np.quantile(np.nan_to_num(t, posinf=1e9, neginf=-1e9), [0.025, 0.975], axis=1, method="inverted_cdf")
    return mean - high * error, mean - low * error


def holds(ends, truth=0.0):
    """How often the interval holds the truth; of an interval without ends it cannot be asked."""
    low, high = ends
    return float(((low <= truth + 1e-12) & (high >= truth - 1e-12))[np.isfinite(low) & np.isfinite(high)].mean())


def null_family(kind, studies, n, methods, generator):
    """Differences [studies, methods, n] of methods that do nothing: all share the baseline's runs."""
    found = runs(kind, (studies, methods + 1, n), generator)
    return found[:, 1:] - found[:, :1]


@np.errstate(all="ignore")
def t_p(d):
    """The p values of the t test [...]; 1 where all differences are equal, which never raises an alarm there."""
    p = stats.ttest_1samp(d, 0, axis=-1).pvalue
    return np.where(np.ptp(d, axis=-1) < 1e-9, 1.0, p)


def flip_p(d):
    """Exact sign-flip p [...] by all 2^n patterns at once."""
    n = d.shape[-1]
    signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    sums = np.abs(d @ signs.T)
    return (sums >= sums[..., :1] - 1e-9).mean(axis=-1)


def alarms(p):
    """The share of studies [S, M] in which Holm lets at least one method through: its first step decides."""
    return float((p.min(axis=1) * p.shape[1] <= 0.05).mean())


newcombe = lru_cache(maxsize=100_000)(mann_whitney_ends)


def shares(method, baseline):
    """The probability of improvement of every study, from its runs [studies, n]."""
    return (np.sign(method[:, :, None] - baseline[:, None]) / 2 + 0.5).mean(axis=(1, 2))


def improvement_runs(kind, shift, studies, n, generator, shared=0.0):
    """Runs of a method and the baseline, `shift` apart; `shared`: correlation of runs of one seed, normal noise only.

    Also the true probability that one is higher than another one of another seed.
    """
    if kind == "skewed":
        method, baseline = (generator.standard_exponential((studies, n)) for _ in range(2))
        return method + shift, baseline, 1 - np.exp(-shift) / 2
    seed, method, baseline = (generator.standard_normal((studies, n)) for _ in range(3))
    method, baseline = (shared**0.5 * seed + (1 - shared) ** 0.5 * each for each in (method, baseline))
    return method + shift, baseline, float(stats.norm.cdf(shift / 2**0.5))


def newcombe_ends(method, baseline):
    n = method.shape[1]
    return np.array([newcombe(round(float(each), 9), n, n) for each in shares(method, baseline)]).T


def pairs_bootstrap_ends(method, baseline, generator, draws=400):
    """The interval of rliable: percentiles over resampled runs, here resampled by seed."""
    rows = generator.integers(0, method.shape[1], (draws, method.shape[1]))
    drawn = np.stack([shares(x[rows], y[rows]) for x, y in zip(method, baseline)])
    return np.quantile(drawn, [0.025, 0.975], axis=1)


def crossed_runs(draw, seeds, pictures, by_picture):
    """Right answers [2, S, N] of two methods whose accuracy on all pictures that there are is the same, though some
    pictures suit one and some the other.
    """
    ease = draw.normal(1.5, 1.5, pictures)
    suits, skill = draw.normal(0, by_picture, (2, 1, pictures)), draw.normal(0, 0.1, (2, seeds, 1))
    return (ease + suits + skill + draw.normal(0, 1, (2, seeds, pictures)) > 0).astype(float)


def coverage_of_pictures(seeds, pictures, by_picture, studies):
    """How often each interval holds that there is no difference on all pictures; without ends it holds everything."""
    draw, held = philox(seeds), {"seeds": 0, "seeds x pictures": 0}
    for _ in range(studies):
        method, baseline = crossed_runs(draw, seeds, pictures, by_picture)
        found, rows = two_level_interval(method - baseline), (method - baseline).mean(axis=1)
        held["seeds x pictures"] += not found.bounded or found.low <= 0 <= found.high
        held["seeds"] += abs(rows.mean()) <= stats.t.isf(0.025, seeds - 1) * stats.sem(rows)
    return {name: count / studies for name, count in held.items()}


def coverage_over_pictures():
    for seeds, pictures, by_picture in ((3, 100, 1.0), (5, 50, 0.0), (5, 300, 0.5), (5, 2000, 0.5), (10, 100, 1.0)):
        found = coverage_of_pictures(seeds, pictures, by_picture, 4000)
        yield f"other pictures, n={seeds}, N={pictures}, pictures that suit one {by_picture}", found


def coverage_of_differences():
    for kind in KINDS:
        for n in (2, *SEEDS):
            many, few = (differences(kind, (count, n), philox(n)) for count in (100_000, 4000))
            found = {
                "t": holds(t_ends(many)),
                "percentile": holds(bootstrap_ends("percentile", few, philox(1))),
                "BCa": holds(bootstrap_ends("BCa", few[:1000], philox(2))),
                "studentized": holds(studentized_ends(few, philox(3))),
            }
            yield f"difference {kind} n={n}", found


def coverage_of_improvement():
    for kind, shared in (("normal", 0.0), ("normal", 0.5), ("skewed", 0.0)):
        for shift in (0, 1, 2):
            for n in SEEDS:
                method, baseline, truth = improvement_runs(kind, shift, 4000, n, philox(n), shared)
                found = {
                    "newcombe": holds(newcombe_ends(method, baseline), truth),
                    "bootstrap": holds(pairs_bootstrap_ends(method[:1000], baseline[:1000], philox(1)), truth),
                }
                yield f"improvement {kind} shared={shared} shift={shift} n={n}", found


def false_alarms():
    for kind in KINDS:
        for n in (2, *SEEDS):
            found = {"t": alarms(t_p(null_family(kind, 40_000, n, 4, philox(n))))}
            if n <= 10:
                found["sign-flip"] = alarms(flip_p(null_family(kind, 5000, n, 4, philox(n))))
            yield f"alarms {kind} n={n}", found
    for n in SEEDS:
        lopsided = differences("skewed", (40_000, 4, n), philox(n))
        found = {"t": alarms(t_p(lopsided)), "sign-flip": alarms(flip_p(lopsided[:5000])) if n <= 10 else np.nan}
        yield f"alarms, differences themselves skewed, n={n}", found


def power_of_verdicts():
    for n in SEEDS:
        for size in (1, 2, 3):
            d = null_family("normal", 5000, n, 4, philox(n)) / 2**0.5
            d[:, 0] += size
            found = {"t": np.mean([holm(each)[0] <= 0.05 for each in t_p(d)])}
            found["sign-flip"] = np.mean([holm(each)[0] <= 0.05 for each in flip_p(d)]) if n <= 10 else np.nan
            yield f"power, one of four by {size} standard deviations, n={n}", found


if __name__ == "__main__":
    for part in (
        coverage_of_differences, coverage_over_pictures, coverage_of_improvement, false_alarms, power_of_verdicts
    ):  # fmt: skip
        for name, found in part():
            sys.stdout.write(f"{name:60s} " + "  ".join(f"{k} {100 * v:5.1f}" for k, v in found.items()) + "\n")
            sys.stdout.flush()
