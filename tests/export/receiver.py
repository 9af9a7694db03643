"""A receiver of CloudEvents that is strict: it reads each event by the SDK of the CloudEvents project.

receiver.py --port PORT --out FILE --says FILE: events that are taken are appended to OUT, one a line. SAYS may hold what is answered
instead: a status, and behind it a text by which events are recognized that are refused; all are without one.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--out", required=True)
parser.add_argument("--says", required=True)
options = parser.parse_args()


def read(event):
    """The event, if it is one to the letter."""
    made = JSONFormat().read(CloudEvent, json.dumps(event))
    assert made.get_specversion() == "1.0" and made.get_subject() and made.get_time().tzinfo, event
    assert made.get_datacontenttype() == "application/json" and isinstance(made.get_data(), dict), event
    return made


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        says = Path(options.says).read_text().split(maxsplit=1) if Path(options.says).exists() else []
        if says and (len(says) == 1 or says[1].strip().encode() in body):
            return self.answer(int(says[0]), "refused")
        try:
            assert self.path == "/usage" and self.headers["authorization"] == "Bearer s3crettoken", self.path
            assert self.headers["content-type"] == "application/cloudevents-batch+json", self.headers
            events = json.loads(body)
            for event in events:
                read(event)
        except Exception as error:  # whatever is wrong with it
            return self.answer(422, f"{type(error).__name__}: {error}")
        with open(options.out, "a") as out:
            out.write("".join(json.dumps(event) + "\n" for event in events))
        self.answer(204, "")

    def answer(self, status, text):
        self.send_response(status)
        if status in (429, 503):
            self.send_header("retry-after", "1")
        if status != 204:
            self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that is gone, which tests want, is no error here."""


server = Server(("127.0.0.1", options.port), Receiver)
print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
