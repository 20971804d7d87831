"""What a program learns about itself from its worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Context:
    """What a driver or an executor is told in its environment. Outside of a cluster all is empty."""

    cluster: str
    worker: str
    #: The reachable name of this machine: where executors find their driver.
    host: str
    #: The name of this driver; None outside of one.
    driver: str | None
    #: The number of its attempt, which only grows: pass it as a fencing token to what must not be written by two.
    attempt: int | None
    #: The name of the application, in an executor.
    application: str | None
    executor: int | None
    work_dir: Path | None
    #: What it was given; 0 outside of a cluster.
    cores: int
    memory_bytes: int

    @property
    def in_driver(self) -> bool:
        """Whether this process is, or belongs to, a driver: cluster mode."""
        return self.driver is not None

    @property
    def in_executor(self) -> bool:
        """Whether this process is, or belongs to, an executor."""
        return self.executor is not None

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Context:
        """Reads the environment of this process."""
        env = os.environ if env is None else env
        work_dir = env.get("MUSTER_WORK_DIR")
        return cls(
            cluster=env.get("MUSTER_CLUSTER", ""),
            worker=env.get("MUSTER_WORKER", ""),
            host=env.get("MUSTER_HOST", ""),
            driver=env.get("MUSTER_DRIVER") or None,
            attempt=_number(env, "MUSTER_ATTEMPT"),
            application=env.get("MUSTER_APPLICATION") or None,
            executor=_number(env, "MUSTER_EXECUTOR_ID"),
            work_dir=Path(work_dir) if work_dir else None,
            cores=_number(env, "MUSTER_CORES") or 0,
            memory_bytes=_number(env, "MUSTER_MEMORY_BYTES") or 0,
        )


def _number(env: Mapping[str, str], name: str) -> int | None:
    text = env.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name}={text!r} is no number") from None
