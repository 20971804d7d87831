"""Functions of a module that executors do not have, and that is shipped to them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_memory: list[str] = []


def slowly(number: int) -> int:
    time.sleep(0.1)
    return number * number


def sleeps(seconds: float) -> None:
    """Sleeps, so that it can be ended between two moments."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)


def process(_: int) -> int:
    return os.getpid()


def joined(first: str, second: str, by: str = " ") -> str:
    return f"{first}{by}{second}"


def fails(reason: str) -> None:
    raise KeyError(reason)


class Unpicklable(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


def raises_unpicklable() -> None:
    raise Unpicklable("it holds a lock")


def waits_for_ever(began: str, ended: str) -> None:
    """Says what it was ended with."""
    Path(began).touch()
    try:
        while True:
            time.sleep(0.01)
    except BaseException as error:
        Path(ended).write_text(type(error).__name__)
        raise


def remember(word: str) -> None:
    _memory.append(word)


def remembered() -> str:
    return _memory[-1]
