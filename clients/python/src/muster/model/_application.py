"""Applications and their executors."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from .._html import table
from .._wire import Wire, items, optional, state, time
from ._driver import Outcome, PendingReason, read_outcome, read_pending


class ApplicationState(enum.Enum):
    """Where an application stands."""

    #: Not known to this version; assume that it is not terminal.
    UNKNOWN = "UNKNOWN"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    DISCONNECTED = "DISCONNECTED"
    ENDING = "ENDING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows."""
        return self.value in ("FINISHED", "FAILED", "KILLED")


class ExecutorState(enum.Enum):
    """Where an executor stands."""

    #: Not known to this version; assume that it is not terminal.
    UNKNOWN = "UNKNOWN"
    LAUNCHING = "LAUNCHING"
    RUNNING = "RUNNING"
    KILLING = "KILLING"
    UNREACHABLE = "UNREACHABLE"
    EXITED = "EXITED"
    KILLED = "KILLED"
    FAILED = "FAILED"
    LOST = "LOST"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows."""
        return self.value in ("EXITED", "KILLED", "FAILED", "LOST")


@dataclass(frozen=True)
class Profile:
    """A kind of executor, and how far its target is met."""

    number: int
    target: int
    running: int
    launching: int
    #: Why the target is not met.
    pending: PendingReason | None


@dataclass(frozen=True)
class ApplicationInfo:
    """An application as the cluster has it. :class:`muster.Application` steers one of your own."""

    id: str
    uid: str
    #: The name that it was registered with, for people.
    name: str
    state: ApplicationState
    profiles: tuple[Profile, ...]
    #: The driver that it belongs to; empty in client mode.
    driver: str
    owner: str
    message: str
    create_time: datetime | None
    end_time: datetime | None

    def _repr_html_(self) -> str:
        rows = {
            "state": self.state.value,
            "executors": f"{sum(p.running for p in self.profiles)} of {sum(p.target for p in self.profiles)} run",
            "driver": self.driver,
            "registered": self.create_time,
            "ended": self.end_time,
            "message": self.message,
        }
        return table(f"Application {self.id}", rows)


@dataclass(frozen=True)
class Executor:
    """A process that a worker runs for an application."""

    application: str
    #: Unique in the application, never used again.
    number: int
    profile: int
    state: ExecutorState
    worker: str
    host: str
    pid: int | None
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    outcome: Outcome | None
    #: Who ended it: "application", "operator", "preemption", "drain", "lease", or empty.
    killed_by: str
    #: Whether its worker drains: it does not count towards the target.
    draining: bool


def _read_profile(wire: Wire) -> Profile:
    return Profile(
        number=wire.get("profile_id", 0),
        target=wire.get("target", 0),
        running=wire.get("running", 0),
        launching=wire.get("launching", 0),
        pending=optional(wire, "pending", read_pending),
    )


def read_application(wire: Wire) -> ApplicationInfo:
    return ApplicationInfo(
        id=wire.get("application_id", ""),
        uid=wire.get("uid", ""),
        name=wire.get("spec", {}).get("name", ""),
        state=state(ApplicationState, wire),
        profiles=items(wire, "profiles", _read_profile),
        driver=wire.get("driver_id", ""),
        owner=wire.get("owner", ""),
        message=wire.get("message", ""),
        create_time=time(wire, "create_time"),
        end_time=time(wire, "end_time"),
    )


def read_executor(wire: Wire) -> Executor:
    return Executor(
        application=wire.get("application_id", ""),
        number=wire.get("executor_id", 0),
        profile=wire.get("profile_id", 0),
        state=state(ExecutorState, wire),
        worker=wire.get("worker", ""),
        host=wire.get("host", ""),
        pid=wire.get("pid"),
        create_time=time(wire, "create_time"),
        start_time=time(wire, "start_time"),
        end_time=time(wire, "end_time"),
        outcome=optional(wire, "outcome", read_outcome),
        killed_by=wire.get("killed_by", ""),
        draining=wire.get("draining", False),
    )
