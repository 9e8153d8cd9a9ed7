"""The files of deploy/fis: what botocore's models and moto say of them, and whether they fit each other.

    fis_shapes.py DIRECTORY
"""

import json
import pathlib
import re
import sys

import boto3
import botocore.session
import yaml
from botocore.validate import ParamValidator
from moto import mock_aws

directory = pathlib.Path(sys.argv[1])
session = botocore.session.get_session()


def load(name):
    text = (directory / name).read_text()
    text = text.replace("<YOUR REGION>", "eu-west-1").replace("<YOUR ACCOUNT>", "123456789012")
    return json.loads(re.sub(r"<YOUR [A-Z ]+>", "example", text))


def shape(service, operation):
    return session.get_service_model(service).operation_model(operation).input_shape


def check(what, value, shape):
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), f"{what}: {report.generate_report()}"
    fits(what, value, shape)


def fits(path, value, shape):
    """Lengths and patterns, which botocore's own check leaves to the service."""
    if shape.type_name == "structure":
        for name, item in value.items():
            fits(f"{path}.{name}", item, shape.members[name])
    elif shape.type_name == "list":
        for item in value:
            fits(path, item, shape.member)
    elif shape.type_name == "map":
        for name, item in value.items():
            fits(f"{path}.{name}", item, shape.value)
    elif shape.type_name == "string":
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max", len(value))
        assert low <= len(value) <= high, f"{path} has {len(value)} characters"
        pattern = shape.metadata.get("pattern")
        assert not pattern or re.search(pattern, value), f"{path}: {value!r} does not match {pattern}"


def seconds(text):
    hours, minutes = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?", text).groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60


def check_parameters(what, given, declared):
    """Names that the document has, values that its patterns take, nothing left that has no default."""
    assert not given.keys() - declared.keys(), f"{what}: {given.keys() - declared.keys()}"
    for name, parameter in declared.items():
        value = given.get(name, parameter.get("default"))
        assert value is not None, f"{what}: {name} has neither value nor default"
        assert re.search(parameter["allowedPattern"], value), f"{what}: {name}={value!r}"


command = load("httpfault-fault.json")
automation = yaml.safe_load((directory / "httpfault-service-automation.yaml").read_text())
for name, parameter in {**command["parameters"], **automation["parameters"]}.items():
    assert {"type", "description", "allowedPattern"} <= parameter.keys() <= {"type", "description", "allowedPattern", "default"}, name
    assert "'" not in parameter["allowedPattern"], f"{name} may end the word that it stands in"
assert command["mainSteps"][0]["precondition"] == {"StringEquals": ["platformType", "Linux"]}

# Each call of the automation is one that AWS has, with members that it takes.
values = {name: parameter.get("default", "x") for name, parameter in automation["parameters"].items()}
steps = {step["name"]: step for step in automation["mainSteps"]}
for step in steps.values():
    for handler in ("onCancel", "onFailure"):
        assert step.get(handler, "step:TakeOff").removeprefix("step:") in steps, step["name"]
    inputs = dict(step["inputs"])
    if "Api" in inputs:
        members = shape(inputs.pop("Service"), inputs.pop("Api")).members
        assert not inputs.keys() - members.keys() - {"PropertySelector", "DesiredValues"}, step["name"]
    sent = inputs.get("Parameters", {})
    assert not sent.keys() - command["parameters"].keys(), step["name"]
after = list(steps)[list(steps).index("Inject"):-1]
assert all("onCancel" in steps[name] and "onFailure" in steps[name] for name in after), "a step leaves the fault on"

policies = {name: load(f"httpfault-{name}-iam-policy.json") for name in ("fis-role", "automation")}


def allowed(policy):
    actions = [statement["Action"] for statement in policies[policy]["Statement"]]
    return {name for action in actions for name in ([action] if isinstance(action, str) else action)}


called = {f"{step['inputs']['Service']}:{step['inputs']['Api']}" for step in steps.values() if "Api" in step["inputs"]}
assert called <= allowed("automation"), called - allowed("automation")

with mock_aws():
    iam, ssm, fis = (boto3.client(name, region_name="eu-west-1") for name in ("iam", "ssm", "fis"))
    for name in ("fis", "ssm"):
        trust = json.dumps(load(f"{name}-iam-trust-relationship.json"))
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    for name, policy in policies.items():
        iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy))
    for name, kind, format, content in (
        ("httpfault-fault", "Command", "JSON", json.dumps(command)),
        ("httpfault-service", "Automation", "YAML", yaml.safe_dump(automation)),
    ):
        request = {"Name": name, "DocumentType": kind, "DocumentFormat": format, "Content": content}
        check(name, request, shape("ssm", "CreateDocument"))
        assert len(content) < 64 * 1024
        ssm.create_document(**request)
    for name, document, needs in (
        ("httpfault-service-template.json", automation, {"ssm:StartAutomationExecution", "ssm:StopAutomationExecution"}),
        ("httpfault-hosts-template.json", command, {"ssm:SendCommand", "ssm:CancelCommand"}),
    ):
        template = {"clientToken": "token", **load(name)}
        check(name, template, shape("fis", "CreateExperimentTemplate"))
        (action,) = template["actions"].values()
        parameters = action["parameters"]
        assert parameters["documentArn"].endswith(
            "/httpfault-service" if document is automation else "/httpfault-fault"
        ), name
        given = json.loads(parameters["documentParameters"])
        check_parameters(name, given, document["parameters"])
        longest = seconds(parameters.get("duration") or parameters.get("maxDuration"))
        slack = longest - int(given["durationSeconds"])
        assert longest >= 60 and slack >= (15 if document is command else 120), f"{name}: {slack} s of slack"
        assert needs <= allowed("fis-role"), name
        made = fis.create_experiment_template(**template)["experimentTemplate"]
        assert made["actions"].keys() == template["actions"].keys()
print("ok")
