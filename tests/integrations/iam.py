"""deploy/iam: Terraform and CloudFormation give the role what the policies beside them say, and nothing else.

    iam.py DIRECTORY
"""

import json
import pathlib
import sys

import boto3
import hcl2
from moto import mock_aws

directory = pathlib.Path(sys.argv[1])
policy = json.loads((directory / "controller.json").read_text())
trust = json.loads((directory / "trust-pod-identity.json").read_text())

template = json.loads((directory / "cloudformation/pod-identity.json").read_text())
assert template.keys() == {"AWSTemplateFormatVersion", "Description", "Parameters", "Resources", "Outputs"}
resources = template["Resources"]
assert {name: body["Type"] for name, body in resources.items()} == {"Policy": "AWS::IAM::ManagedPolicy", "Role": "AWS::IAM::Role"}
assert resources["Policy"]["Properties"]["PolicyDocument"] == policy
assert resources["Role"]["Properties"] == {
    "RoleName": {"Ref": "RoleName"},
    "AssumeRolePolicyDocument": trust,
    "ManagedPolicyArns": [{"Ref": "Policy"}],
}
with mock_aws():
    iam = boto3.client("iam")
    iam.create_policy(PolicyName="httpfault", PolicyDocument=json.dumps(policy))
    iam.create_role(RoleName="httpfault", AssumeRolePolicyDocument=json.dumps(trust))

# Terraform reads the files; what is looked at is that it reads these, and what it replaces in them is there.
with open(directory / "terraform/main.tf") as file:
    parsed = hcl2.load(file)
plain = json.loads(json.dumps(parsed).replace('"\\"', '"').replace('\\""', '"'))
variables = {name: body for one in plain["variable"] for name, body in one.items()}
resources = {kind: body for one in plain["resource"] for kind, body in one.items()}
assert set(resources) == {"aws_iam_policy", "aws_iam_role", "aws_iam_role_policy_attachment"}
assert variables["policy_file"]["default"] == "../controller.json"
assert resources["aws_iam_policy"]["controller"]["policy"] == '${file("${path.module}/${var.policy_file}")}'
(values,) = plain["locals"]
assert values["pod_identity"] == '${file("${path.module}/../trust-pod-identity.json")}'
irsa = (directory / "trust-irsa.json").read_text()
assert "trust-irsa.json" in values["irsa"]
for name in ("example_provider", "example_issuer"):
    assert values[name] in irsa, name
assert variables["service_account"]["default"] in irsa
print("ok")
