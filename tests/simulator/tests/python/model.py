"""Checks answers against botocore's service models (service-2.json): no member that the model does not have, types,
required members, enums, lengths and patterns. botocore itself ignores most of that when it parses."""

import datetime
import json
import re
import xml.etree.ElementTree as ElementTree

import boto3
import botocore.model
from botocore.parsers import RpcV2CBORParser

CBOR = "smithy-rpc-v2-cbor"
problems = []
checked = set()


def cbor_client(name, **arguments):
    """A client of a service with several protocols that speaks the one of the Rust SDK, not botocore's first choice."""
    usual = botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS
    botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS = (CBOR, *usual)
    client = boto3.client(name, **arguments)
    assert client.meta.service_model.resolved_protocol == CBOR
    botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS = usual
    return client


def watch(client):
    """Checks every answer that this client gets from now on."""
    service = client.meta.service_model

    def check(operation_model, response_dict, **_):
        if response_dict["status_code"] != 200 or operation_model.output_shape is None:
            return
        checked.add(f"{service.service_name}:{operation_model.name}")
        body = response_dict["body"]
        if service.resolved_protocol == CBOR:
            parser = RpcV2CBORParser()
            value = parser.parse_data_item(parser.get_peekable_stream_from_bytes(body))
            check_json(operation_model.name, operation_model.output_shape, value)
        elif service.metadata["protocols"][0] == "query" or service.metadata["protocol"] == "query":
            value = ElementTree.fromstring(body)
            check_query(operation_model, value)
        else:
            check_json(operation_model.name, operation_model.output_shape, json.loads(body))

    client.meta.events.register(f"before-parse.{service.service_id.hyphenize()}", check)
    return client


def check_json(path, shape, value):
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            return complain(path, f"is {value!r}, not a structure")
        for name in value.keys() - shape.members.keys():
            complain(path, f"has a member {name} that the model does not have")
        for name in set(shape.required_members) - value.keys():
            complain(path, f"lacks {name}")
        for name in value.keys() & shape.members.keys():
            check_json(f"{path}.{name}", shape.members[name], value[name])
    elif shape.type_name == "list":
        check_length(path, shape, len(value))
        for index, item in enumerate(value):
            check_json(f"{path}[{index}]", shape.member, item)
    elif shape.type_name == "map":
        for name, item in value.items():
            check_json(f"{path}[{name}]", shape.value, item)
    else:
        check_scalar(path, shape, value)


def check_query(operation, root):
    if not root.tag.endswith(operation.name + "Response"):
        complain(operation.name, f"root is {root.tag}")
    result = [child for child in root if local(child) == operation.output_shape.serialization["resultWrapper"]]
    if len(result) != 1:
        return complain(operation.name, "has no result wrapper")
    check_xml(operation.name, operation.output_shape, result[0])


def check_xml(path, shape, node):
    if shape.type_name == "structure":
        present = {local(child): child for child in node}
        for name in present.keys() - shape.members.keys():
            complain(path, f"has a member {name} that the model does not have")
        for name in set(shape.required_members) - present.keys():
            complain(path, f"lacks {name}")
        for name in present.keys() & shape.members.keys():
            check_xml(f"{path}.{name}", shape.members[name], present[name])
    elif shape.type_name == "timestamp":
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", node.text):
            complain(path, f"is {node.text!r}, not a time")
    else:
        check_scalar(path, shape, node.text or "")


def python(pattern):
    """Classes of Unicode that Python's patterns don't know: letters, numbers and separators."""
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\d").replace(r"\p{Z}", r"\s")


TYPES = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "double": (int, float),
    "float": (int, float),
    "timestamp": (int, float, datetime.datetime),
}


def check_scalar(path, shape, value):
    if not isinstance(value, TYPES[shape.type_name]):
        return complain(path, f"is {value!r}, not a {shape.type_name}")
    # The service itself sends empty strings for string members that have no value, whatever their model.
    if shape.type_name != "string" or value == "":
        return
    check_length(path, shape, len(value))
    if shape.enum and value not in shape.enum:
        complain(path, f"is {value!r}, not one of {shape.enum}")
    pattern = shape.metadata.get("pattern")
    # This pattern is for ISO dates, can't match a fraction of more than one digit, and is broken by AWS's own answers.
    if pattern and shape.name != "StringDateTime" and not re.search(python(pattern), value):
        complain(path, f"is {value!r}, which does not match {pattern}")


def check_length(path, shape, length):
    if length < shape.metadata.get("min", 0) or length > shape.metadata.get("max", length):
        complain(path, f"has length {length}; allowed is {shape.metadata}")


def local(node):
    return node.tag.split("}")[-1]


def complain(path, what):
    problems.append(f"{path} {what}")
