"""Worker processes on this machine, killed for real: the study ends with the numbers of an undisturbed one."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from grid import finish, grid, numbers

from overfocus.core.errors import OverfocusError
from overfocus.study.engines.backend import Backend, workers_for
from overfocus.study.engines.local import LocalEngine
from overfocus.study.run_study import run_study
from overfocus.training.processes import Machine

PYTHONPATH = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
ENVIRONMENT = {**os.environ, "PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def larger(folder):
    """A study of eight runs, long enough to be killed in."""
    return grid(folder, methods=["plain", "cutout(size=4)", "mixup", "sgdrop"], recipe__epochs=6)


@pytest.fixture(scope="module")
def undisturbed(larger, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "s"
    assert not finish(larger, out).failed
    return numbers(out)


@pytest.fixture(autouse=True)
def workers_find_the_networks_of_the_tests(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)


@pytest.mark.slow
def test_two_workers_give_the_numbers_of_one_process(folder, tmp_path):
    study = grid(folder, seeds=1)
    finish(study, tmp_path / "one")
    finish(study, tmp_path / "two", LocalEngine(2, tmp_path / "two"))
    assert len(numbers(tmp_path / "one")) == 2
    assert numbers(tmp_path / "two") == numbers(tmp_path / "one")


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("overfocus.study.run_study.LOSSES", 99)  # one run may be hit often while it starts
    study = grid(folder, methods=["plain", "cutout(size=4)", "mixup", "sgdrop"], recipe__epochs=60)
    finish(study, tmp_path / "undisturbed")
    out, random_, kills, due = tmp_path / "s", random.Random(3), 0, 0.0
    with LocalEngine(2, out) as engine:
        for standing in run_study(study, out, engine):
            busy = [worker for worker in engine._all.values() if worker.job and not standing.over]
            if kills < 20 and time.monotonic() > due and busy:
                time.sleep(random_.random())
                random_.choice(busy).process.kill()
                kills += 1
                # Some while a worker starts, most when it has got on a little.
                due = time.monotonic() + random_.choice((0.0, 1.0, 2.5))
            last = standing
    assert kills == 20
    assert not last.failed
    assert numbers(out) == numbers(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_killed_command_leaves_no_worker_and_goes_on(larger, undisturbed, folder, tmp_path):
    out = tmp_path / "s"
    command = _command(larger, out, tmp_path)
    for _ in range(2):
        process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        _until(lambda: _trained(out) > 0 and _workers(out))
        process.kill()
        process.wait()
        _until(lambda: not _workers(out), 20)
    assert subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, timeout=300).returncode == 0
    assert numbers(out) == undisturbed


@pytest.mark.slow
def test_ctrl_c_leaves_a_study_that_goes_on(larger, undisturbed, tmp_path):
    out = tmp_path / "s"
    command = _command(larger, out, tmp_path)
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    _until(lambda: _trained(out) > 0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command resumes" in told
    assert "Traceback" not in told
    assert not _workers(out)
    ended = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert numbers(out) == undisturbed


@pytest.mark.slow
def test_a_full_disk_stops_the_study_and_loses_nothing(larger, undisturbed, tmp_path):
    out = tmp_path / "s"
    command = _command(larger, out, tmp_path)

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # how a full disk looks from inside

    ended = subprocess.run(
        command, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=300, preexec_fn=small_disk
    )
    assert ended.returncode == 2
    assert "the disk is full" in ended.stderr
    assert not _workers(out)
    assert not list(out.rglob("failure.json"))
    assert subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, timeout=300).returncode == 0
    assert numbers(out) == undisturbed


@pytest.mark.slow
def test_two_commands_share_one_study(larger, undisturbed, tmp_path):
    out = tmp_path / "s"
    command = _command(larger, out, tmp_path)
    both = [subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert numbers(out) == undisturbed


@pytest.mark.slow
def test_a_run_that_kills_its_worker_is_given_up_and_the_others_end(folder, tmp_path):
    out = tmp_path / "s"
    study = grid(folder, model__name="grid:deadly_for_seed_1", model__settings={}, methods=["plain"], seeds=3)
    standing = finish(study, out, LocalEngine(2, out))
    assert {cell.seed for cell in standing.failed} == {1}
    assert "SIGKILL" in next(iter(standing.failed.values()))
    assert len(standing.finished) == 2


@pytest.mark.slow
def test_a_run_over_two_processes_ends_in_a_study(folder, tmp_path):
    out = tmp_path / "s"
    study = grid(folder, methods=["plain"], seeds=1)
    with LocalEngine(1, out) as engine:
        *_, last = run_study(study, out, engine, Machine("cpu", 2))
    assert not last.failed, last.failed
    assert '"processes": 2' in next(out.rglob("manifest.json")).read_text()


def test_workers_are_as_many_as_there_is_room_for(monkeypatch):
    monkeypatch.setattr("overfocus.study.engines.backend.processors", lambda: 8)
    cpu = Machine("cpu")
    assert workers_for(Backend(machine=cpu), threads=1) == 8
    assert workers_for(Backend(machine=cpu), threads=3) == 2
    assert workers_for(Backend(machine=cpu), threads=16) == 1
    assert workers_for(Backend(machine=Machine("cpu", 2)), threads=1) == 4
    assert workers_for(Backend(workers=5, machine=cpu), threads=1) == 5
    with pytest.raises(OverfocusError, match="did you mean 'local'"):
        Backend(engine="locl")
    with pytest.raises(OverfocusError, match="give 1 or more"):
        Backend(workers=-1)


def _command(study, out: Path, tmp_path: Path) -> list[str]:
    path = tmp_path / "study.toml"
    path.write_text(study.toml())
    return [
        sys.executable, "-m", "overfocus", "study", str(path), "--out", str(out), "--workers", "2", "--no-report"
    ]  # fmt: skip


def _trained(out: Path) -> int:
    return len(list(out.rglob("epochs.jsonl")))


def _workers(out: Path) -> list[int]:
    """Return the workers that have a log of this study open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("fd", "2").resolve().is_relative_to((out / "log").resolve()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def _until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
