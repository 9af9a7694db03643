"""Traffic as it is: calls of three sizes, latency at a fixed rate, open streams, idle connections."""

import re
import resource
from contextlib import ExitStack, contextmanager

from measure.bench import VARIANTS
from measure.loads import HEADERS, LARGE, MEDIUM, NUMBER, SMALL, call
from measure.programs import connect, running
from measure.tables import Table, median, ratio, with_ratios

# Whose calls the quick comparison measures.
QUICK = ["nginx", "plain", "on", "no-cache", "no-budget", "no-ledger"]
# What a part costs: the variant with it, the one without, and what is said of the difference.
PAIRS = [
    ("on", "no-cache", "a cache that has no answer"),
    ("no-budget", "no-ledger", "the ledger"),
    ("on", "no-budget", "a budget"),
    ("postgres", "on", "Postgres in the place of SQLite"),
]


def calls(bench, name, title, size, names, connections):
    """A closed loop of calls, no two the same."""
    columns = {"cpu": ("CPU µs a call", 1), "ratio": ("to nginx", 2), "rate": ("calls/s", 0), "rss": ("RSS MiB", 0)}
    text = f"Calls of {len(call(size)):,} bytes, no two the same, on {connections} connections that send the next once they have the answer."
    table = Table(name, title, text, columns, bars="cpu")
    with bench.origin() as origin:
        targets = bench.targets(origin, names)
        few = min(connections, 16)

        def drive(target):
            return bench.loads.closed(target, size, bench.seconds, connections)

        figures = bench.turns(targets, drive, warm_up=lambda target: bench.loads.closed(target, size, 1, few))
    for build in bench.builds:
        for more, less, what in PAIRS:
            more, less = (figures.get(f"Tollgate{build}, {VARIANTS[name][1]}") for name in (more, less))
            if more and less and (share := ratio(more, less, "cpu")):
                table.notes.append(f"Tollgate{build}: {what} {(share - 1) * 100:+.0f} % CPU.")
    for name, rows in figures.items():
        if "server" in rows[0]:
            table.notes.append(f"{name}: the server of Postgres takes {median(rows, 'server'):.1f} µs a call besides.")
    return with_ratios(table, figures)


def small(bench):
    names = QUICK if bench.given.quick else ["direct", "nginx", "haproxy", "litellm", "bare", "plain", "on", "postgres", "no-cache", "no-budget", "no-ledger"]
    return [calls(bench, "small", "Small calls", SMALL, names, 64)]


def medium(bench):
    names = QUICK if bench.given.quick else ["direct", "nginx", "nginx-file", "haproxy", "litellm", "bare", "plain", "on", "postgres", "no-cache", "no-ledger"]
    return [calls(bench, "medium", "Calls of 50 KB", MEDIUM, names, 32)]


def large(bench):
    names = ["direct", "nginx", "nginx-file", "haproxy", "litellm", "bare", "plain", "on", "no-cache", "no-ledger"]
    return [calls(bench, "large", "Calls of 1 MB", LARGE, names, 8)]


def latency(bench, rate):
    """What a proxy adds to the time of an answer, at a rate that leaves it time."""
    names = ["direct", "nginx", "plain", "on"] if bench.given.quick else ["direct", "nginx", "haproxy", "bare", "plain", "on", "postgres"]
    columns = {"added50": ("added p50 µs", 0), "ratio50": ("to nginx", 2), "added99": ("added p99 µs", 0), "ratio99": ("to nginx", 2)}
    columns |= {"p50": ("p50 µs", 0), "p99": ("p99 µs", 0), "cpu": ("CPU µs a call", 1)}
    text = (
        f"{rate:,} small calls a second over 16 connections, due at times that do not depend on earlier answers; a call that leaves "
        "late is timed from when it was due. Added: over the origin asked directly, in the same round."
    )
    table = Table(f"latency{rate}", f"Latency at {rate:,} calls a second", text, columns, bars="added50")
    with bench.origin() as origin:
        figures = bench.turns(bench.targets(origin, names), lambda target: bench.loads.rate(target, SMALL, rate, bench.seconds))
    for name, rows in figures.items():
        if name != "direct":
            for row, base in zip(rows, figures["direct"], strict=True):
                row["added50"], row["added99"] = row["p50"] - base["p50"], row["p99"] - base["p99"]
    return [with_ratios(table, figures, ratios=(("ratio50", "added50"), ("ratio99", "added99")))]


def streams(bench, count, gap):
    """So many open event streams, an event every `gap` ms on each."""
    names = ["nginx", "plain", "on"] if bench.given.quick else ["direct", "nginx", "haproxy", "bare", "plain", "on", "no-ledger"]
    columns = {"cpu": ("CPU µs an event", 1), "ratio": ("to nginx", 2), "memory": ("KiB a stream", 1)}
    columns |= {"p50": ("late p50 µs", 0), "p99": ("late p99 µs", 0), "events": ("events", 0)}
    text = (
        f"{count:,} streams open at the same time, an event every {gap} ms on each. Late: from the origin's sending an event to the "
        "client's having it. Memory: PSS with all streams open, less that before. For each round a program is started anew."
    )
    table = Table(f"streams{count}", f"{count:,} event streams", text, columns, bars="cpu")
    with bench.origin(events=100_000, gap=gap) as origin:
        targets = bench.targets(origin, names)
        figures = {name: [] for name in targets}
        for name in bench.order(targets):
            with running(targets[name]) as target:
                if name != "direct":
                    bench.loads.closed(target, SMALL, 1, 16)
                figures[name].append(bench.loads.streams(target, count, bench.seconds))
    table = with_ratios(table, figures)
    table.rows.get("direct", {}).pop("memory", None)
    return [table]


def idle(bench):
    """Connections that have each been answered once and then say nothing."""
    count = 1000 if bench.given.quick else 5000
    text = f"{count:,} connections, each answered once and then silent. PSS, less that before they came."
    columns = {"memory": ("KiB a connection", 1), "pss": ("PSS MiB in all", 1)}
    table = Table("idle", "Idle connections", text, columns, bars="memory")
    names = ["nginx", "plain", "on"] if bench.given.quick else ["nginx", "haproxy", "bare", "plain", "on"]
    with many_files(), bench.origin() as origin:
        for name, start in bench.targets(origin, names).items():
            with running(start) as target, ExitStack() as stack:
                bench.loads.closed(target, SMALL, 1, 16)
                _, before = target.memory()
                for number in range(count):
                    exchange(stack.enter_context(connect(target.address)), call(SMALL).replace(NUMBER, f"{number:012}"))
                target.settle()
                _, after = target.memory()
            table.rows[name] = {"memory": (after - before) / count, "pss": after / 1024}
    return [table]


def exchange(connection, text):
    """One call on a connection that stays open; its answer is read to the end."""
    headers = {"host": "bench", "content-length": len(text), **HEADERS}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.sendall(f"POST /v1/messages HTTP/1.1\r\n{head}\r\n{text}".encode())
    received = b""
    while not (found := re.search(rb"(?is)^HTTP/1.1 200.*?content-length: *(\d+).*?\r\n\r\n", received)) or len(received) < found.end() + int(found[1]):
        received += connection.recv(65536) or _broken(received)


def _broken(received):
    raise ConnectionError(f"a connection was closed within an answer: {received[:200]!r}")


@contextmanager
def many_files():
    """As many open files as the system allows."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
