"""Carries out a Systems Manager Automation document (schema 0.3) against the endpoints in the environment, as far as
deploy/fis uses one; anything else in it is an error. A line of JSON for each step, the last one says how it ended.

    automation.py DOCUMENT PARAMETERS [STEP]    with STEP: the execution is cancelled in the step after that one
"""

import json
import re
import sys
import time

import boto3
import yaml
from botocore import xform_name

STEP = {"name", "action", "inputs", "outputs", "onFailure", "onCancel", "isEnd", "timeoutSeconds"}
ACTIONS = {}
TYPES = {"String": str, "Integer": int, "StringList": list, "MapList": list}
EXECUTION = "12345678-0000-0000-0000-123456789012"


def action(function):
    ACTIONS["aws:" + function.__name__] = function
    return function


def select(path, value):
    """`$.a[0].b` and `$.a..b`, of JSONPath."""
    assert path.startswith("$"), path
    for deep, name, index in re.findall(r"(\.\.?)([A-Za-z]\w*)|\[(\d+)\]", path[1:]):
        if index:
            value = value[int(index)]
        elif deep == "..":
            value = list(below(name, value))
        else:
            value = value[name]
    return value


def below(name, value):
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from below(name, item)
    if isinstance(value, dict) and name in value:
        yield value[name]


def fill(template, values):
    if isinstance(template, dict):
        return {name: fill(item, values) for name, item in template.items()}
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    if not isinstance(template, str):
        return template
    if alone := re.fullmatch(r"\{\{ ([\w.:]+) \}\}", template):
        return values[alone[1]]
    return re.sub(r"\{\{ ([\w.:]+) \}\}", lambda found: str(values[found[1]]), template)


def call(inputs):
    inputs = dict(inputs)
    client = boto3.client(inputs.pop("Service"))
    return getattr(client, xform_name(inputs.pop("Api")))(**inputs)


@action
def executeAwsApi(inputs, _):
    return call(inputs)


@action
def executeScript(inputs, _):
    assert inputs["Runtime"].startswith("python3.") and inputs.keys() == {"Runtime", "Handler", "InputPayload", "Script"}
    scope = {}
    exec(inputs["Script"], scope)
    return {"Payload": scope[inputs["Handler"]](inputs["InputPayload"], {})}


@action
def runCommand(inputs, _):
    ssm = boto3.client("ssm")
    parameters = {name: value if isinstance(value, list) else [value] for name, value in inputs["Parameters"].items()}
    command = ssm.send_command(**{**inputs, "Parameters": parameters})["Command"]["CommandId"]
    for instance in inputs["InstanceIds"]:
        waiter = ssm.get_waiter("command_executed")
        waiter.wait(CommandId=command, InstanceId=instance, WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    return {}


@action
def waitForAwsResourceProperty(inputs, step):
    inputs = dict(inputs)
    selector, wanted = inputs.pop("PropertySelector"), inputs.pop("DesiredValues")
    end = time.monotonic() + min(step["timeoutSeconds"], 120)
    while select(selector, call(inputs)) not in wanted:
        assert time.monotonic() < end, f"{step['name']} timed out"
        time.sleep(0.3)
    return {}


@action
def assertAwsResourceProperty(inputs, _):
    inputs = dict(inputs)
    selector, wanted = inputs.pop("PropertySelector"), inputs.pop("DesiredValues")
    found = select(selector, call(inputs))
    assert found in wanted, f"{selector} is {found}"
    return {}


def outputs_of(step, answer):
    for output in step.get("outputs", []):
        assert output.keys() == {"Name", "Selector", "Type"}, output
        value = select(output["Selector"], answer)
        assert isinstance(value, TYPES[output["Type"]]), (output, value)
        yield f"{step['name']}.{output['Name']}", value


def main(path, parameters, cancel_after=None):
    document = yaml.safe_load(open(path))
    assert document["schemaVersion"] == "0.3"
    values = {"automation:EXECUTION_ID": EXECUTION}
    for name, declared in document["parameters"].items():
        value = parameters.pop(name, declared.get("default"))
        assert value is not None and re.search(declared["allowedPattern"], value), (name, value)
        values[name] = value
    assert not parameters, f"unknown: {parameters}"
    fill(document["assumeRole"], values)
    steps = document["mainSteps"]
    names = [step["name"] for step in steps]
    status, index, cancel = "Success", 0, False
    while index is not None and index < len(steps):
        step = steps[index]
        assert not step.keys() - STEP, step
        following = None if step.get("isEnd") else index + 1
        problem = ""
        if cancel:
            status, cancel, handler = "Cancelled", False, step.get("onCancel")
            following = names.index(handler.removeprefix("step:")) if handler else None
        else:
            try:
                answer = ACTIONS[step["action"]](fill(step["inputs"], values), step)
                values.update(outputs_of(step, answer))
            except Exception as error:
                problem, handler = f"{type(error).__name__}: {error}", step.get("onFailure")
                status = "Failed" if status == "Success" else status
                following = names.index(handler.removeprefix("step:")) if handler else None
        print(json.dumps({"step": step["name"], "problem": problem}), flush=True)
        cancel = step["name"] == cancel_after and status == "Success"
        index = following
    outputs = {name: values.get(name) for name in document["outputs"]}
    print(json.dumps({"status": status, "outputs": outputs}), flush=True)


main(sys.argv[1], json.loads(sys.argv[2]), *sys.argv[3:])
