"""An executor whose functions Python runs: ``python3 -m muster.executor``, which :class:`muster.MusterExecutor` starts."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock, get_ident
from typing import Any

from . import _native
from ._payload import INTERPRETER, dump_error, dump_result


class TaskKilled(BaseException):
    """Raised within a function whose result nobody wants any more."""


#: The threads of the attempts that run. While the lock is held, none of them ends.
_threads: dict[int, int] = {}
_lock = Lock()


def _prepare(encoded: bytes) -> None:
    """Has the driver's modules imported from here on, and calls its initializer."""
    setup: dict[str, Any] = pickle.loads(encoded)
    if setup["modules"] is not None:
        path = Path("muster_modules.zip").resolve()
        path.write_bytes(setup["modules"])
        sys.path.insert(0, str(path))
    if setup["initializer"] is not None:
        initializer, arguments = pickle.loads(setup["initializer"])
        initializer(*arguments)


def _load(encoded: bytes) -> Callable[[int, bytes], bytes]:
    """What runs a function. One that cannot be loaded fails each call, as the caller is to hear of it."""
    try:
        function = pickle.loads(encoded)
    except BaseException as error:
        failed = dump_error(error)
        return lambda attempt, argument: failed

    def run(attempt: int, argument: bytes) -> bytes:
        with _lock:
            _threads[attempt] = get_ident()
        try:
            arguments = pickle.loads(argument)
            if type(arguments) is tuple:
                return dump_result(function(*arguments))
            return dump_result(function(*arguments[0], **arguments[1]))
        except BaseException as error:
            return dump_error(error)
        finally:
            with _lock:
                del _threads[attempt]

    return run


def _kill(attempt: int) -> None:
    """Raises TaskKilled in the function that runs for an attempt, when it is next in Python."""
    with _lock:
        thread = _threads.get(attempt)
        if thread is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TaskKilled))


def main() -> int:
    """Runs tasks until the driver wants nothing more."""
    # The thread that would see an interrupt waits for the driver.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run_executor(_prepare, _load, _kill, TaskKilled, _native.__file__, INTERPRETER)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A function that does not end keeps nobody waiting.
    os._exit(code)
