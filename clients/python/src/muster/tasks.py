"""Functions on executors, as ``concurrent.futures`` has them."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, InvalidStateError
from types import TracebackType
from typing import Any, TypeVar, Union

from . import _native
from ._futures import start, wait
from ._host import reachable_host
from ._modules import ModuleSource, pack
from ._operations import Operations
from ._payload import INTERPRETER, dump_arguments, dumps, load_result
from ._wire import Size
from .client import Client
from .errors import ExecutorsEndedError, TaskFailedError
from .options import application_spec

T = TypeVar("T")

#: Functions that executors keep though nothing of them runs: most programs have fewer.
_IDLE_FUNCTIONS = 64


class MusterExecutor(Executor):
    """Runs functions on executors of a Muster cluster, as ``ProcessPoolExecutor`` does on processes of this machine.

    >>> with muster.MusterExecutor(max_workers=4) as executor:
    ...     list(executor.map(abs, [-1, 2, -3]))
    [1, 2, 3]

    A function, its arguments and its result are pickled; what ``__main__`` defines travels by value. A task is run again
    if it is lost with its executor, up to four times, and never because it raises: that is what its future gives, caused
    by the traceback on the executor. ``cancel()`` of a future ends its task even if it runs, where it is in Python.

    Parameters
    ----------
    client
        The Muster cluster: a client or addresses of its masters; by default what the environment or the context of
        ``muster login`` says.
    max_workers, cores, memory
        How many executors there are; what each has. An executor runs a task for each core at the same time, in threads.
    python
        The interpreter on the executors' machines, of the version of this one and with this package; by default the
        path of this one.
    host
        Where executors reach this process. By default ``MUSTER_HOST`` in a driver; else loopback if the masters are
        there, else this machine's address on the way to them.
    modules
        Modules of yours that executors cannot import by themselves: modules or their names, or paths.
    initializer, initargs
        Called on each executor before its first task. If it raises, tasks fail with that.
    options
        Other options of the executors, as those of :meth:`muster.Application.register`: ``env``, ``selector``,
        ``resources``, ``artifacts``, ``labels`` and more.
    """

    def __init__(
        self,
        client: Operations | str | None = None,
        *,
        max_workers: int = 2,
        cores: int = 1,
        memory: Size = "1G",
        python: str | None = None,
        host: str | None = None,
        modules: Sequence[ModuleSource] = (),
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if max_workers < 1:
            raise ValueError("max_workers must be at least 1")
        cluster = client if isinstance(client, Operations) else Client(client)
        setup = dumps(
            {
                "modules": pack(modules) if modules else None,
                "initializer": dumps((initializer, initargs)) if initializer is not None else None,
            }
        )
        command = [python or sys.executable, "-m", "muster.executor"]
        given: dict[str, Any] = {"name": "python-tasks", **(options or {})}
        identity, spec = application_spec(command, {**given, "executors": max_workers, "cores": cores, "memory": memory})  # type: ignore[typeddict-item]
        library = _native.__file__
        reached_at = host or reachable_host(cluster.masters)

        def begin(done: Callable[[bool, Any], None]) -> _native.Call:
            return cluster._connection.start_tasks(  # pyright: ignore[reportPrivateUsage]
                identity, json.dumps(spec), setup, reached_at, library, INTERPRETER, done
            )

        self._tasks: _native.Tasks = wait(start(begin, _as_tasks))
        self._functions = _Functions(self._tasks)
        self._jobs: dict[int, Union[_Single, _Map]] = {}
        self._lock = threading.Lock()
        self._is_empty = threading.Condition(self._lock)
        self._is_shut_down = False
        self._stopped: Future[None] | None = None
        self._collector = threading.Thread(target=_collect, args=(weakref.ref(self), self._tasks), name="muster-results", daemon=True)
        self._collector.start()
        _executors.add(self)

    @property
    def application(self) -> str:
        """The name of the application on the Muster cluster."""
        return self._tasks.application

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Runs a function once. What cannot be pickled is an error at once."""
        argument = dump_arguments(args, kwargs)
        encoded = dumps(fn)
        future = _TaskFuture[T]()
        with self._lock:
            self._check_open()
            job, function = self._tasks.new_job(), self._functions.use(encoded)
            self._jobs[job] = _Single(future, function)
            future.cancels = lambda: self._tasks.cancel(job, "its future was cancelled")
        self._submit(job, function, fn, [argument])
        return future

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1, **ignored: Any
    ) -> Iterator[T]:
        """Runs a function for each item. Results come in the order of the items, each as soon as it is there.

        Tasks travel in batches anyway, so ``chunksize`` changes nothing. Whoever leaves the iterator cancels the rest.
        """
        del chunksize, ignored
        deadline = None if timeout is None else time.monotonic() + timeout
        arguments = [dump_arguments(items, {}) for items in zip(*iterables)]
        if not arguments:
            return iter(())
        encoded = dumps(fn)
        results = _Map(len(arguments))
        with self._lock:
            self._check_open()
            job, function = self._tasks.new_job(), self._functions.use(encoded)
            results.function = function
            self._jobs[job] = results
        self._submit(job, function, fn, arguments)
        return self._results_of(job, results, deadline)

    def _results_of(self, job: int, results: _Map, deadline: float | None) -> Iterator[Any]:
        is_whole = False
        try:
            for position in range(len(results.data)):
                yield load_result(results.take(position, deadline))
            is_whole = True
        finally:
            if not is_whole:
                self._tasks.cancel(job, "nobody waits for its results any more")

    def _submit(self, job: int, function: int, fn: Callable[..., object], arguments: list[bytes]) -> None:
        try:
            self._tasks.submit(job, function, getattr(fn, "__qualname__", None) or repr(fn)[:100], arguments)
        except BaseException:
            with self._lock:
                self._forget(job)
            raise

    def _check_open(self) -> None:
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the application once what was submitted has ended, or at once with ``cancel_futures``.

        Without ``wait`` it returns at once, and all that happens behind it.
        """
        with self._lock:
            self._is_shut_down = True
            jobs = dict(self._jobs) if cancel_futures else {}
        for job, waiting in jobs.items():
            if isinstance(waiting, _Single):
                waiting.future.cancel()
            else:
                self._tasks.cancel(job, "its executor was shut down")
        if wait:
            self._end()
        else:
            threading.Thread(target=self._end, name="muster-shutdown", daemon=True).start()

    def _end(self) -> None:
        with self._lock:
            while self._jobs:
                # A timeout, as a wait without one would not give way to signals everywhere.
                self._is_empty.wait(60)
        self._stop(None)

    def _stop(self, error: str | None) -> None:
        with self._lock:
            if self._stopped is None:
                self._stopped = start(lambda done: self._tasks.stop(error, done), _nothing)
            stopped = self._stopped
        try:
            wait(stopped)
        finally:
            self._tasks.close_results()
        _executors.discard(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if error is None or isinstance(error, Exception):
            self.shutdown(wait=True)
            return None
        # An interrupt: nobody waits for anything any more.
        with self._lock:
            self._is_shut_down = True
        with contextlib.suppress(Exception):
            self._stop(type(error).__name__)
        return None

    def _forget(self, job: int) -> _Single | _Map | None:
        """Takes a job out; with the lock held."""
        found = self._jobs.pop(job, None)
        if found is not None:
            self._functions.release(found.function)
            if not self._jobs:
                self._is_empty.notify_all()
        return found

    def _hear(self, results: list[tuple[int, int, bytes]], ended: list[tuple[int, tuple[str, str] | None]]) -> None:
        """What has come."""
        single: list[tuple[_Single, bytes]] = []
        failed: list[tuple[_Single | _Map, Exception]] = []
        maps: set[_Map] = set()
        with self._lock:
            for job, partition, data in results:
                found = self._jobs.get(job)
                if isinstance(found, _Map):
                    found.data[partition] = data
                    maps.add(found)
                elif found is not None:
                    single.append((found, data))
            for job, failure in ended:
                gone = self._forget(job)
                if gone is not None and failure is not None:
                    failed.append((gone, _error_of(*failure)))
        for results_of_map in maps:
            results_of_map.notify()
        for call, data in single:
            _complete(call.future, data)
        for call_or_map, error in failed:
            if isinstance(call_or_map, _Map):
                call_or_map.fail(error)
            else:
                _fail(call_or_map.future, error)


class _TaskFuture(Future[T]):
    """A future whose task is ended when it is cancelled."""

    cancels: Callable[[], None] | None = None

    def cancel(self) -> bool:
        """Ends the task, even if it runs. False only if it is over."""
        was_cancelled = self.cancelled()
        if not super().cancel():
            return False
        if not was_cancelled:
            # Nothing takes it up later, which is when those are told who wait for several.
            self.set_running_or_notify_cancel()
            if self.cancels is not None:
                self.cancels()
        return True


class _Single:
    """A function that runs once."""

    def __init__(self, future: Future[Any], function: int) -> None:
        self.future = future
        self.function = function


class _Map:
    """The results of a map, by position, as they have travelled."""

    function = 0

    def __init__(self, count: int) -> None:
        self.data: list[bytes | None] = [None] * count
        self._error: Exception | None = None
        self._changed = threading.Condition()

    def notify(self) -> None:
        """Has whoever waits look again."""
        with self._changed:
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """No more results come."""
        self._error = error
        self.notify()

    def take(self, position: int, deadline: float | None) -> bytes:
        """A result, once it is there. It is not kept."""
        data = self.data[position]
        if data is None:
            with self._changed:
                while (data := self.data[position]) is None:
                    if self._error is not None:
                        raise self._error
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        raise TimeoutError(f"result {position} has not come in time")
                    self._changed.wait(left)
        self.data[position] = b""
        return data


class _Functions:
    """The functions that the executors know, by what they are pickled to. Those used last are kept."""

    def __init__(self, tasks: _native.Tasks) -> None:
        self._tasks = tasks
        self._by_digest: dict[bytes, int] = {}
        self._digests: dict[int, bytes] = {}
        self._uses: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    def use(self, encoded: bytes) -> int:
        """The number of a function, which is kept as long as a job uses it."""
        digest = hashlib.sha256(encoded).digest()
        number = self._by_digest.get(digest)
        if number is None:
            number = self._by_digest[digest] = self._tasks.add_function(encoded)
            self._digests[number] = digest
        self._idle.pop(number, None)
        self._uses[number] = self._uses.get(number, 0) + 1
        return number

    def release(self, number: int) -> None:
        """A job that has used it is over."""
        self._uses[number] -= 1
        if self._uses[number] == 0:
            del self._uses[number]
            self._idle[number] = None
        while len(self._idle) > _IDLE_FUNCTIONS:
            oldest, _ = self._idle.popitem(last=False)
            del self._by_digest[self._digests.pop(oldest)]
            self._tasks.forget_function(oldest)


def _as_tasks(native: Any) -> _native.Tasks:
    assert isinstance(native, _native.Tasks)
    return native


def _nothing(_: object) -> None:
    pass


def _error_of(kind: str, message: str) -> Exception:
    return ExecutorsEndedError(message) if kind == "ended" else TaskFailedError(message)


def _complete(future: Future[Any], data: bytes) -> None:
    if future.done():
        return
    try:
        value = load_result(data)
    except BaseException as error:
        _fail(future, error)
    else:
        # It may be cancelled until the last moment.
        with contextlib.suppress(InvalidStateError):
            future.set_result(value)


def _fail(future: Future[Any], error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)


def _collect(executor: weakref.ref[MusterExecutor], tasks: _native.Tasks) -> None:
    """Hands on what comes, until nothing more does."""
    while (heard := tasks.next_results()) is not None:
        present = executor()
        if present is None:
            return
        present._hear(*heard)  # pyright: ignore[reportPrivateUsage]
        del present


#: Those that were not shut down.
_executors: weakref.WeakSet[MusterExecutor] = weakref.WeakSet()


@atexit.register
def _shut_down() -> None:
    """Waits for what was submitted, as the executors of ``concurrent.futures`` do, and ends the applications."""
    for executor in list(_executors):
        with contextlib.suppress(Exception):
            executor.shutdown(wait=True)
