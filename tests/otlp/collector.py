"""A collector of traces: takes OTLP over HTTP, decodes it by the official definitions of OpenTelemetry, and writes each span to a file as
a line of JSON before it answers. What the definitions do not know is an error, and so is any id of a wrong length.

    collector.py --port PORT --out FILE

It says `listening on ADDRESS`. `POST /answer?status=503&times=2&retry_after=1` has it answer its next requests so, without taking
anything; `POST /answer?partial=3` has it reject three spans of the next one.
"""

import argparse
import gzip
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

# `google.rpc.Status` with code 3 and the message `not now`.
REFUSAL = b"\x08\x03\x12\x07not now"
KINDS = {1: "internal", 2: "server", 3: "client"}


def check(message):
    """No field may be one that the definitions do not know."""
    assert len(UnknownFieldSet(message)) == 0, f"unknown fields in {message.DESCRIPTOR.full_name}"
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                check(one)


def plain(any_value):
    kind = any_value.WhichOneof("value")
    value = getattr(any_value, kind)
    return [plain(one) for one in value.values] if kind == "array_value" else value


def attributes(of):
    pairs = [(pair.key, plain(pair.value)) for pair in of]
    assert len({key for key, _ in pairs}) == len(pairs), f"a key stands twice: {pairs}"
    return dict(pairs)


def spans(request):
    for resource_spans in request.resource_spans:
        resource = attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                assert len(span.trace_id) == 16 and any(span.trace_id), span
                assert len(span.span_id) == 8 and any(span.span_id), span
                assert len(span.parent_span_id) in (0, 8), span
                assert span.name and span.start_time_unix_nano <= span.end_time_unix_nano, span
                yield {
                    "resource": resource,
                    "scope": scope_spans.scope.name,
                    "schema": scope_spans.schema_url,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": KINDS[span.kind],
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "events": [{"name": event.name, "time": event.time_unix_nano} for event in span.events],
                    "error": span.status.code == 2,
                    "message": span.status.message,
                    "flags": span.flags,
                }


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        target = urlsplit(self.path)
        if target.path == "/answer":
            wanted = {key: values[0] for key, values in parse_qs(target.query).items()}
            self.answers.extend([wanted] * int(wanted.get("times", 1)))
            return self.answer(200, b"")
        assert target.path == "/v1/traces", self.path
        wanted = self.answers.pop(0) if self.answers else {}
        if "status" in wanted:
            return self.answer(int(wanted["status"]), REFUSAL, wanted.get("retry_after"))
        assert self.headers["content-type"] == "application/x-protobuf", self.headers
        packed = self.headers.get("content-encoding")
        assert packed in (None, "gzip"), packed
        request = service.ExportTraceServiceRequest()
        request.ParseFromString(gzip.decompress(body) if packed else body)
        check(request)
        lines = [json.dumps({**span, "gzip": bool(packed), "token": self.headers.get("x-token")}) for span in spans(request)]
        assert lines, "a request without spans"
        with open(self.server.out, "a", encoding="utf-8") as out:
            out.write("".join(line + "\n" for line in lines))
        response = service.ExportTraceServiceResponse()
        if "partial" in wanted:
            response.partial_success.rejected_spans = int(wanted["partial"])
            response.partial_success.error_message = "too old"
        self.answer(200, response.SerializeToString())

    def answer(self, status, body, retry_after=None):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        if retry_after is not None:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Collector)
    server.out = arguments.out
    print("listening on 127.0.0.1:%d" % server.server_port, flush=True)
    server.serve_forever()
