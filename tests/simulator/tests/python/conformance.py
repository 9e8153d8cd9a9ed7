"""Every call, with boto3's paginators and waiter, each answer checked against botocore's models."""

import boto3

import model

HOSTS, TASKS, SERVICES = 120, 2, 25

ecs, ssm, sts = (model.watch(boto3.client(name)) for name in ("ecs", "ssm", "sts"))
cloudwatch = model.watch(model.cbor_client("cloudwatch"))


def pages(client, operation, key, **arguments):
    found = list(client.get_paginator(operation).paginate(**arguments))
    return len(found), [item for page in found for item in page[key]]


def check_ecs():
    clusters = ecs.describe_clusters(clusters=["shop", "absent"])
    assert clusters["clusters"][0]["runningTasksCount"] == HOSTS * TASKS
    assert clusters["failures"][0]["reason"] == "MISSING"

    count, tasks = pages(ecs, "list_tasks", "taskArns", cluster="shop", serviceName="web", launchType="EC2")
    assert (count, len(set(tasks))) == (3, HOSTS * TASKS), (count, len(tasks))
    count, tasks = pages(ecs, "list_tasks", "taskArns", cluster="shop", PaginationConfig={"PageSize": 80})
    assert (count, len(set(tasks))) == (3, HOSTS * TASKS)
    described = ecs.describe_tasks(cluster="shop", tasks=tasks[:99] + ["0" * 32], include=["TAGS"])
    assert len(described["tasks"]) == 99 and len(described["failures"]) == 1
    assert described["tasks"][0]["tags"] == [{"key": "chaos", "value": "allowed"}]
    assert ecs.describe_tasks(cluster="shop", tasks=tasks[:1])["tasks"][0]["tags"] == [], "asked for or not shown"
    container = described["tasks"][0]["containers"][0]
    assert len(container["runtimeId"]) == 64 and container["networkBindings"][0]["containerPort"] == 80

    count, services = pages(ecs, "list_services", "serviceArns", cluster="shop")
    assert (count, len(set(services))) == (3, SERVICES), "ten services a page"
    service = ecs.describe_services(cluster="shop", services=["web", "edge", "absent"], include=["TAGS"])
    assert [one["serviceName"] for one in service["services"]] == ["web", "edge"]
    assert service["services"][1]["tags"] == [{"key": "team", "value": "edge"}]
    assert service["services"][0]["runningCount"] == HOSTS * TASKS
    assert service["services"][1]["loadBalancers"][0]["containerPort"] == 8080

    count, instances = pages(ecs, "list_container_instances", "containerInstanceArns", cluster="shop")
    assert (count, len(set(instances))) == (2, HOSTS)
    described = ecs.describe_container_instances(cluster="shop", containerInstances=instances[:100])
    attributes = {one["name"]: one.get("value") for one in described["containerInstances"][0]["attributes"]}
    assert attributes["ecs.cpu-architecture"] == "x86_64" and "ecs.capability.task-eni" in attributes

    definition = ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]
    assert definition["networkMode"] == "bridge" and definition["containerDefinitions"][0]["name"] == "web"


def check_ssm():
    count, instances = pages(ssm, "describe_instance_information", "InstanceInformationList")
    assert (count, len(instances)) == (12, HOSTS), "ten instances a page"
    ids = [one["InstanceId"] for one in instances]
    filters = [{"Key": "InstanceIds", "Values": ids[:100]}, {"Key": "PingStatus", "Values": ["Online"]}]
    count, some = pages(ssm, "describe_instance_information", "InstanceInformationList", Filters=filters)
    assert len(some) == 100 and some[0]["PlatformType"] == "Linux"

    sent = ssm.send_command(
        DocumentName="AWS-RunShellScript",
        InstanceIds=ids[:50],
        Parameters={"commands": ["echo hello"], "executionTimeout": ["60"]},
        Comment="conformance",
        TimeoutSeconds=30,
    )["Command"]
    assert sent["Status"] == "Pending" and sent["TargetCount"] == 50
    command = sent["CommandId"]
    waiter = ssm.get_waiter("command_executed")
    waiter.wait(CommandId=command, InstanceId=ids[0], WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    result = ssm.get_command_invocation(CommandId=command, InstanceId=ids[0])
    assert result["StandardOutputContent"] == "hello\n" and result["ResponseCode"] == 0, result

    count, invocations = pages(
        ssm, "list_command_invocations", "CommandInvocations", CommandId=command, Details=True, PaginationConfig={"PageSize": 20}
    )
    assert (count, len(invocations)) == (3, 50)
    assert invocations[0]["CommandPlugins"][0]["Name"] == "aws:runShellScript"
    for number in range(3):
        parameters = {"commands": ["sleep 600"]}
        sent = ssm.send_command(DocumentName="AWS-RunShellScript", InstanceIds=[ids[number]], Parameters=parameters)
        ssm.cancel_command(CommandId=sent["Command"]["CommandId"])
    count, commands = pages(ssm, "list_commands", "Commands", PaginationConfig={"PageSize": 2})
    assert (count, len(commands)) == (2, 4)
    assert ssm.list_commands(CommandId=command)["Commands"][0]["Comment"] == "conformance"


def check_cloudwatch():
    count, alarms = pages(cloudwatch, "describe_alarms", "MetricAlarms")
    assert (count, len(alarms)) == (2, 60), "fifty alarms a page"
    kinds = ["MetricAlarm", "CompositeAlarm"]
    found = cloudwatch.describe_alarms(AlarmNames=["alarm-7", "all", "absent"], AlarmTypes=kinds)
    assert [one["StateValue"] for one in found["MetricAlarms"]] == ["ALARM"]
    assert [one["AlarmName"] for one in found["CompositeAlarms"]] == ["all"]
    assert found["MetricAlarms"][0]["StateUpdatedTimestamp"].year > 2000
    assert not cloudwatch.describe_alarms(AlarmNames=["all"])["CompositeAlarms"], "only when they are asked for"
    assert len(cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]) == 1


def check_sts():
    assert sts.get_caller_identity()["Arn"].endswith(":user/administrator")
    role = "arn:aws:iam::123456789012:role/chaos"
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="session", ExternalId="partner", DurationSeconds=900)
    keys = assumed["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    identity = model.watch(session.client("sts")).get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::123456789012:assumed-role/chaos/session", identity
    sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="pod", WebIdentityToken="web-identity-token")


def check_the_checker():
    """It has to complain about each of these."""
    shape = ssm.meta.service_model.operation_model("GetCommandInvocation").output_shape
    bad = {"Sttus": "x", "Status": "Done", "CommandId": "short", "ResponseCode": "0", "StandardErrorContent": "e" * 8001}
    model.check_json("bad", shape, bad)
    assert len(model.problems) == len(bad), model.problems
    model.problems.clear()


check_the_checker()
check_ecs()
check_ssm()
check_cloudwatch()
check_sts()
assert not model.problems, "\n".join(sorted(set(model.problems)))
print(len(model.checked))
