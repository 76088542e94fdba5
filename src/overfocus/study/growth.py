"""Which seeds a study was asked for, in which order, and whether results were there by then.

Seeds that are added because of what the first ones showed make false verdicts more frequent than the level says
(docs/decisions/0012-when-a-study-may-stop.md), so what was asked for first is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

from overfocus.core.files import write

SEEDS = "seeds.json"
"""In the folder of a study: a list of what `Asked` holds."""


@dataclass(frozen=True)
class Asked:
    """Seeds that a command asked for."""

    seeds: tuple[int, ...]
    seen: tuple[int, ...] = ()
    """Seeds of which a run was trained by then."""
    date: str = ""
    """In UTC; empty where it was before dates were kept."""


@dataclass(frozen=True)
class Change:
    """Seeds that were added or left out when results were there."""

    added: tuple[int, ...]
    removed: tuple[int, ...]
    seen: tuple[int, ...]
    date: str


def note_seeds(folder: Path, seeds: Sequence[int], before: Sequence[int] | None) -> None:
    """Write down that `seeds` are asked for, unless they are what was asked for last. before: the seeds of a study that
    was there already, for one that was begun before this was kept.
    """
    asked = read_asked(folder) or ([] if before is None else [Asked(tuple(before))])
    if asked and set(asked[-1].seeds) == set(seeds):
        return
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    asked.append(Asked(tuple(seeds), trained_seeds(folder), date))
    write(folder / SEEDS, json.dumps([asdict(each) for each in asked], indent=2) + "\n")


def read_asked(folder: Path) -> list[Asked]:
    """Return what the study in `folder` was asked for, the first first; empty where that was not kept."""
    try:
        found = json.loads((folder / SEEDS).read_text(encoding="utf-8"))
        return [Asked(tuple(each["seeds"]), tuple(each["seen"]), str(each["date"])) for each in found]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def changes(folder: Path) -> list[Change]:
    """Return the changes of the seeds of a study that were made when results of earlier ones were there."""
    found = []
    for before, after in pairwise(read_asked(folder)):
        seen = tuple(seed for seed in after.seen if seed in before.seeds)
        added, removed = (
            tuple(sorted({*one.seeds} - {*other.seeds})) for one, other in ((after, before), (before, after))
        )
        if seen:
            found.append(Change(added, removed, seen, after.date))
    return found


def ranges(seeds: Sequence[int]) -> str:
    """Return numbers that rise as "0-2, 5"."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def trained_seeds(folder: Path) -> tuple[int, ...]:
    """Return the seeds of which a run is finished in the folder of a study."""
    names = (path.parent.name for path in folder.glob("runs/*/*/seed*/manifest.json"))
    return tuple(sorted({int(found[1]) for name in names if (found := re.fullmatch(r"seed(\d+)", name))}))
