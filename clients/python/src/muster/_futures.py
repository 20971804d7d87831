"""Calls of the native module as futures, which threads and asyncio both wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from . import _native
from .errors import of_failure

T = TypeVar("T")
Done = Callable[[bool, Any], None]


def start(begin: Callable[[Done], _native.Call], read: Callable[[Any], T]) -> Future[T]:
    """Begins a call. Its future holds what ``read`` makes of the answer; cancelling it gives the call up."""
    future: Future[T] = Future()

    def done(is_done: bool, answer: Any) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            if not is_done:
                raise of_failure(answer)
            result = read(answer)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    call = begin(done)

    def give_up(ended: Future[T]) -> None:
        if ended.cancelled():
            call.abort()

    future.add_done_callback(give_up)
    return future


def wait(future: Future[T]) -> T:
    """Waits for a call. A signal ends the wait at once, and gives the call up."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def wait_async(future: Future[T]) -> T:
    """The same within asyncio: cancelling the task gives the call up."""
    return await asyncio.wrap_future(future)
