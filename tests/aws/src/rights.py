"""Prints what the roles of a stack may do, as JSON: a list of [role, action, resource, condition].

rights.py STACK
"""

import json
import os
import sys

import boto3

session = boto3.Session(region_name=os.environ["AWS_REGION"])
iam = session.client("iam")


def several(value):
    return value if isinstance(value, list) else [value]


rights = []
for resource in session.client("cloudformation").describe_stack_resources(StackName=sys.argv[1])["StackResources"]:
    if resource["ResourceType"] != "AWS::IAM::Role":
        continue
    name = resource["PhysicalResourceId"].split("/")[-1]
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    rights += [[resource["LogicalResourceId"], "a managed policy", policy["PolicyArn"], None] for policy in attached]
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for statement in document["Statement"]:
            for action in several(statement["Action"]):
                for target in several(statement["Resource"]):
                    rights.append([resource["LogicalResourceId"], action, target, statement.get("Condition")])
print(json.dumps(rights))
