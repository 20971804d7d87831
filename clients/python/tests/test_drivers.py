"""Drivers by the client: submit, wait, logs, kill, lists, errors, and what interrupts a wait."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import muster
import pytest
from conftest import LocalCluster, eventually
from muster import DriverState


def test_a_program_is_submitted_and_waited_for(client: muster.Client) -> None:
    driver = client.submit(["/bin/sh", "-c", "echo hello; exit 3"], cores=1, memory="64M", labels={"team": "a"})
    assert driver.state in (DriverState.PENDING, DriverState.LAUNCHING)
    ended = client.wait(driver.id)
    assert (ended.state, ended.exit_code, ended.uid) == (DriverState.FAILED, 3, driver.uid)
    assert ended.command == ("/bin/sh", "-c", "echo hello; exit 3")
    assert (ended.cores, ended.memory_bytes, ended.labels) == (1, 64 << 20, {"team": "a"})
    assert ended.outcome is not None and ended.outcome.fault == "PROGRAM"
    assert ended.end_time is not None and ended.create_time is not None and ended.create_time < ended.end_time
    assert b"".join(client.logs(driver.id)) == b"hello\n"


def test_a_log_is_followed_to_the_end_of_its_program(client: muster.Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; echo two >&2; echo three"
    driver = client.submit(["/bin/sh", "-c", script])
    eventually("it runs", lambda: client.driver(driver.id).state is DriverState.RUNNING)
    log = client.logs(driver.id, follow=True)
    assert next(log) == b"one\n"
    gate.touch()
    assert b"".join(log) == b"three\n"
    assert b"".join(client.logs(driver.id, stream="stderr", follow=True)) == b"two\n"
    assert b"".join(client.logs(driver.id, tail_bytes=3)) == b"ee\n"


def test_a_driver_is_killed(client: muster.Client) -> None:
    driver = client.submit(["/bin/sleep", "3600"])
    client.kill(driver.id)
    assert client.wait(driver.id).state is DriverState.KILLED


def test_a_wait_ends_in_time_and_the_driver_goes_on(client: muster.Client) -> None:
    driver = client.submit(["/bin/sleep", "3600"])
    with pytest.raises(muster.WaitTimeoutError) as raised:
        client.wait(driver.id, timeout=0.2)
    assert raised.value.driver.uid == driver.uid
    assert isinstance(raised.value, TimeoutError) and isinstance(raised.value, muster.MusterError)
    assert not client.driver(driver.id).state.is_terminal
    client.kill(driver.id)


def test_lists_are_read_page_by_page(client: muster.Client) -> None:
    names = {client.submit(["/bin/true"], labels={"batch": "pages"}).id for _ in range(7)}
    page = client.drivers_page("labels.batch=pages", page_size=3)
    assert len(page.items) == 3 and page.next_page_token
    assert {driver.id for driver in client.drivers("labels.batch=pages", page_size=3)} == names
    workers = list(client.workers())
    assert len(workers) == 2 and all(worker.cores == 4 for worker in workers)
    assert client.worker(workers[0].name).uid == workers[0].uid
    assert client.cluster().cores == 8


def test_the_master_says_what_is_wrong(client: muster.Client) -> None:
    with pytest.raises(muster.NotFoundError) as missing:
        client.driver("nobody")
    assert (missing.value.reason, missing.value.code, missing.value.verdict) == ("NOT_FOUND", "NotFound", "not applied")
    assert missing.value.metadata and "nobody" in str(missing.value)
    with pytest.raises(muster.InvalidRequestError) as wrong:
        client.submit(["/bin/true"], labels={"not a key": "x"}, selector={"": ""})
    assert len(wrong.value.violations) == 2, wrong.value.violations
    client.submit(["/bin/true"], id="taken")
    with pytest.raises(muster.AlreadyExistsError):
        client.submit(["/bin/false"], id="taken")
    again = pickle.loads(pickle.dumps(missing.value))
    assert (type(again), str(again), again.reason) == (muster.NotFoundError, str(missing.value), "NOT_FOUND")


def test_a_mistake_in_the_program_is_found_before_anything_is_sent(client: muster.Client) -> None:
    with pytest.raises(ValueError, match="each as an element"):
        client.submit("/bin/true")
    with pytest.raises(TypeError, match="core'"):
        client.submit(["/bin/true"], core=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="512M"):
        client.submit(["/bin/true"], memory="lots")
    with pytest.raises(ValueError, match="on-failure"):
        client.submit(["/bin/true"], restart="sometimes")
    with pytest.raises(ValueError, match="masters"):
        muster.Client("no:port:at:all")


def test_a_request_id_makes_it_one_driver(client: muster.Client) -> None:
    first = client.submit(["/bin/true"], request_id="once-and-no-more")
    assert client.submit(["/bin/true"], request_id="once-and-no-more").uid == first.uid


def test_what_could_never_run_says_why(client: muster.Client) -> None:
    assert client.validate(["/bin/true"], cores=3, id="never-stored").cores == 3
    with pytest.raises(muster.CallError, match="do not carry zone=nowhere") as refused:
        client.validate(["/bin/true"], selector={"zone": "nowhere"})
    assert refused.value.reason == "NEVER_FITS"
    waiting = client.submit(["/bin/true"], selector={"zone": "nowhere"})
    pending = client.driver(waiting.id).pending
    assert pending is not None and pending.reasons == (("LABELS", 2),) and pending.never_fits
    client.kill(waiting.id)
    with pytest.raises(muster.NotFoundError):
        client.driver("never-stored")


def test_a_failed_program_is_run_again(client: muster.Client) -> None:
    restart = muster.Restart("on-failure", max_attempts=5, backoff=0.01)
    driver = client.submit(["/bin/sh", "-c", "test $MUSTER_ATTEMPT = 2"], restart=restart)
    ended = client.wait(driver.id)
    assert (ended.state, [attempt.number for attempt in ended.attempts]) == (DriverState.FINISHED, [1, 2])


def test_a_notebook_shows_a_driver_and_no_markup_of_its_own(client: muster.Client) -> None:
    driver = client.submit(["/bin/echo", "<script>"])
    shown = client.wait(driver.id)._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert "FINISHED" in shown and "&lt;script&gt;" in shown and "<script>" not in shown


def test_nobody_at_the_address_is_said(home: None) -> None:
    nobody = muster.Client("127.0.0.1:1", deadline=0.5)
    with pytest.raises(muster.UnavailableError, match="no master answers at 127.0.0.1:1"):
        nobody.cluster()


def test_a_signal_ends_a_wait_at_once(client: muster.Client) -> None:
    driver = client.submit(["/bin/sleep", "3600"])
    # A real signal, as of Ctrl-C.
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        client.wait(driver.id)
    assert not client.driver(driver.id).state.is_terminal
    client.kill(driver.id)


def test_other_threads_run_during_a_wait(client: muster.Client) -> None:
    driver = client.submit(["/bin/sleep", "3600"])
    counted: list[int] = []

    def count_and_kill() -> None:
        counted.extend(range(1000))
        client.kill(driver.id)

    # The wait ends only if this thread gets to kill the driver.
    thread = threading.Thread(target=count_and_kill)
    thread.start()
    assert client.wait(driver.id).state is DriverState.KILLED
    thread.join()
    assert len(counted) == 1000


def test_a_process_ends_while_a_call_runs(shared: LocalCluster) -> None:
    """The threads of the native module keep no interpreter from its end, and do not bring it down."""
    script = (
        "import muster, sys, threading\n"
        f"client = muster.Client({shared.address!r})\n"
        "driver = client.submit(['/bin/sleep', '3600'])\n"
        "threading.Thread(target=client.wait, args=[driver.id], daemon=True).start()\n"
        "client.kill(driver.id)\n"
        "print('ended')\n"
    )
    for _ in range(5):
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended\n", "")


def test_a_forked_process_is_told(client: muster.Client) -> None:
    client.cluster()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.cluster()
            os.write(writer, b"answered")
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert b"forked" in os.read(reader, 1000)
