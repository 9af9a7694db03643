"""What the origin answers as OpenAI: chat, responses, completions, embeddings, files, and every way to fail."""

import base64
import hashlib
import re
import struct

from answer import CUT, HOLD, Answer, dense, pieces

MODEL = "gpt-6-mini-2026-05-01"
USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 4,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
RESPONSE_USAGE = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 0},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}
TEXTS = ["Harwich, ", "Kraków-on-", "the-Sea 🌊", "\n\u2028所", "有港口."]
SSE = "text/event-stream; charset=utf-8"


def answer(request):
    """The answer to `request`: by its script where it fails, else by its path."""
    if scripted := retried(request) or failed(request):
        return scripted
    if request.script == "stall":
        return Answer(status=None, steps=[HOLD])
    streams = {
        "/v1/chat/completions": chat_stream,
        "/v1/responses": response_stream,
        "/v1/completions": completion_stream,
    }
    if "stream" in request.script and request.path in streams:
        return Answer(headers=head(request, SSE), steps=broken(request.script, streams[request.path](request)))
    return elsewhere(request)


def head(request, kind="application/json"):
    """The headers of every answer."""
    return [
        ("content-type", kind),
        ("x-request-id", f"req_{request.script}_{request.attempt}"),
        ("openai-organization", "harbour"),
        ("openai-processing-ms", "112"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-tokens", "199982"),
        ("x-ratelimit-reset-requests", "8.64s"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("set-cookie", "__cf_bm=a; path=/; HttpOnly; Secure"),
        ("set-cookie", "_cfuvid=b; path=/; HttpOnly"),
        ("alt-svc", 'h3=":443"; ma=86400'),
        ("server", "origin"),
    ]


def whole(request, value, status=200, extra=()):
    return Answer(status, [*head(request), *extra], dense(value).encode(), gzip=True)


def error(kind, text, code=None):
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}


def failed(request):
    """`status_NNN` fails with that status, `html_NNN` with a page, `detail_NNN` with an object of another shape."""
    if page := re.fullmatch(r"html_(\d+)", request.script):
        return Answer(int(page[1]), [("content-type", "text/html")], b"<html><body>Bad gateway</body></html>\n")
    if odd := re.fullmatch(r"detail_(\d+)", request.script):
        return whole(request, {"detail": "Unauthorized"}, int(odd[1]))
    if plain := re.fullmatch(r"status_(\d+)", request.script):
        status = int(plain[1])
        kind = {401: "invalid_request_error", 429: "insufficient_quota", 500: "server_error"}.get(
            status, "invalid_request_error"
        )
        return whole(request, error(kind, f"refused with {status}: «why»", "a_code"), status)
    if request.script == "wont_help":
        return whole(request, error("server_error", "do not come back"), 500, [("x-should-retry", "false")])
    if request.script == "wait_long":
        return whole(
            request,
            error("requests", "come back in an hour"),
            429,
            [("retry-after", "3600"), ("x-should-retry", "false")],
        )
    return None


def retried(request):
    """`again_*` fails once or twice in a way that the SDK tries again after, and then answers."""
    tries = {
        "again_429": [(429, [("retry-after-ms", "15")])],
        "again_500": [(500, [("retry-after-ms", "10")]), (503, [("retry-after", "0.02")])],
        "again_never": [(500, [("retry-after-ms", "5")])] * 3,
    }.get(request.script, [])
    if request.attempt < len(tries):
        status, extra = tries[request.attempt]
        return whole(request, error("server_error", f"try {request.attempt}"), status, extra)
    return None


def broken(script, steps):
    """The stream as `script` lets it end."""
    if script.endswith("_odd"):
        return pieces(b"".join(steps), 7)
    if script.endswith("_slow"):
        return [part for each in steps for part in (each, 0.08)]
    if script.endswith("_cut"):
        return [*steps[:3], 0.05, CUT]
    if script.endswith("_left"):
        return [*steps[:3], HOLD]
    if script.endswith("_error"):
        return [*steps[:3], data(error("server_error", "The server had an error", "server_error"))]
    return steps


def data(value):
    return f"data: {dense(value)}\n\n".encode()


def chat(kind, choices, **more):
    return {
        "id": "chatcmpl-01",
        "object": kind,
        "created": 1763978400,
        "model": MODEL,
        "system_fingerprint": "fp_1",
        "choices": choices,
        **more,
    }


def chat_stream(request):
    counted = (request.json().get("stream_options") or {}).get("include_usage")
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "tides", "arguments": ""}}
    deltas = [
        {"role": "assistant", "content": "", "refusal": None},
        *({"content": text} for text in TEXTS),
        {"tool_calls": [call]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ['{"port":"Har', 'wich"}']),
    ]
    blank = {"usage": None} if counted else {}
    chunk = "chat.completion.chunk"
    steps = [
        data(chat(chunk, [{"index": 0, "delta": delta, "finish_reason": None}], obfuscation="x" * 5, **blank))
        for delta in deltas
    ]
    steps.append(data(chat(chunk, [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], **blank)))
    if counted:
        steps.append(data(chat(chunk, [], usage=USAGE)))
    return [*steps, b"data: [DONE]\n\n"]


