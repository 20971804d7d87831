"""Clusters of real processes for the tests: the programs that the wheel brings."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import muster
import pytest

T = TypeVar("T")

# What a test waits for at most: the machine may be busy, and a failover takes seconds.
BOUND_SECONDS = 300.0


def eventually(what: str, condition: Callable[[], T | None]) -> T:
    """Waits for a condition, and gives what it gave."""
    deadline = time.monotonic() + BOUND_SECONDS
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} has not come true"
        time.sleep(0.02)


def numbers(item: muster.Executors | muster.ExecutorEvent, kind: str) -> set[int]:
    """The executors to which this has happened, by an item of a session: one may run before anything is heard of it."""
    if isinstance(item, muster.Executors):
        running = {executor.number for executor in item.executors if executor.state is muster.ExecutorState.RUNNING}
        return running if kind == "running" else set()
    return {item.executor.number} if item.kind == kind and item.executor is not None else set()


def program(name: str) -> str:
    """A program that the wheel has installed."""
    found = shutil.which(name)
    assert found, f"{name} is not installed: the wheel brings it"
    return found


class LocalCluster:
    """`muster up` in a folder of its own."""

    def __init__(self, folder: Path, workers: int, cores: int) -> None:
        self.folder = folder
        self.log = folder / "up.log"
        command = [program("muster"), "up", "--dir", str(folder / "data"), "--listen", "127.0.0.1:0"]
        command += ["--workers", str(workers), "--cores", str(cores), "--memory", "4G"]
        with self.log.open("wb") as log:
            # A session of its own, so that a signal to the tests does not reach it.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.address = eventually("the address of the master", self._address)
        with_address = muster.Client(self.address)
        eventually("its workers", lambda: len(list(with_address.workers("state=ALIVE"))) == workers)

    def _address(self) -> str | None:
        assert self.process.poll() is None, self.log.read_text()
        found = re.search(r"127\.0\.0\.1:\d+", self.log.read_text())
        return found.group() if found else None

    def client(self) -> muster.Client:
        return muster.Client(self.address)

    def pids(self, name: str) -> list[int]:
        """The processes of this cluster that run this program."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if Path(words[0]).name == name and any(str(self.folder) in word for word in words):
                found.append(int(entry.name))
        return found

    def kill_master(self) -> None:
        """Ends the master as a crash does; `muster up` starts it again."""
        before = self.pids("muster-master")
        assert before, "there is a master"
        for pid in before:
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(BOUND_SECONDS)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing of the person who runs the tests: no contexts, no MUSTER_*."""
    for name in [name for name in os.environ if name.startswith("MUSTER_")]:
        del os.environ[name]
    os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def shared(home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster that tests share which leave it as it was."""
    cluster = LocalCluster(tmp_path_factory.mktemp("shared"), workers=2, cores=4)
    yield cluster
    cluster.stop()


@pytest.fixture
def own(home: None, tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster that a test may break."""
    cluster = LocalCluster(tmp_path, workers=2, cores=4)
    yield cluster
    cluster.stop()


@pytest.fixture
def client(shared: LocalCluster) -> muster.Client:
    return shared.client()
