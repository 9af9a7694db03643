"""Servers that are killed under load, and a gateway: what clients see, and whether every call that was answered has its row."""

import json
import sqlite3
import subprocess
import threading
from contextlib import ExitStack, contextmanager

from measure.bench import VARIANTS
from measure.loads import NUMBER, SMALL, headers
from measure.programs import announced, free_address, running
from measure.tables import Table

RATE, SECONDS = 1000, 9


class Origins:
    """Four servers, each a process of its own, at addresses that stay."""

    def __init__(self, bench):
        self.command = [bench.tools.load, "origin"]
        self.addresses = [free_address() for _ in range(4)]
        self.processes = [self.start(address) for address in self.addresses]

    @property
    def address(self):
        return self.addresses[0]

    def start(self, address):
        return announced([*self.command, "--listen", address])

    def kill_in_turn(self, stop):
        """Kills two of them, one after the other, each for two seconds."""
        for at in range(2):
            if stop.wait(2):
                return
            self.processes[at].kill()
            stop.wait(2)
            self.processes[at] = self.start(self.addresses[at])

    def stop(self):
        for process in self.processes:
            process.kill()


def kills(bench):
    """Servers die under load; then the gateway does."""
    text = (
        f"{RATE:,} small calls a second for {SECONDS} s, while two of four servers are killed (SIGKILL), one after the other, and are each gone for 2 s. "
        "Rows: lines of the access log, or rows of the ledger. Without: calls that were answered and have no row. Double: those with more than one."
    )
    columns = {"sent": ("calls", 0), "broken": ("broken off", 0), "refused": ("answered by an error", 0), "rows": ("rows", 0)}
    columns |= {"without": ("without a row", 0), "double": ("double rows", 0)}
    table = Table("kills", "Servers killed under load", text, columns)
    for name in ("nginx", "haproxy", "on", "postgres"):
        with ExitStack() as stack:
            origins = Origins(bench)
            stack.callback(origins.stop)
            for title, start in bench.targets(origins, [name]).items():
                with running(start) as target:
                    table.rows[title] = attack(bench, origins, target)
    for build, binary in bench.builds.items():
        with ExitStack() as stack:
            origins = Origins(bench)
            stack.callback(origins.stop)
            # there is none where `--targets` leaves it out
            if start := bench.targets(origins, ["on"]).get(f"Tollgate{build}, {VARIANTS['on'][1]}"):
                table.rows[f"Tollgate{build}, itself killed every 2 s too"] = suicide(bench, binary, start)
    return [table]


def attack(bench, origins, target):
    """Calls while servers die; what became of them, and of their rows."""
    with meanwhile(origins.kill_in_turn):
        figures, results = send(bench, target.address)
    target.settle()
    figures |= account(target, results)
    return {key: figures[key] for key in ("sent", "broken", "refused", "rows", "without", "double") if key in figures}


def send(bench, address):
    """Calls at a fixed rate, each of a session of its own."""
    results = bench.folder / "results"
    command = [bench.tools.load, "rate", address, bench.loads.body(SMALL), "--rate", str(RATE), "--seconds", str(SECONDS)]
    command += ["--results", results, "--from", bench.loads.numbers(), "--connections", "32", *headers(), "--header", f"x-session-id: {NUMBER}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 60, check=True)
    return json.loads(done.stdout), [line.split() for line in results.read_text().splitlines()]


def account(target, results):
    """The rows of these calls."""
    database = getattr(target, "database", None)
    if database is None:
        return {"rows": sum(1 for line in open(target.log) if "/v1/messages" in line)}
    query = "SELECT session_id, count(*) FROM api_requests GROUP BY session_id"
    if target.server:
        rows = dict(line.split("|") for line in target.server.sql(query, database.rsplit("/", 1)[1]))
    else:
        rows = dict(sqlite3.connect(f"file:{database.removeprefix('sqlite://')}?mode=ro", uri=True).execute(query))
    rows = {session: int(count) for session, count in rows.items() if session}
    answered = {number for number, status in results if status != "0"}
    return {
        "rows": sum(rows.get(number, 0) for number, _ in results),
        "without": len(answered - rows.keys()),
        "double": sum(1 for number, _ in results if rows.get(number, 0) > 1),
    }


def suicide(bench, binary, start):
    """The gateway itself is killed every two seconds, and started again with the same YAML."""
    lives = [start()]
    first = lives[0]
    # the same port for every life
    yaml = first.folder / "tollgate.yaml"
    yaml.write_text(yaml.read_text().replace('"127.0.0.1:0", max', f'"{first.address}", max'))

    def kill_and_start(stop):
        while not stop.wait(2):
            lives[-1].kill()
            lives.append(announced([binary, "run", "-c", yaml], lines=2))

    try:
        with meanwhile(kill_and_start):
            figures, results = send(bench, first.address)
        last = lives[-1]
        last.database, last.server = first.database, None
        last.wait_until_it_accepts()
        last.settle()
        figures |= account(last, results)
    finally:
        lives[-1].stop()
    return {key: figures[key] for key in ("sent", "broken", "refused", "rows", "without", "double")}


@contextmanager
def meanwhile(work):
    """Does work on a thread of its own until the block ends. The work is given the event that tells it to end."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
