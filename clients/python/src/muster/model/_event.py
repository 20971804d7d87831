"""Events, and pages of lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from .._wire import Wire, optional, time
from ._driver import Outcome, read_outcome

T = TypeVar("T")

_SUBJECTS = {
    "driver": ("driver_id", "attempt"),
    "application": ("application_id", ""),
    "executor": ("application_id", "executor_id"),
    "worker": ("name", ""),
    "token": ("token_id", ""),
    "role_binding": ("user", ""),
}


@dataclass(frozen=True)
class Event:
    """One thing that happened. Events are ordered, unique and without a gap."""

    #: What it is about: "driver", "application", "executor", "worker", "token", "role_binding".
    kind: str
    #: The name of what changed; an executor's is that of its application.
    id: str
    #: The uid of what changed, where it has one; an executor's is that of its application.
    uid: str
    #: The attempt of a driver or the number of an executor; 0 where there is none.
    number: int
    #: Its new state, such as "RUNNING"; empty where it has none.
    state: str
    #: Where it is, if it is anywhere.
    worker: str
    outcome: Outcome | None
    #: A sentence for people.
    message: str
    time: datetime | None
    #: Watch from here to see what follows.
    resume_token: str


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list."""

    items: tuple[T, ...]
    #: For the next page; empty on the last.
    next_page_token: str
    #: Watch from here to see what follows.
    resume_token: str


def read_event(wire: Wire) -> Event:
    kind = next((kind for kind in _SUBJECTS if kind in wire), "")
    subject = wire.get(kind, {})
    name, number = _SUBJECTS.get(kind, ("", ""))
    word = str(subject.get("state", ""))
    return Event(
        kind=kind,
        id=subject.get(name, ""),
        uid=subject.get("application_uid" if kind == "executor" else "uid", ""),
        number=subject.get(number, 0),
        state=word[len("STATE_") :] if word.startswith("STATE_") else word,
        worker=subject.get("worker", ""),
        outcome=optional(subject, "outcome", read_outcome),
        message=wire.get("message", ""),
        time=time(wire, "time"),
        resume_token=wire.get("resume_token", ""),
    )
