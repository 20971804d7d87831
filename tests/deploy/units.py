"""Checks the units in deploy/systemd by systemd-analyze, with the programs of a folder in place of the installed
ones. Usage: units.py FOLDER_OF_PROGRAMS"""

import os
import re
import subprocess
import sys
import tempfile

UNITS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "deploy", "systemd")
# Of ten, lower is better. A worker starts what others bring along, and is not judged.
MOST_EXPOSED = 2.0


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)


def main():
    programs = os.path.realpath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        for name in ("muster-master", "muster-worker"):
            with open(os.path.join(UNITS, name + ".service")) as unit:
                text = unit.read()
            path = os.path.join(folder, name + ".service")
            with open(path, "w") as out:
                out.write(text.replace("/usr/bin/" + name, os.path.join(programs, name)))
            verified = analyze("verify", path)
            # Warnings leave the code at 0, so what is said counts.
            complaints = [line for line in verified.stdout.splitlines() if name in line]
            assert verified.returncode == 0 and not complaints, verified.stdout
            if name == "muster-worker":
                assert "\nKillMode=process\n" in text, "a restart of the agent would end what runs"
                continue
            judged = analyze("security", "--offline=true", "--no-pager", path).stdout
            exposure = float(re.search(r"level for \S+: ([\d.]+)", judged)[1])
            assert exposure <= MOST_EXPOSED, judged
            print(f"{name}: exposure {exposure}")


if __name__ == "__main__":
    main()
