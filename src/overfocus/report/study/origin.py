"""How a study was made: settings, data, machines and seconds, and the command that repeats each run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import mean

from overfocus.report.label import Label, label, visible
from overfocus.report.number import NONE, Number
from overfocus.study.results import Result, Results
from overfocus.study.run_key import RunKey, Size


@dataclass(frozen=True)
class Made:
    """One run, finished or not."""

    method: Label
    size: str
    seed: int
    state: str
    """In words; of a failed one with the reason."""
    seconds: Number
    data: str
    """Hash of the training and test data; empty where the run is not finished."""
    command: str


@dataclass(frozen=True)
class Cost:
    """What a run of a method takes at one data size: means over its finished runs."""

    method: Label
    size: str
    seconds: Number
    """Training, in seconds; evaluation and examination are not counted."""
    ratio: Number
    """Over that of the baseline."""
    operations: Number
    """Of a training step, an extra look or a teacher's pass included, over those of the baseline."""
    images: Number
    """Training images a second."""
    epochs: int


def facts(results: Results) -> list[tuple[str, str]]:
    """Return titles and texts: data, network, versions, machines and time."""
    manifests = [each.manifest for each in results.results.values()]
    machines = [m.get("machine", {}) for m in manifests]
    found = (
        ("data", visible(str(results.study.data.name))),
        ("about the data", _either(m["data"].get("note") or "" for m in manifests)),
        ("images", _either(f"{sum(m['images'].values()):,} in {len(m['images'])} splits" for m in manifests)),
        ("data hash", _hashes(results)),
        ("network", visible(str(results.study.model.name))),
        ("versions", _either(", ".join(f"{n} {v}" for n, v in m.get("versions", {}).items()) for m in manifests)),
        ("commit", _either(str(m.get("commit") or "not said") for m in manifests)),
        ("machine", _either(_machine(each) for each in machines)),
        ("precision", _either(str(m.get("precision", "not said")) for m in manifests)),
        ("time in all", _duration(sum(float(m["seconds"]) for m in manifests))),
    )  # fmt: skip
    return [(title, text) for title, text in found if text]


def runs(results: Results) -> list[Made]:
    """Return every run with the command that repeats it."""
    return [_made(results, key) for key in results.study.run_keys()]


def same_data(results: Results) -> bool:
    """Whether all finished runs of a seed and data size saw the same data, by its hash."""
    found: dict[tuple[Size, int], set[str]] = {}
    for key, result in results.results.items():
        found.setdefault((key.size, key.seed), set()).add(_hash(result))
    return all(len(hashes) == 1 for hashes in found.values())


def _hash(result: Result) -> str:
    return str(result.manifest["data"].get("fingerprint", ""))


def _hashes(results: Results) -> str:
    found = list(dict.fromkeys(map(_hash, results.results.values())))
    return found[0] if len(found) == 1 else f"{len(found)} different ones; see the runs below"


def _either(texts: Iterable[str]) -> str:
    """Return what all runs say, or the different things that they say."""
    return "; or ".join(dict.fromkeys(visible(text) for text in texts))


def _machine(of: dict) -> str:
    gpus = ", ".join(of.get("gpus", ())) or "no GPU"
    cores, threads = (of.get(name, "?") for name in ("cpus", "threads"))
    return f"{of.get('system', 'not said')}, {cores} cores, {threads} processor threads a run, {gpus}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def _made(results: Results, key: RunKey) -> Made:
    folder = key.folder(results.folder)
    again = shlex.quote(str(folder.with_name(f"seed{key.seed}-again")))
    command = visible(f"overfocus train {shlex.quote(str(folder / 'experiment.toml'))} --out {again}")
    state, seconds, data = "not finished", Number(""), ""
    if key in results.failed:
        state = f"failed: {label(results.failed[key], most=200).short}"
    if result := results.results.get(key):
        spent = float(result.manifest["seconds"])
        state, seconds, data = "finished", Number(f"{spent:,.1f}", key=spent), _hash(result)
    method = label(key.method, results.study.methods.index(key.method))
    return Made(method, str(key.size), key.seed, state, seconds, data, command)


def costs(results: Results) -> list[Cost]:
    """Return what each method takes at each data size, methods in the order of the study."""
    return [
        _cost(results, number, method, size)
        for size in results.study.sizes
        for number, method in enumerate(results.study.methods)
        if results.of(method, size)
    ]


def _cost(results: Results, number: int, method: str, size: Size) -> Cost:
    runs, base = results.of(method, size), results.of(results.study.baseline, size)
    seconds = _training(runs)
    pace = mean(epoch.images_per_second for run in runs for epoch in run.epochs)
    return Cost(
        label(method, number), str(size), Number(f"{seconds:,.1f}", key=seconds),
        _ratio(seconds, _training(base) if base else nan, 2), _ratio(runs[0].flops, base[0].flops if base else nan, 3),
        Number(f"{pace:,.0f}", key=pace), runs[0].epochs[-1].number,
    )  # fmt: skip


def _ratio(number: float, base: float, digits: int) -> Number:
    ratio = number / base
    return Number(f"{ratio:.{digits}f}", key=ratio) if isfinite(ratio) else Number(NONE)


def _training(runs: Sequence[Result]) -> float:
    return mean(sum(epoch.seconds for epoch in run.epochs) for run in runs)
