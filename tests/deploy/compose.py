"""Checks deploy/compose.yaml against the schema that PyPI's docker-compose holds, and that what it starts is what the
programs take. Usage: compose.py WHEEL FOLDER_OF_PROGRAMS"""

import copy
import json
import os
import subprocess
import sys
import tempfile
import zipfile

import jsonschema
import yaml

FILE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "deploy", "compose.yaml")


def main():
    schema = json.loads(zipfile.ZipFile(sys.argv[1]).read("compose/config/compose_spec.json"))
    with open(FILE) as text:
        composed = yaml.safe_load(text)
    jsonschema.validate(composed, schema)
    check_credentials(composed["services"])
    check_commands(composed["services"], sys.argv[2])
    # The check itself: a misspelt key is refused.
    wrong = copy.deepcopy(composed)
    wrong["services"]["master"]["read_onyl"] = True
    try:
        jsonschema.validate(wrong, schema)
    except jsonschema.ValidationError:
        print("compose.yaml: valid")
        return
    sys.exit("error: a misspelt key was taken")


def check_credentials(services):
    """Nothing is open, and no program on the worker reads the token by which workers join."""
    for name, service in services.items():
        assert not any("insecure" in word for word in service["command"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert ("join" in service.get("secrets", [])) is (name == "join"), name


def check_commands(services, programs):
    """Each program knows its flags. A master and a worker stop at an address that is not theirs, after that."""
    with tempfile.TemporaryDirectory() as folder:
        for name, service in services.items():
            program, *words = service["entrypoint"] + service["command"]
            words = [word.replace("/var/lib/muster", folder).replace("0.0.0.0", "203.0.113.1") for word in words]
            done = subprocess.run([os.path.join(programs, os.path.basename(program)), *words], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
            wanted = "cannot listen on 203.0.113.1:7077" if name == "master" else "/run/secrets/"
            assert done.returncode and wanted in done.stdout, (name, done.stdout)


if __name__ == "__main__":
    main()
