"""The examples, as they are, on a cluster."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import muster
import pytest
from conftest import BOUND_SECONDS, LocalCluster

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(local: LocalCluster, name: str, *arguments: str) -> str:
    env = {**os.environ, "MUSTER_MASTER": local.address}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=2 * BOUND_SECONDS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_sweep_of_an_external_program(shared: LocalCluster, client: muster.Client) -> None:
    rows = [line.split() for line in run(shared, "sweep.py", __file__).splitlines()[1:]]
    assert len(rows) == 8
    sizes = {(int(level), int(repeats)): int(size) for level, repeats, size in rows}
    assert sizes[9, 1] <= sizes[1, 1] and sizes[9, 1] < sizes[9, 4]
    # gzip says the same here, but for the name and the time in its header.
    assert abs(sizes[9, 1] - len(gzip.compress(Path(__file__).read_bytes(), 9))) < 100
    assert len(list(client.drivers("labels.example=sweep AND state=FINISHED"))) == 8


def test_a_search_for_hyperparameters(shared: LocalCluster, client: muster.Client) -> None:
    pytest.importorskip("sklearn")
    before = {application.id for application in client.applications()}
    assert run(shared, "search.py", "2").startswith("best of 9: {'C': 10, 'gamma': 0.001}")
    # The fits were the executors', not this process': the application has had both.
    (application,) = [application for application in client.applications() if application.id not in before]
    assert len(list(client.executors(application.id))) == 2
