"""The tables as one drawing of bars, an SVG that is written by hand: light, without scripts and fonts of its own."""

from html import escape

WIDTH, LABEL, ROW, GAP = 780, 268, 22, 40
# Beside a bar that is this many times as long as the others', the others cannot be seen: it is cut.
CUT = 4.0
COLORS = {"Tollgate": "#2563a8", "nginx": "#5a8f5a"}
OTHER = "#a8adb4"
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:14px}.unit,.cut{fill:#6a737d}"
    ".value{font-variant-numeric:tabular-nums}"
)


def drawing(tables):
    """Panels of bars, one for each table: shorter is better in all of them."""
    parts, y = [], 16
    for table in tables:
        heading, decimals = table["columns"][table["bars"]]
        rows = {name: row[table["bars"]] for name, row in table["rows"].items() if table["bars"] in row}
        parts.append(text(16, y + 14, table["title"], "title"))
        parts.append(text(WIDTH - 16, y + 14, heading, "unit", "end"))
        y += 26
        ordered = sorted(rows.values())
        pairs = reversed(list(zip(ordered, ordered[1:], strict=False)))
        most = next((big for small, big in pairs if big <= CUT * max(small, 1e-9)), ordered[-1])
        for name, value in rows.items():
            parts += bar(name, value, most, decimals, y)
            y += ROW
        y += GAP - ROW + 6
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
        f'aria-label="What calls cost through each proxy">\n<style>{STYLE}</style>\n'
        f'<rect width="{WIDTH}" height="{y}" rx="6" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def bar(name, value, most, decimals, y):
    """A row: the name, the bar, the figure behind it."""
    room = WIDTH - LABEL - 100
    is_cut = value > most
    length = room + 12 if is_cut else max(room * max(value, 0) / most, 1)
    color = next((color for begin, color in COLORS.items() if name.startswith(begin)), OTHER)
    dashes = f'<path d="M{LABEL + length - 24:.0f} {y} l6 {ROW - 6} m4 0 l-6 -{ROW - 6}" stroke="#ffffff" stroke-width="2" fill="none"/>' if is_cut else ""
    return [
        text(LABEL - 8, y + 13, name, "name", "end"),
        f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{ROW - 6}" rx="2" fill="{color}"/>{dashes}',
        text(LABEL + length + 6, y + 13, f"{value:,.{decimals}f}", "value"),
    ]


def text(x, y, content, kind, anchor="start"):
    return f'<text x="{x:.0f}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'
