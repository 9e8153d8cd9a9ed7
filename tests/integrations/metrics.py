"""Metrics as their readers read them.

    metrics.py openmetrics <FILE    the samples as JSON, when both parsers of Prometheus' own library take the text
    metrics.py emf <LINES           how many lines are in CloudWatch's Embedded Metric Format
"""

import json
import re
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

UNITS = {"Seconds", "Count"}


def check(condition, what):
    if not condition:
        sys.exit(f"{what}")


def read_openmetrics(text):
    check(text.endswith("# EOF\n"), "no # EOF at the end")
    found = {}
    for family in openmetrics.text_string_to_metric_families(text):
        check(family.documentation and family.type in ("counter", "gauge"), family)
        for sample in family.samples:
            found[json.dumps([sample.name, sorted(sample.labels.items())])] = sample.value
    # node_exporter reads the older format, in which a counter has its whole name.
    older = [sample for family in parser.text_string_to_metric_families(text) for sample in family.samples]
    for sample in older:
        key = json.dumps([sample.name, sorted(sample.labels.items())])
        check(found.get(key) == sample.value, f"{key} is {sample.value} in the older format")
    check(len(older) == len(found), f"{len(older)} samples in the older format, {len(found)} in the newer")
    print(json.dumps([{"name": name, "labels": dict(labels), "value": found[key]} for key in found for name, labels in [json.loads(key)]]))


def read_emf(lines):
    """The specification's JSON schema, and what its text says beside it."""
    for line in lines:
        check(len(line.encode()) <= 256 * 1024, "an event of more than 256 KB")
        event = json.loads(line)
        about = event["_aws"]
        check(about.keys() == {"Timestamp", "CloudWatchMetrics"} and isinstance(about["Timestamp"], int), about)
        check(about["Timestamp"] > 1_600_000_000_000, "the timestamp is in milliseconds")
        for directive in about["CloudWatchMetrics"]:
            check(directive.keys() == {"Namespace", "Dimensions", "Metrics"}, directive)
            check(re.fullmatch(r"[0-9A-Za-z.\-_/#:]{1,255}", directive["Namespace"]), directive["Namespace"])
            check(1 <= len(directive["Metrics"]) <= 100, "1 to 100 metrics")
            for dimensions in directive["Dimensions"]:
                check(len(dimensions) <= 30, dimensions)
                for name in dimensions:
                    check(isinstance(event[name], str) and 1 <= len(event[name]) <= 1024, name)
            names = [metric["Name"] for metric in directive["Metrics"]]
            check(len(set(names)) == len(names), "a name twice")
            for metric in directive["Metrics"]:
                check(metric["Unit"] in UNITS and metric.keys() == {"Name", "Unit"}, metric)
                value = event[metric["Name"]]
                check(isinstance(value, (int, float)) and not isinstance(value, bool), metric)
    print(len(lines))


if sys.argv[1] == "openmetrics":
    read_openmetrics(sys.stdin.read())
else:
    read_emf(sys.stdin.read().splitlines())
