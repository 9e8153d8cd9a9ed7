"""Takes a session, lets the test expire it (a line on standard input says so), and prints the error codes that follow."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

config = Config(retries={"total_max_attempts": 1})
role = "arn:aws:iam::123456789012:role/chaos"
keys = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="session", ExternalId="partner")["Credentials"]
session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
clients = [session.client(name, config=config) for name in ("ecs", "sts")]
print("assumed", flush=True)
input()
for client, call in zip(clients, ("list_clusters", "get_caller_identity")):
    try:
        getattr(client, call)()
    except ClientError as error:
        print(error.response["Error"]["Code"])
