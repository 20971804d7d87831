"""Functions on executors: their results, their exceptions, and what is lost in the middle of them."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import functions
import muster
import pytest
from conftest import BOUND_SECONDS, LocalCluster, eventually
from muster import MusterExecutor


def executor_on(local: LocalCluster, **options: Any) -> MusterExecutor:
    given = {"env": {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}, **options.pop("options", {})}
    return MusterExecutor(local.address, memory="256M", options=given, modules=[functions], **options)


@pytest.fixture(scope="module")
def executor(shared: LocalCluster) -> Iterator[MusterExecutor]:
    with executor_on(shared) as executor:
        yield executor


def executors_of(client: muster.Client, executor: MusterExecutor) -> list[muster.Executor]:
    found = client.executors(executor.application)
    return [one for one in found if one.state is muster.ExecutorState.RUNNING and one.pid]


def test_results_are_those_of_the_function(executor: MusterExecutor) -> None:
    assert executor.submit(pow, 2, 10).result() == 1024
    assert executor.submit(functions.joined, "a", "b", by="-").result() == "a-b"
    factor = 3

    def scaled(number: int) -> int:
        return factor * number

    assert list(executor.map(scaled, range(1000))) == [3 * number for number in range(1000)]
    assert list(executor.map(functions.joined, "abc", "xyz")) == ["a x", "b y", "c z"]
    assert list(executor.map(abs, [])) == []
    futures = {executor.submit(functions.slowly, number): number for number in range(8)}
    for future in concurrent.futures.as_completed(futures, timeout=BOUND_SECONDS):
        assert future.result() == futures[future] ** 2
    # More than travels with the end of a task.
    assert executor.submit(bytes, 5 << 20).result() == bytes(5 << 20)


def test_functions_run_on_the_executors(executor: MusterExecutor, client: muster.Client) -> None:
    pids = set(executor.map(functions.process, range(200)))
    assert os.getpid() not in pids and len(pids) <= 2
    (info,) = [a for a in client.applications() if a.id == executor.application]
    assert info.name == "python-tasks"


def test_an_exception_comes_with_its_remote_traceback(executor: MusterExecutor) -> None:
    future = executor.submit(functions.fails, "on purpose")
    with pytest.raises(KeyError, match="on purpose") as raised:
        future.result()
    shown = "".join(traceback.format_exception(raised.type, raised.value, raised.tb))
    assert "in fails" in shown and "raise KeyError(reason)" in shown
    # One that cannot travel is described.
    with pytest.raises(muster.RemoteTaskError, match="Unpicklable: it holds a lock"):
        executor.submit(functions.raises_unpicklable).result()


def test_what_cannot_travel_is_said(executor: MusterExecutor) -> None:
    with pytest.raises(TypeError, match="pickle"):
        executor.submit(abs, threading.Lock())
    with pytest.raises(TypeError, match="pickle"):
        executor.map(abs, [1, threading.Lock()])
    with pytest.raises(TypeError, match="pickle"):
        executor.submit(threading.Lock).result()
    with pytest.raises(ValueError, match="argument 1 has"):
        executor.map(len, [b"", bytes(17 << 20)])
    # All is well after that.
    assert executor.submit(abs, -1).result() == 1


def test_a_future_is_cancelled_while_it_runs(executor: MusterExecutor, tmp_path: Path) -> None:
    began, ended = tmp_path / "began", tmp_path / "ended"
    future = executor.submit(functions.waits_for_ever, str(began), str(ended))
    eventually("it runs", began.exists)
    assert future.cancel() and future.cancelled() and future.cancel()
    # Whoever waits for several is told.
    assert list(concurrent.futures.as_completed([future], timeout=BOUND_SECONDS)) == [future]
    eventually("its function is ended", ended.exists)
    assert ended.read_text() == "TaskKilled"
    # The executor serves others, with nothing of that left.
    assert list(executor.map(abs, range(-100, 0))) == list(range(100, 0, -1))


def test_whoever_leaves_a_map_cancels_the_rest(executor: MusterExecutor) -> None:
    results = executor.map(functions.sleeps, [0] + [3600] * 20)
    assert next(results) is None
    results.close()  # type: ignore[attr-defined]
    assert executor.submit(abs, -5).result(timeout=BOUND_SECONDS) == 5
    with pytest.raises(TimeoutError):
        list(executor.map(functions.slowly, [1, 2, 3, 4, 5], timeout=0.01))


def test_results_are_right_when_an_executor_is_killed_in_the_middle(shared: LocalCluster, client: muster.Client) -> None:
    with executor_on(shared) as executor:
        futures = [executor.submit(functions.slowly, number) for number in range(60)]
        eventually("it is in the middle", lambda: sum(future.done() for future in futures) > 5)
        victim = executors_of(client, executor)[0]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        assert [future.result() for future in futures] == [number * number for number in range(60)]
        eventually("another takes its place", lambda: len(executors_of(client, executor)) == 2)
        assert victim.number not in {one.number for one in executors_of(client, executor)}
    assert eventually("it ends", lambda: client.application(executor.application).state.is_terminal)


def test_a_task_that_ends_its_executor_again_and_again_fails(shared: LocalCluster) -> None:
    with executor_on(shared, max_workers=1) as executor:
        deadly = executor.submit(os._exit, 3)
        with pytest.raises(muster.TaskFailedError, match="task 0, attempt 4, on executor .* its process ended with 3"):
            deadly.result()
        assert executor.submit(abs, -1).result() == 1


def test_another_version_of_python_is_refused_by_name(shared: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.tasks.INTERPRETER", "cpython 2.7")
    with executor_on(shared, max_workers=1) as executor:
        with pytest.raises(muster.ExecutorsEndedError, match=r"runs cpython 2.7, and the executor cpython 3\.\d+"):
            executor.submit(abs, -1).result()


def test_executors_that_cannot_start_are_no_reason_to_wait_for_ever(shared: LocalCluster) -> None:
    with executor_on(shared, max_workers=1, options={"env": {"PYTHONPATH": ""}}) as executor:
        with pytest.raises(muster.ExecutorsEndedError, match="(?s)before they are ready.*No module named"):
            executor.submit(abs, -1).result()


def test_an_initializer_runs_before_all_tasks(shared: LocalCluster) -> None:
    with executor_on(shared, max_workers=1, initializer=functions.remember, initargs=("it",)) as executor:
        assert executor.submit(functions.remembered).result() == "it"


def test_an_interrupt_cancels_all_and_ends_the_application(shared: LocalCluster, client: muster.Client) -> None:
    script = (
        "import sys, time, muster\n"
        f"with muster.MusterExecutor({shared.address!r}, memory='256M',\n"
        f"        options={{'env': {{'PYTHONPATH': {os.environ.get('PYTHONPATH', '')!r}}}}}) as executor:\n"
        "    assert executor.submit(abs, -1).result() == 1\n"
        "    futures = [executor.submit(time.sleep, 3600) for _ in range(10)]\n"
        "    print(executor.application, flush=True)\n"
        "    futures[0].result()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    application = process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=BOUND_SECONDS)
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in said, said
    assert eventually("it ends", lambda: client.application(application).state.is_terminal)


def test_after_a_shutdown_nothing_is_taken(shared: LocalCluster) -> None:
    executor = executor_on(shared, max_workers=1)
    running, waiting = executor.submit(functions.slowly, 3), [executor.submit(functions.sleeps, 3600) for _ in range(3)]
    assert running.result() == 9
    executor.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, -1)
