"""Applications of one's own: executors on the cluster, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

from . import _native
from ._futures import start, wait, wait_async
from ._operations import Operations
from ._wire import Wire
from .model import Executor, read_executor
from .options import ApplicationOptions, application_spec

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


@dataclass(frozen=True)
class Executors:
    """All executors that have not ended.

    It comes first, and again where events were missed and are kept no longer: what is not in it has ended.
    """

    executors: tuple[Executor, ...]


@dataclass(frozen=True)
class ExecutorEvent:
    """Something that happened to an executor or to the application."""

    #: "added", "running", "ended", "process_lost", "worker_lost", "draining", "pending" or "application_ended".
    kind: str
    #: The executor as it is now; None for "pending" and "application_ended".
    executor: Executor | None
    #: Why a target is not met, or why the application has ended; a sentence for people.
    message: str


SessionItem = Union[Executors, ExecutorEvent]


class _Application:
    def __init__(self, native: _native.Application) -> None:
        self._native = native
        # From now on the application lives as long as this, and a grace longer.
        self._session: _native.ApplicationSession | None = native.open_session()

    @property
    def id(self) -> str:
        """Its name."""
        return self._native.name

    @property
    def uid(self) -> str:
        """Its uid."""
        return self._native.uid

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def _request(self, targets: int | Mapping[int, int], excluded_hosts: Sequence[str]) -> Future[bool]:
        by_profile = {0: targets} if isinstance(targets, int) else targets
        wire = [json.dumps({"profile_id": profile, "target": target}) for profile, target in by_profile.items()]
        return start(lambda done: self._native.request_targets(wire, excluded_hosts, done), bool)

    def _kill(self, executors: Sequence[int], replace: bool) -> Future[dict[int, str]]:
        def read(kinds: dict[int, str]) -> dict[int, str]:
            return kinds

        return start(lambda done: self._native.kill_executors(executors, replace, done), read)

    def _next(self) -> Future[SessionItem | None]:
        session = self._session
        if session is None:
            raise ValueError(f"the session of {self.id} is closed")
        return start(session.next, _read_item)

    def _unregister(self, success: bool, message: str, grace: float) -> Future[None]:
        def ended(_: object) -> None:
            self._session = None

        return start(lambda done: self._native.unregister(success, message, grace, done), ended)


def _register(cluster: Operations, command: Sequence[str], options: ApplicationOptions) -> Future[_native.Application]:
    identity, spec = application_spec(command, options)
    text = json.dumps(spec)

    def read(native: Any) -> _native.Application:
        assert isinstance(native, _native.Application)
        return native

    return start(lambda done: cluster._connection.register(identity, text, done), read)  # pyright: ignore[reportPrivateUsage]


class Application(_Application):
    """An application of this program, which is registered and has a session.

    As a context manager it ends at the end of the block: with success unless that raises. It also ends when this
    process is gone for longer than its ``session_grace``.
    """

    @classmethod
    def register(cls, cluster: Operations, command: Sequence[str], **options: Unpack[ApplicationOptions]) -> Self:
        """Registers an application whose executors run this command.

        ``{{EXECUTOR_ID}}``, ``{{CORES}}``, ``{{MEMORY_BYTES}}`` and others are substituted in it by the worker.
        """
        return cls(wait(_register(cluster, command, options)))

    def request(self, executors: int | Mapping[int, int], *, excluded_hosts: Sequence[str] = ()) -> bool:
        """Sets how many executors there should be in all: of profile 0, or of each profile.

        What ends without having been killed is replaced. Returns False where a later request was known already.
        """
        return wait(self._request(executors, excluded_hosts))

    def kill(self, executors: Sequence[int], *, replace: bool = False) -> dict[int, str]:
        """Ends executors. Unless they are replaced, the total is lowered by those that were killed.

        Gives what became of each: "killed", "gone" or "unknown".
        """
        return wait(self._kill(executors, replace))

    def events(self) -> Iterator[SessionItem]:
        """What happens to the executors, until the application has ended."""
        while (item := wait(self._next())) is not None:
            yield item

    def unregister(self, success: bool = True, message: str = "", *, grace: float = 0) -> None:
        """Ends the application, with time in seconds for its executors to end by themselves."""
        wait(self._unregister(success, message, grace))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unregister(error is None, "" if error is None else f"{type(error).__name__}: {error}"[:200])


class AsyncApplication(_Application):
    """:class:`muster.Application` for asyncio."""

    @classmethod
    async def register(cls, cluster: Operations, command: Sequence[str], **options: Unpack[ApplicationOptions]) -> Self:
        """Registers an application whose executors run this command."""
        return cls(await wait_async(_register(cluster, command, options)))

    async def request(self, executors: int | Mapping[int, int], *, excluded_hosts: Sequence[str] = ()) -> bool:
        """Sets how many executors there should be in all: of profile 0, or of each profile."""
        return await wait_async(self._request(executors, excluded_hosts))

    async def kill(self, executors: Sequence[int], *, replace: bool = False) -> dict[int, str]:
        """Ends executors."""
        return await wait_async(self._kill(executors, replace))

    async def events(self) -> AsyncIterator[SessionItem]:
        """What happens to the executors, until the application has ended."""
        while (item := await wait_async(self._next())) is not None:
            yield item

    async def unregister(self, success: bool = True, message: str = "", *, grace: float = 0) -> None:
        """Ends the application, with time in seconds for its executors to end by themselves."""
        await wait_async(self._unregister(success, message, grace))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.unregister(error is None, "" if error is None else f"{type(error).__name__}: {error}"[:200])


_KINDS = ("added", "running", "ended", "process_lost", "worker_lost", "draining", "pending", "application_ended")


def _read_item(answer: str | None) -> SessionItem | None:
    if answer is None:
        return None
    item = json.loads(answer)
    if "state" in item:
        return Executors(tuple(read_executor(executor) for executor in item["state"]))
    return _read_event(item["event"])


def _read_event(wire: Wire) -> ExecutorEvent:
    kind = next((kind for kind in _KINDS if kind in wire), "")
    what = wire.get(kind, {})
    reasons = what.get("reason", {}).get("reasons", ()) if kind == "pending" else ()
    message = what.get("message", "") or "; ".join(reason.get("message", "") for reason in reasons)
    executor = read_executor(wire["executor"]) if "executor" in wire else None
    return ExecutorEvent(kind, executor, message)
