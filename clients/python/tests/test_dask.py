"""Dask on Muster: its example programs, scaling, and what is lost in the middle of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import muster
import pytest
from conftest import BOUND_SECONDS, LocalCluster, eventually

pytest.importorskip("distributed", reason="the extra muster[dask]")

import dask
import dask.array
import dask.bag
import dask.dataframe
import functions
import pandas
from dask.distributed import Client, as_completed
from functions import slowly
from muster.dask import MusterCluster

TEXT = ["the quick brown fox jumps over the lazy dog", "the end"]


def cluster_on(local: LocalCluster, **options: Any) -> MusterCluster:
    given = {"env": {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}, **options.pop("options", {})}
    return MusterCluster(local.address, cores=1, memory="512M", options=given, modules=[functions], **options)


@pytest.fixture
def dask_cluster(shared: LocalCluster) -> Iterator[MusterCluster]:
    with cluster_on(shared, n_workers=2) as cluster:
        yield cluster


def array_sum() -> None:
    array = dask.array.ones((2000, 2000), chunks=(200, 200))
    assert (array + array.T).sum().compute() == 2 * 2000 * 2000


def word_count() -> None:
    bag = dask.bag.from_sequence(TEXT * 500, npartitions=20)
    counted = bag.map(str.split).flatten().frequencies().compute()
    assert dict(counted)["the"] == 1500


def group_by() -> None:
    frame = pandas.DataFrame({"key": list("abcd") * 250, "value": range(1000)})
    found = dask.dataframe.from_pandas(frame, npartitions=10).groupby("key").value.sum().compute()
    pandas.testing.assert_series_equal(found.astype("int64"), frame.groupby("key").value.sum(), check_index_type=False)


def futures_graph(client: Client) -> None:
    inputs = client.map(lambda x: x + 1, range(100))
    squares = client.map(lambda x: x * x, inputs)
    assert client.submit(sum, squares).result() == sum((x + 1) ** 2 for x in range(100))
    assert sorted(future.result() for future in as_completed(inputs)) == list(range(1, 101))


def all_programs(client: Client) -> None:
    array_sum()
    word_count()
    group_by()
    futures_graph(client)


def test_the_example_programs_of_dask(dask_cluster: MusterCluster) -> None:
    with Client(dask_cluster) as client:
        all_programs(client)
        # A worker is what its executor was given, by the number of the executor.
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        assert {worker["name"] for worker in workers} == dask_cluster.plan == {0, 1}
        assert all(worker["nthreads"] == 1 and worker["memory_limit"] == 512 << 20 for worker in workers)


def test_workers_come_and_go_by_number(shared: LocalCluster, client: muster.Client) -> None:
    with cluster_on(shared) as cluster, Client(cluster) as dask_client:
        cluster.scale(3)
        cluster.wait_for_workers(3, timeout=BOUND_SECONDS)
        held = dask_client.map(abs, range(30), pure=False)
        assert sum(dask_client.gather(held)) == sum(range(30))
        cluster.scale(1)
        eventually("one is left", lambda: len(cluster.scheduler_info["workers"]) == 1)
        # What the others held was moved, not lost.
        assert sum(dask_client.gather(held)) == sum(range(30))
        eventually(
            "the executors of the others have ended, and no other",
            lambda: (
                [e.number for e in client.executors(cluster.application) if not e.state.is_terminal] == list(cluster.plan)
            ),
        )
        assert client.application(cluster.application).profiles[0].target == 1
        cluster.scale(cores=2)
        cluster.wait_for_workers(2, timeout=BOUND_SECONDS)
        application = cluster.application
    assert eventually("it ends", lambda: client.application(application).state.is_terminal)


def test_adapt_gives_executors_back(shared: LocalCluster, client: muster.Client) -> None:
    with cluster_on(shared) as cluster, Client(cluster) as dask_client:
        cluster.adapt(minimum=0, maximum=3, interval="100ms", wait_count=3, target_duration="1s")
        gate = shared.folder / "adapt"

        def wait_for_gate(number: int) -> int:
            import pathlib
            import time

            while not pathlib.Path(gate).exists():
                time.sleep(0.05)
            return number

        futures = dask_client.map(wait_for_gate, range(10))
        eventually("it has grown", lambda: len(cluster.scheduler_info["workers"]) == 3)
        gate.touch()
        assert sum(dask_client.gather(futures)) == 45
        del futures
        eventually("it has shrunk", lambda: not cluster.scheduler_info["workers"])
        eventually(
            "all executors are back",
            lambda: all(e.state.is_terminal for e in client.executors(cluster.application)),
        )
        # None was replaced on its way out.
        assert len(list(client.executors(cluster.application))) == 3
        assert client.application(cluster.application).profiles[0].target == 0


def test_results_are_right_when_a_worker_is_killed_in_the_middle(own: LocalCluster) -> None:
    with cluster_on(own, n_workers=4) as cluster, Client(cluster) as client:
        cluster.wait_for_workers(4, timeout=BOUND_SECONDS)
        futures = client.map(slowly, range(200))
        eventually("it is in the middle", lambda: sum(f.done() for f in futures) > 20)
        # The machine of a worker: its agent, its runner, and with that all that it runs.
        for name in ("muster-worker", "muster-runner"):
            pids = [pid for pid in own.pids(name) if "worker-1" in Path(f"/proc/{pid}/cmdline").read_text()]
            assert pids, name
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        assert client.gather(futures) == [number * number for number in range(200)]
        cluster.wait_for_workers(4, timeout=BOUND_SECONDS)
        assert cluster.plan - {0, 1, 2, 3}, "those that were lost have been replaced"
        all_programs(client)


def test_results_are_right_when_the_master_is_killed_in_the_middle(own: LocalCluster) -> None:
    with cluster_on(own, n_workers=4) as cluster, Client(cluster) as client:
        cluster.wait_for_workers(4, timeout=BOUND_SECONDS)
        futures = client.map(slowly, range(200))
        eventually("it is in the middle", lambda: sum(f.done() for f in futures) > 20)
        own.kill_master()
        assert client.gather(futures) == [number * number for number in range(200)]
        all_programs(client)
        # No executor was lost by it, and the next master is asked for more.
        assert cluster.plan == {0, 1, 2, 3}
        cluster.scale(5)
        cluster.wait_for_workers(5, timeout=BOUND_SECONDS)


def test_a_cluster_within_a_driver(shared: LocalCluster, client: muster.Client, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os\n"
        "import muster\n"
        "from dask.distributed import Client\n"
        "from muster.dask import MusterCluster\n"
        "assert muster.Context.from_env().in_driver\n"
        "options = {'env': {'PYTHONPATH': os.environ['PYTHONPATH']}}\n"
        "with MusterCluster(n_workers=2, memory='512M', options=options) as cluster, Client(cluster) as client:\n"
        "    print(sum(client.gather(client.map(lambda x: x * x, range(10)))))\n"
    )
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    driver = client.submit([sys.executable, str(program)], memory="512M", env=env)
    ended = client.wait(driver.id)
    output = b"".join(client.logs(driver.id)) + b"".join(client.logs(driver.id, stream="stderr"))
    assert (ended.exit_code, output.splitlines()[0]) == (0, b"285"), output.decode()
    (application,) = ended.applications
    assert client.application(application).driver == driver.id


def test_an_unclosed_cluster_ends_with_its_process(shared: LocalCluster, client: muster.Client) -> None:
    script = (
        "from muster.dask import MusterCluster\n"
        f"cluster = MusterCluster({shared.address!r}, n_workers=1, memory='512M')\n"
        "print(cluster.application)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=BOUND_SECONDS)
    assert ended.returncode == 0, ended.stderr
    application = client.application(ended.stdout.strip())
    assert application.state.value in ("ENDING", "FINISHED"), application


def test_all_traffic_is_over_tls_when_asked(shared: LocalCluster) -> None:
    with cluster_on(shared, n_workers=1, security=True) as cluster, Client(cluster) as client:
        assert cluster.scheduler_address.startswith("tls://")
        assert client.submit(sum, range(10)).result() == 45
        (worker,) = cluster.scheduler_info["workers"]
        assert worker.startswith("tls://")


async def test_asynchronous(shared: LocalCluster) -> None:
    async with cluster_on(shared, n_workers=1, asynchronous=True) as cluster:
        async with Client(cluster, asynchronous=True) as client:
            assert await client.submit(sum, range(10)) == 45
            await cluster.scale(2)
            await client.wait_for_workers(2, timeout=BOUND_SECONDS)


def test_a_cluster_that_nobody_answers_for_is_refused(home: None) -> None:
    with pytest.raises(muster.UnavailableError):
        MusterCluster(muster.Client("127.0.0.1:1", deadline=0.5))
