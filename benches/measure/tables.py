"""A scenario's figures, and how they are made of the figures of its rounds."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Table:
    """A row for each target, a column for each figure."""

    name: str
    title: str
    text: str
    columns: dict  # key: (heading, decimals)
    rows: dict = field(default_factory=dict)
    bars: str = ""  # the column that the drawing has
    notes: list = field(default_factory=list)


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def ratio(rows, base, key):
    """The median of the ratios, round by round, so that a slow minute weighs on both sides. `None` where the base is positive in no round."""
    ratios = [row[key] / other[key] for row, other in zip(rows, base, strict=True) if other[key] > 0]
    return statistics.median(ratios) if ratios else None


def with_ratios(table, figures, ratios=(("ratio", "cpu"),)):
    """Medians of every figure, and of ratios to nginx's in the same round: `ratios` has a column for each, and the figure it is of."""
    for name, rows in figures.items():
        table.rows[name] = {column: median(rows, column) for column in table.columns if column in rows[0]}
        if name == "direct":
            table.rows[name].pop("cpu", None)
            table.rows[name].pop("rss", None)
        elif "nginx" in figures:
            found = {column: ratio(rows, figures["nginx"], key) for column, key in ratios}
            table.rows[name] |= {column: value for column, value in found.items() if value is not None}
    return table
