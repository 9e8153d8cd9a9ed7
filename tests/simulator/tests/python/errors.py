"""Errors, as boto3 raises them: modelled exceptions of the client where the model has them, codes otherwise."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import model

config = Config(retries={"total_max_attempts": 1})
ecs, ssm, sts = (boto3.client(name, config=config) for name in ("ecs", "ssm", "sts"))
cloudwatch = model.cbor_client("cloudwatch", config=config)
HOST, WINDOWS = "i-00000000000000000", "i-000000000000000ff"
ABSENT = "00000000-0000-0000-0000-000000000000"


def send(**changes):
    arguments = {
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": [HOST],
        "Parameters": {"commands": ["true"]},
    }
    return lambda: ssm.send_command(**{**arguments, **changes})


def keys(key, secret, token=None):
    return boto3.client("ecs", config=config, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)


role = {"RoleArn": "arn:aws:iam::123456789012:role/chaos", "RoleSessionName": "session"}
expected = [
    (ecs.exceptions.ClusterNotFoundException, lambda: ecs.list_tasks(cluster="absent")),
    (ecs.exceptions.ServiceNotFoundException, lambda: ecs.list_tasks(cluster="shop", serviceName="absent")),
    (ecs.exceptions.InvalidParameterException, lambda: ecs.describe_tasks(cluster="shop", tasks=["0" * 32] * 101)),
    (ecs.exceptions.InvalidParameterException, lambda: ecs.describe_tasks(cluster="shop", tasks=[])),
    (ecs.exceptions.InvalidParameterException, lambda: ecs.describe_services(cluster="shop", services=["s"] * 11)),
    (ecs.exceptions.InvalidParameterException, lambda: ecs.list_tasks(cluster="shop", nextToken="made up")),
    (ecs.exceptions.ClientException, lambda: ecs.describe_task_definition(taskDefinition="absent")),
    (cloudwatch.exceptions.InvalidNextToken, lambda: cloudwatch.describe_alarms(NextToken="made up")),
    ("ValidationException", lambda: cloudwatch.describe_alarms(AlarmNames=["a"] * 101)),
    (ssm.exceptions.InvalidInstanceId, send(InstanceIds=[HOST, "i-0aaaaaaaaaaaaaaaa"])),
    (ssm.exceptions.DuplicateInstanceId, send(InstanceIds=[HOST, HOST])),
    (ssm.exceptions.InvalidDocument, send(DocumentName="AWS-RunNothing")),
    (ssm.exceptions.InvalidDocumentVersion, send(DocumentVersion="7")),
    (ssm.exceptions.UnsupportedPlatformType, send(InstanceIds=[WINDOWS])),
    (ssm.exceptions.InvalidParameters, send(Parameters={"commands": ["true"], "other": ["1"]})),
    (ssm.exceptions.InvalidParameters, send(Parameters={})),
    (ssm.exceptions.InvalidParameters, send(Parameters={"commands": ["echo {{ ssm:secret }}"]})),
    (ssm.exceptions.InvalidParameters, send(Parameters={"commands": ["true"], "executionTimeout": ["0"]})),
    (ssm.exceptions.InvalidParameters, send(Parameters={"commands": ["true"], "executionTimeout": ["172801"]})),
    (ssm.exceptions.InvalidParameters, send(InstanceIds=[])),
    (ssm.exceptions.MaxDocumentSizeExceeded, send(Parameters={"commands": ["x" * 65_000]})),
    ("ValidationException", send(InstanceIds=[f"i-{number:017}" for number in range(51)])),
    ("ValidationException", send(InstanceIds=["i-short"])),
    ("ValidationException", send(Comment="c" * 101)),
    ("ValidationException", send(MaxConcurrency="0")),
    (ssm.exceptions.InvocationDoesNotExist, lambda: ssm.get_command_invocation(CommandId=ABSENT, InstanceId=HOST)),
    (ssm.exceptions.InvalidCommandId, lambda: ssm.cancel_command(CommandId=ABSENT)),
    (ssm.exceptions.InvalidNextToken, lambda: ssm.list_commands(NextToken="made up")),
    (ssm.exceptions.InvalidFilterKey, lambda: ssm.describe_instance_information(Filters=[{"Key": "Size", "Values": ["1"]}])),
    ("AccessDenied", lambda: sts.assume_role(**role)),
    ("AccessDenied", lambda: sts.assume_role(**role, ExternalId="wrong")),
    ("AccessDenied", lambda: sts.assume_role_with_web_identity(**role, WebIdentityToken="wrong")),
    ("ValidationError", lambda: sts.assume_role(**role, ExternalId="partner", DurationSeconds=7200)),
    ("UnrecognizedClientException", lambda: keys("AKIAUNKNOWN000000000", "x").list_tasks(cluster="shop")),
    ("InvalidSignatureException", lambda: keys("AKIASIMULATORADMIN00", "wrong").list_tasks(cluster="shop")),
]
for number, (want, call) in enumerate(expected):
    try:
        call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert (code == want) if isinstance(want, str) else isinstance(error, want), (number, want, code)
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)
    else:
        raise AssertionError(f"call {number} was accepted, not refused with {want}")

# Just below the limit, and every allowed form of a timeout.
for timeout in ("1", "99999", "169999", "171999", "172799", "172800"):
    send(Parameters={"commands": ["true"], "executionTimeout": [timeout]})()
send(Parameters={"commands": ["x" * 60_000]})()
print(len(expected))
