"""A sweep of an external program over its parameters: how well, and how fast, does gzip compress a file?

Usage: sweep.py FILE

Each combination is a driver of its own. All are submitted at once, run as the cluster has room, and are read as they
end. Interrupt it, and what runs is killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import muster

LEVELS = (1, 3, 6, 9)
REPEATS = (1, 4)
SCRIPT = 'i=0; while [ $i -lt "$2" ]; do cat "$3"; i=$((i + 1)); done | gzip "-$1" | wc -c'


def main(path: Path) -> None:
    client = muster.Client()
    sweep: dict[tuple[int, int], muster.Driver] = {}
    try:
        for level in LEVELS:
            for repeat in REPEATS:
                command = ["/bin/sh", "-c", SCRIPT, "sweep", str(level), str(repeat), str(path.resolve())]
                sweep[level, repeat] = client.submit(command, memory="64M", labels={"example": "sweep"})
        print("level  repeats  bytes")
        for (level, repeat), driver in sweep.items():
            ended = client.wait(driver.uid)
            if ended.state is not muster.DriverState.FINISHED:
                said = b"".join(client.logs(driver.uid, stream="stderr")).decode()
                raise SystemExit(f"level {level}, {repeat} times: {ended.state.value}: {said}")
            size = int(b"".join(client.logs(driver.uid)))
            print(f"{level:5}  {repeat:7}  {size}")
    except BaseException:
        for driver in sweep.values():
            client.kill(driver.uid)
        raise


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
