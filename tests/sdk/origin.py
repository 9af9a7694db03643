"""The origin that the SDKs are run against: speaks HTTP/1.1, answers by script, remembers what it was asked.

A request names its script in `x-script` and its run in `x-run`; what the scripts say is in `anthropic_answers.py` and
`openai_answers.py`. `GET /seen/RUN` tells every request of a run as it arrived here.
"""

import argparse
import gzip
import hashlib
import json
import socket
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic_answers
import openai_answers
from answer import CUT, HOLD, Request

# How long a script waits for a client that is meant to leave.
PATIENCE = 10.0


class Seen:
    """The requests of every run, and how many of them are still being answered."""

    def __init__(self):
        self.changed = threading.Condition()
        self.runs = defaultdict(list)
        self.open = defaultdict(int)

    def begin(self, run, record):
        with self.changed:
            self.runs[run].append(record)
            self.open[run] += 1

    def end(self, run, record, ending):
        with self.changed:
            record["ending"] = ending
            self.open[run] -= 1
            self.changed.notify_all()

    def of(self, run):
        """Everything that was seen of `run`, once all of it has been answered."""
        with self.changed:
            self.changed.wait_for(lambda: self.open[run] == 0, timeout=2 * PATIENCE)
            return list(self.runs[run])


class ClientGone(Exception):
    """The client closed its connection before the answer was over."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen = Seen()

    def do_GET(self):
        if self.path.startswith("/seen/"):
            return self.tell(self.path.removeprefix("/seen/"))
        return self.exchange()

    do_POST = do_DELETE = do_GET

    def tell(self, run):
        body = json.dumps(self.seen.of(run)).encode()
        self.send_response_only(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def exchange(self):
        request = Request(
            method=self.command,
            target=self.path,
            headers=self.headers,
            body=self.read_body(),
            attempt=int(self.headers.get("x-stainless-retry-count", "0")),
            script=self.headers.get("x-script", ""),
        )
        run = self.headers.get("x-run", "")
        record = self.record(request)
        self.seen.begin(run, record)
        ending = "broken"
        try:
            family = anthropic_answers if "anthropic-version" in self.headers else openai_answers
            answer = family.answer(request)
            if answer.status is not None:
                self.send_head(answer, request)
            ending = self.send_body(answer)
        except (ClientGone, ConnectionError):
            ending = "client gone"
            self.close_connection = True
        finally:
            self.seen.end(run, record, ending)

    def read_body(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def record(self, request):
        # The boundary of a multipart body is drawn by lot: such a body is known by its length.
        multipart = "multipart/" in request.headers.get("content-type", "")
        headers = sorted(
            (name.lower(), value.split(";")[0] if multipart and name.lower() == "content-type" else value)
            for name, value in request.headers.items()
        )
        return {
            "script": request.script,
            "attempt": request.attempt,
            "method": request.method,
            "target": request.target,
            "headers": headers,
            "length": len(request.body),
            "sha256": None if multipart else hashlib.sha256(request.body).hexdigest(),
        }

    def send_head(self, answer, request):
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.steps is not None:
            self.send_header("transfer-encoding", "chunked")
        else:
            if answer.gzip and "gzip" in request.headers.get("accept-encoding", ""):
                answer.body = gzip.compress(answer.body, mtime=0)
                self.send_header("content-encoding", "gzip")
                self.send_header("vary", "accept-encoding")
            self.send_header("content-length", str(len(answer.body)))
        self.end_headers()

    def send_body(self, answer):
        if answer.steps is None:
            self.wfile.write(answer.body)
            return "complete"
        for step in answer.steps:
            if step is CUT:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_WR)
                return "cut"
            if step is HOLD:
                self.hold()
            elif isinstance(step, float):
                time.sleep(step)
            else:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(step), step))
        self.wfile.write(b"0\r\n\r\n")
        return "complete"

    def hold(self):
        """Says nothing until the client leaves."""
        self.connection.settimeout(PATIENCE)
        if self.connection.recv(1, socket.MSG_PEEK) == b"":
            raise ClientGone

    def log_message(self, *_):
        pass


class Origin(ThreadingHTTPServer):
    """The listening socket, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--listen", default="127.0.0.1:0", metavar="ADDRESS:PORT")
    host, port = arguments.parse_args().listen.rsplit(":", 1)
    origin = Origin((host, int(port)), Handler)
    print(f"listening on {host}:{origin.server_port}", flush=True)
    origin.serve_forever()


if __name__ == "__main__":
    main()
