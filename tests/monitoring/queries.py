"""Checks deploy/monitoring against pages of metrics: queries.py FOLDER PROMTOOL PAGE...

Every query of the dashboard and of the rules is valid, asks only for metrics that a page has, and
only by labels that these have there; and every alert is provoked by the tests of the rules."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

# What Prometheus adds to every series.
ADDED = {"job", "instance"}
NAME = r"\b(?:muster|process|metrics)_[A-Za-z0-9_]+\b"


def samples(pages):
    """name -> labels of every sample."""
    found = {"up": set(ADDED)}
    for page in pages:
        for family in text_string_to_metric_families(Path(page).read_text()):
            for sample in family.samples:
                found.setdefault(sample.name, set(ADDED)).update(sample.labels)
    return found


def wrong(query, known):
    """What the query asks for and no page has."""
    names = set(re.findall(NAME, re.sub(r'"[^"]*"', '""', query)))
    for name in sorted(names - known.keys()):
        yield f"no metric {name} in: {query}"
    for name, matchers in re.findall(rf"({NAME}|\bup)\{{([^}}]*)\}}", query):
        for label in re.findall(r"([A-Za-z_]+)\s*(?:=~|!~|!=|=)", matchers):
            if label not in known.get(name, ()):
                yield f"{name} has no label {label} in: {query}"
    # Grouping: every metric of the query has the label.
    for group in re.findall(r"\bby\s*\(([^)]*)\)", query):
        for label in (label.strip() for label in group.split(",")):
            for name in names & known.keys():
                if label not in known[name]:
                    yield f"{name} has no label {label} in: {query}"


def dashboard_queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"], target["legendFormat"]


def main():
    folder, promtool, pages = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    known = samples(pages)
    rules = [rule for group in yaml.safe_load((folder / "rules.yml").read_text())["groups"] for rule in group["rules"]]
    shown = list(dashboard_queries(json.loads((folder / "dashboard.json").read_text())))
    queries = [rule["expr"] for rule in rules] + [query for query, _ in shown]
    problems = [problem for query in queries for problem in wrong(query, known)]
    for query, legend in shown:
        for label in re.findall(r"\{\{(\w+)\}\}", legend):
            names = set(re.findall(NAME, query))
            if not all(label in known.get(name, ()) for name in names):
                problems.append(f"the legend {legend} has no label {label} in: {query}")

    tests = yaml.safe_load((folder / "rules_test.yml").read_text())["tests"]
    provoked = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    alerts = {rule["alert"] for rule in rules}
    problems += [f"nothing provokes {alert}" for alert in sorted(alerts - provoked)]
    assert not problems, "\n".join(problems)

    # The queries of the dashboard are valid as rules are, once Grafana's own variables have values.
    plain = [query.replace("$__rate_interval", "5m") for query, _ in shown]
    recorded = {"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel:{number}", "expr": query} for number, query in enumerate(plain)]}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(recorded, file)
        file.flush()
        subprocess.run([promtool, "check", "rules", file.name], check=True)
    subprocess.run([promtool, "check", "rules", folder / "rules.yml"], check=True)
    subprocess.run([promtool, "test", "rules", "rules_test.yml"], check=True, cwd=folder)
    print(f"{len(queries)} queries, {len(alerts)} alerts")


main()
