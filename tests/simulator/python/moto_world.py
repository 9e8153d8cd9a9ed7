"""Makes a cluster in a moto server. Takes `{"cluster", "hosts", "tasks_per_host"}` as its argument and prints what it
made. AWS_ENDPOINT_URL says where."""

import json
import sys

import boto3

wanted = json.loads(sys.argv[1])
ec2, ecs = boto3.client("ec2"), boto3.client("ecs")

cluster = ecs.create_cluster(clusterName=wanted["cluster"])["cluster"]
ecs.register_task_definition(
    family="web",
    networkMode="bridge",
    containerDefinitions=[{"name": "web", "image": "web:1", "memory": 128, "portMappings": [{"containerPort": 80}]}],
)
image = ec2.describe_images()["Images"][0]["ImageId"]
made = {"cluster_arn": cluster["clusterArn"], "instance_ids": [], "container_instance_arns": [], "task_arns": []}
for _ in range(wanted["hosts"]):
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    registered = ecs.register_container_instance(
        cluster=wanted["cluster"], instanceIdentityDocument=json.dumps({"instanceId": instance})
    )["containerInstance"]
    made["instance_ids"].append(instance)
    made["container_instance_arns"].append(registered["containerInstanceArn"])
    for _ in range(wanted["tasks_per_host"]):
        started = ecs.start_task(
            cluster=wanted["cluster"], taskDefinition="web", containerInstances=[registered["containerInstanceArn"]]
        )
        made["task_arns"].append(started["tasks"][0]["taskArn"])
print(json.dumps(made))
