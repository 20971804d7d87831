"""Where other machines reach this process."""

from __future__ import annotations

import socket

from .context import Context


def reachable_host(masters: str) -> str:
    """Where executors reach this process: what its worker says in a driver, else as the masters see it."""
    told = Context.from_env().host
    if told:
        return told
    host = masters.split(",")[0].rpartition(":")[0].strip("[]")
    return "127.0.0.1" if is_loopback(host) else _own_address(host)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _own_address(peer: str) -> str:
    """The address of this machine on the way to a peer. Nothing is sent."""
    family, _, _, _, address = socket.getaddrinfo(peer, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])
