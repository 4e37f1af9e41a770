"""Deploys a template of SAM to the AWS of the environment, again if it is there, and prints its outputs as JSON.

deploy.py STACK TEMPLATE PROGRAM [NAME=VALUE ...]
  PROGRAM  the binary of all functions, which have `CodeUri: build/`
  NAME     a parameter
"""

import hashlib
import json
import os
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import boto3

stack, template, program, *parameters = sys.argv[1:]

package = BytesIO()
with zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as archive:
    bootstrap = zipfile.ZipInfo("bootstrap")
    bootstrap.external_attr = 0o755 << 16
    archive.writestr(bootstrap, Path(program).read_bytes())
session = boto3.Session(region_name=os.environ["AWS_REGION"])
s3 = session.client("s3")
# The names of buckets are those of all accounts.
bucket = f"{stack}-code-{os.environ['AWS_ACCESS_KEY_ID']}"
# A name for each content: a function is updated when the name of its code changes.
key = f"code-{hashlib.sha256(package.getvalue()).hexdigest()[:16]}.zip"
try:
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": session.region_name})
except s3.exceptions.BucketAlreadyOwnedByYou:
    pass
s3.put_object(Bucket=bucket, Key=key, Body=package.getvalue())

text = Path(template).read_text().replace("CodeUri: build/", f"CodeUri: s3://{bucket}/{key}")
# On AWS one right is for both calls; the emulator wants one for each.
text = text.replace("Action: sns:Publish,", "Action: [sns:Publish, sns:PublishBatch],")
# As from a bucket: what is sent with the call has 51,200 bytes at most.
s3.put_object(Bucket=bucket, Key="template.yaml", Body=text.encode())
cloudformation = session.client("cloudformation")
given = [parameter.split("=", 1) for parameter in parameters]
wanted = dict(
    StackName=stack,
    TemplateURL=f"{s3.meta.endpoint_url}/{bucket}/template.yaml",
    Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given],
    Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
)
done = "stack_create_complete"
try:
    cloudformation.create_stack(**wanted)
except cloudformation.exceptions.AlreadyExistsException:
    try:
        cloudformation.update_stack(**wanted)
        done = "stack_update_complete"
    except cloudformation.exceptions.ClientError as error:
        # There is nothing to change: it is as it was made.
        if "No updates" not in str(error):
            raise
        done = None
try:
    if done:
        cloudformation.get_waiter(done).wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
except Exception as error:
    for event in reversed(cloudformation.describe_stack_events(StackName=stack)["StackEvents"]):
        if "FAILED" in event["ResourceStatus"]:
            print(event["LogicalResourceId"], event.get("ResourceStatusReason"), file=sys.stderr)
    sys.exit(str(error))
made = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
print(json.dumps({output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}))
