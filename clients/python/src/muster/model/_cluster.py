"""The cluster: its masters and workers."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from .._wire import Wire, items, state, time


class WorkerState(enum.Enum):
    """Where a worker stands."""

    #: Not known to this version; assume that nothing is placed there.
    UNKNOWN = "UNKNOWN"
    ALIVE = "ALIVE"
    DISCONNECTED = "DISCONNECTED"
    UNCONFIRMED = "UNCONFIRMED"
    LOST = "LOST"
    FORGOTTEN = "FORGOTTEN"


@dataclass(frozen=True)
class Worker:
    """One machine's agent and runner."""

    name: str
    uid: str
    state: WorkerState
    draining: bool
    host: str
    cores: int
    memory_bytes: int
    used_cores: int
    used_memory_bytes: int
    labels: Mapping[str, str]
    drivers: int
    executors: int
    version: str
    last_heard_time: datetime | None


@dataclass(frozen=True)
class Master:
    """A master that leads or stands by."""

    address: str
    version: str
    leads: bool


@dataclass(frozen=True)
class Cluster:
    """The cluster as a whole."""

    name: str
    uid: str
    #: The address of the leader.
    leader: str
    epoch: str
    #: The leader first, then the others in the order in which they would lead.
    masters: tuple[Master, ...]
    cores: int
    memory_bytes: int
    used_cores: int
    used_memory_bytes: int
    #: How many workers there are in each state.
    workers: Mapping[str, int]
    version: str
    #: What an operator should know.
    notices: tuple[str, ...]


def read_worker(wire: Wire) -> Worker:
    total, used = wire.get("total", {}), wire.get("used", {})
    return Worker(
        name=wire.get("name", ""),
        uid=wire.get("uid", ""),
        state=state(WorkerState, wire),
        draining=wire.get("draining", False),
        host=wire.get("host", ""),
        cores=total.get("cores", 0),
        memory_bytes=total.get("memory_bytes", 0),
        used_cores=used.get("cores", 0),
        used_memory_bytes=used.get("memory_bytes", 0),
        labels=dict(wire.get("labels", {})),
        drivers=wire.get("drivers", 0),
        executors=wire.get("executors", 0),
        version=wire.get("version", ""),
        last_heard_time=time(wire, "last_heard_time"),
    )


def _read_master(wire: Wire) -> Master:
    return Master(wire.get("address", ""), wire.get("version", ""), wire.get("leads", False))


def read_cluster(wire: Wire) -> Cluster:
    total, used = wire.get("total", {}), wire.get("used", {})
    return Cluster(
        name=wire.get("name", ""),
        uid=wire.get("uid", ""),
        leader=wire.get("leader", ""),
        epoch=wire.get("epoch", ""),
        masters=items(wire, "masters", _read_master),
        cores=total.get("cores", 0),
        memory_bytes=total.get("memory_bytes", 0),
        used_cores=used.get("cores", 0),
        used_memory_bytes=used.get("memory_bytes", 0),
        workers=dict(wire.get("workers", {})),
        version=wire.get("version", ""),
        notices=tuple(wire.get("notices", ())),
    )
