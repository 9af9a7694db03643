"""One comparison: the folder, the origin, and the programs that take turns."""

import sys
from contextlib import ExitStack, contextmanager

from measure import postgres
from measure.loads import Loads
from measure.postgres import Postgres
from measure.programs import announced, running
from measure.targets import EVERYTHING, Targets

# The variants of each build of Tollgate: what is switched on, and what the tables call it.
VARIANTS = {
    "plain": ((), "no plugins"),
    "on": (EVERYTHING, "everything on"),
    "postgres": (EVERYTHING, "everything on, Postgres"),
    "no-cache": ([name for name in EVERYTHING if name != "response_cache"], "without the cache"),
    "no-budget": ([name for name in EVERYTHING if name != "budget"], "without budgets"),
    "no-ledger": ([name for name in EVERYTHING if name not in ("usage_log", "budget")], "without ledger and budgets"),
}


class Direct:
    """No proxy: the origin itself."""

    admin, server = None, None

    def __init__(self, address):
        self.address = address

    def cpu(self):
        return {}

    def spent(self, _):
        return 0.0

    def memory(self):
        return 0, 0

    def settle(self):
        pass

    def wait_until_it_accepts(self):
        pass

    def stop(self):
        pass


class Bench:
    """What a scenario needs to measure."""

    def __init__(self, given, folder, tools, stack):
        self.given, self.folder, self.tools, self.stack = given, folder, tools, stack
        self.loads = Loads(folder, tools)
        self.rounds, self.seconds = given.rounds, given.seconds
        self.builds, self.server = given.binary, None

    @contextmanager
    def origin(self, events=50, gap=0, addresses=4, address="127.0.0.1:0"):
        """The origin, stopped at the end."""
        command = [self.tools.load, "origin", "--events", str(events), "--gap", str(gap)]
        for _ in range(addresses):
            command += ["--listen", address]
        process = announced(command, lines=addresses)
        try:
            yield process
        finally:
            process.stop()

    def postgres(self):
        """The Postgres server, started when the first needs it; `None` where there is none."""
        if self.server is None and postgres.programs():
            self.server = Postgres()
            self.stack.callback(self.server.stop)
        return self.server

    def targets(self, origin, names, **options):
        """The targets of these names by the name that tables have for them, each as a function that starts it."""
        start = Targets(self.folder, origin.addresses, self.tools)
        found = {}
        for name in names:
            if self.given.targets and name not in (*self.given.targets, "nginx", "direct"):
                continue
            if name in VARIANTS:
                features, title = VARIANTS[name]
                for build, binary in self.builds.items():
                    server = self.postgres() if name == "postgres" else None
                    if name == "postgres" and server is None:
                        continue
                    found[f"Tollgate{build}, {title}"] = lambda binary=binary, features=features, server=server: (
                        start.tollgate(binary, features, server=server, **options)
                    )
            elif name == "direct":
                found["direct"] = lambda: Direct(origin.address)
            elif getattr(self.tools, name.split("-")[0], None) is not None:
                found[TITLES[name]] = {
                    "nginx": lambda: start.nginx(**options),
                    "nginx-cache": lambda: start.nginx(cache=True, **options),
                    "nginx-file": lambda: start.nginx(body_in_memory=False, **options),
                    "haproxy": lambda: start.haproxy(**options),
                    "bare": start.bare,
                    "litellm": start.litellm,
                }[name]
        return found

    def turns(self, targets, drive, warm_up=None):
        """Starts all, lets each be measured in turn, round by round, and gives each one's figures: a list of dictionaries."""
        with ExitStack() as stack:
            started = {name: stack.enter_context(running(start)) for name, start in targets.items()}
            for target in started.values():
                (warm_up or drive)(target)
            figures = {name: [] for name in started}
            for name in self.order(started):
                measured = drive(started[name])
                rss, pss = started[name].memory()
                figures[name].append({"rss": rss / 1024, "pss": pss / 1024, **measured})
        return figures

    def order(self, names):
        """The names of each round, one round after the other; in every round another one is first."""
        names = list(names)
        for turn in range(self.rounds):
            print(f"    round {turn + 1} of {self.rounds}", file=sys.stderr)
            first = turn % len(names)
            yield from names[first:] + names[:first]


TITLES = {
    "nginx": "nginx",
    "nginx-cache": "nginx, its cache",
    "nginx-file": "nginx, bodies over 16 KiB in a file",
    "haproxy": "HAProxy",
    "bare": "bare Pingora",
    "litellm": "LiteLLM",
}
