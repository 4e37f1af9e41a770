"""What schemathesis must know of the API beyond its description, and why."""

import json
import re
from urllib.parse import quote
from zlib import crc32

import schemathesis

UUID = re.compile("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)

# Seconds. A wait for what does not come is as long as the request says.
MOMENT = 0.05

PROJECTIONS = ["statistics", "stream_catalogue"]

# Parameters of which one excludes the others, and pairs of which the first is the lower one.
EXCLUSIVE = {
    "commit": [["expected_last_changeset"], ["expected_last_event"]],
    "stream_changesets": [["from", "to"], ["from_event", "to_event"]],
    "projection": [["min_checkpoint"], ["stream_id", "changeset_id"]],
    "stream_list": [["prefix"], ["order"]],
    "changesets": [["checkpoint"], ["since"]],
}
ORDERED = [("from", "to"), ("from_event", "to_event")]

# The typed streams that there are, with their revisions: only the server makes their ids.
typed_streams = {}


@schemathesis.serializer("application/x-ndjson")
def one_line(context, value):
    """A body of JSON lines, of which one is made up."""
    return json.dumps(value).encode()


@schemathesis.deserializer("application/x-ndjson")
def the_line(context, response):
    """The answer to it."""
    return json.loads(response.content)


def operation_of(case):
    return case.operation.definition.raw["operationId"]


def body_of(case):
    return case.body if isinstance(case.body, dict) else {}


def choice(value):
    """A number that goes with a value, so that each run makes the same choices."""
    return crc32(repr(value).encode())


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def map_case(context, case):
    """Turns most valid requests into ones about what there is, without what excludes each other: names that are made
    up name nothing, and a schema can't say the rest."""
    made_up = choice((case.path_parameters, case.query))
    if is_positive(case) and made_up % 4:
        about_what_there_is(case.path_parameters or {}, operation_of(case), made_up)
        without_contradictions(case.query or {}, operation_of(case), made_up)
    return case


def about_what_there_is(names, operation, made_up):
    if "name" in names:
        names["name"] = PROJECTIONS[made_up % len(PROJECTIONS)]
    elif operation.startswith("typed_") and "stream_id" in names and typed_streams:
        stream = list(typed_streams)[made_up % len(typed_streams)]
        # Names in paths are escaped by now.
        names["stream_type"], names["stream_id"] = quote(stream[0], safe=""), stream[1]
        if "revision" in names:
            names["revision"] = typed_streams[stream] + 1
    elif "stream_id" in names:
        names["stream_id"] = f"stream%20{made_up % 5}"


def without_contradictions(query, operation, made_up):
    kinds = EXCLUSIVE.get(operation, [])
    for at, names in enumerate(kinds):
        if at != made_up % len(kinds):
            for name in names:
                query.pop(name, None)
    if operation in ("stream_changesets", "stream_events") and "since" in query:
        for name in ["since"] if made_up % 2 else ["from", "from_event"]:
            query.pop(name, None)
    if operation == "commit":
        if "visible_in" in query and made_up % 2:
            query["visible_in"] = PROJECTIONS[0]
        else:
            query.pop("visible_in", None)
            query.pop("timeout", None)
    if ("stream_id" in query) != ("changeset_id" in query):
        query.pop("stream_id", None)
        query.pop("changeset_id", None)
    for low, high in ORDERED:
        if number(query, low) > number(query, high) > 0:
            query[low], query[high] = query[high], query[low]
    for name in ["expected_last_changeset", "expected_last_event"]:
        if name in query:
            query[name] = number(query, name) % 3


def number(query, name):
    """The number that a valid request gives; 0 for none."""
    return int(query.get(name) or 0)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Nobody waits for long."""
    query = case.query or {}
    if operation_of(case) == "changesets":
        shorten(query, "wait")
    if operation_of(case) == "commit" and "visible_in" in query:
        query.setdefault("timeout", MOMENT)
        shorten(query, "timeout")
    if operation_of(case) == "projection" and {"min_checkpoint", "stream_id", "changeset_id"} & query.keys():
        query.setdefault("timeout", MOMENT)
        shorten(query, "timeout")


def shorten(query, name):
    try:
        if MOMENT < float(query.get(name, 0)) <= 60:
            query[name] = MOMENT
    except (TypeError, ValueError):
        pass


@schemathesis.hook
def after_call(context, case, response):
    if operation_of(case) in ["typed_new_stream", "typed_append"] and response.status_code == 201:
        stream = response.json()["stream"]
        typed_streams[stream["streamType"], stream["streamId"]] = stream["revision"]


@schemathesis.check
def valid_requests_are_accepted(ctx, response, case):
    """A request that keeps to the schema is refused only for what a schema can't say; and that is the reason then.

    What is not there (404) and what is in another state (409) is no matter of the request.
    """
    if not is_positive(case) or response.status_code in (200, 201, 202, 401, 404, 409, 504):
        return
    assert is_justified(case, response.json()), f"a valid request was refused: {response.text}"


def is_justified(case, answer):
    query = case.query or {}
    given = {name for name, value in query.items() if value != ""}
    match answer.get("error"):
        case "BOTH_EXPECTED_CHANGESET_AND_EVENT_ARE_SET":
            return {"expected_last_changeset", "expected_last_event"} <= given
        case "INVALID_EXPECTED_CHANGESET_ID":
            # The stream is not that far.
            expected = max(number(query, "expected_last_changeset"), number(query, "expected_last_event"))
            return "doesn't exist" in answer["message"] and expected > 0
        case "INVALID_HEADER":
            # It is sent as Latin-1, and the server wants UTF-8.
            is_latin = any(not str(value).isascii() for value in (case.headers or {}).values())
            return is_latin and "it is not UTF-8" in answer["message"]
        case "INVALID_CHANGESET_FILTERING_PARAMS" | "INVALID_EVENT_FILTERING_PARAMS":
            both = all(any(number(query, name) for name in pair) for pair in ORDERED)
            return both or any(number(query, low) > number(query, high) > 0 for low, high in ORDERED)
        case "INVALID_WAIT" if operation_of(case) == "commit":
            return "timeout" in given and "visible_in" not in given
        case "INVALID_WAIT":
            return ("stream_id" in given) != ("changeset_id" in given) or {"min_checkpoint", "stream_id"} <= given
        case "INVALID_ORDER":
            return {"prefix", "order"} <= given
        case "INVALID_AFTER":
            # Only the server knows the places that it gave.
            return "after" in given
        case "INVALID_TIME" if "give either" in answer["message"]:
            return "since" in given and bool({"checkpoint", "from", "from_event"} & given)
        case "INVALID_TIME":
            # The first year of RFC 3339 is 0, that of the store is 1; and the log does not reach the future.
            is_beyond = any(words in answer["message"] for words in ("of a year from", "is in the future"))
            return is_beyond and bool({"time", "since"} & given or body_of(case).get("time"))
        case "INVALID_BODY" if operation_of(case) == "bulk_commit":
            body = body_of(case)
            return None not in (body.get("expected_last_changeset"), body.get("expected_last_event"))
        case "INVALID_BODY" if operation_of(case) == "build_as_of":
            return (body_of(case).get("checkpoint") is None) == (body_of(case).get("time") is None)
        case None:
            # The typed contract: only the server knows which keys it gave; and a chain of requests takes ids of
            # streams from elsewhere.
            wrong = answer["details"]["messages"].keys()
            is_elsewhere = "stream_id" in case.path_parameters and not UUID.match(case.path_parameters["stream_id"])
            return wrong <= {"nextPageKey", "stream-next-page-key"} & given or wrong == {"streamId"} and is_elsewhere
    return False
