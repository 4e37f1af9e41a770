"""Asks a real account what our documentation says of it, and prints the answers beside our claims.

first_day.py --stack NAME [--url URL] [--api-key KEY] [--commits N] [--seconds N] [--only QUESTION,...] [--json FILE]

docs/aws-first-day.md says what it costs and what each answer means. Region, credentials and endpoint come from the
environment. It commits to streams of its own in the stack's log, and deletes the tables that it makes.
"""

import argparse
import base64
import json
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

RUN = f"first-day-{int(time.time())}"


class Stack:
    """The stack, as its callers and its operators see it."""

    def __init__(self, options):
        # Other SDKs read this one; boto3 by itself only AWS_DEFAULT_REGION.
        self.session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        self.name = options.stack
        # Each refusal counts: so nothing is sent again.
        once = Config(retries={"total_max_attempts": 1}, max_pool_connections=64)
        self.dynamodb = self.session.client("dynamodb", config=once)
        self.function = self.session.client("lambda")
        self.cloudwatch = self.session.client("cloudwatch")
        described = self.session.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        self.table = outputs["Table"]
        self.url = (options.url or outputs["ApiEndpoint"]).rstrip("/")
        self.key = options.api_key

    def call(self, method, path, body=None, headers=()):
        """Sends a request as it stands, with its escapes. Returns status and JSON."""
        data = json.dumps(body, ensure_ascii=False).encode() if body is not None else None
        headers = {**dict(headers), **({"content-type": "application/json"} if data else {})}
        url = self.url + path
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        else:
            request = AWSRequest(method=method, url=url, data=data, headers=headers)
            SigV4Auth(self.session.get_credentials(), "execute-api", self.session.region_name).add_auth(request)
            headers = dict(request.headers.items())
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=35) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            text = refused.read().decode(errors="replace")
            return refused.code, {"message": text}

    def commit(self, stream, events, key=None):
        headers = {"idempotency-key": key} if key else {}
        status, answer = self.call("POST", f"/streams/{quote(stream, safe='')}", {"events": events}, headers)
        if status != 200:
            raise RuntimeError(f"the commit to {stream} is answered by {status}: {answer}")
        return answer


def timed(work):
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def spread(milliseconds):
    ordered = sorted(milliseconds)
    at = lambda part: ordered[min(len(ordered) - 1, int(len(ordered) * part))]
    return {"p50": round(at(0.5), 1), "p90": round(at(0.9), 1), "p99": round(at(0.99), 1)}


def shown(figures):
    return ", ".join(f"{name} {figure} ms" for name, figure in figures.items())


def paths(stack, _):
    """%2F and UTF-8 in the ids of streams, and in events."""
    for what, name in [("%2F", f"{RUN}/a/b"), ("%25", f"{RUN}-100%2F"), ("UTF-8", f"{RUN}-Zürich-日本-😀")]:
        event = {"type": "said", "text": "Grüße, 日本, 😀, \u2028"}
        path = f"/streams/{quote(name, safe='')}"
        status, answer = stack.call("POST", path, {"events": [event]})
        read, page = stack.call("GET", f"{path}/events") if status == 200 else (status, answer)
        events = [entry.get("data", entry) for entry in page.get("events", [])] if read == 200 else []
        right = events == [event]
        yield f"{what} in a stream's id", "kept" if right else f"not kept ({read})", "kept", right


def commits(stack, options):
    """How long a commit takes, as the caller sees it."""
    stack.commit(f"{RUN}-warm", [{"type": "warm"}])
    event = {"type": "measured", "text": "x" * 440}
    plain = [timed(lambda n=n: stack.commit(f"{RUN}-p{n}", [event])) for n in range(options.commits)]
    keyed = [timed(lambda n=n: stack.commit(f"{RUN}-k{n}", [event], f"{RUN}-{n}")) for n in range(options.commits)]
    for what, figures in [("a commit", spread(plain)), ("a commit with a key", spread(keyed))]:
        yield what, shown(figures), "p90 below 2000 ms (CommitLatencyAlarm)", figures["p90"] < 2000