def completion_stream(_):
    one = {"id": "cmpl-01", "object": "text_completion", "created": 1763978400, "model": MODEL}
    steps = [
        data({**one, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": None}]})
        for text in TEXTS
    ]
    return [*steps, b"data: [DONE]\n\n"]


def response(status, output, usage):
    return {
        "id": "resp_01",
        "object": "response",
        "created_at": 1763978400,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": MODEL,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage,
    }


def said(text, status="completed"):
    part = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {"id": "msg_01", "type": "message", "role": "assistant", "status": status, "content": part}


def response_stream(request):
    status = "completed" if request.script.endswith("_odd") else "incomplete"
    place = {"item_id": "msg_01", "output_index": 0, "content_index": 0}
    text = "".join(TEXTS)
    events = [
        ("response.created", {"response": response("in_progress", [], None)}),
        ("response.in_progress", {"response": response("in_progress", [], None)}),
        ("response.output_item.added", {"output_index": 0, "item": said("", "in_progress")}),
        ("response.content_part.added", {**place, "part": {"type": "output_text", "text": "", "annotations": []}}),
        *(("response.output_text.delta", {**place, "delta": part, "logprobs": []}) for part in TEXTS),
        ("response.output_text.done", {**place, "text": text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": {"type": "output_text", "text": text, "annotations": []}}),
        ("response.output_item.done", {"output_index": 0, "item": said(text)}),
        (f"response.{status}", {"response": response(status, [said(text)], RESPONSE_USAGE)}),
    ]
    return [
        f"event: {name}\ndata: {dense({'type': name, 'sequence_number': number, **value})}\n\n".encode()
        for number, (name, value) in enumerate(events)
    ]


def elsewhere(request):
    """Everything that is neither a stream nor a failure."""
    # What arrived here, so that the client can tell whether it is what was sent.
    arrived = f"{len(request.body)} bytes, {hashlib.sha256(request.body).hexdigest()}"
    path = request.path
    if path == "/v1/chat/completions":
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": arrived, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
            for index in range(request.json().get("n") or 1)
        ]
        return whole(request, chat("chat.completion", choices, usage=USAGE, service_tier="default"))
    if path == "/v1/responses" or path == "/v1/responses/resp_01":
        return whole(request, response("completed", [said(arrived)], RESPONSE_USAGE))
    if path == "/v1/completions":
        choice = {"index": 0, "text": arrived, "logprobs": None, "finish_reason": "length"}
        return whole(request, {**chat("text_completion", [choice]), "usage": USAGE})
    if path == "/v1/embeddings":
        numbers = [0.5, -0.25, 0.125]
        packed = base64.b64encode(struct.pack("<3f", *numbers)).decode()
        vector = packed if request.json().get("encoding_format") == "base64" else numbers
        entry = {"object": "embedding", "index": 0, "embedding": vector}
        return whole(
            request,
            {"object": "list", "data": [entry], "model": MODEL, "usage": {"prompt_tokens": 5, "total_tokens": 5}},
        )
    if path == "/v1/models":
        return whole(
            request,
            {
                "object": "list",
                "data": [{"id": MODEL, "object": "model", "created": 1763978400, "owned_by": "harbour"}],
            },
        )
    if path == "/v1/audio/speech":
        return Answer(headers=head(request, "audio/mpeg"), steps=pieces(bytes(range(256)) * 300, 4096))
    if path == "/v1/files":
        kept = {
            "id": "file-01",
            "object": "file",
            "bytes": len(request.body),
            "created_at": 1763978400,
            "filename": "tides.bin",
        }
        return whole(request, {**kept, "purpose": "user_data", "status": "processed"})
    return whole(request, error("invalid_request_error", f"Invalid URL ({request.method} {path})"), 404)
