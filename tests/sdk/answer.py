"""The words in which a script says its answer."""

import json
from dataclasses import dataclass, field
from email.message import Message

# Steps of a body beside bytes (sent as one chunk) and floats (a pause in seconds).
CUT = object()  # the connection ends here, in the middle of the body
HOLD = object()  # silence until the client leaves


@dataclass
class Request:
    """What was asked, and for which time."""

    method: str
    target: str
    headers: Message
    body: bytes
    attempt: int
    script: str

    @property
    def path(self):
        return self.target.split("?")[0]

    def json(self):
        return json.loads(self.body)


@dataclass
class Answer:
    """A status, headers, and a body: whole, or in steps."""

    status: int = 200
    headers: list = field(default_factory=list)
    body: bytes = b""
    steps: list | None = None
    gzip: bool = False


def dense(value):
    """JSON as the providers write it: no spaces, no escapes that are not needed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pieces(data, size):
    """The same bytes, cut anywhere."""
    return [data[start : start + size] for start in range(0, len(data), size)]
