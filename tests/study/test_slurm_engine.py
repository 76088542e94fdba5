"""Jobs through submitit's own local executor, which starts real processes; SLURM itself is not on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from grid import finish, grid, numbers

from overfocus.core.errors import OverfocusError
from overfocus.study.slurm_engine import SlurmEngine
from overfocus.study.study import claimed

pytest.importorskip("submitit")


@pytest.mark.slow
def test_jobs_give_the_numbers_of_one_process(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    study, out = grid(folder, seeds=1), tmp_path / "s"
    claimed(out, study)
    assert not finish(study, out, SlurmEngine(out, cluster="local")).failed
    finish(study, tmp_path / "undisturbed")
    assert numbers(out) == numbers(tmp_path / "undisturbed")


@pytest.mark.skipif(shutil.which("srun") is not None, reason="SLURM is here")
def test_without_slurm_the_error_says_so(tmp_path):
    with pytest.raises(OverfocusError, match="take another --engine"):
        SlurmEngine(tmp_path)


def test_what_is_asked_for_reaches_submitit(tmp_path):
    engine = SlurmEngine(tmp_path, cluster="local", minutes=7, threads=2, gpus=1, memory_gb=3)
    assert engine._asked() == {
        "name": "overfocus", "cpus_per_task": 2, "timeout_min": 7, "gpus_per_node": 1, "mem_gb": 3,
    }  # fmt: skip
    engine.partition = "long"
    assert engine._asked()["slurm_partition"] == "long"
