"""A Dask cluster whose workers are executors of a Muster application."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import math
import sys
import tempfile
import weakref
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dask
import dask.config
from dask.utils import parse_bytes
from distributed import Scheduler
from distributed.core import Status, rpc
from distributed.deploy.cluster import Cluster
from distributed.diagnostics.plugin import UploadFile
from distributed.protocol.pickle import dumps
from distributed.security import Security

from .._host import is_loopback, reachable_host
from .._modules import ModuleSource, pack
from .._operations import Operations
from .._wire import Size, size
from ..aio import AsyncClient
from ..application import AsyncApplication
from ._adaptive import MusterAdaptive
from ._fleet import Fleet

logger = logging.getLogger(__name__)

#: How long a Dask worker may take to start and to find its scheduler: minutes on a busy machine. Its end does not depend
#: on it, as that comes with the application's.
_DEATH_TIMEOUT_SECONDS = 300
#: How long the end of a process waits for its clusters to close.
_CLOSE_SECONDS = 10
#: Those of this process, as long as anybody holds them.
_clusters: weakref.WeakSet[MusterCluster] = weakref.WeakSet()


class MusterCluster(Cluster):
    """Runs Dask's scheduler in this process and its workers as executors on a Muster cluster.

    It works in a driver (cluster mode) and outside of one (client mode). The executors' machines need a Python with
    Dask, the packages of your functions, and of the same versions. Executors that are lost are replaced; while the
    masters are away everything goes on, without replacements. The application ends when the cluster is closed, and a
    minute after this process is gone.

    Parameters
    ----------
    client
        The Muster cluster: a client or addresses of its masters; by default what the environment or the context of
        ``muster login`` says.
    n_workers, cores, memory
        How many workers there are at first; what each has. A worker has a thread for each core unless ``nthreads``
        says otherwise, and its limit of memory is the executor's.
    python
        The interpreter on the executors' machines; by default the path of this one.
    host
        Where workers reach this process. By default ``MUSTER_HOST`` in a driver; else loopback if the masters are
        there, else this machine's address on the way to them.
    security
        ``True`` or a ``Security`` has all traffic over TLS. By default it is where ``host`` is not loopback, with
        certificates that are made anew; ``False`` does without, and then whoever reaches the port may run anything.
    options
        Other options of the executors, as those of :meth:`muster.Application.register`: ``env``, ``selector``,
        ``resources``, ``artifacts``, ``labels``, ``max_cores`` and more.
    modules
        Modules of yours that the workers cannot import by themselves: modules or their names, or paths. They are
        sent to each worker before its first task. What ``__main__`` defines needs no mention. A worker that is sent
        a function of a module that it lacks ends, and Dask then gives up its tasks as ``KilledWorker``.
    """

    status: Status

    def __init__(
        self,
        client: Operations | str | None = None,
        *,
        n_workers: int = 0,
        cores: int = 1,
        memory: Size = "2G",
        nthreads: int | None = None,
        python: str | None = None,
        host: str | None = None,
        security: Security | bool | None = None,
        worker_options: Sequence[str] = (),
        scheduler_options: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        modules: Sequence[ModuleSource] = (),
        name: str | None = None,
        asynchronous: bool = False,
        loop: Any = None,
    ) -> None:
        self._muster = client if isinstance(client, Operations) else AsyncClient(client)
        self._host = host or reachable_host(self._muster.masters)
        self.security = _security(security, self._host)
        self._cores, self._memory = cores, size(memory)
        self._nthreads = nthreads or cores
        self._python = python or sys.executable
        self._worker_options = list(worker_options)
        self._scheduler_options = dict(scheduler_options or {})
        self._options = dict(options or {})
        self._modules = pack(modules) if modules else None
        self._first_target = n_workers
        self._scaling = asyncio.Lock()
        self._application: AsyncApplication | None = None
        self._fleet: Fleet | None = None
        self._follower: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.scheduler: Scheduler | None = None
        _clusters.add(self)
        super().__init__(asynchronous=asynchronous, loop=loop, name=name, quiet=True)
        if not self.called_from_running_loop:
            self._loop_runner.start()
            try:
                self.sync(self._start)
            except BaseException:
                # What an interrupt has left half started is ended, too.
                with contextlib.suppress(Exception):
                    self.sync(self._close)
                self._loop_runner.stop()
                raise

    async def _start(self) -> None:
        while self.status == Status.starting:
            await asyncio.sleep(0.01)
        if self.status == Status.running:
            return
        if self.status in (Status.closing, Status.closed, Status.failed):
            raise ValueError("the cluster is closed")
        self.status = Status.starting
        try:
            options = {"host": self._host, "port": 0, "dashboard": False, **self._scheduler_options}
            scheduler = self.scheduler = Scheduler(security=self.security, **options)
            await scheduler
            connection_args = self.security.get_connection_args("client")
            self.scheduler_comm = rpc(scheduler.address, connection_args=connection_args)
            if self._modules is not None:
                await _have_workers_import(scheduler, self._modules)
            self._application = await self._register(scheduler.address)
            self._fleet = Fleet(self._application, self._first_target)
            self._follower = asyncio.ensure_future(self._follow(self._fleet))
            await super()._start()
        except BaseException:
            self.status = Status.failed
            await self._close()
            raise

    async def _register(self, scheduler: str) -> AsyncApplication:
        command = [self._python, "-m", "distributed.cli.dask_worker", scheduler]
        # The executor's number is the worker's name: so the two are known as one.
        command += ["--name", "{{EXECUTOR_ID}}", "--nthreads", str(self._nthreads)]
        command += ["--memory-limit", "{{MEMORY_BYTES}}", "--local-directory", "{{WORK_DIR}}"]
        # Muster itself starts a worker again, and ends all that it has started.
        command += ["--no-nanny", "--no-dashboard", "--death-timeout", str(_DEATH_TIMEOUT_SECONDS)]
        secret_env = {"DASK_INTERNAL_INHERIT_CONFIG": _config_of_workers(self.security)}
        secret_env.update(self._options.pop("secret_env", {}))
        options: dict[str, Any] = {"name": f"dask-{self.name}", **self._options}
        return await AsyncApplication.register(
            self._muster,
            [*command, *self._worker_options],
            executors=self._first_target,
            cores=self._cores,
            memory=self._memory,
            secret_env=secret_env,
            **options,
        )

    async def _follow(self, fleet: Fleet) -> None:
        try:
            message = await fleet.follow()
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("nothing more is heard of the executors of %s", self._application)
        else:
            if self.status == Status.running:
                logger.error("the application %s has been ended: %s", self._application, message)

    @property
    def application(self) -> str:
        """The name of the application on the Muster cluster."""
        if self._application is None:
            raise ValueError("the cluster has not started")
        return self._application.id

    @property
    def plan(self) -> set[int | str]:
        """The workers that there should be."""
        return self._fleet.names() if self._fleet else set()

    @property
    def requested(self) -> set[int | str]:
        """The workers that the master knows of: all that there should be, since it is told totals."""
        return self.plan

    def scale(self, n: int = 0, memory: Size | None = None, cores: int | None = None) -> Any:
        """Sets how many workers there are, or how much memory or how many threads they have together.

        Returns once the master knows. Workers that are too many are retired first, those with the least to lose.
        """
        if memory is not None:
            n = max(n, math.ceil(parse_bytes(memory) / self._memory))
        if cores is not None:
            n = max(n, math.ceil(cores / self._nthreads))
        if not self.called_from_running_loop:
            return self.sync(self._scale, n)
        task = asyncio.ensure_future(self._scale(n))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    scale_up = scale

    async def _scale(self, n: int) -> None:
        if self._fleet is None:
            self._first_target = n
            return
        async with self._scaling:
            live = self._fleet.live
            surplus = max(0, len(live) - n)
            ending = set(sorted(live - self.observed)[:surplus])
            if len(ending) < surplus:
                busy = await self.scheduler_comm.workers_to_close(n=surplus - len(ending), attribute="name")
                ending.update(busy)
            # The scheduler leaves those that compute; who asks for fewer workers gets fewer.
            ending.update(sorted(live - ending)[: surplus - len(ending)])
            await self._shrink(self._fleet, n, ending)

    async def scale_down(self, workers: Collection[int | str]) -> None:
        """Retires these workers, which are fewer then; only their executors are ended."""
        if self._fleet is None:
            return
        async with self._scaling:
            known = self._fleet.names().intersection(workers)
            ending = {name for name in known if isinstance(name, int)}
            await self._shrink(self._fleet, self._fleet.target - len(known), ending)

    async def _shrink(self, fleet: Fleet, target: int, ending: set[int]) -> None:
        # The total first: what ends by itself once it is retired must not be replaced.
        if target != fleet.target:
            await fleet.set_target(target)
        retired = self.observed.intersection(ending)
        if retired:
            await self.scheduler_comm.retire_workers(names=list(retired), remove=True, close_workers=True)
        await fleet.end(ending)

    def adapt(
        self,
        Adaptive: type[Any] = MusterAdaptive,
        minimum: float = 0,
        maximum: float = math.inf,
        minimum_cores: int | None = None,
        maximum_cores: int | None = None,
        minimum_memory: Size | None = None,
        maximum_memory: Size | None = None,
        **kwargs: Any,
    ) -> Any:
        """Scales by what there is to do, between bounds of workers, threads or memory: see ``dask.distributed.Adaptive``."""
        if minimum_cores is not None:
            minimum = max(minimum, math.ceil(minimum_cores / self._nthreads))
        if minimum_memory is not None:
            minimum = max(minimum, math.ceil(parse_bytes(minimum_memory) / self._memory))
        if maximum_cores is not None:
            maximum = min(maximum, math.floor(maximum_cores / self._nthreads))
        if maximum_memory is not None:
            maximum = min(maximum, math.floor(parse_bytes(maximum_memory) / self._memory))
        return super().adapt(Adaptive=Adaptive, minimum=minimum, maximum=maximum, **kwargs)

    def close(self, timeout: float | None = None) -> Any:
        """Ends the application, with its executors, and the scheduler."""
        closing = super().close(timeout)
        if not self.called_from_running_loop:
            self._loop_runner.stop()
        return closing

    async def _close(self) -> None:
        while self.status == Status.closing:
            await asyncio.sleep(0.05)
        if self.status in (Status.closed, Status.created):
            self.status = Status.closed
            return
        success = self.status == Status.running
        self.status = Status.closing
        with contextlib.suppress(AttributeError):
            self._adaptive.stop()
        await self._end(success)
        self.status = Status.running
        await super()._close()

    async def _end(self, success: bool) -> None:
        """Ends what was started, as far as it was."""
        for task in [*self._tasks, *([self._follower] if self._follower else [])]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        if self.scheduler is not None:
            # It tells the workers to end, so that they do not look for it.
            await self.scheduler.close()
        if self._application is not None:
            try:
                await self._application.unregister(success)
            except Exception as error:
                logger.warning("the application %s could not be ended: %s", self._application.id, error)

    def __await__(self) -> Generator[Any, Any, MusterCluster]:
        async def started() -> MusterCluster:
            await self._start()
            return self

        return started().__await__()

    def __enter__(self) -> MusterCluster:
        entered: MusterCluster = super().__enter__()
        return entered


async def _have_workers_import(scheduler: Scheduler, archive: bytes) -> None:
    """Has each worker that comes import these modules before it is sent tasks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "muster_modules.zip")
        path.write_bytes(archive)
        plugin = UploadFile(str(path))
    await scheduler.register_worker_plugin(comm=None, plugin=dumps(plugin), name="muster_modules", idempotent=False)


def _security(security: Security | bool | None, host: str) -> Security:
    if isinstance(security, Security):
        return security
    if security is False or (security is None and is_loopback(host)):
        return Security()
    try:
        return Security.temporary()
    except ImportError as error:
        raise ImportError(f"{error}; or say security=False, where everybody who reaches {host} may run anything") from error


def _config_of_workers(security: Security) -> str:
    """Dask's configuration of this process, with what a worker needs for TLS."""
    tls = security.get_tls_config_for_role("worker")
    own: dict[str, Any] = {}
    if tls["cert"] is not None:
        own = {
            "distributed.comm.require-encryption": True,
            "distributed.comm.tls.ca-file": tls["ca_file"],
            "distributed.comm.tls.worker.cert": tls["cert"],
            "distributed.comm.tls.worker.key": tls["key"],
        }
    # What is set is taken back in place, in all copies that are not deep.
    with dask.config.set(own):
        return str(dask.config.serialize(dict(dask.config.config)))


@atexit.register
def _close_clusters() -> None:
    """Ends the applications of clusters that were not closed."""
    for cluster in list(_clusters):
        if cluster.status not in (Status.closed, Status.created):
            with contextlib.suppress(Exception):
                cluster.close(timeout=_CLOSE_SECONDS)
