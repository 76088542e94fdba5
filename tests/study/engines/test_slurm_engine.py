"""Jobs through submitit's own local executor, which starts real processes, and through stand-ins for SLURM's commands.

SLURM itself is not on this machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest
from grid import finish, grid, numbers

from overfocus.core.errors import OverfocusError
from overfocus.study import work
from overfocus.study.engines import slurm as slurm_engine
from overfocus.study.engines.engine import Job, Outcome
from overfocus.study.engines.slurm import SlurmEngine
from overfocus.study.run_study import epochs_done
from overfocus.study.study import claimed

submitit = pytest.importorskip("submitit")

SBATCH = """
grep -q partition=closed "$1" && { echo "sbatch: error: invalid partition specified: closed" >&2; exit 1; }
export SLURM_JOB_ID=$((100 + $(ls "$JOBS" | wc -l))) SLURM_JOB_NAME=overfocus SLURM_NTASKS=1 SLURM_PROCID=0
export SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1
cp "$1" "$JOBS/$SLURM_JOB_ID.sh"
setsid bash "$1" > "$JOBS/$SLURM_JOB_ID.out" 2>&1 < /dev/null &
echo $! > "$JOBS/$SLURM_JOB_ID"
echo "Submitted batch job $SLURM_JOB_ID"
"""
SRUN = """
while [[ $1 == --* ]]; do case $1 in --output|--error) shift 2;; *) shift;; esac; done
exec "$@"
"""
SACCT = """
echo "JobID|State|NodeList"
while [ $# -gt 0 ]; do
  if [ "$1" = -j ] && [ -e "$JOBS/$2" ]; then
    state=${ENDED:-NODE_FAIL}
    grep -q "^State:.[^Z]" "/proc/$(cat "$JOBS/$2")/status" 2> /dev/null && state=RUNNING
    echo "$2|$state|node1"
  fi
  shift
done
"""
SCANCEL = """
group=$(cat "$JOBS/$1")
[ "$group" -gt 1 ] && builtin kill -TERM -- "-$group" 2> /dev/null
echo "$1" >> "$JOBS/cancelled.txt"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands that do on this machine what SLURM's do on a cluster, as far as submitit asks."""
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", SCANCEL)):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/bash" + text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "jobs").mkdir()
    monkeypatch.setenv("JOBS", str(tmp_path / "jobs"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.setattr(slurm_engine, "SETTLING", 1.0)
    submitit.SlurmJob.watcher.clear()  # it is one for the process, and every test has a job 100
    yield tmp_path / "jobs"
    for file in (tmp_path / "jobs").glob("[0-9][0-9][0-9]"):
        with suppress(ProcessLookupError):
            os.killpg(int(file.read_text()), signal.SIGKILL)


def job_of(study, out: Path, which: int = 0) -> Job:
    return Job(out, list(study.run_keys())[which])


def until_epoch(job: Job, count: int, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while epochs_done(job.key.folder(job.study)) < count:
        assert time.monotonic() < end, "it never trained"
        time.sleep(0.02)


def outcome_of(engine: SlurmEngine, seconds: float = 60) -> Outcome:
    end = time.monotonic() + seconds
    while not (ended := engine.wait(1.0)):
        assert time.monotonic() < end, "nothing ended"
    return ended[0]


@pytest.mark.slow
@pytest.mark.parametrize("folds", [{}, {"folds": 2, "recipe__epochs": 1}])
def test_jobs_give_the_numbers_of_one_process(folder, tmp_path, monkeypatch, folds):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    study, out = grid(folder, seeds=1, **folds), tmp_path / "s"
    claimed(out, study)
    assert not finish(study, out, SlurmEngine(out, cluster="local")).failed
    finish(study, tmp_path / "undisturbed")
    assert numbers(out) == numbers(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGKILL])
def test_a_job_that_is_ended_is_lost_and_goes_on_where_it_stood(folder, tmp_path, monkeypatch, number):
    monkeypatch.setattr(slurm_engine, "SETTLING", 1.0)
    study, out = grid(folder, seeds=1, methods=["plain"], recipe__epochs=60), tmp_path / "s"
    claimed(out, study)
    with SlurmEngine(out, cluster="local") as engine:
        job = job_of(study, out)
        engine.submit(job)
        until_epoch(job, 2)
        controller = engine._jobs[next(iter(engine._jobs))][0].job_id
        task = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()[0]
        os.kill(int(task), number)
        lost = outcome_of(engine)
        assert lost.state == "lost", lost
        assert not job.key.failure(out)
        stood = epochs_done(job.key.folder(out))
        assert 2 <= stood < 60
        assert not finish(study, out, engine).failed
    finish(study, tmp_path / "undisturbed")
    assert numbers(out) == numbers(tmp_path / "undisturbed")


@pytest.fixture
def interruptible():
    """Hear Ctrl-C, as the command does: who is started in the background by a script ignores it, and so do its jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_close_leaves_no_process_behind(folder, tmp_path, interruptible):
    study, out = grid(folder, seeds=1, recipe__epochs=5000), tmp_path / "s"
    claimed(out, study)
    with SlurmEngine(out, cluster="local") as engine:
        job = job_of(study, out)
        engine.submit(job)
        until_epoch(job, 1)
        controller = next(iter(engine._jobs))
        task = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()[0]
    end = time.monotonic() + 30  # what was told to end does so soon, on a busy machine not at once
    while not (gone(controller) and gone(task)):
        assert time.monotonic() < end
        time.sleep(0.1)


def gone(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.slow
def test_slurm_loses_a_node_and_the_numbers_are_the_same(folder, tmp_path, slurm, monkeypatch):
    study = grid(folder, seeds=1, model__name="grid:deadly_once", model__settings={})
    out, undisturbed = tmp_path / "s", tmp_path / "undisturbed"
    (tmp_path / "died").write_text("")
    monkeypatch.setenv("DEADLY_ONCE", str(tmp_path / "died"))
    finish(study, undisturbed)
    monkeypatch.setenv("DEADLY_ONCE", str(tmp_path / "to_die"))
    claimed(out, study)
    assert not finish(study, out, SlurmEngine(out, partition="open", minutes=7)).failed
    assert (tmp_path / "to_die").exists(), "a job was killed"
    assert len(list(slurm.glob("*.sh"))) == 3, "two runs, one of them twice"
    text = (slurm / "100.sh").read_text()
    assert "--partition=open" in text
    assert "--time=7" in text
    assert numbers(out) == numbers(undisturbed)


def alive_then(monkeypatch, state: str, slurm: Path, out: Path) -> tuple[SlurmEngine, Job]:
    """Return an engine with a job whose process is gone and that SLURM gives as `state`."""
    monkeypatch.setenv("ENDED", state)
    monkeypatch.setattr(slurm_engine, "LOOK", 0.0)
    (out.parent / "bin" / "srun").write_text("#!/bin/bash\nexit 1\n")
    study = grid("shapes", seeds=1)
    claimed(out, study)
    engine, job = SlurmEngine(out), job_of(study, out)
    engine.submit(job)
    return engine, job


@pytest.mark.parametrize("state", ["NODE_FAIL", "PREEMPTED", "CANCELLED by 0"])
def test_a_job_that_left_no_result_is_lost(monkeypatch, slurm, tmp_path, state):
    monkeypatch.setattr(slurm_engine, "SETTLING", 0.1)
    engine, job = alive_then(monkeypatch, state, slurm, tmp_path / "s")
    lost = outcome_of(engine, 20)
    assert (lost.job, lost.state) == (job, "lost")
    assert state in lost.error
    assert (slurm / "cancelled.txt").read_text().split() == ["100"], "it cannot come back beside its successor"
    assert not engine._jobs


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_that_waits_is_waited_for(monkeypatch, slurm, tmp_path, state):
    monkeypatch.setattr(slurm_engine, "SETTLING", 0.0)
    engine, _ = alive_then(monkeypatch, state, slurm, tmp_path / "s")
    assert engine.wait(0.5) == []
    engine.close()
    assert (slurm / "cancelled.txt").exists()


def test_a_job_that_slurm_does_not_take_is_an_error(slurm, tmp_path):
    engine = SlurmEngine(tmp_path / "s", partition="closed")
    with pytest.raises(OverfocusError, match=r"invalid partition specified: closed.*--partition"):
        engine.submit(job_of(grid("shapes"), tmp_path / "s"))
    assert not engine._jobs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_of_slurm_is_no_failure_of_the_run(monkeypatch, tmp_path, number):
    def stopped(job):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except Exception:  # as `do` catches what a run does wrong
            return Outcome(job, "failed")

    monkeypatch.setenv("SLURM_JOB_NAME", "overfocus")
    monkeypatch.setattr(work, "do", stopped)
    before = signal.getsignal(number)
    job = job_of(grid("shapes"), tmp_path)
    assert slurm_engine._do(job).state == "lost"
    assert signal.getsignal(number) is before


@pytest.mark.skipif(shutil.which("srun") is not None, reason="SLURM is here")
def test_without_slurm_the_error_says_so(tmp_path):
    with pytest.raises(OverfocusError, match="take another --engine"):
        SlurmEngine(tmp_path)


def test_without_submitit_the_error_says_what_to_install(monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(slurm_engine, "import_module", missing)
    with pytest.raises(OverfocusError, match=r"pip install 'overfocus\[slurm\]'"):
        SlurmEngine(tmp_path)


def test_what_is_asked_for_reaches_submitit(tmp_path):
    engine = SlurmEngine(tmp_path, cluster="local", minutes=7, threads=2, gpus=1, memory_gb=3)
    assert engine._parameters() == {
        "name": "overfocus", "cpus_per_task": 2, "timeout_min": 7, "gpus_per_node": 1, "mem_gb": 3,
    }  # fmt: skip
    engine.partition, engine.minutes, engine.options = "long", 0, {"slurm_account": "vision"}
    assert engine._parameters()["slurm_partition"] == "long"
    assert engine._parameters()["slurm_account"] == "vision"
    assert engine._parameters()["timeout_min"] == slurm_engine.MINUTES, "not submitit's five minutes"


def test_an_option_that_submitit_does_not_know_is_an_error(tmp_path):
    with pytest.raises(OverfocusError, match="colour"):
        SlurmEngine(tmp_path, cluster="local", options={"slurm_colour": 1})
