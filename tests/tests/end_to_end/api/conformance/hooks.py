"""What schemathesis must know of the API beyond its description, and why."""

from zlib import crc32

import schemathesis

# Seconds. A wait for what does not come is as long as the request says.
MOMENT = 0.05

PROJECTIONS = ["statistics", "stream_catalogue"]

# Streams that there are: of the typed contract, only the server makes ids.
typed_streams = []


def operation_of(case):
    return case.operation.definition.raw["operationId"]


def choice(value):
    """A number that goes with a value, so that each run makes the same choices."""
    return crc32(repr(value).encode())


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def map_case(context, case):
    """Names that were made up name nothing: most requests are about what there is."""
    names = case.path_parameters
    if not is_positive(case) or not names:
        return case
    if "name" in names and choice(names["name"]) % 4:
        names["name"] = PROJECTIONS[choice(names["name"]) % len(PROJECTIONS)]
    if case.path.startswith("/streams/") and choice(names["stream_id"]) % 2:
        names["stream_id"] = f"stream {choice(names['stream_id']) % 3}"
    if case.path.startswith("/typed/streams/") and "stream_id" in names and typed_streams:
        if choice(names["stream_id"]) % 2:
            names["stream_type"], names["stream_id"] = typed_streams[-1]
    return case


@schemathesis.hook
def before_call(context, case, kwargs):
    """Nobody waits for long."""
    query = case.query or {}
    if operation_of(case) == "changesets":
        shorten(query, "wait")
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
    if operation_of(case) == "typed_new_stream" and response.status_code == 201:
        stream = response.json()["stream"]
        typed_streams.append((stream["streamType"], stream["streamId"]))


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
    number = lambda name: int(query[name]) if name in given else 0
    match answer.get("error"):
        case "BOTH_EXPECTED_CHANGESET_AND_EVENT_ARE_SET":
            return {"expected_last_changeset", "expected_last_event"} <= given
        case "INVALID_EXPECTED_CHANGESET_ID":
            # The stream is not that far.
            return "doesn't exist" in answer["message"] and max(number("expected_last_changeset"), number("expected_last_event")) > 0
        case "INVALID_CHANGESET_FILTERING_PARAMS" | "INVALID_EVENT_FILTERING_PARAMS":
            disordered = any(number(low) > number(high) > 0 for low, high in [("from", "to"), ("from_event", "to_event")])
            return disordered or (number("from") or number("to")) and (number("from_event") or number("to_event"))
        case "INVALID_WAIT":
            return ("stream_id" in given) != ("changeset_id" in given) or {"min_checkpoint", "stream_id"} <= given
        case None:
            # The typed contract. Only the server knows which keys it gave.
            return answer["details"]["messages"].keys() <= {"nextPageKey", "stream-next-page-key"} & given
    return False
