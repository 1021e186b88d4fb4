"""Draws what came in two terminals as an SVG that plays it once, for light and dark pages.

Where nothing moves (a reader who wants no motion, a viewer without CSS) it shows the end.
"""

from xml.sax.saxutils import escape

WIDTH, MARGIN, COLUMNS = 960, 16, 108
ROW = 17
PANES = [("Terminal 1", 20), ("Terminal 2", 9)]  # title and rows
LONGEST = 1.6  # seconds that a pause lasts at the most; one that is too short to read is drawn out
SHORTEST = 0.12

STYLE = """
text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #e6edf3; white-space: pre; }
.title { font: 600 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #9198a1; }
.page { fill: #0d1117; stroke: #3d444d; }
.pane { stroke: #3d444d; }
.typed { fill: #79c0ff; }
.l { animation: come 0.01s both; }
@keyframes come { from { opacity: 0; } to { opacity: 1; } }
"""
STILL = "@media (prefers-reduced-motion: reduce) { .l, .s0, .s1 { animation: none; } }"


def paced(entries):
    """The same with times from 0 on in which a person can read."""
    clock, before, found = 0.0, None, []
    for number, when, line in entries:
        if before is not None:
            clock += min(max(when - before, SHORTEST if when > before else 0.03), LONGEST)
        before = when
        found.append((number, clock, line))
    return found, clock


def scrolling(times, rows, total, name):
    """Keyframes that move a pane up whenever it is full, and how far it is moved in the end."""
    steps, offset = ["0% { transform: translateY(0); }"], 0
    for index, at in enumerate(times):
        if index >= rows:
            offset = (index - rows + 1) * ROW
            steps.append(f"{100 * at / total:.3f}% {{ transform: translateY(-{offset}px); }}")
    steps.append(f"100% {{ transform: translateY(-{offset}px); }}")
    return f"@keyframes {name} {{ {' '.join(steps)} }}", offset


def pane(number, lines, top, rows, offset):
    drawn = [
        f'<svg x="{MARGIN}" y="{top}" width="{WIDTH - 2 * MARGIN}" height="{rows * ROW + 5}">',
        f'<g class="s{number}" transform="translate(0 -{offset})">',
    ]
    for index, (at, line) in enumerate(lines):
        shown = line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"
        kind = "l typed" if shown.startswith(("$ ", "> ", "^C$ ")) and "$ rzlog: " not in shown else "l"
        y = (index + 1) * ROW - 4
        drawn.append(f'<text xml:space="preserve" y="{y}" class="{kind}" style="animation-delay:{at:.2f}s">{escape(shown)}</text>')
    return [*drawn, "</g>", "</svg>"]


def draw(title, entries):
    """`entries`: (terminal, seconds, line) in order."""
    entries, total = paced(entries)
    total += 1
    height = MARGIN + sum(30 + rows * ROW + 14 for _, rows in PANES)
    rules, body, top = [], [], MARGIN
    for number, (name, rows) in enumerate(PANES):
        lines = [(at, line) for which, at, line in entries if which == number]
        keyframes, offset = scrolling([at for at, _ in lines], rows, total, f"k{number}")
        rules += [keyframes, f".s{number} {{ animation: k{number} {total:.2f}s step-end forwards; }}"]
        body.append(f'<text x="{MARGIN}" y="{top + 13}" class="title">{name}</text>')
        body.append(f'<line x1="{MARGIN}" y1="{top + 21}" x2="{WIDTH - MARGIN}" y2="{top + 21}" class="pane"/>')
        body += pane(number, lines, top + 26, rows, offset)
        top += 30 + rows * ROW + 14
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}{chr(10).join(rules)}\n{STILL}</style>",
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="page"/>',
            *body,
            "</svg>",
            "",
        ]
    )
