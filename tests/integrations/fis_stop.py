"""What AWS FIS does for an action of aws:ssm:send-command that is stopped: SendCommand, then CancelCommand once the fault
is on.

    fis_stop.py DOCUMENT PARAMETERS INSTANCE
"""

import json
import sys
import time

import boto3

document, parameters, instance = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
ssm = boto3.client("ssm")


def send(**changes):
    values = {name: [value] for name, value in changes.items()}
    return ssm.send_command(DocumentName=document, InstanceIds=[instance], Parameters=values)["Command"]["CommandId"]


def wait(command):
    waiter = ssm.get_waiter("command_executed")
    waiter.wait(CommandId=command, InstanceId=instance, WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    return ssm.get_command_invocation(CommandId=command, InstanceId=instance)


command = send(**parameters)
wait(send(action="prove", experimentId=f"fis-{command}"))
ssm.cancel_command(CommandId=command)
status, end = "Cancelling", time.monotonic() + 60
while status in ("InProgress", "Cancelling") and time.monotonic() < end:
    status = ssm.get_command_invocation(CommandId=command, InstanceId=instance)["Status"]
    time.sleep(0.2)
print(status)
