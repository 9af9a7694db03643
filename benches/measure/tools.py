"""The programs that a comparison needs: installed or built where they are missing, and named where that fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from measure import postgres

ROOT = Path(__file__).resolve().parents[2]
# Program and Debian package.
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl"}
LITELLM = "litellm[proxy]==1.106.2"


def tools(given, needs):
    """Where everything is that `needs` names: Debian programs, `litellm`, `bare`, `load`. What cannot be had is `None`, and among the `missing`."""
    found = SimpleNamespace(missing=[])
    absent = [name for name in needs if name in PACKAGES and program(name) is None]
    if absent:
        install([PACKAGES[name] for name in absent])
    if "postgres" in needs and postgres.programs() is None:
        install(["postgresql"])
        if postgres.programs() is None:
            found.missing.append("Postgres is missing and could not be installed (apt-get install postgresql)")
    for name in PACKAGES:
        setattr(found, name, program(name))
        if name in needs and program(name) is None:
            found.missing.append(f"{name} is missing and could not be installed (apt-get install {PACKAGES[name]})")
    found.litellm = litellm(found) if "litellm" in needs else None
    found.load = cargo("benches/load", "load")
    found.bare = given.bare or (cargo("benches/bare", "bare") if "bare" in needs else None)
    for line in found.missing:
        print(f"!! {line}", file=sys.stderr)
    return found


def program(name):
    """Where a program is, also where Debian keeps servers; `None` if it is not installed."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def install(packages):
    """Installs Debian packages, reading their lists again if need be. What it cannot, the caller sees."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    print(f"installing {' '.join(packages)}", file=sys.stderr)
    command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "install", "--no-install-recommends"]
    try:
        if subprocess.run([*command, *packages], stdout=subprocess.DEVNULL, check=False).returncode:
            subprocess.run([*root, "apt-get", "update", "-q"], stdout=subprocess.DEVNULL, check=False)
            subprocess.run([*command, *packages], stdout=subprocess.DEVNULL, check=False)
    except FileNotFoundError as missing:
        print(f"!! {missing}", file=sys.stderr)


def litellm(found):
    """LiteLLM in a Python environment under `target`."""
    folder = ROOT / "target/litellm"
    if not (folder / "bin/litellm").exists():
        print(f"installing {LITELLM}", file=sys.stderr)
        made = subprocess.run([sys.executable, "-m", "venv", folder], check=False)
        pip = [folder / "bin/pip", "install", "-q", "--disable-pip-version-check", LITELLM]
        if made.returncode or subprocess.run(pip, check=False).returncode:
            found.missing.append(f"{LITELLM} could not be installed from PyPI: it takes no part")
            return None
    return folder / "bin/litellm"


def cargo(crate, name):
    """Builds one of the crates here that are workspaces of their own."""
    target = ROOT / "target" / name
    command = ["cargo", "build", "-q", "--release", "--locked", "--manifest-path", ROOT / crate / "Cargo.toml"]
    subprocess.run([*command, "--target-dir", target], check=True)
    return target / "release" / name


def gateway():
    """Builds the gateway as it is released."""
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    return ROOT / "target/release/tollgate"
