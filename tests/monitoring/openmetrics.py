"""Reads pages of metrics with the strict OpenMetrics parser of Prometheus' Python library, and
compares them with the tables of docs/metrics.md: openmetrics.py TABLES PAGE..."""

import re
import sys
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

# What a sample's name has behind that of its family.
SUFFIX = {"counter": "_total", "info": "_info"}


def rows(text):
    """name -> (type, unit, labels) of every row of a table of metrics."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`"):
            labels = frozenset(re.findall(r"`([^`]+)`", cells[3]))
            assert cells[0] not in found, f"twice: {cells[0]}"
            found[cells[0].strip("`")] = (cells[1], cells[2], labels)
    return found


def measured(page):
    """The same of a page."""
    found = {}
    for family in text_string_to_metric_families(page):
        labels = frozenset(name for sample in family.samples for name in sample.labels if name != "le")
        assert family.samples, f"{family.name} has no sample"
        assert family.documentation.endswith("."), f"{family.name}: {family.documentation}"
        found[family.name + SUFFIX.get(family.type, "")] = (family.type, family.unit, labels)
    return found


def main():
    table = rows(Path(sys.argv[1]).read_text())
    pages = {}
    for path in sys.argv[2:]:
        pages.update(measured(Path(path).read_text()))
    wrong = [f"{name}: {table.get(name)} in the table, {pages.get(name)} in the page"
             for name in sorted(table.keys() | pages.keys()) if table.get(name) != pages.get(name)]
    assert not wrong, "\n".join(wrong)
    print(f"{len(pages)} metrics")


main()
