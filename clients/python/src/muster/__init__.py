"""Runs programs on a Muster cluster.

>>> import muster
>>> client = muster.Client()
>>> driver = client.submit(["/bin/sh", "-c", "echo hello"], cores=1, memory="256M")
>>> client.wait(driver.id).exit_code
0
"""

from .aio import AsyncClient, AsyncWatch
from .application import Application, AsyncApplication, ExecutorEvent, Executors
from .client import Client, Watch
from .context import Context
from .errors import (
    AlreadyExistsError,
    CallError,
    CompactedError,
    FencedError,
    InvalidRequestError,
    MusterError,
    NotFoundError,
    PermissionDeniedError,
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
    "FencedError",
    "InvalidRequestError",
    "Master",
    "MusterError",
    "NotFoundError",
    "Outcome",
    "Page",
    "PendingReason",
    "PermissionDeniedError",
    "Profile",
    "ProgramOptions",
    "Restart",
    "UnauthenticatedError",
    "UnavailableError",
    "WaitTimeoutError",
    "Watch",
    "Worker",
    "WorkerState",
]
