"""Metrics as their readers read them.

    metrics.py openmetrics <FILE    the samples as JSON, when the parser of Prometheus' own library takes the text
    metrics.py prometheus <FILE     the same for its older format, which node_exporter's textfile collector reads
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


def read_samples(families):
    found = []
    for family in families:
        check(family.documentation and family.type in ("counter", "gauge"), family)
        found += ({"name": one.name, "labels": one.labels, "value": one.value} for one in family.samples)
    print(json.dumps(found))


def read_openmetrics(text):
    check(text.endswith("# EOF\n"), "no # EOF at the end")
    read_samples(openmetrics.text_string_to_metric_families(text))


def read_prometheus(text):
    check("# EOF" not in text, "# EOF is of the newer format")
    # The library takes both ways to declare a counter, node_exporter only this one.
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        check((kind == "counter") == name.endswith("_total"), f"{name} is declared as a {kind}")
    read_samples(parser.text_string_to_metric_families(text))


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


if sys.argv[1] == "emf":
    read_emf(sys.stdin.read().splitlines())
else:
    {"openmetrics": read_openmetrics, "prometheus": read_prometheus}[sys.argv[1]](sys.stdin.read())
