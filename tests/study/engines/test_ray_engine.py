"""A real Ray cluster on this machine, nodes and workers of which are lost while they train."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from grid import finish, grid, numbers

from overfocus.core.errors import OverfocusError
from overfocus.study.engines import ray as ray_engine
from overfocus.study.engines import ray_address
from overfocus.study.engines.engine import Job
from overfocus.study.engines.ray import RayEngine, _do, _fault
from overfocus.study.engines.ray_address import reach, recorded
from overfocus.study.run_study import epochs_done, run_study
from overfocus.study.study import claimed
from overfocus.version import __version__

SMALL = {"object_store_memory": 80 * 2**20}
PYTHONPATH = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
ALONE = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ADDRESS": "", "PYTHONPATH": PYTHONPATH,
}  # fmt: skip
"""Nothing leaves the machine, nobody else may use the cluster, and nothing is written to the home folder."""


@pytest.fixture(scope="module", autouse=True)
def alone():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ALONE.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def no_ray_left():
    ray = pytest.importorskip("ray")
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture(scope="module")
def cluster(alone):
    """A cluster of one node, to which tests add others."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "ray_client_server_port": port, **SMALL})
    cluster.ways = {"direct": cluster.address, "client": f"ray://127.0.0.1:{port}"}
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def listening(answer: bytes) -> str:
    """Listen on a port of this machine, and say `answer` to the first that comes."""
    server = socket.create_server(("127.0.0.1", 0))

    def say() -> None:
        with suppress(OSError), server, server.accept()[0] as connection:
            connection.recv(100)
            connection.sendall(answer)
            connection.recv(100)

    threading.Thread(target=say, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def alive(process: int) -> bool:
    command = Path(f"/proc/{process}/cmdline")
    return command.exists() and bool(command.read_bytes())


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(ray_engine, "import_module", missing)
    with pytest.raises(OverfocusError, match=r"pip install 'overfocus\[ray\]'"):
        RayEngine()


@pytest.mark.parametrize("way", ["{}", "ray://{}"])
def test_an_address_where_nothing_like_ray_listens_is_refused(monkeypatch, way):
    monkeypatch.setattr(ray_address, "PATIENCE", 0.2)
    with pytest.raises(OverfocusError, match=r"no Ray cluster at .*127\.0\.0\.1:1 .*refused"):
        reach(way.format("127.0.0.1:1"))
    for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH", b"", b"\0"):
        with pytest.raises(OverfocusError, match=r"something else|timed out|reset"):
            reach(way.format(listening(answer)))
    reach(way.format(listening(bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)))))


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "no.such.host.invalid:6379"])
def test_an_address_that_cannot_be_is_refused(address):
    with pytest.raises(OverfocusError, match="no Ray cluster at"):
        reach(address)


def test_what_has_no_port_is_left_to_ray():
    reach("local")
    reach("")


