"""The client: every call waits for its answer, and gives way to a signal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from ._futures import wait
from ._operations import EventFutures, LogRequest, Operations, PageRequest, WatchRequest
from .model import ApplicationInfo, Cluster, Driver, Event, Executor, Page, Worker

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .options import DriverOptions

T = TypeVar("T")
#: Items per page: few round trips, and answers that stay small.
PAGE = 500


class Client(Operations):
    """A handle to a cluster, for threads. It may be shared among them.

    Each method asks until a master answers or ``deadline`` passes; what changes something is done once, however often
    it is asked. Errors are :class:`muster.CallError` and its kinds.
    """

    def submit(self, command: Sequence[str], **options: Unpack[DriverOptions]) -> Driver:
        """Submits a program. It is durable once this returns."""
        return wait(self._submit(command, options, validate_only=False))

    def validate(self, command: Sequence[str], **options: Unpack[DriverOptions]) -> Driver:
        """The driver as it would be submitted, with why it would wait. Nothing is stored."""
        return wait(self._submit(command, options, validate_only=True))

    def wait(self, driver: str, timeout: float | None = None) -> Driver:
        """Waits until a driver has ended, however often its masters are exchanged meanwhile.

        Raises :class:`muster.WaitTimeoutError` after ``timeout`` seconds. The driver goes on then, as it does after a
        KeyboardInterrupt.
        """
        return wait(self._wait(driver, timeout))

    def driver(self, driver: str) -> Driver:
        """A driver by its name or uid."""
        return wait(self._driver(driver))

    def kill(self, driver: str) -> Driver:
        """Asks for a driver's end. It is KILLED once nothing of it is left: :meth:`wait` for that."""
        return wait(self._kill(driver))

    def application(self, application: str) -> ApplicationInfo:
        """An application by its name or uid."""
        return wait(self._application(application))

    def kill_application(self, application: str) -> ApplicationInfo:
        """Asks for the end of an application and its executors."""
        return wait(self._kill_application(application))

    def worker(self, worker: str) -> Worker:
        """A worker by its name or uid."""
        return wait(self._worker(worker))

    def cluster(self) -> Cluster:
        """The cluster as a whole."""
        return wait(self._cluster())

    def drivers(self, filter: str = "", *, page_size: int = PAGE) -> Iterator[Driver]:
        """All drivers that a filter lets through, such as ``"state=RUNNING AND labels.team=a"``, page by page."""
        return _all(lambda token: wait(self._drivers(PageRequest(filter, page_size, token))))

    def drivers_page(self, filter: str = "", *, page_size: int = PAGE, page_token: str = "") -> Page[Driver]:
        """One page of drivers."""
        return wait(self._drivers(PageRequest(filter, page_size, page_token)))

    def applications(self, filter: str = "", *, page_size: int = PAGE) -> Iterator[ApplicationInfo]:
        """All applications that a filter lets through, page by page."""
        return _all(lambda token: wait(self._applications(PageRequest(filter, page_size, token))))

    def executors(self, application: str = "", filter: str = "", *, page_size: int = PAGE) -> Iterator[Executor]:
        """All executors, or those of one application, page by page."""
        return _all(lambda token: wait(self._executors(application, PageRequest(filter, page_size, token))))

    def workers(self, filter: str = "", *, page_size: int = PAGE) -> Iterator[Worker]:
        """All workers that a filter lets through, page by page."""
        return _all(lambda token: wait(self._workers(PageRequest(filter, page_size, token))))

    def watch(
        self,
        *,
        drivers: Sequence[str] = (),
        applications: Sequence[str] = (),
        workers: Sequence[str] = (),
        resume_token: str = "",
        from_oldest: bool = False,
    ) -> Watch:
        """Follows what happens to these, or to everything, without a gap through restarts of masters.

        What happens after this returns is seen. It begins at a token, else at the oldest event that is kept, else now.
        """
        request = WatchRequest(drivers, applications, workers, resume_token, from_oldest)
        return Watch(self._watch(request), resume_token)

    def logs(
        self,
        driver: str | None = None,
        *,
        attempt: int = 0,
        application: str | None = None,
        executor: int | None = None,
        stream: str = "stdout",
        follow: bool = False,
        tail_bytes: int = 0,
    ) -> Iterator[bytes]:
        """The output of a driver's attempt (by default the newest), or of an executor, in pieces.

        With ``follow`` it goes on until the process has ended. ``tail_bytes`` begins as much before the end.
        """
        request = LogRequest(driver, attempt, application, executor, stream, follow, tail_bytes)
        log = self._logs(request)
        while (piece := wait(log.next())) is not None:
            if piece.data:
                yield piece.data


class Watch(Iterator[Event]):
    """Events as they happen."""

    def __init__(self, events: EventFutures, resume_token: str) -> None:
        self._events = events
        #: Watch from here to see what follows the last event.
        self.resume_token = resume_token
        wait(events.open())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = wait(self._events.next())
        self.resume_token = event.resume_token
        return event


def _all(page: Callable[[str], Page[T]]) -> Iterator[T]:
    token = ""
    while True:
        got = page(token)
        yield from got.items
        token = got.next_page_token
        if not token:
            return
