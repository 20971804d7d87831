"""Adaptive scaling that gives executors back without having them replaced."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from distributed.deploy.adaptive import Adaptive


class MusterAdaptive(Adaptive):
    """Dask's own, but for the order in which workers are given back.

    Dask retires workers, which end then, and tells the cluster afterwards. Meanwhile Muster would replace them, since
    there should be as many as before. So the cluster is told first, and retires them.
    """

    async def scale_down(self, workers: Collection[Any]) -> None:
        """Retires workers, moving what they hold to others, and ends their executors."""
        if workers:
            await self.cluster.scale_down(workers)
