"""Do two checkouts give the same numbers? Trains, diagnoses and studies `totem` with both, and compares.

    git worktree add ../before 599f09a
    python tests/same_numbers.py ../before .

Weights are compared byte for byte; scores, evidence and tables number by number; the figures on the pages as they are
printed. It prints a line for each comparison and ends with 1 where anything differs. Names that have changed since
599f09a (`sgdrop(share=...)` is `sgdrop(prob=...)`) are brought to the new ones first.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import numpy as np

METHOD = "cutmix(prob=0.5) + sgdrop(drop=0.4) + dropblock(drop=0.1)"
SMALL = ["--epochs", "2", "--set", "model.settings.widths=[8,16]", "--set", "recipe.batch=64"]
STUDY = ["--methods", "plain; sgdrop; mixup; cutout", "--seeds", "2", "--per-class", "20,40", "--limit", "60"]
NUMBER, IDENTITY = re.compile(r"[-+\d.e ]+"), ("size", "seed", "per_class", "fraction", "class")
SECTIONS = "spread,focus,localization,hiding,deletion,robustness,confidence,in_between,shortcut,transplant"


def overfocus(checkout: Path, *words: str, here: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "overfocus", *words], cwd=here, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: overfocus {' '.join(words)}\n{done.stderr}")


def made(checkout: Path, here: Path) -> Path:
    """Train, diagnose and study in the folder `here`."""
    here.mkdir(parents=True)
    overfocus(checkout, "train", "--method", METHOD, *SMALL, "--out", "run", here=here)
    overfocus(checkout, "diagnose", "run", "--limit", "100", "--out", "diagnosis", here=here)
    overfocus(checkout, "study", *STUDY, *SMALL, "--examine", SECTIONS, "--workers", "2", "--out", "study", here=here)
    return here


def renamed(text: str) -> str:
    """Bring the settings of SGDrop to their new names."""
    return text.replace("share=", "prob=").replace("chance=", "unit_prob=").replace("which=", "selection=")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.safetensors"))
    return {renamed(str(path.relative_to(folder))): sha256(path.read_bytes()).hexdigest() for path in files}


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Collect the arrays of every evidence below `folder`."""
    found = {}
    for path in sorted(folder.rglob("evidence.npz")):
        with np.load(path) as file:
            found |= {
                renamed(f"{path.relative_to(folder)}: {name}"): file[name]
                for name in file.files
                if name != "about.json"
            }
    return found


def scores(folder: Path) -> dict[str, float]:
    """Collect every number of every scores.json and epochs.csv below `folder`, but those of time."""
    found: dict[str, float] = {}
    for path in sorted(folder.rglob("scores.json")):
        _flat(json.loads(path.read_text()), renamed(str(path.relative_to(folder))), found)
    for path in sorted(folder.rglob("epochs.csv")):
        for number, row in enumerate(csv.DictReader(path.open())):
            place = renamed(f"{path.relative_to(folder)}:{number}")
            found |= {f"{place}:{name}": float(value) for name, value in row.items() if value and "second" not in name}
    return found


def _flat(value: object, place: str, found: dict[str, float]) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            _flat(each, f"{place}/{name}", found)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            _flat(each, f"{place}/{number}", found)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found[place] = float(value)


def table_numbers(folder: Path) -> dict[str, str]:
    """Collect the tables of the study, number by number, each row by its words; columns of time are left out."""
    found = {}
    for path in sorted((folder / "study" / "tables").glob("*.csv")):
        for row in csv.DictReader(path.open()):
            words = [value for name, value in row.items() if name in IDENTITY or not NUMBER.fullmatch(value or "")]
            found |= {
                renamed(f"{path.name}: {', '.join(filter(None, words))}: {name}"): value
                for name, value in row.items()
                if NUMBER.fullmatch(value or "") and not re.search("second|images a|ratio|time", name or "")
            }
    return found


def printed(folder: Path) -> dict[str, bool]:
    """Collect the numbers of three decimals and more that stand in the text of each page."""
    found = {}
    for path in (folder / "diagnosis" / "diagnosis.html", folder / "study" / "report.html"):
        page = re.sub(r"<(svg|style|script|title)\b.*?</\1>|<[^>]*>", " ", path.read_text(encoding="utf-8"), flags=re.S)
        for number in re.findall(r"(?<![\w.])\d+\.\d{3,}(?![\w.])", page):
            found[f"{path.name}: {number}"] = True
    return found


def compared(what: str, old: dict, new: dict) -> bool:
    """Print whether all that `old` holds stands in `new` alike."""
    missing = [name for name in old if name not in new]
    different = [name for name in old if name in new and not _same(old[name], new[name])]
    good = bool(old) and not different and not missing
    print(
        f"{'same' if good else 'DIFFERENT'}: {what}, {len(old)} compared, {len(different)} differ, {len(missing)} gone"
    )
    for name in [*different, *missing][:10]:
        print(f"  {name}: {_short(old[name])} -> {_short(new.get(name, 'gone'))}")
    return good


def _short(value: object) -> str:
    if isinstance(value, np.ndarray) and value.size and value.dtype.kind == "f":
        return f"array {list(value.shape)} of mean {np.nanmean(value):.4f}"
    return str(value)[:60]


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    return one == other or (one != one and other != other)


def main() -> None:
    before, after = (Path(word).resolve() for word in sys.argv[1:3])
    work = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(tempfile.mkdtemp())
    old, new = (made(checkout, work / name) if not (work / name).exists() else work / name
                for checkout, name in ((before, "before"), (after, "after")))  # fmt: skip
    good = [
        compared(what, collect(old), collect(new))
        for what, collect in (
            ("weights, byte for byte", digests), ("arrays of evidence", arrays), ("scores", scores),
            ("numbers in the tables of the study", table_numbers),
            ("numbers on the pages", printed),
        )
    ]  # fmt: skip
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
