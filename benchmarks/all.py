"""Run every benchmark that this machine can, each in a process of its own, and write benchmarks/results/<machine>.md.

    python benchmarks/all.py [--rounds N] [--tiny] [--only step,mixing] [--out DIR]

A script that fails is told in the page and in the exit code; the others go on. With --only, what the page says of other
scripts stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from ratios import Table, cpu, known, markdown, where
from rich.console import Console

HERE = Path(__file__).parent
SCRIPTS = (
    "mixing",
    "targets",
    "step",
    "dropblock",
    "training",
    "folder",
    "photographs",
    "attribution",
    "localization",
    "hiding",
    "attack",
    "startup",
    "study",
    "memory",
    "freed",
    "window",
    "examination",
)
PEERS = (
    "timm",
    "kornia",
    "torchcam",
    "grad-cam",
    "captum",
    "quantus",
    "torchattacks",
    "lightning",
    "opencv-python-headless",
)


def measured(script: str, arguments: list[str], log: Console) -> tuple[str, bool]:
    """Run one script; return its part of the page, and whether it ended well."""
    started = perf_counter()
    with TemporaryDirectory() as folder, log.status(script):
        found = Path(folder) / "found.json"
        command = [sys.executable, str(HERE / f"{script}.py"), "--json", str(found), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            return f"failed: {(ended.stderr.strip() or 'no word').splitlines()[-1]}\n", False
        tables = [Table.read(table) for table in json.loads(found.read_text())["tables"]]
    seconds = perf_counter() - started
    log.print(f"{script}: {len(tables)} tables in {seconds:.0f} s")
    parts = "\n".join(markdown(table) for table in tables)
    shown = " ".join(["python", f"benchmarks/{script}.py", *arguments])
    return f"`{shown}`, {date.today()}, {seconds:.0f} s\n{parts}\n", True


def sections(page: Path) -> dict[str, str]:
    """Return script -> what a page that was written before says of it."""
    parts = re.split(r"^## (.+)\n\n", page.read_text() if page.is_file() else "", flags=re.MULTILINE)[1:]
    return {name: text.rstrip("\n") + "\n" for name, text in zip(parts[::2], parts[1::2], strict=True)}


def head() -> str:
    peers = ", ".join(f"{name} {known(name)}" for name in PEERS)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    told = f"{date.today()}; {where(device)}; {peers}."
    gpu = "" if device == "cuda" else "\nOn a GPU: not measured, there was none.\n"
    return (
        f"# Benchmarks on {cpu()}\n\n{told}\n{gpu}\nMedians over interleaved rounds; ratios are within a round. "
        "Bars are those that the project set itself before it measured; `held` and `MISSED` go by the median.\n"
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=0, help="0: each script's own")
    asked.add_argument("--tiny", action="store_true")
    asked.add_argument("--only", default="", help="of " + ", ".join(SCRIPTS))
    asked.add_argument("--out", type=Path, default=HERE / "results")
    told = asked.parse_args()
    arguments = ["--tiny"] * told.tiny + (["--rounds", str(told.rounds)] if told.rounds else [])
    names = [name for name in SCRIPTS if not told.only or name in told.only.split(",")]
    log, well = Console(stderr=True), True
    told.out.mkdir(parents=True, exist_ok=True)
    page = told.out / f"{'-'.join(cpu().replace('(R)', '').replace('@', 'at').split())}.md"
    parts = sections(page) if told.only else {}
    for name in names:
        parts[name], ended_well = measured(name, arguments, log)
        well = well and ended_well
        page.write_text("\n".join([head(), *(f"## {each}\n\n{parts[each]}" for each in SCRIPTS if each in parts)]))
    print(page)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
