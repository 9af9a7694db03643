"""What an edge does besides passing calls on: answers from its cache, TLS, HTTP/2."""

from measure.loads import SMALL
from measure.tables import Table, with_ratios

CPU = {"cpu": ("CPU µs a call", 1), "ratio": ("to nginx", 2), "rate": ("calls/s", 0)}


def hits(bench):
    """One call that the cache answers, again and again."""
    text = (
        "The same small call on 64 connections. Tollgate with everything on answers from memory, and writes a row for each. "
        "nginx, its cache: `proxy_cache` by the request's path and body, whose answers are files in the system's memory."
    )
    table = Table("hits", "Answers from the cache", text, CPU, bars="cpu")
    with bench.origin() as origin:
        targets = bench.targets(origin, ["nginx", "nginx-cache", "plain", "on"])
        figures = bench.turns(targets, lambda target: bench.loads.closed(target, SMALL, bench.seconds, 64, same=True))
    return [with_ratios(table, figures)]


def tls(bench):
    """HTTP/1.1 over TLS 1.3, with connections that stay and with a handshake for each call."""
    tables = []
    for name, title, headers in [("tls", "TLS", {}), ("handshakes", "TLS, a handshake a call", {"connection": "close"})]:
        text = "Small calls over TLS 1.3 with an ECDSA certificate (P-256), no two the same, on 32 connections"
        text += ", each closed after its call: every call has a handshake of its own." if headers else "."
        table = Table(name, title, text, CPU, bars="cpu")
        with bench.origin() as origin:
            targets = bench.targets(origin, ["nginx", "haproxy", "plain", "on"], tls=True)
            figures = bench.turns(
                targets, lambda target, headers=headers: bench.loads.closed(target, SMALL, bench.seconds, 32, headers=headers, scheme="https")
            )
        tables.append(with_ratios(table, figures))
    return tables


def h2(bench):
    """HTTP/2 over TLS, by h2load."""
    text = "Small calls over HTTP/2 with TLS 1.3: 8 connections with 8 streams each. h2load sends the same call, so Tollgate has no cache here."
    table = Table("h2", "HTTP/2", text, CPU, bars="cpu")
    with bench.origin() as origin:
        targets = bench.targets(origin, ["nginx", "haproxy", "plain", "no-cache"], tls=True)
        figures = bench.turns(targets, lambda target: bench.loads.h2(target, SMALL, bench.seconds, 8, 8))
    return [with_ratios(table, figures)]
