"""A real Ray cluster on this machine, of two nodes, one of which is lost while it trains."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest
from grid import finish, grid, numbers

from overfocus.core.errors import OverfocusError
from overfocus.study.conduct import conduct
from overfocus.study.ray_engine import RayEngine
from overfocus.study.study import claimed

SMALL = {"object_store_memory": 80 * 2**20}


@pytest.fixture(autouse=True)
def nothing_leaves_the_machine(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def cluster():
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **SMALL})
    try:
        cluster.other = cluster.add_node(num_cpus=1, **SMALL)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        "overfocus.study.ray_engine.import_module", lambda name: real("a_package_that_is_not_there_" + name)
    )
    with pytest.raises(OverfocusError, match=r"pip install 'overfocus\[ray\]'"):
        RayEngine()


@pytest.mark.slow
def test_a_node_is_lost_and_the_study_ends_with_the_same_numbers(folder, tmp_path, cluster):
    study, out = grid(folder, recipe__epochs=60), tmp_path / "s"
    finish(study, tmp_path / "undisturbed")
    lost = False
    with RayEngine(cluster.address) as engine:
        for standing in conduct(study, out, engine):
            begun = [cell for cell, (done, _) in standing.running.items() if done]
            if not lost and len(begun) >= 2:  # each node has one in hand
                cluster.remove_node(cluster.other, allow_graceful=False)
                lost = True
    assert lost
    assert not standing.failed, standing.failed
    assert numbers(out) == numbers(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_worker_is_killed_and_the_study_ends_with_the_same_numbers(folder, tmp_path):
    ray = pytest.importorskip("ray")
    study, out = grid(folder, model__name="grid:deadly_once", model__settings={}), tmp_path / "s"
    undisturbed = tmp_path / "undisturbed"
    (tmp_path / "died").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEADLY_ONCE", str(tmp_path / "died"))
        finish(study, undisturbed)
        patch.setenv("DEADLY_ONCE", str(tmp_path / "to_die"))
        engine = RayEngine(options={"num_cpus": 2, **SMALL})
        try:
            standing = finish(study, out, engine)
        finally:
            ray.shutdown()
    assert (tmp_path / "to_die").exists(), "a worker was killed"
    assert not standing.failed, standing.failed
    assert numbers(out) == numbers(undisturbed)


@pytest.mark.slow
def test_what_the_cluster_can_never_give_is_refused(folder, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(OverfocusError, match="asks for 64 CPUs and the largest node of the Ray cluster has 1"):
        RayEngine(cpus_per_run=64, options={"num_cpus": 1, **SMALL})
    with pytest.raises(OverfocusError, match="asks for 1 GPUs"):
        RayEngine(gpus_per_run=1, options={"num_cpus": 1, "num_gpus": 0, **SMALL})
    import ray

    assert not ray.is_initialized()
    with pytest.raises(OverfocusError, match=r"no Ray cluster"):
        RayEngine("127.0.0.1:1")
    claimed(tmp_path / "s", grid(folder))
