"""Draws curves over a time as plain SVG, for light and dark pages."""

from xml.sax.saxutils import escape

WIDTH, MARGIN = 960, 20
LEFT, RIGHT = 84, 190  # the scale's figures, and the curves' names
TOP, PLOT, GAP = 94, 78, 34
HOLE = 2  # seconds without a value that break a curve

STYLE = """
text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-size: 17px; font-weight: 600; }
.note { font-size: 12px; fill: #59636e; }
.page { fill: #ffffff; stroke: #d1d9e0; }
.grid { stroke: #d1d9e0; }
.event { stroke: #8a94a0; stroke-dasharray: 3 3; }
.c { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.c0 { stroke: #1f6fc4; } .c1 { stroke: #c2571a; } .c2 { stroke: #2a8c4a; } .c3 { stroke: #8250c4; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .page { fill: #0d1117; stroke: #3d444d; }
  .grid { stroke: #3d444d; }
  .c0 { stroke: #58a6ff; } .c1 { stroke: #f0883e; } .c2 { stroke: #56d364; } .c3 { stroke: #bc8cff; }
}
"""


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def ceiling(value):
    """A round number that is not below the value."""
    step = 1
    while True:
        for front in (1, 2, 3, 5):
            if value <= front * step:
                return front * step
        step *= 10


def pieces(curve):
    """The curve where it has values."""
    found, before = [], None
    for second, value in curve:
        if before is None or second - before > HOLE:
            found.append([])
        found[-1].append((second, value))
        before = second
    return found


def draw(title, notes, seconds, panels, events):
    """`panels`: (title, [(name, [(second, value)])]); `events`: (second, number)."""
    height = TOP + len(panels) * (PLOT + GAP) + 24
    right = WIDTH - MARGIN - RIGHT

    def across(second):
        return LEFT + (right - LEFT) * second / seconds

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="page"/>',
        text(MARGIN, 30, title, "title"),
        *(text(MARGIN, 50 + 17 * index, note, "note") for index, note in enumerate(notes)),
    ]
    bottom = TOP + len(panels) * (PLOT + GAP) - 6
    for second, number in events:
        drawn += [
            line(across(second), TOP + 6, across(second), bottom, "event"),
            text(across(second), TOP + 2, str(number), "note", "middle"),
        ]
    for index, (name, curves) in enumerate(panels):
        top = TOP + GAP - 8 + index * (PLOT + GAP)
        highest = ceiling(max((value for _, curve in curves for _, value in curve), default=0))
        drawn.append(text(right + 14, top + 4, name))
        for part in (0, 0.5, 1):
            y = top + PLOT * (1 - part)
            drawn += [
                line(LEFT, y, right, y, "grid"),
                text(LEFT - 8, y + 4, f"{highest * part:,g}", "note", "end"),
            ]
        for number, (legend, curve) in enumerate(curves):
            y = top + 24 + 17 * number
            drawn += [
                line(right + 14, y - 4, right + 32, y - 4, f"c c{number}"),
                text(right + 38, y, legend, "note"),
            ]
            for piece in pieces(curve):
                points = [f"{across(at):.1f},{top + PLOT * (1 - value / highest):.1f}" for at, value in piece]
                drawn.append(f'<polyline points="{" ".join(points)}" class="c c{number}"/>')
    for second in range(0, int(seconds) + 1, 10):
        drawn.append(text(across(second), bottom + 16, f"{second} s", "note", "middle"))
    return "\n".join([*drawn, "</svg>", ""])
