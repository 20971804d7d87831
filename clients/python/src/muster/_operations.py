"""The calls of a cluster as futures: what the client and the asyncio client both are made of."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from . import _native
from ._futures import start
from ._wire import Wire, items
from .model import ApplicationInfo, Cluster, Driver, Event, Executor, Page, Worker
from .model import read_application, read_cluster, read_driver, read_event, read_executor, read_worker
from .options import DriverOptions, driver_request

T = TypeVar("T")


@dataclass(frozen=True)
class LogPiece:
    """A piece of a log."""

    data: bytes
    #: Bytes before it that are gone, since logs are bounded at their head.
    skipped_bytes: int


class Operations:
    """A handle to a cluster."""

    def __init__(
        self,
        masters: str | Sequence[str] | None = None,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        token: str | None = None,
        client_cert: str | os.PathLike[str] | None = None,
        client_key: str | os.PathLike[str] | None = None,
        context: str | None = None,
        deadline: float | None = None,
    ) -> None:
        """Takes what is given, else what ``MUSTER_*`` says, else the chosen context of ``muster login``.

        ``masters`` are addresses, ``HOST:PORT``; one is enough, and the others are learnt. ``deadline`` bounds each call
        with all its tries, in seconds; 30 by default, which outlasts a failover.
        """
        if masters is not None and not isinstance(masters, str):
            masters = ",".join(masters)
        self._connection = _native.Connection(
            masters, _path(ca_file), token, _path(client_cert), _path(client_key), context, deadline
        )

    @property
    def masters(self) -> str:
        """The addresses of the masters that are asked first, with commas between."""
        return self._connection.masters

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.masters}>"

    def _call(self, method: str, request: dict[str, Any], read: Callable[[Wire], T]) -> Future[T]:
        text = json.dumps(request)
        return start(lambda done: self._connection.call(method, text, done), lambda answer: read(json.loads(answer)))

    def _submit(self, command: Sequence[str], options: DriverOptions, validate_only: bool) -> Future[Driver]:
        request = driver_request(command, options, validate_only=validate_only)
        return self._call("SubmitDriver", request, read_driver)

    def _wait(self, driver: str, timeout: float | None) -> Future[Driver]:
        return start(
            lambda done: self._connection.wait(driver, timeout, done),
            lambda answer: read_driver(json.loads(answer)),
        )

    def _driver(self, driver: str) -> Future[Driver]:
        return self._call("GetDriver", {"driver_id": driver}, lambda wire: read_driver(wire["driver"]))

    def _kill(self, driver: str) -> Future[Driver]:
        return self._call("KillDriver", {"driver_id": driver}, read_driver)

    def _application(self, application: str) -> Future[ApplicationInfo]:
        request = {"application_id": application}
        return self._call("GetApplication", request, lambda wire: read_application(wire["application"]))

    def _kill_application(self, application: str) -> Future[ApplicationInfo]:
        return self._call("KillApplication", {"application_id": application}, read_application)

    def _worker(self, worker: str) -> Future[Worker]:
        return self._call("GetWorker", {"worker_id": worker}, lambda wire: read_worker(wire["worker"]))

    def _cluster(self) -> Future[Cluster]:
        return self._call("GetCluster", {}, read_cluster)

    def _drivers(self, page: PageRequest) -> Future[Page[Driver]]:
        return self._call("ListDrivers", page.wire(), lambda wire: _page(wire, "drivers", read_driver))

    def _applications(self, page: PageRequest) -> Future[Page[ApplicationInfo]]:
        return self._call("ListApplications", page.wire(), lambda wire: _page(wire, "applications", read_application))

    def _executors(self, application: str, page: PageRequest) -> Future[Page[Executor]]:
        request = {"application_id": application, **page.wire()}
        return self._call("ListExecutors", request, lambda wire: _page(wire, "executors", read_executor))

    def _workers(self, page: PageRequest) -> Future[Page[Worker]]:
        return self._call("ListWorkers", page.wire(), lambda wire: _page(wire, "workers", read_worker))

    def _watch(self, watched: WatchRequest) -> EventFutures:
        return EventFutures(self._connection.watch_events(json.dumps(watched.__dict__)))

    def _logs(self, log: LogRequest) -> LogFutures:
        return LogFutures(self._connection.read_log(json.dumps(log.wire())))


@dataclass(frozen=True)
class PageRequest:
    """Which page of a list."""

    filter: str
    page_size: int
    page_token: str = ""

    def wire(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class WatchRequest:
    """Which events, by the wire's names."""

    driver_ids: Sequence[str]
    application_ids: Sequence[str]
    worker_ids: Sequence[str]
    resume_token: str
    from_oldest: bool


@dataclass(frozen=True)
class LogRequest:
    """Which log."""

    driver: str | None
    attempt: int
    application: str | None
    executor: int | None
    stream: str
    follow: bool
    tail_bytes: int

    def wire(self) -> dict[str, Any]:
        if self.stream not in ("stdout", "stderr"):
            raise ValueError(f"stream={self.stream!r}: it is 'stdout' or 'stderr'")
        request: dict[str, Any] = {
            "stream": f"LOG_STREAM_{self.stream.upper()}",
            "follow": self.follow,
            "tail_bytes": self.tail_bytes,
        }
        if self.application is not None:
            request.update(application_id=self.application, executor_id=self.executor)
        else:
            request.update(driver_id=self.driver, attempt=self.attempt)
        return request


class EventFutures:
    """A watch, event by event."""

    def __init__(self, stream: _native.EventStream) -> None:
        self._stream = stream

    def open(self) -> Future[None]:
        return start(self._stream.open, lambda _: None)

    def next(self) -> Future[Event]:
        return start(self._stream.next, lambda answer: read_event(json.loads(answer)))


class LogFutures:
    """A log, piece by piece."""

    def __init__(self, stream: _native.LogStream) -> None:
        self._stream = stream

    def next(self) -> Future[LogPiece | None]:
        """The next piece; None at the end of the log."""
        return start(self._stream.next, _read_piece)


def _read_piece(answer: str | None) -> LogPiece | None:
    if answer is None:
        return None
    wire = json.loads(answer)
    return LogPiece(base64.b64decode(wire.get("data", "")), wire.get("skipped_bytes", 0))


def _page(wire: Wire, name: str, read: Callable[[Wire], T]) -> Page[T]:
    return Page(items(wire, name, read), wire.get("next_page_token", ""), wire.get("resume_token", ""))


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)
