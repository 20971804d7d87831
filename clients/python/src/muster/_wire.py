"""Reads and writes the wire's own JSON, in which what has its default value is left out."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar, Union

Wire = Mapping[str, Any]
T = TypeVar("T")
E = TypeVar("E", bound=enum.Enum)

#: A length of time: seconds, or a timedelta.
Seconds = Union[float, int, timedelta]
#: A number of bytes: a number, or text as people write it, such as "512M" or "4GiB".
Size = Union[int, str]

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def items(wire: Wire, name: str, read: Callable[[Wire], T]) -> tuple[T, ...]:
    """The elements of a repeated field."""
    return tuple(read(item) for item in wire.get(name, ()))


def optional(wire: Wire, name: str, read: Callable[[Wire], T]) -> T | None:
    """A message that may be left out."""
    return read(wire[name]) if name in wire else None


def state(kind: type[E], wire: Wire, name: str = "state") -> E:
    """A state, without the prefix that the wire gives it. One that is not known here is UNKNOWN."""
    word = str(wire.get(name, "STATE_UNSPECIFIED"))
    word = word[len("STATE_") :] if word.startswith("STATE_") else word
    return kind(word) if word in kind._value2member_map_ else kind("UNKNOWN")


def time(wire: Wire, name: str) -> datetime | None:
    """A point in time, in UTC, to the microsecond."""
    text = wire.get(name)
    if text is None:
        return None
    whole, _, fraction = str(text).rstrip("Z").partition(".")
    read = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return read + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))


def duration(length: Seconds) -> str:
    """A length of time for the wire."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    return f"{seconds:.9f}s"


def size(text: Size) -> int:
    """A number of bytes; units are powers of 1024, as those of the command line."""
    if isinstance(text, int):
        return text
    number = text.strip().rstrip("bB").rstrip("i").strip()
    unit = number[-1:].lower() if number[-1:].isalpha() else ""
    digits = number[: len(number) - len(unit)].strip()
    if unit not in _UNITS or not digits.isdigit():
        raise ValueError(f"{text!r} is no size: write a number of bytes, or one with K, M, G or T, such as 512M")
    return int(digits) << (10 * _UNITS[unit])
