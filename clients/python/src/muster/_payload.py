"""How functions, arguments and results travel between a driver and its executors."""

from __future__ import annotations

import pickle
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import cloudpickle

from .errors import RemoteTaskError

_PROTOCOL = 5
#: The first byte of a result: what the function has returned, or raised.
_RETURNED = b"\0"
_RAISED = b"\1"

#: What interprets functions, by the version within which code and pickles are understood.
INTERPRETER = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"


def dumps(value: object) -> bytes:
    """A value as it travels: by pickle where that suffices, which is quick; what others lack goes by value."""
    try:
        data = pickle.dumps(value, _PROTOCOL)
    except Exception:
        return cloudpickle.dumps(value, _PROTOCOL)
    # What __main__ or a module that is sent by value defines is not there on an executor.
    if b"__main__" in data or cloudpickle.list_registry_pickle_by_value():
        return cloudpickle.dumps(value, _PROTOCOL)
    return data


def dump_arguments(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> bytes:
    """The arguments of a call: a tuple, or a list with those by name where there are any."""
    return dumps([arguments, dict(keywords)] if keywords else arguments)


def dump_result(value: object) -> bytes:
    """What a function has returned."""
    return _RETURNED + dumps(value)


def dump_error(error: BaseException) -> bytes:
    """What a function has raised, with its traceback as text. What cannot travel is described."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        data = dumps((error, text))
        pickle.loads(data)
    except Exception:
        described = RemoteTaskError(f"{type(error).__name__}: {error}")
        data = dumps((described, text))
    return _RAISED + data


def load_result(data: bytes) -> Any:
    """What a function has returned; raises what it has raised, caused by its traceback over there."""
    try:
        value = pickle.loads(memoryview(data)[1:])
    except Exception as error:
        raise RemoteTaskError(f"what has come cannot be decoded: {type(error).__name__}: {error}") from error
    if data[:1] == _RETURNED:
        return value
    raised, text = value
    raised.__cause__ = _RemoteTraceback(text)
    raise raised


class _RemoteTraceback(Exception):
    """Where an exception was raised, on the executor."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f'\n"""\n{self._text}"""'
