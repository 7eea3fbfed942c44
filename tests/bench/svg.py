# SPDX-License-Identifier: BSD-2-Clause
"""What a plot is drawn with: a card of its own colour, text, lines, and scales.

The card is light in a light and in a dark page, so nothing depends on the
reader's theme.  Fonts are the reader's; where a text's width matters it is
guessed from above, so that nothing runs into anything else.
"""
import math
from xml.sax.saxutils import escape, quoteattr

FONT = "system-ui,-apple-system,'Segoe UI','Helvetica Neue',Arial,'DejaVu Sans',sans-serif"
CARD, EDGE, GRID, INK, MUTED = "#fcfcfb", "#d4d7dc", "#e6e8eb", "#1f2328", "#59636e"
SIZE = 12.5         # of ordinary text
WIDTH = 900         # of every plot; a README shows it nearly one to one
MARGIN = 24


def number(value):
    """For a coordinate: a tenth of a pixel is enough."""
    return ("%.1f" % value).removesuffix(".0")


def text_width(text, size=SIZE):
    """From above: the wide DejaVu Sans has 0.63 em a character at the mean."""
    return 0.64 * size * len(text)


class Drawing:
    """Collects elements; height may grow until it is written."""

    def __init__(self, title, description):
        self.title, self.description = title, description
        self.height = 0.0
        self._elements = []

    def add(self, element, attributes, text=None):
        words = "".join(" %s=%s" % (k.rstrip("_").replace("_", "-"), quoteattr(
            number(v) if isinstance(v, float) else str(v)))
            for k, v in attributes.items() if v is not None)
        self._elements.append("<%s%s%s" % (
            element, words, "/>" if text is None else ">%s</%s>" % (escape(text), element)))

    def text(self, x, y, text, size=SIZE, fill=INK, anchor=None, bold=False, **more):
        self.add("text", {"x": float(x), "y": float(y), "text_anchor": anchor, "fill": fill,
                          "font_size": None if size == SIZE else size,
                          "font_weight": "600" if bold else None, **more}, text)

    def line(self, x1, y1, x2, y2, stroke=GRID, width=1.0, dash=None, **more):
        self.add("line", {"x1": float(x1), "y1": float(y1), "x2": float(x2), "y2": float(y2),
                          "stroke": stroke, "stroke_width": float(width),
                          "stroke_dasharray": dash, **more})

    def rect(self, x, y, width, height, fill, **more):
        self.add("rect", {"x": float(x), "y": float(y), "width": float(width),
                          "height": float(height), "fill": fill, **more})

    def dot(self, x, y, radius, fill, **more):
        self.add("circle", {"cx": float(x), "cy": float(y), "r": float(radius), "fill": fill,
                            **more})

    def polyline(self, points, stroke, width, dash=None, **more):
        self.add("polyline", {"points": " ".join(number(x) + "," + number(y)
                                                 for x, y in thinned(points)),
                              "fill": "none", "stroke": stroke, "stroke_width": float(width),
                              "stroke_dasharray": dash, "stroke_linejoin": "round",
                              "stroke_linecap": "round", **more})

    def heading(self, subtitle):
        """Title and what it was measured with.  => y below them"""
        self.text(MARGIN, 34, self.title, size=17, bold=True)
        self.text(MARGIN, 55, subtitle, fill=MUTED)
        return 70

    def notes(self, y, text):
        """The end of a plot, what its marks mean: sentences, with two blanks between them."""
        line = ""
        for sentence in text.split("  "):
            if line and text_width(line + "  " + sentence, 11.5) > WIDTH - 2 * MARGIN:
                self.text(MARGIN, y, line, size=11.5, fill=MUTED)
                line, y = "", y + 17
            line += "  " + sentence if line else sentence
        self.text(MARGIN, y, line, size=11.5, fill=MUTED)
        self.height = y + 21

    def document(self):
        """=> the file's text"""
        width, height = "%d" % WIDTH, "%d" % math.ceil(self.height)
        return "\n".join((
            '<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" '
            'viewBox="0 0 %s %s" role="img" aria-label=%s font-family=%s font-size="%s">'
            % (width, height, width, height, quoteattr(self.title), quoteattr(FONT), SIZE),
            "<title>%s</title>" % escape(self.title),
            "<desc>%s</desc>" % escape(self.description),
            '<rect x="0.5" y="0.5" width="%d" height="%d" rx="8" fill="%s" stroke="%s"/>'
            % (WIDTH - 1, math.ceil(self.height) - 1, CARD, EDGE),
            *self._elements, "</svg>\n"))


def thinned(points):
    """Without those that lie within a pixel of the last; ends stay."""
    kept = []
    for at, (x, y) in enumerate(points):
        if not kept or at == len(points) - 1 or \
                abs(x - kept[-1][0]) >= 1 or abs(y - kept[-1][1]) >= 1:
            kept.append((x, y))
    return kept


class Linear:
    """Values from 0 to a positive most, onto pixels."""

    def __init__(self, most, start, end):
        self.most, self.start, self.end = most, start, end

    def __call__(self, value):
        return self.start + (self.end - self.start) * value / self.most

    def ticks(self, wanted=4):
        """=> round values, some `wanted` of them"""
        rough = self.most / wanted
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
        return [n * step for n in range(int(self.most / step * 1.0001) + 1)]


class Log:
    """Positive values, onto pixels."""

    def __init__(self, least, most, start, end):
        self.least, self.most, self.start, self.end = least, most, start, end

    def __call__(self, value):
        part = math.log(value / self.least) / math.log(self.most / self.least)
        return self.start + (self.end - self.start) * part

    def ticks(self, mantissas=(1, 2, 5)):
        """=> m * 10^n within the range"""
        first = math.floor(math.log10(self.least)) - 1
        found = [m * 10.0 ** n for n in range(first, first + 40) for m in mantissas]
        return [v for v in found if self.least * 0.999 <= v <= self.most * 1.001]


def round_range(least, most):
    """=> the next 1, 2 or 5 times a power of ten on both sides, which differ"""
    steps = [m * 10.0 ** n for n in range(-20, 21) for m in (1, 2, 5)]
    first = max((s for s in steps if s <= least * 1.0001), default=steps[0])
    return first, min((s for s in steps if s >= most * 0.9999 and s > first), default=steps[-1])
