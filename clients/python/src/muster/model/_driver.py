"""Drivers: submitted programs, with their attempts."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .._html import table
from .._wire import Wire, items, optional, state, time


class DriverState(enum.Enum):
    """Where a driver or one of its attempts stands."""

    #: Not known to this version; assume that it is not terminal.
    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    LAUNCHING = "LAUNCHING"
    RUNNING = "RUNNING"
    KILLING = "KILLING"
    BACKING_OFF = "BACKING_OFF"
    UNREACHABLE = "UNREACHABLE"
    UNCONFIRMED = "UNCONFIRMED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    LOST = "LOST"
    CRASH_LOOP = "CRASH_LOOP"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows."""
        return self.value in ("FINISHED", "FAILED", "KILLED", "LOST", "CRASH_LOOP")


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    #: The exit code, of a process that exited.
    exit_code: int | None
    #: The number of the signal that ended it.
    signal: int | None
    #: Whether the kernel ended it for its memory.
    out_of_memory: bool
    #: Whose doing it was: "PROGRAM", "PLATFORM", "USER", or empty.
    fault: str
    #: A stable word, such as "EXITED", "KILLED", "LOST".
    reason: str
    #: A sentence for people.
    message: str


@dataclass(frozen=True)
class Attempt:
    """One run of a driver."""

    #: Counts from 1: the fencing token.
    number: int
    worker: str
    state: DriverState
    pid: int | None
    start_time: datetime | None
    end_time: datetime | None
    outcome: Outcome | None


@dataclass(frozen=True)
class PendingReason:
    """Why something waits."""

    #: Stable words with the number of workers that each holds for, most workers first.
    reasons: tuple[tuple[str, int], ...]
    #: Sentences for people, in the same order.
    messages: tuple[str, ...]
    #: Whether no worker that is known could ever take it.
    never_fits: bool


@dataclass(frozen=True)
class Driver:
    """A submitted program, whatever number of attempts it takes."""

    #: Its name, for people.
    id: str
    #: Made by the master, never used again.
    uid: str
    state: DriverState
    #: The program and its arguments.
    command: tuple[str, ...]
    cores: int
    memory_bytes: int
    labels: Mapping[str, str]
    #: The newest 32, oldest first.
    attempts: tuple[Attempt, ...]
    #: Why it waits, while it does.
    pending: PendingReason | None
    #: How its last attempt ended.
    outcome: Outcome | None
    #: The applications that it registered.
    applications: tuple[str, ...]
    #: Who submitted it; empty where there were no credentials.
    owner: str
    failures_in_window: int
    create_time: datetime | None
    update_time: datetime | None
    end_time: datetime | None
    #: When it may be run again, while it backs off.
    retry_time: datetime | None
    #: Changes with every change of the driver.
    etag: str = field(repr=False)

    @property
    def exit_code(self) -> int | None:
        """The exit code of its last attempt, if it exited."""
        return self.outcome.exit_code if self.outcome else None

    @property
    def worker(self) -> str:
        """Where its newest attempt is or was; empty before the first."""
        return self.attempts[-1].worker if self.attempts else ""

    def _repr_html_(self) -> str:
        rows = {
            "state": self.state.value,
            "command": " ".join(self.command),
            "attempt": self.attempts[-1].number if self.attempts else None,
            "worker": self.worker,
            "waits": "; ".join(self.pending.messages) if self.pending else "",
            "outcome": self.outcome.message or self.outcome.reason if self.outcome else "",
            "exit code": self.exit_code,
            "submitted": self.create_time,
            "ended": self.end_time,
        }
        return table(f"Driver {self.id}", rows)


def read_outcome(wire: Wire) -> Outcome:
    fault = str(wire.get("fault", ""))
    return Outcome(
        exit_code=wire.get("exit_code"),
        signal=wire.get("signal"),
        out_of_memory=wire.get("out_of_memory", False),
        fault=fault[len("FAULT_") :] if fault.startswith("FAULT_") else fault,
        reason=wire.get("reason", ""),
        message=wire.get("message", ""),
    )


def read_pending(wire: Wire) -> PendingReason:
    reasons = wire.get("reasons", ())
    return PendingReason(
        reasons=tuple((reason.get("reason", ""), reason.get("workers", 0)) for reason in reasons),
        messages=tuple(reason.get("message", "") for reason in reasons),
        never_fits=wire.get("never_fits", False),
    )


def _read_attempt(wire: Wire) -> Attempt:
    return Attempt(
        number=wire.get("attempt", 0),
        worker=wire.get("worker", ""),
        state=state(DriverState, wire),
        pid=wire.get("pid"),
        start_time=time(wire, "start_time"),
        end_time=time(wire, "end_time"),
        outcome=optional(wire, "outcome", read_outcome),
    )


def read_driver(wire: Wire) -> Driver:
    spec = wire.get("spec", {})
    command, resources = spec.get("command", {}), spec.get("resources", {})
    return Driver(
        id=wire.get("driver_id", ""),
        uid=wire.get("uid", ""),
        state=state(DriverState, wire),
        command=(command.get("program", ""), *command.get("args", ())),
        cores=resources.get("cores", 0),
        memory_bytes=resources.get("memory_bytes", 0),
        labels=dict(spec.get("labels", {})),
        attempts=items(wire, "attempts", _read_attempt),
        pending=optional(wire, "pending", read_pending),
        outcome=optional(wire, "outcome", read_outcome),
        applications=tuple(wire.get("application_ids", ())),
        owner=wire.get("owner", ""),
        failures_in_window=wire.get("failures_in_window", 0),
        create_time=time(wire, "create_time"),
        update_time=time(wire, "update_time"),
        end_time=time(wire, "end_time"),
        retry_time=time(wire, "retry_time"),
        etag=wire.get("etag", ""),
    )
