"""A program that runs: how it is started and stopped, and what /proc tells of it."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

# How long a program may take to accept, and a connection to be answered, in seconds.
DEADLINE = 30.0


class Process:
    """A started program and its descendants, as /proc sees them."""

    def __init__(self, command, address=None, output=subprocess.DEVNULL, **options):
        self.address, self.addresses, self.admin = address, [], None
        # The database server that works for it, whose time is a figure of its own.
        self.server = None
        self.child = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, text=True, **options)

    def pids(self):
        """Its own id and those of its descendants."""
        found, new = [], [self.child.pid]
        while new:
            pid = new.pop()
            found.append(pid)
            try:
                for task in Path(f"/proc/{pid}/task").iterdir():
                    new += map(int, (task / "children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def cpu(self):
        """CPU time so far in nanoseconds, by thread."""
        times = {}
        for pid in self.pids():
            try:
                for task in Path(f"/proc/{pid}/task").iterdir():
                    times[task.name] = int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
        return times

    def spent(self, before):
        """CPU time since `before`, in microseconds. A thread that has ended since counts nothing: it ends when it was idle."""
        return sum(time - before.get(task, 0) for task, time in self.cpu().items()) / 1000

    def memory(self):
        """Resident memory in KiB, as (RSS, PSS): in the second, what processes share counts once."""
        rss, pss = 0, 0
        for pid in self.pids():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1])
            pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
        return rss, pss

    def count(self, what):
        """How many entries its folders in /proc have: `fd` or `task`."""
        return sum(len(list(Path(f"/proc/{pid}/{what}").iterdir())) for pid in self.pids())

    def metrics(self):
        """The samples of its admin listener: name and labels, and the value."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=DEADLINE) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def settle(self):
        """Waits until the work behind the answers is done: the ledger has no rows that wait."""
        deadline = time.monotonic() + DEADLINE
        while self.admin and self.metrics().get("tollgate_ledger_queue_rows", 0) > 0:
            if time.monotonic() > deadline:
                sys.exit(f"the rows of {self.child.args[0]} do not arrive in its database")
            time.sleep(0.05)

    def wait_until_it_accepts(self, deadline=DEADLINE):
        deadline += time.monotonic()
        while True:
            try:
                return connect(self.address).close()
            except OSError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{' '.join(map(str, self.child.args))} does not accept connections at {self.address}")
                time.sleep(0.02)

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(2)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def kill(self):
        self.child.kill()
        self.child.wait()


def stop_all_on_term():
    """Lets SIGTERM end the script as an error does: what it started is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


def free_address():
    """An address that was free a moment ago: for programs that cannot tell which port they were given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def announced(command, lines=1):
    """A program that says `listening on ADDRESS` once it accepts there, and `admin listening on ADDRESS` if it has one."""
    process = Process(command, output=subprocess.PIPE)
    for _ in range(lines):
        line = process.child.stdout.readline()
        if "listening on " not in line:
            process.stop()
            sys.exit(f"{' '.join(map(str, command))} said {line!r}, wanted 'listening on ADDRESS'")
        if line.startswith("admin "):
            process.admin = line.split()[-1]
        else:
            process.addresses.append(line.split()[-1])
    process.address = process.addresses[0]
    # What else it says is nobody's to read, and must not fill the pipe.
    threading.Thread(target=process.child.stdout.read, daemon=True).start()
    return process


@contextmanager
def running(start):
    """A started program, stopped again whatever happens."""
    process = start()
    try:
        process.wait_until_it_accepts()
        yield process
    finally:
        process.stop()
