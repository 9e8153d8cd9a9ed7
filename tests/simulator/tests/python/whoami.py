"""Prints the caller's ARN, as found with the credentials that the environment leads to."""

import boto3

print(boto3.client("sts").get_caller_identity()["Arn"])
