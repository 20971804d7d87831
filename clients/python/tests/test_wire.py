"""What is written for the wire and read from it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from muster import DriverState
from muster._wire import duration, size, state, time


def test_sizes_are_written_as_people_do() -> None:
    cases = {"0": 0, "512": 512, "1k": 1024, "512M": 512 << 20, "4GiB": 4 << 30, "2 TB": 2 << 40}
    assert {text: size(text) for text in cases} == cases
    assert size(7) == 7
    for text in ("", "M", "1.5G", "lots", "-1", "1X"):
        with pytest.raises(ValueError):
            size(text)


def test_times_are_read_to_the_microsecond() -> None:
    expected = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone.utc)
    assert time({"at": "2026-01-02T03:04:05.678901234Z"}, "at") == expected
    assert time({"at": "2026-01-02T03:04:05Z"}, "at") == expected.replace(microsecond=0)
    assert time({"at": "2026-01-02T03:04:05.5Z"}, "at") == expected.replace(microsecond=500_000)
    assert time({}, "at") is None
    assert duration(timedelta(minutes=1)) == "60.000000000s" and duration(0.25) == "0.250000000s"


def test_a_state_of_a_later_version_is_unknown_and_not_terminal() -> None:
    assert state(DriverState, {"state": "STATE_RUNNING"}) is DriverState.RUNNING
    assert state(DriverState, {"state": "STATE_DREAMING"}) is DriverState.UNKNOWN
    assert state(DriverState, {}) is DriverState.UNKNOWN and not DriverState.UNKNOWN.is_terminal
