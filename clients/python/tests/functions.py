"""Functions of a module that executors do not have, and that is shipped to them."""

from __future__ import annotations

import time


def slowly(number: int) -> int:
    time.sleep(0.1)
    return number * number
