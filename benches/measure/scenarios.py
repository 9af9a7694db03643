"""The scenarios in the order in which they run."""

from measure import edges, growth, kills, traffic

# The function that measures one, and whether the quick comparison has it.
SCENARIOS = {
    "small": (traffic.small, True),
    "medium": (traffic.medium, True),
    "streams500": (lambda bench: traffic.streams(bench, 500, gap=20), True),
    "streams2000": (lambda bench: traffic.streams(bench, 2000, gap=100), False),
    "latency500": (lambda bench: traffic.latency(bench, 500), True),
    "latency2000": (lambda bench: traffic.latency(bench, 2000), False),
    "idle": (traffic.idle, True),
    "large": (traffic.large, False),
    "hits": (edges.hits, False),
    "tls": (edges.tls, False),
    "h2": (edges.h2, False),
    "servers": (growth.servers, False),
    "routes": (growth.routes, False),
    "keys": (growth.keys, False),
    "kills": (kills.kills, False),
}
