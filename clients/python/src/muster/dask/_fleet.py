"""The executors that the Dask workers of a cluster are."""

from __future__ import annotations

import logging
from collections.abc import Collection

from ..application import AsyncApplication, ExecutorEvent, Executors
from ..model import Executor, ExecutorState

logger = logging.getLogger(__name__)

#: What still counts towards the total.
_LIVE = (ExecutorState.LAUNCHING, ExecutorState.RUNNING, ExecutorState.UNREACHABLE, ExecutorState.UNKNOWN)


class Fleet:
    """The executors of an application of one profile, and how many there should be.

    The master is told totals, and replaces what is lost. What is too much it does not end by itself: it is told which.
    """

    def __init__(self, application: AsyncApplication, target: int) -> None:
        self._application = application
        self._live: set[int] = set()
        #: How many executors there should be.
        self.target = target

    @property
    def live(self) -> frozenset[int]:
        """The numbers of the executors that are granted and have not been ended."""
        return frozenset(self._live)

    def names(self) -> set[int | str]:
        """A name for each executor that there should be: its number once it is granted."""
        granted: list[int] = sorted(self._live)[: self.target]
        missing = [f"not granted yet: {number}" for number in range(self.target - len(granted))]
        return {*granted, *missing}

    async def set_target(self, target: int) -> None:
        """Tells the master a total."""
        self.target = target
        if not await self._application.request(target):
            logger.warning("the master knew a later request for executors than that for %s", target)

    async def end(self, executors: Collection[int]) -> None:
        """Ends executors by number; the total stays as it is."""
        numbers = sorted(self._live.intersection(executors))
        if numbers:
            self._live.difference_update(numbers)
            await self._application.kill(numbers, replace=True)

    async def follow(self) -> str:
        """Follows what becomes of the executors until the application has ended, and says why it has."""
        message = ""
        async for item in self._application.events():
            if isinstance(item, Executors):
                self._live = {executor.number for executor in item.executors if _counts(executor)}
            else:
                self._see(item)
                message = item.message if item.kind == "application_ended" else message
        return message

    def _see(self, event: ExecutorEvent) -> None:
        executor = event.executor
        if event.kind == "pending":
            logger.info("%s: executors wait: %s", self._application.id, event.message)
        if executor is None:
            return
        if event.kind in ("added", "running") and _counts(executor):
            self._live.add(executor.number)
        elif executor.state.is_terminal or not _counts(executor):
            self._live.discard(executor.number)
            if event.kind in ("process_lost", "worker_lost"):
                logger.warning("%s: executor %s is lost, and replaced", self._application.id, executor.number)


def _counts(executor: Executor) -> bool:
    return executor.state in _LIVE and not executor.draining
