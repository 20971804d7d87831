"""What Dask expects of a cluster, measured by the subjects of its own suite of clusters."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import dask.config
import muster
import pytest
from conftest import BOUND_SECONDS, LocalCluster, eventually
from dask.distributed import Adaptive, Client
from muster.dask import MusterCluster
from test_dask import cluster_on


@pytest.fixture(scope="module")
def dask_cluster(shared: LocalCluster) -> Iterator[MusterCluster]:
    with cluster_on(shared, n_workers=2, name="suite") as cluster:
        cluster.wait_for_workers(2, timeout=BOUND_SECONDS)
        yield cluster


def test_it_says_what_it_has(dask_cluster: MusterCluster) -> None:
    assert repr(dask_cluster).startswith("MusterCluster(suite, 'tcp://127.0.0.1:")
    assert "workers=2, threads=2, memory=1.00 GiB" in repr(dask_cluster)
    assert "Workers" in dask_cluster._repr_html_() and dask_cluster.name == "suite"


def test_it_knows_its_scheduler(dask_cluster: MusterCluster) -> None:
    assert dask_cluster.scheduler is not None
    assert dask_cluster.scheduler_info["id"] == dask_cluster.scheduler.id
    assert set(dask_cluster.scheduler_info["workers"]) == set(dask_cluster.scheduler.workers)
    assert dask_cluster.loop is dask_cluster.scheduler.loop


def test_logs_are_gathered(dask_cluster: MusterCluster) -> None:
    logs = dask_cluster.get_logs()
    assert {"Cluster", "Scheduler", *dask_cluster.scheduler_info["workers"]} == set(logs)
    assert list(dask_cluster.get_logs(cluster=False, scheduler=True, workers=False)) == ["Scheduler"]


def test_cores_and_memory_say_how_many_workers(dask_cluster: MusterCluster) -> None:
    first = dask_cluster.adapt(minimum_cores=2, maximum_cores=3)
    assert (first.minimum, first.maximum) == (2, 3)
    second = dask_cluster.adapt(minimum_memory="600 MiB", maximum_memory="2 GiB", minimum_cores=1)
    assert (second.minimum, second.maximum) == (2, 4)
    # The later one stands alone.
    assert first.state == "stopped"
    second.stop()
    dask_cluster.scale(memory="1 GiB")
    assert len(dask_cluster.plan) == 2


def test_a_worker_that_is_killed_is_started_again(dask_cluster: MusterCluster, client: muster.Client) -> None:
    before = dask_cluster.plan
    executors = client.executors(dask_cluster.application)
    victim = next(e for e in executors if e.state is muster.ExecutorState.RUNNING and e.pid)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    eventually("another has come", lambda: dask_cluster.observed == dask_cluster.plan != before)
    assert victim.number not in dask_cluster.plan and len(dask_cluster.plan) == 2


def test_adapt_keeps_within_its_bounds(shared: LocalCluster) -> None:
    with cluster_on(shared) as cluster, Client(cluster) as client:
        adaptive = cluster.adapt(minimum=1, maximum=2, interval="100ms", wait_count=2)
        eventually("the least has come", lambda: len(cluster.scheduler_info["workers"]) == 1)
        with dask.config.set({"distributed.scheduler.default-task-durations": {"int": "10s"}}):
            futures = client.map(int, range(50), pure=False)
            assert sum(client.gather(futures)) == sum(range(50))
        assert all(entry["n"] <= 2 for _, entry in adaptive.log if entry["status"] == "up")
        del futures
        cluster.adapt(minimum=0, maximum=0, interval="100ms", wait_count=2)
        eventually("none is left", lambda: not cluster.scheduler_info["workers"])
        running = cluster._adaptive.periodic_callback
    assert not running.is_running()


def test_dasks_own_adaptive_does_too(shared: LocalCluster) -> None:
    with cluster_on(shared) as cluster, Client(cluster) as client:
        cluster.adapt(Adaptive=Adaptive, interval="100ms", maximum=1)
        assert client.submit(abs, -2).result() == 2
