"""What the origin answers as Anthropic: messages, streams, token counts, batches, files, and every way to fail."""

import hashlib
import re

from answer import CUT, HOLD, Answer, dense, pieces

MODEL = "claude-opus-5-20260701"
USAGE = {
    "input_tokens": 2095,
    "cache_creation_input_tokens": 1024,
    "cache_read_input_tokens": 16384,
    "cache_creation": {"ephemeral_5m_input_tokens": 512, "ephemeral_1h_input_tokens": 512},
    "output_tokens": 87,
    "output_tokens_details": {"thinking_tokens": 31},
    "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
    "service_tier": "standard",
    "inference_geo": "",
}
ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
TEXTS = ["Harwich, ", "Kraków-on-", "the-Sea 🌊", ' and "Båtsfjord",', "\n\u2028所", "有港口."]


def answer(request):
    """The answer to `request`: by its path where that says enough, else by its script."""
    if scripted := retried(request) or failed(request):
        return scripted
    if request.path != "/v1/messages":
        return elsewhere(request)
    script = request.script.removeprefix("beta_")
    if script.startswith("stream"):
        return Answer(headers=head(request, "text/event-stream; charset=utf-8"), steps=stream(script))
    if script == "stall":
        return Answer(status=None, steps=[HOLD])
    return whole(request, message(content(request, script)))


def head(request, kind="application/json"):
    """The headers of every answer."""
    limits = [
        (f"anthropic-ratelimit-{what}-{name}", value)
        for what, most in [
            ("requests", 4000),
            ("tokens", 480_000),
            ("input-tokens", 400_000),
            ("output-tokens", 80_000),
        ]
        for name, value in [("limit", most), ("remaining", most - 9), ("reset", "2026-11-24T10:00:12Z")]
    ]
    return [
        ("content-type", kind),
        ("request-id", f"req_{request.script}_{request.attempt}"),
        ("anthropic-organization-id", "5f0f5c5e-0000-4000-8000-5d6b1b6e9f11"),
        *limits,
        ("server", "origin"),
        ("x-Odd_Name", 'kept, as "it" is;  inner  blanks too'),
        ("via", "1.1 edge"),
        ("strict-transport-security", "max-age=31536000"),
    ]


def whole(request, value, status=200, extra=()):
    return Answer(status, [*head(request), *extra], dense(value).encode(), gzip=True)


def message(blocks, **more):
    return {
        "id": "msg_01Harbour",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": blocks,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
        "not_yet_known": {"kept": [1, 1.50, None]},
        **more,
    }


def content(request, script):
    if script == "tools":
        return [
            {"type": "thinking", "thinking": "The tide table, then.", "signature": "c2lnbmF0dXJl"},
            {"type": "text", "text": "".join(TEXTS)},
            {
                "type": "tool_use",
                "id": "toolu_01",
                "name": "tides",
                "input": {"port": "Harwich", "days": 12345678901234567890},
            },
        ]
    # What arrived here, so that the client can tell whether it is what was sent.
    return [{"type": "text", "text": f"{len(request.body)} bytes, {hashlib.sha256(request.body).hexdigest()}"}]


def error(kind, text, **more):
    return {
        "type": "error",
        "error": {"type": kind, "message": text, "details": None},
        "request_id": "req_in_the_body",
        **more,
    }


def failed(request):
    """`status_NNN` fails with that status, `html_NNN` with a page instead of JSON, as networks in between do."""
    if page := re.fullmatch(r"html_(\d+)", request.script):
        headers = [("content-type", "text/html"), ("server", "edge")]
        return Answer(int(page[1]), headers, b"<html><body>Bad gateway</body></html>\n")
    if plain := re.fullmatch(r"status_(\d+)", request.script):
        status = int(plain[1])
        extra = [("retry-after", "7")] if status == 429 else []
        return whole(request, error(ERRORS[status], f"refused with {status}: «why»"), status, extra)
    if request.script == "wont_help":
        return whole(request, error("api_error", "do not come back"), 500, [("x-should-retry", "false")])
    return None


def retried(request):
    """`again_*` fails once or twice in a way that the SDK tries again after, and then answers."""
    tries = {
        "again_429": [(429, [("retry-after-ms", "15")])],
        "again_529": [(529, [("retry-after-ms", "10")]), (529, [("retry-after", "0.02")])],
        "again_503_409": [(503, [("retry-after-ms", "10")]), (409, [("retry-after-ms", "10")])],
        "again_told": [(400, [("x-should-retry", "true"), ("retry-after-ms", "5")])],
        "again_stream": [(529, [("retry-after-ms", "5")])],
        "again_never": [(529, [("retry-after-ms", "5")])] * 3,
    }.get(request.script, [])
    if request.attempt < len(tries):
        status, extra = tries[request.attempt]
        return whole(request, error(ERRORS[status], f"try {request.attempt}"), status, extra)
    if request.script == "again_stream":
        return Answer(headers=head(request, "text/event-stream; charset=utf-8"), steps=stream("stream"))
    return None


