"""What grows with the configuration: many servers, many routes, many keys."""

import hashlib
import time

from measure.bench import VARIANTS
from measure.loads import SMALL, script
from measure.tables import Table, median, with_ratios
from measure.targets import KEY, PLUGINS, Targets

SERVERS, ROUTES, KEYS = 1_000, 10_000, 1_000_000
COLUMNS = {"cpu": ("CPU µs a call", 1), "ratio": ("to nginx", 2), "rate": ("calls/s", 0), "rss": ("RSS MiB", 0)}

# What stands in a call where wrk puts the number of a host, and of a key.
HOST, SECRET = "#####", "#######"


def servers(bench):
    """An upstream of a thousand servers beside one of four."""
    text = f"Small calls on 64 connections, to 4 servers and to {SERVERS:,} (addresses of 127.0.0.0/8 that one origin serves), by least connections."
    table = Table("servers", f"{SERVERS:,} servers", text, COLUMNS, bars="cpu")
    with bench.origin(address="0.0.0.0:0") as origin:
        port = origin.address.rsplit(":", 1)[1]
        addresses = [f"127.1.{n // 250}.{n % 250 + 1}:{port}" for n in range(SERVERS)]
        names = ["nginx", "haproxy", "plain", "on"]
        few = bench.targets(origin, names, servers=addresses[:4])
        many = bench.targets(origin, names, servers=addresses)
        targets = few | {f"{name}, {SERVERS:,} servers": start for name, start in many.items()}
        figures = bench.turns(targets, lambda target: bench.loads.closed(target, SMALL, bench.seconds, 64))
    return [with_ratios(table, figures)]


def routes(bench):
    """Ten thousand routes by host beside one."""
    text = f"Small calls on 64 connections to {ROUTES:,} hosts in turn: one route for all, and {ROUTES:,} routes by host (in nginx: `server` blocks)."
    table = Table("routes", f"{ROUTES:,} routes", text, COLUMNS, bars="cpu")
    for_tollgate = "".join(f'  - {{ hosts: ["h{n:05}.test"], upstream: origin }}\n' for n in range(ROUTES))
    for_nginx = "".join(
        f"  server {{ listen 127.0.0.1:PORT; server_name h{n:05}.test; location / {{ proxy_pass http://origin; }} }}\n" for n in range(ROUTES)
    )
    asked = {"lua": script(HOST, ROUTES), "headers": {"Host": f"h{HOST}.test"}}
    with bench.origin() as origin:
        names = ["nginx", "plain", "on"]
        one = bench.targets(origin, names)
        many = bench.targets(origin, ["nginx"], routes=for_nginx) | bench.targets(origin, ["plain", "on"], routes=for_tollgate)
        targets = one | {f"{name}, {ROUTES:,} routes": start for name, start in many.items()}
        figures = bench.turns(targets, lambda target: bench.loads.closed(target, SMALL, bench.seconds, 64, **asked))
    return [with_ratios(table, figures)]


def keys(bench):
    """A file of a million keys beside one of one key."""
    file = bench.folder / "keys.yaml"
    with open(file, "w") as out:
        for n in range(KEYS):
            digest = hashlib.sha256(f"{KEY}{n:07}".encode()).hexdigest()
            out.write(f"- {{ name: key-{n}, sha256: {digest}, tenant: team-{n % 1000} }}\n")
    columns = {key: COLUMNS[key] for key in ("cpu", "rate", "rss")} | {"start": ("start s", 1)}
    text = f"Small calls with everything on, by one caller and by callers from all over a file of {KEYS:,} keys ({file.stat().st_size / 1e6:.0f} MB)."
    table = Table("keys", f"{KEYS:,} keys", text, columns, bars="cpu")
    lua = script(SECRET, KEYS)
    with bench.origin() as origin:
        start, targets, took = Targets(bench.folder, origin.addresses, bench.tools), {}, {}
        for build, binary in bench.builds.items():
            for title, setting in [("one key", None), (f"{KEYS:,} keys", f"{{ file: {file}, max_keys: {KEYS} }}")]:
                name = f"Tollgate{build}, {title}"

                def begin(binary=binary, setting=setting, name=name):
                    begun = time.monotonic()
                    process = start.tollgate(binary, VARIANTS["on"][0], api_keys=setting or PLUGINS["api_keys"])
                    took[name] = time.monotonic() - begun
                    process.secrets = setting and lua
                    return process

                targets[name] = begin

        def drive(target):
            headers = {"x-api-key": f"{KEY}{SECRET}"} if target.secrets else {}
            return bench.loads.closed(target, SMALL, bench.seconds, 64, headers=headers, lua=target.secrets)

        figures = bench.turns(targets, drive)
    for name, rows in figures.items():
        table.rows[name] = {key: median(rows, key) for key in ("cpu", "rate", "rss")} | {"start": took[name]}
    return [table]