def order(stack, options):
    """How long a changeset waits for its place in the order."""
    waits = []
    for n in range(min(options.commits, 30)):
        stream = f"{RUN}-o{n}"
        began = time.perf_counter()
        stack.commit(stream, [{"type": "placed"}])
        while time.perf_counter() - began < 60:
            found = stack.dynamodb.get_item(
                TableName=stack.table, Key={"stream_id": {"S": stream}, "changeset_id": {"N": "1"}},
                ConsistentRead=True, ProjectionExpression="page_item",
            )
            if "page_item" in found.get("Item", {}):
                break
            time.sleep(0.02)
        waits.append((time.perf_counter() - began) * 1000)
    figures = spread(waits)
    yield "from commit to its place", shown(figures), "below a minute (IndexerAgeAlarm)", figures["p99"] < 60000


def scratch(stack, name, cap=None):
    """A table with one index, in which only items with `page` are."""
    table = f"{RUN}-{name}"
    index = {
        "IndexName": "ByPage", "Projection": {"ProjectionType": "ALL"},
        "KeySchema": [{"AttributeName": "page", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
    }
    if cap:
        index["OnDemandThroughput"] = {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": cap}
    stack.dynamodb.create_table(
        TableName=table, BillingMode="PAY_PER_REQUEST", GlobalSecondaryIndexes=[index],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": "page", "AttributeType": "N"}],
    )
    stack.dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    return table


def transactions(stack, options):
    """How long a transaction takes, as the indexer's does, beside a plain write."""
    table = scratch(stack, "transactions")
    try:
        def write(n):
            stack.dynamodb.put_item(TableName=table, Item={"id": {"S": f"w{n}"}})

        def transact(n, size):
            items = [{"Put": {"TableName": table, "Item": {"id": {"S": f"t{n}-{size}-{i}"}}}} for i in range(size)]
            stack.dynamodb.transact_write_items(TransactItems=items)

        plain = spread([timed(lambda n=n: write(n)) for n in range(options.commits)])
        yield "a plain write", shown(plain), "a few milliseconds", plain["p50"] < 10
        for size, claim in [(2, 25), (100, 30)]:
            figures = spread([timed(lambda n=n: transact(n, size)) for n in range(max(10, options.commits // 4))])
            yield f"a transaction of {size}", shown(figures), f"p50 below {claim} ms", figures["p50"] < claim
        places = 99 * 1000 / figures["p50"]
        yield "places a second, one batch after the other", f"{places:,.0f}", "3,000 to 5,000", places >= 3000
    finally:
        stack.dynamodb.delete_table(TableName=table)


def keys(stack, options):
    """What an idempotency key in its changeset costs, and whether its index shows it to whoever has seen the changeset."""
    table = f"{RUN}-keys"
    sorts = {"changeset_id": "N", "last_event_id": "N", "idempotency_key": "B"}
    key = lambda sort: [{"AttributeName": "stream_id", "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
    index = lambda sort: {"IndexName": sort, "Projection": {"ProjectionType": "KEYS_ONLY"}, "KeySchema": key(sort)}
    stack.dynamodb.create_table(
        TableName=table, BillingMode="PAY_PER_REQUEST", KeySchema=key("changeset_id"),
        LocalSecondaryIndexes=[index("last_event_id"), index("idempotency_key")],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in {"stream_id": "S", **sorts}.items()],
    )
    stack.dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 2, "MaxAttempts": 60})

    def put(n):
        item = {
            "stream_id": {"S": "a"}, "changeset_id": {"N": str(n)}, "last_event_id": {"N": str(n)},
            "idempotency_key": {"B": n.to_bytes(32, "big")}, "events": {"S": "x" * 500},
        }
        return stack.dynamodb.put_item(TableName=table, Item=item, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]["CapacityUnits"]

    def look(n):
        return stack.dynamodb.query(
            TableName=table, IndexName="idempotency_key", ConsistentRead=True, ReturnConsumedCapacity="TOTAL",
            KeyConditionExpression="stream_id = :s AND idempotency_key = :k",
            ExpressionAttributeValues={":s": {"S": "a"}, ":k": {"B": n.to_bytes(32, "big")}},
        )

    def is_there(n):
        found = stack.dynamodb.get_item(TableName=table, Key={"stream_id": {"S": "a"}, "changeset_id": {"N": str(n)}}, ConsistentRead=True)
        return "Item" in found

    try:
        looked, written, missed = [], [], 0
        with ThreadPoolExecutor(1) as writer:
            for n in range(1, options.commits + 1):
                looked.append(look(n)["ConsumedCapacity"]["CapacityUnits"])
                writing = writer.submit(put, n)
                # Its writer may not have its answer yet.
                while not is_there(n):
                    if writing.done():
                        writing.result()
                missed += look(n)["Count"] != 1
                written.append(writing.result())
        yield "a write of 500 bytes with a key", f"{max(written):g} units", "3 units", max(written) == 3
        yield "a look for a key that is not there", f"{max(looked):g} units", "1 unit at most", max(looked) <= 1
        yield "keys of changesets that were seen", f"{missed} of {options.commits} not shown", "each is shown", missed == 0
    finally:
        stack.dynamodb.delete_table(TableName=table)
    indexes = stack.dynamodb.describe_table(TableName=stack.table)["Table"].get("LocalSecondaryIndexes", [])
    names = sorted(index["IndexName"] for index in indexes)
    yield "local indexes of the log", ", ".join(names), "IdempotencyKey, LastEventId", names == ["IdempotencyKey", "LastEventId"]


def pressure(stack, options):
    """Whether an index that is throttled holds up writes to its table: of items in the index, and of others."""
    table = scratch(stack, "pressure", cap=5)
    ended, refused, written = threading.Event(), {"in": 0, "out": 0}, {"in": 0, "out": 0}
    counting = threading.Lock()

    def write(kind, worker):
        n = 0
        while not ended.is_set():
            n += 1
            item = {"id": {"S": f"{kind}-{worker}-{n}"}}
            if kind == "in":
                item["page"] = {"N": "1"}
            try:
                stack.dynamodb.put_item(TableName=table, Item=item)
                count = written
            except ClientError as error:
                if error.response["Error"]["Code"] not in THROTTLED:
                    raise
                count = refused
            with counting:
                count[kind] += 1
            time.sleep(0.02)

    try:
        with ThreadPoolExecutor(20) as threads:
            writers = [threads.submit(write, kind, n) for n in range(10) for kind in ("in", "out")]
            time.sleep(options.seconds)
            ended.set()
            for writer in writers:
                writer.result()
    finally:
        stack.dynamodb.delete_table(TableName=table)
    told = lambda kind: f"{refused[kind]} of {refused[kind] + written[kind]} throttled"
    yield "writes that a throttled index takes", told("in"), "throttled with their index", refused["in"] > 0
    yield "writes that are not in it", told("out"), "none throttled", refused["out"] == 0


THROTTLED = {"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}


def cold(stack, options):
    """How long a function takes to start."""
    name = f"{stack.name}-api"
    event = {
        "resource": "/version", "path": "/version", "httpMethod": "GET", "headers": {}, "multiValueHeaders": {},
        "requestContext": {"stage": "v1", "path": "/v1/version", "resourcePath": "/version", "httpMethod": "GET", "identity": {}},
        "isBase64Encoded": False,
    }
    described = stack.function.get_function_configuration(FunctionName=name).get("Description", "")
    starts, waited, warm = [], [], []
    try:
        for n in range(5):
            # A changed function has no process that runs.
            stack.function.update_function_configuration(FunctionName=name, Description=f"{RUN} {n}")
            stack.function.get_waiter("function_updated_v2").wait(FunctionName=name)
            for durations in (starts, warm):
                began = time.perf_counter()
                told = stack.function.invoke(FunctionName=name, LogType="Tail", Payload=json.dumps(event).encode())
                whole = (time.perf_counter() - began) * 1000
                log = base64.b64decode(told.get("LogResult", "")).decode(errors="replace")
                # Of a log in JSON, or in text.
                begun = re.search(r'"initDurationMs": ?([0-9.]+)|Init Duration: ([0-9.]+) ms', log)
                if durations is warm:
                    durations.append(whole)
                elif begun:
                    durations.append(float(begun.group(1) or begun.group(2)))
                else:
                    waited.append(whole)
    finally:
        stack.function.update_function_configuration(FunctionName=name, Description=described)
    # Lambda tells in its report how long a start took. Where it does not, there is only what the caller waited.
    figures = spread(starts or waited)
    what = "a cold start of the API" if starts else "a cold start of the API, with the call and the way to it"
    yield what, shown(figures), "p50 below 500 ms", figures["p50"] < 500
    yield "a warm call of it", shown(spread(warm)), "", True


def shards(stack, _):
    """How many shards the table's stream has. Each is a call of the indexer and of the publisher."""
    arn = stack.dynamodb.describe_table(TableName=stack.table)["Table"]["LatestStreamArn"]
    streams, asked, open_shards, closed = stack.session.client("dynamodbstreams"), {}, 0, 0
    while True:
        page = streams.describe_stream(StreamArn=arn, **asked)["StreamDescription"]
        for shard in page["Shards"]:
            ended = "EndingSequenceNumber" in shard["SequenceNumberRange"]
            open_shards, closed = open_shards + (not ended), closed + ended
        if not page.get("LastEvaluatedShardId"):
            break
        asked = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
    told = f"{open_shards} open, {closed} closed"
    yield "shards of the stream", told, "4 at most, for a table that is new", open_shards <= 4


QUESTIONS = {
    "paths": paths, "commits": commits, "order": order, "transactions": transactions, "keys": keys,
    "pressure": pressure, "cold": cold, "shards": shards,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stack", required=True, help="the name of the event store's stack, made for this day")
    parser.add_argument("--url", help="the URL of its API, when it is not that of the stack's output")
    parser.add_argument("--api-key", help="the key, when callers don't sign")
    parser.add_argument("--commits", type=int, default=200, help="how many of each kind (default: 200)")
    parser.add_argument("--seconds", type=int, default=60, help="how long an index is kept throttled (default: 60)")
    parser.add_argument("--only", help="these questions, separated by commas: " + ", ".join(QUESTIONS))
    parser.add_argument("--json", help="a file for the answers")
    options = parser.parse_args()
    asked = options.only.split(",") if options.only else list(QUESTIONS)
    unknown = [name for name in asked if name not in QUESTIONS]
    if unknown:
        parser.error(f"there is no question {', '.join(unknown)}: there are {', '.join(QUESTIONS)}")

    stack, answers, failed = Stack(options), [], []
    for question in asked:
        print(f"\n{question}: {QUESTIONS[question].__doc__.splitlines()[0]}", flush=True)
        try:
            for what, measured, claim, holds in QUESTIONS[question](stack, options):
                answers.append({"question": question, "what": what, "measured": measured, "claim": claim, "holds": holds})
                said = f"   (we say: {claim})" if claim else ""
                print(f"  {'  ' if holds else '! '}{what:38} {measured}{said}", flush=True)
        except Exception as failure:  # The other questions are paid for already.
            failed.append(question)
            print(f"  ! no further answer: {type(failure).__name__}: {str(failure)[:500]}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(answers, file, indent=1, ensure_ascii=False)
    wrong = sum(not answer["holds"] for answer in answers)
    print(f"\n{len(answers)} answers, {wrong} of them not as we say")
    if failed:
        sys.exit(f"without all answers: {', '.join(failed)}")


if __name__ == "__main__":
    main()
