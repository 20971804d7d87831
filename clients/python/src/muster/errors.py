"""What is raised when a cluster refuses, or does not answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import Driver


class MusterError(Exception):
    """Any of the errors below."""


class CallError(MusterError):
    """A call that failed, with what the master said.

    What was not applied can be done again. Whether a mutation whose ``verdict`` is "unknown" was
    done can be found out: repeat it with the same ``request_id``, which does it once.
    """

    def __init__(self, failure: Mapping[str, Any]) -> None:
        super().__init__(failure["message"])
        #: The code of gRPC, such as "NotFound".
        self.code: str = failure["code"]
        #: The stable word of the reason, such as "NOT_FOUND"; None where no master answered.
        self.reason: str | None = failure["reason"]
        #: What a program can act on, by the master's own names.
        self.metadata: dict[str, str] = dict(failure["metadata"])
        #: The fields that are wrong, each with what is wrong with it.
        self.violations: list[tuple[str, str]] = [
            (violation["field"], violation["message"]) for violation in failure["violations"]
        ]
        #: The method that was called.
        self.method: str = failure["method"]
        #: The master that was asked last; empty where it is not known.
        self.address: str = failure["address"]
        #: How often it was tried.
        self.tries: int = failure["tries"]
        #: Whether it was done: "not applied" or "unknown".
        self.verdict: str = failure["verdict"]
        self._failure = failure

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._failure,)


class NotFoundError(CallError):
    """Nothing has the name that was asked for."""


class AlreadyExistsError(CallError):
    """The name is taken."""


class InvalidRequestError(CallError):
    """The request is wrong; ``violations`` says where."""


class UnauthenticatedError(CallError):
    """The cluster takes no such credential, or asks for one."""


class PermissionDeniedError(CallError):
    """The credential is known, and may not do this."""


class FencedError(CallError):
    """This attempt or session is no longer the present one: another copy may be running. Stop."""


class CompactedError(CallError):
    """The events after the token are forgotten: read the present state, and watch from there."""


class UnavailableError(CallError):
    """No master answered in time."""


class WaitTimeoutError(MusterError, TimeoutError):
    """The driver has not ended in time, and goes on."""

    def __init__(self, message: str, driver: Driver) -> None:
        super().__init__(message, driver)
        #: The driver as it was after that.
        self.driver = driver

    def __str__(self) -> str:
        return str(self.args[0])


class TaskFailedError(MusterError):
    """A task of a :class:`muster.MusterExecutor` could not be run to its end; what a function raises is not this."""


class ExecutorsEndedError(MusterError, BrokenExecutor):
    """Nothing can run on the executors any more, or the task was cancelled with all that ran there."""


class RemoteTaskError(MusterError):
    """What a function has raised or returned cannot travel, and this says what it was."""


_BY_REASON = {
    "NOT_FOUND": NotFoundError,
    "ALREADY_EXISTS": AlreadyExistsError,
    "FENCED": FencedError,
    "COMPACTED": CompactedError,
}
_BY_CODE = {
    "NotFound": NotFoundError,
    "InvalidArgument": InvalidRequestError,
    "Unauthenticated": UnauthenticatedError,
    "PermissionDenied": PermissionDeniedError,
    "Unavailable": UnavailableError,
    "DeadlineExceeded": UnavailableError,
}


def of_failure(text: str) -> Exception:
    """The exception for a failure of the native module."""
    failure = json.loads(text)
    kind = failure["kind"]
    if kind == "timeout":
        from .model import read_driver

        return WaitTimeoutError(failure["message"], read_driver(json.loads(failure["driver"])))
    if kind == "start":
        return MusterError(failure["message"])
    if kind == "request":
        return ValueError(failure["message"])
    by_code = _BY_CODE.get(failure["code"], CallError)
    return _BY_REASON.get(failure["reason"], by_code)(failure)
