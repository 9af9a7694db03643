"""The tables as Markdown, and the page of the documentation that is made of them."""

import json
import os
import platform
import re
import subprocess
from dataclasses import asdict
from pathlib import Path

from measure.drawing import drawing
from measure.tools import LITELLM, ROOT, program

RESULTS, PAGE, DRAWING = ROOT / "target/compare", ROOT / "docs/performance.md", ROOT / "docs/performance.svg"
# Between these lines the page is made by `--docs`; around them it is written by hand.
BEGIN, END = "<!-- figures: benches/compare --docs -->", "<!-- end of figures -->"
# Scenarios whose tables have other names.
TABLES = {"tls": ["tls", "handshakes"]}
DRAWN = ("small", "medium", "large", "streams2000", "latency500")


def markdown(table):
    """A table with its title and what was measured."""
    columns = table["columns"]
    lines = [f"### {table['title']}", "", table["text"], ""]
    lines.append("| |" + "|".join(f" {heading} " for heading, _ in columns.values()) + "|")
    lines.append("|---|" + "--:|" * len(columns))
    for name, row in table["rows"].items():
        cells = (f" {row[key]:,.{decimals}f} " if key in row else " " for key, (_, decimals) in columns.items())
        lines.append(f"| {name} |" + "|".join(cells) + "|")
    return "\n".join([*lines, "", *(f"- {note}" for note in table["notes"]), *([""] if table["notes"] else [])])


def keep(table, builds):
    """Keeps a table's figures for the docs, with the commit and the profile of the builds."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{table.name}.json").write_text(json.dumps({**asdict(table), "measured": measured(builds)}, indent=1))


def measured(builds):
    """Where and with what."""
    ways = {"release-dev": "profile release-dev", "pgo": "built by benches/pgo"}
    built = "".join(f", {way}" for folder, way in ways.items() if any(folder in path.parts for path in builds.values()))
    # the last commit that changed what is measured
    commit = first(["git", "-C", ROOT, "log", "-1", "--format=%h, %cs", "--", "Cargo.lock", "Cargo.toml", "src", "plugins", "libs"])
    versions = {"nginx": first(["nginx", "-v"]), "HAProxy": first(["haproxy", "-v"])}
    versions = {name: found[0] for name, text in versions.items() if (found := re.findall(r"\d+\.\d+\.\d+", text))}
    versions["LiteLLM"] = LITELLM.rpartition("=")[2]
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    machine = f"{os.cpu_count()} cores of {cpu[1] if cpu else platform.machine()}, Linux {platform.release()}"
    commit += built
    return {"commit": commit, "machine": machine, "programs": ", ".join(f"{name} {version}" for name, version in versions.items())}


def first(command):
    command[0] = program(command[0])
    if command[0] is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[0]


def write_docs(order):
    """Puts the kept figures into the page, in this order of scenarios, and draws them."""
    tables = {file.stem: json.loads(file.read_text()) for file in RESULTS.glob("*.json")}
    named = [name for scenario in order for name in TABLES.get(scenario, [scenario]) if name in tables]
    measured_at = {}
    for name in named:
        measured_at.setdefault(json.dumps(tables[name]["measured"]), []).append(tables[name]["title"])
    lines = []
    for facts, titles in measured_at.items():
        facts = json.loads(facts)
        what = "" if len(measured_at) == 1 else f"{', '.join(titles)}: "
        lines.append(f"{what}{facts['machine']}; {facts['programs']}; Tollgate at {facts['commit']}.")
    before, after = PAGE.read_text().split(BEGIN)[0], PAGE.read_text().split(END)[1]
    PAGE.write_text("\n".join([before + BEGIN, "", *lines, "", *(markdown(tables[name]) for name in named), END]) + after)
    DRAWING.write_text(drawing([tables[name] for name in DRAWN if name in tables]))
