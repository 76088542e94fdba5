"""Every example runs and has the losses of the plain loop, which it checks by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {
    "maps_by_others": "captum",
    "huggingface_trainer": "transformers",
    "timm_mixup": "timm",
    "lightning_callback": "lightning",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_it_runs(name):
    pytest.importorskip(NEEDS.get(name, "torch"))
    ended = subprocess.run(
        [sys.executable, f"{name}.py"], cwd=EXAMPLES, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    if name == "maps_by_others":
        assert ended.stdout.count("differs from overfocus by") == 3
        return
    rows = [line for line in ended.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert len(rows) == 12, "a line for each step"