def event(name, value, end="\n"):
    return f"event: {name}{end}data: {dense({'type': name, **value})}{end}{end}".encode()


def start(end="\n"):
    usage = {**USAGE, "output_tokens": 3, "output_tokens_details": None}
    return event("message_start", {"message": message([], stop_reason=None, usage=usage)}, end)


def block(index, opening, deltas, end="\n"):
    yield event("content_block_start", {"index": index, "content_block": opening}, end)
    for delta in deltas:
        yield event("content_block_delta", {"index": index, "delta": delta}, end)
    yield event("content_block_stop", {"index": index}, end)


def finish(end="\n", reason="end_turn"):
    usage = {"input_tokens": 2099, "output_tokens": 87, "output_tokens_details": {"thinking_tokens": 31}}
    yield event("message_delta", {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}, end)
    yield event("message_stop", {}, end)


def text(index=0, end="\n"):
    return list(
        block(index, {"type": "text", "text": ""}, [{"type": "text_delta", "text": part} for part in TEXTS], end)
    )


def rich(end="\n"):
    """Thinking, text and a tool call, with pings and comments between them."""
    thinking = [{"type": "thinking_delta", "thinking": "The tide"}, {"type": "signature_delta", "signature": "c2ln"}]
    call = [
        {"type": "input_json_delta", "partial_json": part} for part in ["", '{"port": "Harw', 'ich", "days', '": 3}']
    ]
    return [
        start(end),
        f": nothing to say{end}{end}".encode(),
        event("ping", {}, end),
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}, thinking, end),
        *text(1, end),
        event("ping", {}, end),
        *block(2, {"type": "tool_use", "id": "toolu_01", "name": "tides", "input": {}}, call, end),
        *finish(end, "tool_use"),
    ]


def stream(script):
    if script == "stream_odd":
        return pieces(b"".join(rich("\r\n")), 7)
    if script == "stream_joined":
        return [b"".join(rich())]
    if script == "stream_huge":
        return [
            start(),
            *block(0, {"type": "text", "text": ""}, [{"type": "text_delta", "text": "ö" * 400_000}]),
            *finish(),
        ]
    if script == "stream_slow":
        return [part for each in [start(), *text(), *finish()] for part in (each, 0.08)]
    if script == "stream_error":
        overloaded = {"type": "overloaded_error", "message": "Overloaded", "details": None}
        return [start(), *text()[:3], event("error", {"error": overloaded, "request_id": "req_in_the_stream"})]
    if script == "stream_cut":
        return [start(), *text()[:3], 0.05, CUT]
    if script == "stream_cut_inside":
        return [start(), *text()[:3], text()[3][:20], 0.05, CUT]
    if script == "stream_unfinished":
        return [start(), *text()]
    if script == "stream_left":
        return [start(), *text()[:3], HOLD]
    if script == "stream_tools":
        return rich()
    return [start(), event("ping", {}), *text(), *finish()]


def elsewhere(request):
    """Every path but messages."""
    base = f"http://{request.headers['host']}"
    batch = {
        "id": "msgbatch_01",
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": {"processing": 0, "succeeded": 1, "errored": 1, "canceled": 0, "expired": 0},
        "created_at": "2026-11-24T09:00:00Z",
        "expires_at": "2026-11-25T09:00:00Z",
        "ended_at": "2026-11-24T09:05:00Z",
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"{base}/v1/messages/batches/msgbatch_01/results",
    }
    path = request.path
    if path == "/v1/messages/count_tokens":
        return whole(request, {"input_tokens": 2095})
    if path == "/v1/messages/batches/msgbatch_01/results":
        good = {
            "custom_id": "a",
            "result": {"type": "succeeded", "message": message([{"type": "text", "text": "Harwich"}])},
        }
        bad = {"custom_id": "b", "result": {"type": "errored", "error": error("invalid_request_error", "no")}}
        lines = "".join(f"{dense(line)}\n" for line in (good, bad)).encode()
        return Answer(headers=head(request, "application/x-jsonl"), steps=pieces(lines, 100))
    if path.startswith("/v1/messages/batches"):
        return whole(request, batch)
    if path == "/v1/models":
        first = "after_id=" not in request.target
        model = {
            "type": "model",
            "id": "claude-a" if first else "claude-b",
            "display_name": "A",
            "created_at": "2026-07-01T00:00:00Z",
        }
        return whole(request, {"data": [model], "has_more": first, "first_id": model["id"], "last_id": model["id"]})
    if path.endswith("/content"):
        return Answer(headers=head(request, "application/octet-stream"), body=bytes(range(256)) * 300)
    if path.startswith("/v1/files"):
        kept = {"id": "file_01", "type": "file", "filename": "tides.bin", "mime_type": "application/octet-stream"}
        return whole(
            request,
            {**kept, "size_bytes": len(request.body), "created_at": "2026-11-24T09:00:00Z", "downloadable": True},
        )
    return whole(request, error("not_found_error", f"no {path}"), 404)
