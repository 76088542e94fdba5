"""What every benchmark here shares: variants that take turns, ratios round by round, bars, and a table of them.

The machine is noisy, so no time is quoted alone. In each round every variant runs once, in an order that turns; a ratio
is between two times of the same round, and the median over the rounds stands with its quartiles.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from math import log
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import torch

Work = Callable[[], object]
Clock = Callable[[], float]
"""`perf_counter`, or `process_time`: the processor's time of all threads, which other work on the machine is not in."""


@dataclass(frozen=True)
class Bar:
    """A ratio that is asked for: the time of `of` over that of `to` is to be `most` at most."""

    of: str
    to: str
    most: float


@dataclass(frozen=True)
class Table:
    """The times of variants that did the same work, by round."""

    title: str
    base: str
    """What the printed ratios are to."""
    seconds: Mapping[str, Sequence[float]]
    """Variant -> seconds of one piece of work [rounds]; ratios are what counts."""
    bars: Sequence[Bar] = ()
    notes: Sequence[str] = ()
    ours: Sequence[str] = ()
    """The variants that are of this project."""
    per: float = 1.0
    """How many things (images, maps) one piece of work handles; with it a rate is printed."""
    unit: str = ""
    """What these things are called."""
    measured: tuple[str, float] = ("ms", 1e3)
    """What is shown instead of `seconds`, and times what."""

    @staticmethod
    def read(told: Mapping[str, Any]) -> Table:
        """Return the table that was written as JSON."""
        return Table(**{**told, "bars": [Bar(**bar) for bar in told["bars"]]})

    def ratios(self, of: str, to: str) -> list[float]:
        """Return time of one over time of the other, by round."""
        return [a / b for a, b in zip(self.seconds[of], self.seconds[to], strict=True)]


def turns(
    variants: Mapping[str, Work], rounds: int, warm: int = 1, device: str = "cpu", clock: Clock = perf_counter
) -> dict[str, list[float]]:
    """Return the seconds by `clock` of each variant in each of the rounds, after `warm` uncounted ones."""
    names = list(variants)
    for name in names:
        for _ in range(warm):
            timed(variants[name], device, clock)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            seconds[name].append(timed(variants[name], device, clock))
    return seconds


def grown(
    title: str, sizes: Sequence[float], variants: Mapping[str, Work], asked: argparse.Namespace, *,
    law: str = "linear (power 1)", most: float = 0.0, warm: int = 1,
) -> Table:  # fmt: skip
    """Time variants of growing `sizes`, and say with which power of the size the time grew from end to end.

    most: what the last may take of the first, by default what is linear.
    """
    seconds = turns(variants, asked.rounds, 1 if asked.tiny else warm, asked.device)
    (first, *_, last), more = variants, sizes[-1] / sizes[0]
    power = log(median(seconds[last]) / median(seconds[first])) / log(more)
    note = f"law: at most {law}; the measured power from end to end is {power:.2f}"
    return Table(title, first, seconds, [Bar(last, first, most or more)], [note], list(variants))


def timed(work: Work, device: str = "cpu", clock: Clock = perf_counter) -> float:
    """Return the seconds of one call, garbage collected before and not during."""
    gc.collect()
    gc.disable()
    started = clock()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    seconds = clock() - started
    gc.enable()
    return seconds


def spread(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile."""
    if len(ratios) < 2:
        return ratios[0], ratios[0], ratios[0]
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return low, median(ratios), high


def parser(doc: str | None, rounds: int = 15) -> argparse.ArgumentParser:
    """Return the arguments that all scripts take."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--tiny", action="store_true", help="the smallest sizes, one round: does it still run?")
    made.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as there are cores")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--json", type=Path, help="write the tables there")
    return made


def run(asked: argparse.Namespace, tables: Callable[[argparse.Namespace], Iterator[Table]]) -> None:
    """Make the tables, print each as it comes, and write them where that is asked for."""
    if asked.tiny:
        asked.rounds = 1
    if asked.threads:
        torch.set_num_threads(asked.threads)
    print(where(asked.device), flush=True)
    made = []
    for table in tables(asked):
        print(markdown(table), flush=True)
        made.append(table)
    if asked.json:
        found = {"where": where(asked.device), "rounds": asked.rounds, "tables": [asdict(table) for table in made]}
        asked.json.write_text(json.dumps(found, indent=2))


def where(device: str = "cpu", packages: Sequence[str] = ("torch", "torchvision", "overfocus")) -> str:
    """Say in a line on what this runs."""
    on = torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} threads of {cpu()}"
    return f"{on}, Python {platform.python_version()}, " + ", ".join(f"{name} {known(name)}" for name in packages)


def cpu() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def known(package: str) -> str:
    """Return the version of a package, or that there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def peer(name: str) -> Any | None:
    """Import a peer; None, with a word on the error stream, where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        print(f"without {name}: {error}; pip install 'overfocus[bench]'", file=sys.stderr)
        return None


def markdown(table: Table) -> str:
    """Return the table as Markdown: medians, ratios to the base with quartiles, and whether each bar holds."""
    rate = f" {table.unit}/s |" if table.unit else ""
    measured, times = table.measured
    lines = [
        f"\n### {table.title}\n",
        f"| | {measured} | x {table.base} | quartiles |{rate}",
        "|---|---|---|---|" + "---|" * bool(rate),
    ]
    for name, seconds in table.seconds.items():
        low, middle, high = spread(table.ratios(name, table.base))
        shown = f"**{name}**" if name in table.ours else name
        each = table.per / median(seconds)
        more = f" {each:,.0f} |" if rate and each >= 10 else f" {each:.2f} |" if rate else ""
        lines.append(f"| {shown} | {median(seconds) * times:,.2f} | {middle:.3f} | {low:.3f} to {high:.3f} |{more}")
    lines += [""] + [f"- {verdict(table, bar)}" for bar in table.bars if {bar.of, bar.to} <= set(table.seconds)]
    return "\n".join([*lines, *(f"- {note}" for note in table.notes)])


def verdict(table: Table, bar: Bar) -> str:
    """Say whether a bar holds, by the median; one round says nothing."""
    ratios = table.ratios(bar.of, bar.to)
    low, middle, high = spread(ratios)
    if len(ratios) == 1:
        return f"not judged from one round: {bar.of} {middle:.3f} x {bar.to}, bar {bar.most:.3g}"
    held = "held" if middle <= bar.most else "MISSED"
    return f"{held}: {bar.of} {middle:.3f} [{low:.3f}, {high:.3f}] x {bar.to}, bar {bar.most:.3g}"
