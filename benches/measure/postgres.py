"""A Postgres server of the benches' own, as Debian installs it, with its own data; both go at the end."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from measure.programs import Process, free_address

# How long it may take to answer, in seconds.
DEADLINE = 30.0


def programs():
    """Where Debian keeps the newest version's programs; `None` if it is not installed."""
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), default=None)


class Postgres(Process):
    """Runs with the settings of the package, fsync included."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="compare-postgres-"))
        # It refuses to run as root.
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        if self.user:
            shutil.chown(self.folder, "postgres", "postgres")
        data, bin_folder = self.folder / "data", programs()
        options = {"check": True, "capture_output": True, "cwd": self.folder}
        subprocess.run([bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust"], **options, **self.user)
        address = free_address()
        self.port = address.rsplit(":", 1)[1]
        command = [bin_folder / "postgres", "-D", data, "-k", self.folder, "-h", "127.0.0.1", "-p", self.port]
        super().__init__(command, address, cwd=self.folder, **self.user)
        deadline = time.monotonic() + DEADLINE
        while subprocess.run([bin_folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", self.port], check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError("Postgres does not answer")
            time.sleep(0.05)
        self.databases = 0

    def database(self):
        """The URL of a new database."""
        self.databases += 1
        self.sql(f"CREATE DATABASE ledger{self.databases}", "postgres")
        return f"postgres://postgres@127.0.0.1:{self.port}/ledger{self.databases}"

    def sql(self, text, database):
        """What a statement returns: lines, with `|` between columns."""
        command = ["psql", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-d", database, "-Atqc", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    def stop(self):
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)
