"""What a cluster answers with: drivers, applications, executors, workers, events."""

from ._application import ApplicationInfo, ApplicationState, Executor, ExecutorState, Profile
from ._application import read_application, read_executor
from ._cluster import Cluster, Master, Worker, WorkerState, read_cluster, read_worker
from ._driver import Attempt, Driver, DriverState, Outcome, PendingReason, read_driver
from ._event import Event, Page, read_event

__all__ = [
    "ApplicationInfo",
    "ApplicationState",
    "Attempt",
    "Cluster",
    "Driver",
    "DriverState",
    "Event",
    "Executor",
    "ExecutorState",
    "Master",
    "Outcome",
    "Page",
    "PendingReason",
    "Profile",
    "Worker",
    "WorkerState",
    "read_application",
    "read_cluster",
    "read_driver",
    "read_event",
    "read_executor",
    "read_worker",
]
