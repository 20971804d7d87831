"""Runs programs on a Muster cluster.

>>> import muster
>>> client = muster.Client()
>>> driver = client.submit(["/bin/sh", "-c", "echo hello"], cores=1, memory="256M")
>>> client.wait(driver.id).exit_code
0
"""

from typing import TYPE_CHECKING

from .aio import AsyncClient, AsyncWatch
from .application import Application, AsyncApplication, ExecutorEvent, Executors
from .client import Client, Watch
from .context import Context
from .errors import (
    AlreadyExistsError,
    CallError,
    CompactedError,
    ExecutorsEndedError,
    FencedError,
    InvalidRequestError,
    MusterError,
    NotFoundError,
    PermissionDeniedError,
    RemoteTaskError,
    TaskFailedError,
    UnauthenticatedError,
    UnavailableError,
    WaitTimeoutError,
)
from .model import (
    ApplicationInfo,
    ApplicationState,
    Attempt,
    Cluster,
    Driver,
    DriverState,
    Event,
    Executor,
    ExecutorState,
    Master,
    Outcome,
    Page,
    PendingReason,
    Profile,
    Worker,
    WorkerState,
)
from .options import ApplicationOptions, Artifact, DriverOptions, ProgramOptions, Restart

if TYPE_CHECKING:
    from .tasks import MusterExecutor


def __getattr__(name: str) -> object:
    # It needs cloudpickle, which nothing else does, and takes a while to load.
    if name == "MusterExecutor":
        from .tasks import MusterExecutor

        return MusterExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "AlreadyExistsError",
    "Application",
    "ApplicationInfo",
    "ApplicationOptions",
    "ApplicationState",
    "Artifact",
    "AsyncApplication",
    "AsyncClient",
    "AsyncWatch",
    "Attempt",
    "CallError",
    "Client",
    "Cluster",
    "CompactedError",
    "Context",
    "Driver",
    "DriverOptions",
    "DriverState",
    "Event",
    "Executor",
    "ExecutorEvent",
    "ExecutorState",
    "Executors",
    "ExecutorsEndedError",
    "FencedError",
    "InvalidRequestError",
    "Master",
    "MusterError",
    "MusterExecutor",
    "NotFoundError",
    "Outcome",
    "Page",
    "PendingReason",
    "PermissionDeniedError",
    "Profile",
    "ProgramOptions",
    "RemoteTaskError",
    "Restart",
    "TaskFailedError",
    "UnauthenticatedError",
    "UnavailableError",
    "WaitTimeoutError",
    "Watch",
    "Worker",
    "WorkerState",
]
