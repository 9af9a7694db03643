"""The tables as Markdown."""

import json
import subprocess
from dataclasses import asdict

from measure.tools import ROOT

RESULTS = ROOT / "target/compare"


def markdown(table):
    """A table with its title and what was measured."""
    columns = table.columns
    lines = [f"### {table.title}", "", table.text, ""]
    lines.append("| |" + "|".join(f" {heading} " for heading, _ in columns.values()) + "|")
    lines.append("|---|" + "--:|" * len(columns))
    for name, row in table.rows.items():
        cells = (f" {row[key]:,.{decimals}f} " if key in row else " " for key, (_, decimals) in columns.items())
        lines.append(f"| {name} |" + "|".join(cells) + "|")
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes), ""])


def keep(table):
    """Keeps a table's figures for the docs, with the commit that they were measured at."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    (RESULTS / f"{table.name}.json").write_text(json.dumps({**asdict(table), "commit": commit}, indent=1))
