"""The client of asyncio: the same calls, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ._futures import wait_async
from ._operations import EventFutures, LogRequest, Operations, PageRequest, WatchRequest
from .client import PAGE
from .model import ApplicationInfo, Cluster, Driver, Event, Executor, Page, Worker

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .options import DriverOptions

T = TypeVar("T")


class AsyncClient(Operations):
    """:class:`muster.Client` for asyncio. Cancelling a task gives up what it waits for."""

    async def submit(self, command: Sequence[str], **options: Unpack[DriverOptions]) -> Driver:
        """Submits a program. It is durable once this returns."""
        return await wait_async(self._submit(command, options, validate_only=False))

    async def validate(self, command: Sequence[str], **options: Unpack[DriverOptions]) -> Driver:
        """The driver as it would be submitted, with why it would wait. Nothing is stored."""
        return await wait_async(self._submit(command, options, validate_only=True))

    async def wait(self, driver: str, timeout: float | None = None) -> Driver:
        """Waits until a driver has ended; raises :class:`muster.WaitTimeoutError` after ``timeout`` seconds."""
        return await wait_async(self._wait(driver, timeout))

    async def driver(self, driver: str) -> Driver:
        """A driver by its name or uid."""
        return await wait_async(self._driver(driver))

    async def kill(self, driver: str) -> Driver:
        """Asks for a driver's end."""
        return await wait_async(self._kill(driver))

    async def application(self, application: str) -> ApplicationInfo:
        """An application by its name or uid."""
        return await wait_async(self._application(application))

    async def kill_application(self, application: str) -> ApplicationInfo:
        """Asks for the end of an application and its executors."""
        return await wait_async(self._kill_application(application))

    async def worker(self, worker: str) -> Worker:
        """A worker by its name or uid."""
        return await wait_async(self._worker(worker))

    async def cluster(self) -> Cluster:
        """The cluster as a whole."""
        return await wait_async(self._cluster())

    def drivers(self, filter: str = "", *, page_size: int = PAGE) -> AsyncIterator[Driver]:
        """All drivers that a filter lets through, page by page."""
        return _all(lambda token: wait_async(self._drivers(PageRequest(filter, page_size, token))))

    async def drivers_page(self, filter: str = "", *, page_size: int = PAGE, page_token: str = "") -> Page[Driver]:
        """One page of drivers."""
        return await wait_async(self._drivers(PageRequest(filter, page_size, page_token)))

    def applications(self, filter: str = "", *, page_size: int = PAGE) -> AsyncIterator[ApplicationInfo]:
        """All applications that a filter lets through, page by page."""
        return _all(lambda token: wait_async(self._applications(PageRequest(filter, page_size, token))))

    def executors(self, application: str = "", filter: str = "", *, page_size: int = PAGE) -> AsyncIterator[Executor]:
        """All executors, or those of one application, page by page."""
        return _all(lambda token: wait_async(self._executors(application, PageRequest(filter, page_size, token))))

    def workers(self, filter: str = "", *, page_size: int = PAGE) -> AsyncIterator[Worker]:
        """All workers that a filter lets through, page by page."""
        return _all(lambda token: wait_async(self._workers(PageRequest(filter, page_size, token))))

    async def watch(
        self,
        *,
        drivers: Sequence[str] = (),
        applications: Sequence[str] = (),
        workers: Sequence[str] = (),
        resume_token: str = "",
        from_oldest: bool = False,
    ) -> AsyncWatch:
        """Follows what happens to these, or to everything. What happens after this returns is seen."""
        request = WatchRequest(drivers, applications, workers, resume_token, from_oldest)
        watch = AsyncWatch(self._watch(request), resume_token)
        await watch.open()
        return watch

    async def logs(
        self,
        driver: str | None = None,
        *,
        attempt: int = 0,
        application: str | None = None,
        executor: int | None = None,
        stream: str = "stdout",
        follow: bool = False,
        tail_bytes: int = 0,
    ) -> AsyncIterator[bytes]:
        """The output of a driver's attempt, or of an executor, in pieces."""
        log = self._logs(LogRequest(driver, attempt, application, executor, stream, follow, tail_bytes))
        while (piece := await wait_async(log.next())) is not None:
            if piece.data:
                yield piece.data


class AsyncWatch(AsyncIterator[Event]):
    """Events as they happen."""

    def __init__(self, events: EventFutures, resume_token: str) -> None:
        self._events = events
        #: Watch from here to see what follows the last event.
        self.resume_token = resume_token

    async def open(self) -> None:
        """Opens the stream."""
        await wait_async(self._events.open())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await wait_async(self._events.next())
        self.resume_token = event.resume_token
        return event


async def _all(page: Callable[[str], Awaitable[Page[T]]]) -> AsyncIterator[T]:
    token = ""
    while True:
        got = await page(token)
        for item in got.items:
            yield item
        token = got.next_page_token
        if not token:
            return
