"""Makes somebody in the account of the environment, and prints their credentials as JSON.

identity.py user NAME POLICY    a new user, who may do what this policy (JSON) says
identity.py role STACK ROLE     the role of that name in the stack's template, taken on
"""

import json
import os
import sys

import boto3

session = boto3.Session(region_name=os.environ["AWS_REGION"])
iam = session.client("iam")
kind, *arguments = sys.argv[1:]
if kind == "user":
    name, policy = arguments
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
    credentials = iam.create_access_key(UserName=name)["AccessKey"]
else:
    stack, role = arguments
    found = session.client("cloudformation").describe_stack_resource(StackName=stack, LogicalResourceId=role)
    name = found["StackResourceDetail"]["PhysicalResourceId"].split("/")[-1]
    arn = iam.get_role(RoleName=name)["Role"]["Arn"]
    # It trusts nobody but Lambda; what it may do remains the same.
    account = {"AWS": f"arn:aws:iam::{os.environ['AWS_ACCESS_KEY_ID']}:root"}
    trust = {"Effect": "Allow", "Principal": account, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=document)
    credentials = session.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
print(json.dumps(credentials, default=str))
