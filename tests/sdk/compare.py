"""Runs every SDK against the origin directly and through each gateway; fails with a diff where one saw a difference.

Compared are both ends: what the SDK saw, and what arrived at the origin. `--sdk` is where `tests/run` has installed
the SDKs.
"""

import argparse
import difflib
import json
import os
import secrets
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
GENERATIONS = ["current", "previous"]
FAMILIES = ["anthropic", "openai"]
# How long one SDK may take for all of its calls, in seconds.
PATIENCE = 240

# What a gateway adds to a request by design, and what holds for one connection only.
ADDED = {
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "forwarded",
    "x-request-id",
    "connection",
    "keep-alive",
    "x-run",
}


def clients(sdk):
    """Every client, by a name, as the command that it is started with; the base URL and the run follow."""
    node = next(iter(sdk.glob("node_modules/node-linux-*/bin/node")), sdk / "node_modules/node")
    for generation in GENERATIONS:
        python = sdk / generation / "bin/python"
        for family in FAMILIES:
            package = sdk / "node_modules" / f"{family}-{generation}"
            yield f"python-{family}-{generation}", [python, HERE / "client.py", family]
            yield f"node-{family}-{generation}", [node, HERE / "client.mjs", family, package]


def missing(sdk):
    """What of the SDKs is not installed."""
    needed = [part for _, command in clients(sdk) for part in (command[0], command[-1]) if isinstance(part, Path)]
    return sorted({str(path) for path in needed if not path.exists()})


def saw(command, base, origin, run):
    """What a client saw at `base`, and what of it arrived at the origin."""
    # Nothing of the caller's environment may name a proxy, a key or another base URL.
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    ran = subprocess.run([*command, base, run], env=environment, capture_output=True, text=True, timeout=PATIENCE)
    if ran.returncode != 0:
        raise SystemExit(f"{run}: {ran.stderr}")
    with urllib.request.urlopen(f"{origin}/seen/{run}", timeout=60) as answer:
        arrived = json.load(answer)
    host = base.removeprefix("http://")
    for request in arrived:
        pairs = [(name, value) for name, value in request["headers"] if name not in ADDED]
        request["headers"] = [f"{name}: {'HOST' if value == host else value}" for name, value in pairs]
    # Calls that are made at once arrive in any order.
    arrived.sort(key=lambda request: json.dumps(request, sort_keys=True))
    return {"seen": json.loads(ran.stdout), "arrived": arrived}


def lines(document):
    """A document as lines, so that a difference is told where it is."""
    told = []
    for script, seen in document["seen"].items():
        text = json.dumps(seen, indent=1, ensure_ascii=False, sort_keys=True)
        told += [f"{script}: {line}" for line in text.splitlines()]
    for request in document["arrived"]:
        text = json.dumps(request, indent=1, ensure_ascii=False, sort_keys=True)
        told += [f"at the origin, {request['script']}: {line}" for line in text.splitlines()]
    return told


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--direct", required=True, metavar="URL", help="the origin")
    arguments.add_argument("--gateway", required=True, action="append", metavar="URL", help="a gateway in front of it")
    arguments.add_argument("--sdk", default=HERE.parent.parent / "target/sdk", type=Path, metavar="FOLDER")
    arguments.add_argument("--only", default="", metavar="NAME", help="only the clients whose name has this in it")
    given = arguments.parse_args()
    given.sdk = given.sdk.resolve()

    if absent := missing(given.sdk):
        sys.exit("the SDKs are not installed (tests/run installs them); missing:\n  " + "\n  ".join(absent))

    # The origin may have seen other comparisons.
    token = secrets.token_hex(4)
    chosen = [(name, command) for name, command in clients(given.sdk) if given.only in name]
    with ThreadPoolExecutor(max_workers=6) as pool:
        runs = {
            (name, base): pool.submit(saw, command, base, given.direct, f"{name}-{number}-{token}")
            for name, command in chosen
            for number, base in enumerate([given.direct, *given.gateway])
        }

    differences = 0
    for name, _ in chosen:
        direct = runs[name, given.direct].result()
        print(f"{name}: {len(direct['seen'])} calls, {len(direct['arrived'])} requests")
        for gateway in given.gateway:
            through = runs[name, gateway].result()
            diff = list(
                difflib.unified_diff(lines(direct), lines(through), "direct", f"through {gateway}", n=1, lineterm="")
            )
            if diff:
                differences += 1
                print(f"{name}: not the same through {gateway}", *diff[:200], sep="\n")
    if differences:
        sys.exit(f"{differences} of {len(chosen) * len(given.gateway)} comparisons differ")


if __name__ == "__main__":
    main()
