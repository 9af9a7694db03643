"""What a Python SDK hands out, told the same way for every SDK and as plain JSON."""

import hashlib
import json
import time

# Hop by hop, or different at every turn: not what a client reads.
UNREAD = {"connection", "keep-alive", "transfer-encoding", "date"}


def told(value):
    """A model of the SDK, or anything made of them, as plain JSON."""
    if hasattr(value, "to_json"):
        return told(json.loads(value.to_json(indent=None, warnings=False)))
    if isinstance(value, dict):
        return {key: told(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [told(item) for item in value]
    if isinstance(value, str) and len(value) > 2000:
        return f"{len(value)} characters, {hashlib.sha256(value.encode()).hexdigest()}"
    return value


def headers(response):
    """The headers that a client reads, in the order of their names; one that came twice is told twice."""
    pairs = response.headers.multi_items()
    return sorted(f"{name.lower()}: {value}" for name, value in pairs if name.lower() not in UNREAD)


def failure(error):
    """An error as its class, and every fact that a program may act upon."""
    # Which of the transport's own errors a broken connection gives depends on what the kernel had still to read.
    transport = any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
    seen = {"class": "TransportError" if transport else type(error).__name__}
    if not transport:
        seen["message"] = str(error)
    for name in ("status_code", "request_id", "body", "code", "type", "error_code"):
        if hasattr(error, name):
            seen[name] = told(getattr(error, name))
    if response := getattr(error, "response", None):
        seen["headers"] = headers(response)
    return seen


def raw(answer):
    """An answer taken with `with_raw_response`: its result and what came beside it."""
    return {"result": told(answer.parse()), "headers": headers(answer.http_response), "retries": answer.retries_taken}


def events(stream, final=None):
    """Each event of a stream, what `final` makes of them all, and how the stream ended."""
    seen = {"events": []}
    try:
        for event in stream:
            seen["events"].append(told(event))
        if final is not None:
            seen["final"] = told(final())
    except Exception as error:  # Whatever it is, it is what the SDK's user sees.
        seen["ended_by"] = failure(error)
    return seen


def paced(stream):
    """Whether the events of a slow stream came one by one, as they were sent."""
    arrivals = []
    for _ in stream:
        arrivals.append(time.monotonic())
    return {"events": len(arrivals), "one_by_one": arrivals[-1] - arrivals[0] > 0.25}
