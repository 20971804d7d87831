"""Checks deploy/compose.yaml against the schema that PyPI's docker-compose holds. Usage: compose.py WHEEL"""

import copy
import json
import os
import sys
import zipfile

import jsonschema
import yaml

FILE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "deploy", "compose.yaml")


def main():
    schema = json.loads(zipfile.ZipFile(sys.argv[1]).read("compose/config/compose_spec.json"))
    with open(FILE) as text:
        composed = yaml.safe_load(text)
    jsonschema.validate(composed, schema)
    # The check itself: a misspelt key is refused.
    wrong = copy.deepcopy(composed)
    wrong["services"]["master"]["read_onyl"] = True
    try:
        jsonschema.validate(wrong, schema)
    except jsonschema.ValidationError:
        print("compose.yaml: valid")
        return
    sys.exit("error: a misspelt key was taken")


if __name__ == "__main__":
    main()
