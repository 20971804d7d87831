"""Applications: executors that come, are killed, and are replaced."""

from __future__ import annotations

import muster
import pytest
from conftest import numbers
from muster import ApplicationState, ExecutorState


def seen(application: muster.Application, kind: str, count: int) -> set[int]:
    """The next executors to which this happens."""
    found: set[int] = set()
    for item in application.events():
        found |= numbers(item, kind)
        if len(found) >= count:
            break
    return found


def test_executors_come_and_go(client: muster.Client) -> None:
    command = ["/bin/sh", "-c", "echo I am {{EXECUTOR_ID}}; sleep 3600"]
    with muster.Application.register(client, command, executors=1, cores=1, memory="64M", name="tour") as application:
        (first,) = seen(application, "running", 1)
        assert application.request(3)
        seen(application, "running", 2)
        log = client.logs(application=application.id, executor=first, follow=True)
        assert next(log) == f"I am {first}\n".encode()
        # The total is lowered by one, so nothing takes its place.
        assert application.kill([first, 99]) == {first: "killed", 99: "unknown"}
        assert seen(application, "ended", 1) == {first}
        info = client.application(application.id)
        assert (info.name, info.state, info.profiles[0].target) == ("tour", ApplicationState.RUNNING, 2)
        # Another takes its place.
        second = next(e.number for e in client.executors(application.id) if e.state is ExecutorState.RUNNING)
        assert application.kill([second], replace=True) == {second: "killed"}
        assert seen(application, "running", 1) == {3}
    ended = client.application(application.id)
    assert ended.state in (ApplicationState.ENDING, ApplicationState.FINISHED)


def test_an_application_fails_with_its_program(client: muster.Client) -> None:
    application = muster.Application.register(client, ["/bin/sleep", "3600"])
    with pytest.raises(ZeroDivisionError), application:
        raise ZeroDivisionError("division by zero")
    ended = client.application(application.id)
    assert ended.message == "ZeroDivisionError: division by zero"


def test_a_session_is_ended_by_whoever_kills_the_application(client: muster.Client) -> None:
    application = muster.Application.register(client, ["/bin/sleep", "3600"], executors=1)
    seen(application, "running", 1)
    client.kill_application(application.id)
    kinds = [item.kind for item in application.events() if isinstance(item, muster.ExecutorEvent)]
    assert kinds[-1] == "application_ended"
