"""What can be said of a program that is to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Union

from ._wire import Seconds, Size, duration, size


@dataclass(frozen=True)
class Artifact:
    """A file that the worker fetches into the work directory before the program starts."""

    #: ``file:///path``, ``http://…`` or ``https://…``.
    uri: str
    #: Its digest in hexadecimal; what differs is refused.
    sha256: str = ""
    #: Its name in the work directory; by default the last segment of the URI.
    file_name: str = ""
    executable: bool = False


@dataclass(frozen=True)
class Restart:
    """When a program that ended is run again, after which delay, and when it is given up."""

    #: "never", "on-failure" or "always".
    when: str
    #: Failures within the window after which it is given up; 0: the cluster's default.
    max_attempts: int = 0
    window: Seconds | None = None
    backoff: Seconds | None = None
    backoff_max: Seconds | None = None


class ProgramOptions(TypedDict, total=False):
    """What a driver and an executor have in common."""

    #: Cores that it may use; 1 by default. An executor with 0 gets all that are free on its worker.
    cores: int
    #: Memory that it may use, such as "2G"; 512 MiB by default. What it takes beyond ends it.
    memory: Size
    #: Custom resources, such as ``{"gpu": 1}``.
    resources: Mapping[str, int]
    #: Labels that its worker must carry.
    selector: Mapping[str, str]
    #: Its environment. ``{{VARIABLES}}`` such as ``{{WORK_DIR}}`` are substituted by the worker.
    env: Mapping[str, str]
    #: The same, of values that never come back in any answer, event or log.
    secret_env: Mapping[str, str]
    #: Files that are fetched first: URIs, or an Artifact each.
    artifacts: Sequence[Union[str, Artifact]]
    #: An absolute path on the worker; by default a fresh folder of the attempt.
    work_dir: str
    #: Labels of it, for lists and filters.
    labels: Mapping[str, str]
    #: How much of each output file is kept.
    log_limit: Size
    #: Time between TERM and KILL when it is ended.
    kill_grace: Seconds


class DriverOptions(ProgramOptions, total=False):
    """What can be said of a driver."""

    #: Its name; made by the master when it is left out.
    id: str
    #: "never", "on-failure", "always", or a Restart. Never by default.
    restart: Union[str, Restart]
    #: When its worker falls silent: "rerun" elsewhere, or "wait" for the worker.
    on_worker_lost: str
    #: An account of the worker, one of those that it maps you to.
    run_as: str
    #: Asking again with the same id runs nothing twice.
    request_id: str


class ApplicationOptions(ProgramOptions, total=False):
    """What can be said of an application; what is said of a program is said of its executors."""

    #: Its unique name; made by the master when it is left out.
    id: str
    #: Its name for people.
    name: str
    #: How many executors it wants at first.
    executors: int
    #: The most cores of all its executors together.
    max_cores: int
    #: How long its session may be away; then it ends.
    session_grace: Seconds


def driver_request(command: Sequence[str], options: DriverOptions, *, validate_only: bool = False) -> dict[str, Any]:
    """A SubmitDriverRequest."""
    left: dict[str, Any] = dict(options)
    request: dict[str, Any] = {"validate_only": validate_only}
    if "id" in left:
        request["driver_id"] = left.pop("id")
    if "request_id" in left:
        request["request_id"] = left.pop("request_id")
    spec: dict[str, Any] = {}
    if "restart" in left:
        spec["restart"] = _restart(left.pop("restart"))
    if "on_worker_lost" in left:
        spec["on_worker_lost"] = _word("WORKER_LOST_POLICY", "on_worker_lost", left.pop("on_worker_lost"))
    if "run_as" in left:
        spec["run_as"] = left.pop("run_as")
    if "selector" in left:
        spec["worker_selector"] = dict(left.pop("selector"))
    if "labels" in left:
        spec["labels"] = dict(left.pop("labels"))
    spec["resources"] = _resources(left)
    spec.update(_program(command, left))
    _all_known(left)
    request["driver"] = spec
    return request


def application_spec(command: Sequence[str], options: ApplicationOptions) -> tuple[str, dict[str, Any]]:
    """The name of an application, and its ApplicationSpec with one profile, number 0."""
    left: dict[str, Any] = dict(options)
    identity = left.pop("id", "")
    spec: dict[str, Any] = {"name": left.pop("name", "python")}
    if "max_cores" in left:
        spec["max_cores"] = left.pop("max_cores")
    if "session_grace" in left:
        spec["session_grace"] = duration(left.pop("session_grace"))
    if "selector" in left:
        spec["worker_selector"] = dict(left.pop("selector"))
    if "labels" in left:
        spec["labels"] = dict(left.pop("labels"))
    # The wire's default for executors would be all the cores of a worker that are free.
    resources = {"cores": 1, **_resources(left)}
    profile = {"profile_id": 0, "target": left.pop("executors", 0), "resources": resources}
    spec["profiles"] = [profile]
    spec["template"] = _program(command, left)
    _all_known(left)
    return identity, spec


def _program(command: Sequence[str], left: dict[str, Any]) -> dict[str, Any]:
    if isinstance(command, str) or not command:
        raise ValueError(f"{command!r} is no command: give the program and its arguments, each as an element")
    words = [str(word) for word in command]
    run: dict[str, Any] = {"program": words[0], "args": words[1:]}
    for name in ("env", "secret_env"):
        if name in left:
            run[name] = {str(key): str(value) for key, value in left.pop(name).items()}
    if "work_dir" in left:
        run["work_dir"] = str(left.pop("work_dir"))
    program: dict[str, Any] = {"command": run}
    if "artifacts" in left:
        program["artifacts"] = [_artifact(artifact) for artifact in left.pop("artifacts")]
    if "log_limit" in left:
        program["log_limit_bytes"] = size(left.pop("log_limit"))
    if "kill_grace" in left:
        program["kill_grace"] = duration(left.pop("kill_grace"))
    return program


def _resources(left: dict[str, Any]) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if "cores" in left:
        resources["cores"] = left.pop("cores")
    if "memory" in left:
        resources["memory_bytes"] = size(left.pop("memory"))
    if "resources" in left:
        resources["custom"] = dict(left.pop("resources"))
    return resources


def _artifact(artifact: str | Artifact) -> dict[str, Any]:
    given = Artifact(artifact) if isinstance(artifact, str) else artifact
    return dict(given.__dict__)


def _restart(restart: str | Restart) -> dict[str, Any]:
    given = Restart(restart) if isinstance(restart, str) else restart
    policy: dict[str, Any] = {
        "condition": _word("RESTART_CONDITION", "restart", given.when),
        "max_attempts": given.max_attempts,
    }
    lengths = {"window": given.window, "backoff_initial": given.backoff, "backoff_max": given.backoff_max}
    policy.update({name: duration(length) for name, length in lengths.items() if length is not None})
    return policy


_WORDS = {
    "RESTART_CONDITION": ("never", "on-failure", "always"),
    "WORKER_LOST_POLICY": ("rerun", "wait"),
}


def _word(kind: str, option: str, word: str) -> str:
    if word not in _WORDS[kind]:
        raise ValueError(f"{option}={word!r}: it is one of {', '.join(map(repr, _WORDS[kind]))}")
    return f"{kind}_{word.upper().replace('-', '_')}"


def _all_known(left: dict[str, Any]) -> None:
    if left:
        raise TypeError(f"there is no option {next(iter(left))!r}")
