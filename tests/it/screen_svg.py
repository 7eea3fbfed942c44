# SPDX-License-Identifier: BSD-2-Clause
"""A terminal's screen, as pyte has it, as a picture: each run of equal cells one text."""
import itertools
from xml.sax.saxutils import escape, quoteattr

FONT = "DejaVu Sans Mono,Menlo,Consolas,monospace"
GROUND, INK = "#14181d", "#d7dbe0"
SIZE, WIDTH, HEIGHT, MARGIN = 13, 7.83, 18, 16
COLORS = {
    "black": "#2b3138", "red": "#ef7c74", "green": "#6cc070", "brown": "#d9b34a", "blue": "#6aa8f0",
    "magenta": "#cf8be0", "cyan": "#5cc4c9", "white": "#d7dbe0", "brightblack": "#7f8994",
    "brightred": "#ff9d96", "brightgreen": "#8fdc92", "brightbrown": "#f0cf70",
    "brightblue": "#93c3ff", "brightmagenta": "#e3b0f0", "brightcyan": "#87e0e4",
    "brightwhite": "#ffffff",
}
# Characters that are drawn, as fonts leave gaps between them: part of the cell from the top.
BLOCKS = {"\u2588": (0, 1), "\u2580": (0, 0.5), "\u2584": (0.5, 1)}


def color(name, default):
    if name == "default":
        return default
    return COLORS.get(name, "#" + name)


def look(cell):
    """=> its colours and weight"""
    ink, ground = color(cell.fg, INK), color(cell.bg, None)
    if cell.reverse:
        ink, ground = ground or GROUND, ink
    return ink, ground, cell.bold


def runs(row, columns):
    """=> (first column, text, look) of cells that look the same"""
    at = 0
    while at < columns:
        kind, start, text = look(row[at]), at, ""
        drawn = row[at].data in BLOCKS
        while at < columns and look(row[at]) == kind and (row[at].data in BLOCKS) == drawn:
            text += row[at].data or " "
            at += 1
        yield start, text, kind


def rect(x, y, width, height, fill):
    return '<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" fill="%s"/>' % (
        x, y, width, height, fill)


def picture(screen, title):
    """=> the text of an SVG file"""
    rows = screen.lines
    while rows > 1 and not screen.display[rows - 1].strip():
        rows -= 1
    width, height = screen.columns * WIDTH + 2 * MARGIN, rows * HEIGHT + 2 * MARGIN
    grounds, texts = [], []
    for y in range(rows):
        top = MARGIN + y * HEIGHT
        for x, text, (ink, ground, bold) in runs(screen.buffer[y], screen.columns):
            left, wide = MARGIN + x * WIDTH, len(text) * WIDTH
            if ground:
                # over the edge, so that no line is seen between two
                grounds.append(rect(left, top, wide + 0.4, HEIGHT + 0.4, ground))
            if text[0] in BLOCKS:
                for letter, same in itertools.groupby(text):
                    start, end = BLOCKS[letter]
                    wide = len(list(same)) * WIDTH
                    grounds.append(rect(left, top + start * HEIGHT, wide + 0.4,
                                        (end - start) * HEIGHT + 0.4, ink))
                    left += wide
                continue
            bare = text.strip()
            if not bare:
                continue
            lead = len(text) - len(text.lstrip())
            texts.append(
                '<text x="%.2f" y="%.1f" textLength="%.2f" xml:space="preserve" '
                'lengthAdjust="spacingAndGlyphs"%s%s>%s</text>' % (
                    left + lead * WIDTH, top + HEIGHT * 0.74, len(bare) * WIDTH,
                    "" if ink == INK else ' fill="%s"' % ink,
                    ' font-weight="bold"' if bold else "", escape(bare)))
    return "\n".join((
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
        'role="img" aria-label=%s>' % (width, height, width, height, quoteattr(title)),
        '<rect width="%d" height="%d" rx="8" fill="%s"/>' % (width, height, GROUND),
        *grounds, '<g font-family="%s" font-size="%d" fill="%s">' % (FONT, SIZE, INK),
        *texts, "</g>", "</svg>\n"))
