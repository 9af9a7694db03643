"""The programs that are measured: how each is started, and what /proc tells of it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

# How long a program may take to accept, and a connection to be answered, in seconds.
DEADLINE = 10.0

GATEWAY = """\
log: { level: error }
access_log: { path: off }
listeners:
  - { address: "127.0.0.1:0", max_connections: 20000 }
upstreams:
  simulated:
    servers: [SERVERS]
    keepalive: { connections: 512 }
plugins: [PLUGINS]
routes:
  - { upstream: simulated }
"""

NGINX = """\
worker_processes auto;
daemon off;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log warn;
worker_rlimit_nofile 20000;
events { worker_connections 10000; }
http {
  client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u;
  scgi_temp_path FOLDER/s;
  access_log off;
  keepalive_requests 1000000; keepalive_timeout 300;
  client_max_body_size 32m; client_body_buffer_size 2m;
  upstream simulated { least_conn; SERVERS keepalive 512; keepalive_requests 1000000; }
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_buffering off;
  server { listen 127.0.0.1:PORT backlog=4096; location / { proxy_pass http://simulated; } }
}
"""


class Process:
    """A started program and its children, as /proc sees them."""

    def __init__(self, command, address=None, output=subprocess.DEVNULL):
        self.address = address
        self.child = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, text=True)

    def pids(self):
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return [self.child.pid, *map(int, children)]

    def cpu(self):
        """CPU time so far, in nanoseconds."""
        tasks = (task for pid in self.pids() for task in Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def rss(self):
        """Resident memory, in KiB."""
        status = "".join(Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        return sum(int(size) for size in re.findall(r"VmRSS:\s+(\d+)", status))

    def wait_until_it_accepts(self):
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return connect(self.address).close()
            except OSError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{self.child.args[0]} does not accept connections at {self.address}")
                time.sleep(0.02)

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(2)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


def free_address():
    """An address that was free a moment ago: for programs that cannot tell which port they were given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def announced(command):
    """A program that says `listening on ADDRESS` once it accepts there."""
    process = Process(command, output=subprocess.PIPE)
    line = process.child.stdout.readline()
    if not line.startswith("listening on "):
        process.stop()
        sys.exit(f"{' '.join(map(str, command))} said {line!r}, wanted 'listening on ADDRESS'")
    process.address = line.split()[-1]
    # What else it says is nobody's to read, and must not fill the pipe.
    threading.Thread(target=process.child.stdout.read, daemon=True).start()
    return process


class Bench:
    """The programs to measure, and the upstreams behind them."""

    def __init__(self, given, folder, upstreams):
        self.given, self.folder, self.upstreams = given, folder, upstreams

    def targets(self):
        """Every target by name, as a function that starts it; the bare proxy, against which all are held, first."""
        found = {"bare": self.bare, "tollgate": lambda: self.tollgate("")}
        found["tollgate, max_tokens"] = lambda: self.tollgate("{ max_tokens: { limit: 4000 } }")
        found["tollgate, cache hit"] = lambda: self.tollgate("{ response_cache: {} }")
        found["tollgate, coalesced"] = lambda: self.tollgate("{ response_cache: { ttl: 1ms } }")
        if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
            found["nginx"] = self.nginx
        return {name: start for name, start in found.items() if name == "bare" or self.given.only in name}

    def bare(self):
        address = free_address()
        return Process([self.given.bare, address, *self.upstreams], address)

    def tollgate(self, plugins):
        servers = ", ".join(f'{{ address: "{address}" }}' for address in self.upstreams)
        config = self.folder / f"tollgate{len(plugins)}.yaml"
        config.write_text(GATEWAY.replace("SERVERS", servers).replace("PLUGINS", plugins))
        return announced([self.given.tollgate, "run", "-c", config])

    def nginx(self):
        address = free_address()
        servers = " ".join(f"server {upstream};" for upstream in self.upstreams)
        config = NGINX.replace("SERVERS", servers).replace("PORT", address.rsplit(":", 1)[1])
        path = self.folder / "nginx.conf"
        path.write_text(config.replace("FOLDER", str(self.folder)))
        return Process([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", path], address)


@contextmanager
def running(start):
    """A started program, stopped again whatever happens."""
    process = start()
    try:
        process.wait_until_it_accepts()
        yield process
    finally:
        process.stop()
