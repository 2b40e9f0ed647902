"""Horizontal bars as SVG, by hand: the same figures make the same file."""

from xml.sax.saxutils import escape

COLOURS = {"PgBouncer": "#8c8c8c", "byte relay": "#c9b458", "tidepoold": "#1f77b4"}
WIDTH, LABELS, BAR, GAP, TOP = 860, 300, 13, 10, 64


def bars(title, rows):
    """`rows`: (label, [(name, value), ...]) each."""
    longest = max(value for _, values in rows for _, value in values)
    scale = (WIDTH - LABELS - 60) / longest
    out, y = [], TOP
    for label, values in rows:
        middle = y + len(values) * BAR / 2 + 4
        out.append(f'<text x="{LABELS - 8}" y="{middle:.0f}" text-anchor="end">{escape(label)}</text>')
        for name, value in values:
            out.append(f'<rect x="{LABELS}" y="{y}" width="{value * scale:.1f}" height="{BAR - 2}" fill="{COLOURS[name]}"/>')
            out.append(f'<text x="{LABELS + value * scale + 4:.1f}" y="{y + BAR - 3}" font-size="10">{value:.1f}</text>')
            y += BAR
        y += GAP
    legend, x = [], LABELS
    for name in dict.fromkeys(name for _, values in rows for name, _ in values):
        legend.append(f'<rect x="{x}" y="36" width="12" height="12" fill="{COLOURS[name]}"/><text x="{x + 17}" y="46">{escape(name)}</text>')
        x += 110
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{y}" fill="white"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>', *legend, *out, "</svg>", ""])