def test_auto_finds_what_ray_start_wrote(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert not recorded()
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.0.0.5:6379\n")
    assert recorded() == "10.0.0.5:6379"


def test_a_node_tells_what_keeps_it_from_a_study(tmp_path):
    study = grid("shapes")
    assert "file system that all nodes share" in _fault(str(tmp_path / "s"), __version__)
    claimed(tmp_path / "s", study)
    assert _fault(str(tmp_path / "s"), __version__) == ""
    assert "here is 0.0.1" in _fault(str(tmp_path / "s"), "0.0.1")


def test_a_node_that_came_later_and_sees_nothing_stops_the_study(tmp_path):
    job = Job(tmp_path / "s", next(grid("shapes").run_keys()))
    outcome = _do(job, __version__)
    assert outcome.state == "stopped"
    assert "does not see" in outcome.error
    assert not (tmp_path / "s").exists(), "nothing is written where nobody looks"


@pytest.mark.slow
def test_what_the_cluster_cannot_do_is_refused(folder, tmp_path, cluster, no_ray_left):
    import ray

    with pytest.raises(OverfocusError, match=r"asks for 64 CPUs and 0 GPUs on one node, .* has 1 and 0"):
        RayEngine(cluster.address, cpus_per_run=64)
    with pytest.raises(OverfocusError, match=r"asks for 1 CPUs and 0\.5 GPUs"):
        RayEngine(cluster.address, gpus_per_run=0.5)
    assert not ray.is_initialized()
    study = grid(folder)
    with (
        RayEngine(cluster.address) as engine,
        pytest.raises(OverfocusError, match=f"does not see {tmp_path}/s; give an --out"),
    ):
        engine.submit(Job(tmp_path / "s", next(study.run_keys())))
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_node_is_lost_and_the_study_ends_with_the_same_numbers(folder, tmp_path, cluster, no_ray_left):
    study, out = grid(folder, recipe__epochs=60), tmp_path / "s"
    finish(study, tmp_path / "undisturbed")
    other, lost = cluster.add_node(num_cpus=1, **SMALL), False
    cluster.wait_for_nodes()
    with RayEngine(cluster.address) as engine:
        for standing in run_study(study, out, engine):
            begun = [cell for cell, (done, _) in standing.running.items() if done]
            if not lost and len(begun) >= 2:  # each node has one in hand
                cluster.remove_node(other, allow_graceful=False)
                lost = True
    assert lost
    assert not standing.failed, standing.failed
    assert numbers(out) == numbers(tmp_path / "undisturbed")
    assert cluster.head_node.any_processes_alive(), "a cluster that was there is left alone"


@pytest.mark.slow
@pytest.mark.parametrize(("way", "retries"), [("direct", 3), ("direct", 0), ("client", 3)])
def test_a_worker_is_killed_and_the_study_ends_with_the_same_numbers(
    folder, tmp_path, cluster, no_ray_left, way, retries
):  # fmt: skip
    """With no retries of Ray's, the run is given as lost, and submitted again."""
    if way == "client":
        pytest.importorskip("grpc")
    study, out = grid(folder, model__name="grid:deadly_once", model__settings={}, seeds=1), tmp_path / "s"
    (tmp_path / "died").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEADLY_ONCE", str(tmp_path / "died"))
        finish(study, tmp_path / "undisturbed")
    there = {"runtime_env": {"env_vars": {"DEADLY_ONCE": str(tmp_path / "to_die")}}}
    said = []
    with RayEngine(cluster.ways[way], retries=retries, options=there) as engine:
        ended = engine.wait
        engine.wait = lambda seconds: [said.append(each.state) or each for each in ended(seconds)]
        *_, standing = run_study(study, out, engine)
    assert (tmp_path / "to_die").exists(), "a worker was killed"
    assert said.count("lost") == (retries == 0)
    assert not standing.failed, standing.failed
    assert numbers(out) == numbers(tmp_path / "undisturbed")


@pytest.mark.slow
def test_without_an_address_a_cluster_of_its_own_begins_and_ends(folder, tmp_path, cluster, no_ray_left, monkeypatch):
    import ray

    study, out = grid(folder, seeds=1, recipe__epochs=5000), tmp_path / "s"
    claimed(out, study)
    runs = [cell.folder(out) for cell in study.run_keys()]
    with RayEngine(options={"num_cpus": 2, **SMALL}) as engine:
        assert [node["Resources"]["CPU"] for node in engine._nodes()] == [2], "not the cluster that runs here"
        for cell in study.run_keys():
            engine.submit(Job(out, cell))
        while not all(map(epochs_done, runs)):
            assert engine.wait(0.2) == []
        raylet = ray.get(ray.remote(num_cpus=0)(lambda: os.getppid()).remote())
    assert not ray.is_initialized()
    stood = list(map(epochs_done, runs))
    time.sleep(1.0)
    assert list(map(epochs_done, runs)) == stood, "nothing trains on"
    assert not alive(raylet)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    with RayEngine() as engine:
        assert [node["Resources"]["CPU"] for node in engine._nodes()] == [1], "the one that RAY_ADDRESS names"
