"""What is sent: calls of three sizes, no two the same, by wrk, h2load and our own generator."""

import json
import re
import subprocess
import sys

from measure.targets import HEADERS, MODEL

# Bytes of a call, about.
SMALL, MEDIUM, LARGE = 300, 50_000, 1_000_000
# Stands in a body where each call has a number of its own.
NUMBER = "@@@@@@@@@@@@"

SCRIPT = """\
local number, before, between, behind = 0
init = function(arguments)
  number = tonumber(arguments[1])
  before, between, behind = wrk.format("POST", "/v1/messages"):match("^(.-)MARK(.-)NUMBER(.*)$")
end
request = function()
  number = number + 1
  return before .. PICKED .. between .. string.format("%012d", number) .. behind
end
"""


def script(mark="", count=1):
    """What wrk runs: each call has a number of its own, and where the head of a call has `mark`, one of so many numbers with as many digits."""
    picked = f'string.format("%0{len(mark)}d", number * 7919 % {count})' if mark else '""'
    return SCRIPT.replace("MARK", mark).replace("NUMBER", NUMBER).replace("PICKED", picked)


def call(size, stream=False):
    """A call of about so many bytes: a question, or what an agent sends, with the results of tools."""
    last = {"role": "user", "content": f"Which berths are free tonight for a ketch of eleven metres that draws two, and what does each cost? {NUMBER}"}
    system = "You are the harbour master of a small port. Answer in one sentence."
    text = 'fn main() {\n    println!("a line of some program");\n}\n' * 30
    messages = []
    while size > 2000 and len(json.dumps(messages)) + 900 < size:
        turn = len(messages)
        result = {"type": "tool_result", "tool_use_id": f"t{turn}", "content": text}
        use = {"type": "tool_use", "id": f"t{turn + 1}", "name": "read", "input": {"path": "a/b", "lines": [1, 2]}}
        messages.append({"role": "user", "content": [result]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": text[: size // 8]}, use]})
    request = {"model": MODEL, "max_tokens": 1024, **({"stream": True} if stream else {}), "system": system}
    return json.dumps({**request, "messages": [*messages, last]}, separators=(",", ":"))


class Loads:
    """Sends; every call of a run of the benches has another number."""

    def __init__(self, folder, tools):
        self.folder, self.tools = folder, tools
        self.number = 0

    def numbers(self):
        self.number += 1_000_000_000
        return str(self.number)

    def body(self, size, stream=False, same=False):
        path = self.folder / f"call{size}{stream}{same}.json"
        if not path.exists():
            text = call(size, stream)
            path.write_text(text.replace(NUMBER, "0" * 12) if same else text)
        return path

    def closed(self, target, size, seconds, connections, same=False, headers=None, scheme="http", lua=None):
        """wrk: as many calls as go, each connection sending its next once it has its answer. Gives calls, a second and in all."""
        body = self.body(size, same=same).read_text()
        lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in {**HEADERS, **(headers or {})}.items())
        text = f'wrk.method = "POST"\nwrk.path = "/v1/messages"\nwrk.body = {json.dumps(body)}\n{lines}\n'
        path = self.folder / "wrk.lua"
        path.write_text(text + ("" if same else lua or script()))
        command = [self.tools.wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", path]
        command += [f"{scheme}://{target.address}", "--", self.numbers()]
        before, of_server = target.cpu(), target.server and target.server.cpu()
        said = run(command, seconds + 60)
        target.settle()
        spent = target.spent(before)
        if bad := re.findall(r"Socket errors:.*|Non-2xx.*", said):
            print(f"    {target.address}: {'; '.join(bad)}", file=sys.stderr)
        calls = int(re.search(r"(\d+) requests in", said)[1])
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
        figures = {"cpu": spent / max(calls, 1), "rate": rate, "calls": calls, "bad": len(bad)}
        if target.server:
            figures["server"] = target.server.spent(of_server) / max(calls, 1)
        return figures

    def h2(self, target, size, seconds, connections, streams):
        """h2load over TLS: the same call again and again, so many streams on each connection."""
        command = [self.tools.h2load, "-D", str(seconds), "-c", str(connections), "-m", str(streams), "-t", "1"]
        for name, value in HEADERS.items():
            command += ["-H", f"{name}: {value}"]
        command += ["-d", self.body(size, same=True), f"https://{target.address}/v1/messages"]
        before = target.cpu()
        said = run(command, seconds + 60)
        target.settle()
        spent = target.spent(before)
        calls = int(re.search(r"(\d+) succeeded", said)[1])
        failed = int(re.search(r"(\d+) failed", said)[1]) + int(re.search(r"([\d]+) 4xx", said)[1])
        if failed:
            print(f"    {target.address}: {failed} calls failed", file=sys.stderr)
        return {"cpu": spent / max(calls, 1), "rate": calls / seconds, "calls": calls, "bad": failed}

    def rate(self, target, size, rate, seconds, connections=16, **options):
        """Calls at a fixed rate, timed from when they were due. Gives their percentiles in microseconds."""
        command = [self.tools.load, "rate", target.address, self.body(size), "--rate", str(rate), "--seconds", str(seconds)]
        command += ["--connections", str(connections), "--from", self.numbers(), *headers()]
        before = target.cpu()
        figures = json.loads(run(command, seconds + 60))
        target.settle()
        figures["cpu"] = target.spent(before) / max(figures["sent"], 1)
        if figures["broken"] or figures["refused"]:
            print(f"    {target.address}: {figures['broken']} calls broken off, {figures['refused']} refused", file=sys.stderr)
        return figures

    def streams(self, target, count, seconds):
        """Holds so many event streams open. Gives CPU for an event, lateness of events, memory for a stream."""
        command = [self.tools.load, "streams", target.address, self.body(300, stream=True), "--count", str(count)]
        command += ["--seconds", str(seconds), "--from", self.numbers(), *headers()]
        _, at_rest = target.memory()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            client.stdout.readline()
            before = target.cpu()
            counted = client.stdout.readline()
            spent = target.spent(before)
            _, open_now = target.memory()
            client.stdin.close()
        target.settle()
        if not counted:
            sys.exit(f"{count} streams could not be opened at {target.address}")
        figures = json.loads(counted)
        if figures["failed"] or figures["ended"]:
            sys.exit(f"{target.address}: {figures['failed']} streams failed and {figures['ended']} ended while events were counted")
        return {**figures, "cpu": spent / figures["events"], "memory": (open_now - at_rest) / count}


def headers():
    return [part for name, value in HEADERS.items() for part in ("--header", f"{name}: {value}")]


def run(command, timeout):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout
