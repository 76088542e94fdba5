"""One run of a study: its method, data size and seed, and the folder where it lies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from overfocus.core.files import write
from overfocus.diagnosis.catalogue import SECTIONS
from overfocus.regularizers.spec import respelled
from overfocus.training.run import Run

ANSWERS, DIAGNOSIS, FAILURE, COMPUTE = "answers.npz", "diagnosis", "failure.json", "compute.json"
"""Beside the files of a run: what it says of the test images, its examination, why it failed, what a step costs."""
EXAMINATION = "examination"
"""Where an examination says which settings it had."""
LONGEST = 60
"""Letters of a folder's name that come from a spec."""

State = Literal["finished", "trained", "started", "failed", "waiting"]


@dataclass(frozen=True, order=True)
class Size:
    """How many training images: so many of each class, a part of them, or all."""

    per_class: int | None = None
    fraction: float | None = None

    def __str__(self) -> str:
        if self.per_class is not None:
            return f"{self.per_class:,} per class"
        return f"{100 * self.fraction:g} %" if self.fraction is not None else "all images"

    @property
    def words(self) -> str:
        """The size in a sentence."""
        if self.per_class is not None:
            return f"{self.per_class:,} images per class"
        return f"{self} of the training images" if (self.fraction or 1) < 1 else "all training images"

    @property
    def slug(self) -> str:
        """A name for a folder."""
        if self.per_class is not None:
            return f"{self.per_class}-per-class"
        return f"fraction-{self.fraction:g}" if self.fraction is not None else "all"


@dataclass(frozen=True)
class RunKey:
    """One run of a study."""

    method: str
    size: Size
    seed: int

    def __str__(self) -> str:
        return f"{self.method}, {self.size}, seed {self.seed}"

    def folder(self, study: Path) -> Path:
        """Return where the run lies below the folder of its study; no two runs share a folder.

        One that the version before began stays where it lies, under the old names of its method's settings.
        """
        old, new = (
            study / "runs" / self.size.slug / slug(spec) / f"seed{self.seed}"
            for spec in (respelled(self.method, old=True), self.method)
        )
        return old if old.exists() else new

    def state(self, study: Path, examination: Mapping[str, Any]) -> State:
        """Return how far the run is, as the disk shows. examination: the record of the study; {} for none."""
        folder = self.folder(study)
        if Run(folder).finished:
            whole = (folder / ANSWERS).is_file() and is_examined(folder, examination)
            return "finished" if whole else "failed" if (folder / FAILURE).is_file() else "trained"
        if (folder / FAILURE).is_file():
            return "failed"
        return "started" if Run(folder).checkpoint.exists() else "waiting"

    def failure(self, study: Path) -> dict[str, Any]:
        """Return what is known of a failure: `error`, one line or more, and `traceback`; empty where there is none."""
        path = self.folder(study) / FAILURE
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}

    def fail(self, study: Path, error: str, traceback: str = "") -> None:
        """Write down why the run failed."""
        content = {"error": error, "traceback": traceback, "method": self.method, "seed": self.seed}
        write(self.folder(study) / FAILURE, json.dumps(content, indent=2) + "\n")


def is_examined(folder: Path, examination: Mapping[str, Any]) -> bool:
    """Whether the run in `folder` went through this examination, and not through an earlier one by other settings or by
    an older version of a section.
    """
    if not examination:
        return True
    try:
        about = json.loads((folder / DIAGNOSIS / "scores.json").read_text(encoding="utf-8"))["about"]
        return about.get(EXAMINATION) == examination and _is_current(about)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):  # none, or broken: it is made anew
        return False


def _is_current(about: Mapping[str, Any]) -> bool:
    """Whether every section that was evaluated had its present version; 1 where none was written down."""
    versions = about.get("section_versions", {})
    return all(
        versions.get(name, 1) == SECTIONS[name].version for name in about.get("sections", ()) if name in SECTIONS
    )


def slug(spec: str) -> str:
    """Return a name for a folder that no other spec has: readable, short, of letters that every system takes."""
    plain = re.sub(r"[^A-Za-z0-9.=]+", "-", spec).strip("-.")
    if plain == spec and 0 < len(spec) <= LONGEST:
        return spec
    return f"{plain[:LONGEST].strip('-.') or 'method'}-{crc32(spec.encode()):08x}"
