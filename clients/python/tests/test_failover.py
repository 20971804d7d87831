"""What is asked goes on when a master dies under it."""

from __future__ import annotations

from pathlib import Path

import muster
from conftest import LocalCluster, eventually, numbers
from muster import DriverState


def test_waits_and_watches_go_on_after_a_master_is_killed(own: LocalCluster, tmp_path: Path) -> None:
    client = own.client()
    gate = tmp_path / "gate"
    driver = client.submit(["/bin/sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; exit 7"])
    eventually("it runs", lambda: client.driver(driver.id).state is DriverState.RUNNING)
    watch = client.watch(drivers=[driver.id])
    own.kill_master()
    # Asked of nobody at first: it is repeated until the master is back, and done once.
    other = client.submit(["/bin/true"], id="during")
    gate.touch()
    assert client.wait(driver.id).exit_code == 7
    event = next(watch)
    while event.state != "FAILED":
        event = next(watch)
    assert (event.kind, event.id, event.number) == ("driver", driver.id, 1)
    assert event.outcome is not None and event.outcome.exit_code == 7
    assert client.wait(other.id).state is DriverState.FINISHED
    assert watch.resume_token == event.resume_token


def test_an_application_keeps_its_executors_over_a_failover(own: LocalCluster) -> None:
    client = own.client()
    with muster.Application.register(client, ["/bin/sleep", "3600"], executors=2) as application:
        events = application.events()
        running: set[int] = set()
        while len(running) < 2:
            item = next(events)
            running |= numbers(item, "running")
        own.kill_master()
        assert application.request(3)
        while len(running) < 3:
            item = next(events)
            running |= numbers(item, "running")
            assert not (isinstance(item, muster.ExecutorEvent) and item.kind == "ended"), item
