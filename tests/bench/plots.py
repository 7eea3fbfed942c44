#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""One SVG for each experiment of a benchmark, and one of all ratios.

usage: plots.py RESULTS.json DIRECTORY

What an experiment is drawn as stands in EXPERIMENTS; one that is not there is
drawn as bars of whatever it measured, so none is without a plot.  A pager has
the same colour and place in every plot.  Nothing but the standard library.

Exit status: 0 when all was written, 2 when RESULTS.json cannot be used.
"""
import argparse
import collections
import json
import math
import os
import re
import statistics
import sys

sys.dont_write_bytecode = True      # leave no files in the source tree

from report import percentile_above                # noqa: E402
from svg import (CARD, INK, MARGIN, MUTED, WIDTH, Drawing, Linear, Log,     # noqa: E402
                 round_range, text_width)

Look = collections.namedtuple("Look", "title colour dash")
PAGERS = {
    "unlimited": Look("unlimited", "#1f2328", "2 4"),
    "kernel-0": Look("kernel, cluster 0", "#59636e", None),
    "kernel-3": Look("kernel, cluster 3", "#a0a8b2", None),
    "zswap": Look("kernel with zswap", "#c2560c", None),
    "zram": Look("kernel with zram", "#e3a71c", None),
    "drum": Look("Drum", "#0b5cc4", None),
    "qemu-storage-daemon": Look("qemu-storage-daemon", "#59636e", None),
    "drum-ram": Look("Drum with ram:", "#12a39a", None),
    "drum-no-map": Look("Drum, --no-map", "#7fb0ea", None),
    "balloon": Look("ballooned", "#1f2328", None),
}
OTHER_COLOURS = ("#8250df", "#bf3989", "#4d7c0f", "#7d4e24")
# Whom each is measured against: the kernel's settings on the same kind of storage.
KERNELS = ("kernel-0", "kernel-3")
PEERS = {"drum": KERNELS, "drum-ram": ("zswap", "zram")}
# What no pager can beat, by the name of a floor; one without a name is the device's.
FLOORS = {"raw": ("raw 4 KiB read", "4 4"), "userfaultfd": ("empty userfault", "1 3")}
BETTER, WORSE = "#0b5cc4", "#c2560c"
BETTER_GROUND, WORSE_GROUND = "#f0f5fc", "#fdf5ee"
DEEPEST = 6         # nines of a latency plot: 99.9999 %
CUT_AT = 4          # a bar without a limit that is longer than so many others is cut

# key in a run: its title, how to print it, is more better, its name as a ratio of times
Figure = collections.namedtuple("Figure", "title form more ratio")
WORST = "max-us"    # of all repetitions; the others are medians
FIGURES = {
    "pageout-mib-s": Figure("page-out, MiB/s", "%.0f", True, "time to page out"),
    "touches-per-s": Figure("touches a second", "%.0f", True, "time for a touch"),
    "p50-us": Figure("fault p50, µs", "%.1f", False, "fault p50"),
    "p99-us": Figure("fault p99, µs", "%.0f", False, "fault p99"),
    "p999-us": Figure("fault p99.9, µs", "%.0f", False, "fault p99.9"),
    WORST: Figure("worst fault, µs", "%.0f", False, "worst fault"),
    "op-p99-us": Figure("operation p99, µs", "%.3g", False, "operation p99"),
    "pages-per-s": Figure("pages a second", "%.0f", True, "time for a page"),
    "cpu-us-a-page": Figure("CPU, µs a page", "%.2f", False, "CPU for a page"),
    "recovery-ms": Figure("recovery, ms", "%.0f", False, "recovery"),
    "iops": Figure("requests a second", "%.0f", True, "time for a request"),
    "cpu-us-a-request": Figure("CPU, µs a request", "%.2f", False, "CPU for a request"),
    "seconds-a-pass": Figure("seconds a pass", "%.2f", False, "time for a pass"),
    "seconds": Figure("seconds", "%.2f", False, "time"),
    "swap-writes": Figure("pages written to swap", "%.0f", False, "pages written to swap"),
    "swap-reads": Figure("pages read from swap", "%.0f", False, "pages read from swap"),
    "fairness": Figure("slower guest / faster guest", "%.2f", True, None),
    "fault-share": Figure("touches that fault, %", "%.1f", None, None),
}
DEFAULT_FIGURES = ("pageout-mib-s", "touches-per-s", "p99-us", WORST)
# Not worth a bar: how it was measured, or in another figure already.
NO_FIGURES = re.compile(r"repetition|seed|threads|touches|faults|bad|seconds|mean-us|fault-ns|"
                        r"(io-|max-|warm|resident-|stride).*")
MOST_PANELS, PANELS_A_ROW = 6, 3
UNITS = {"us": "µs", "ms": "ms", "s": "s", "ns": "ns", "mib": "MiB", "mib/s": "MiB/s",
         "percent": "%", "cpu": "CPU"}

WHO = "Drum and the kernel's swap"
# Beginning of a name: kind, title, figures of its bars, figures in the summary.
Experiment = collections.namedtuple("Experiment", "kind title bars ratios")
EXPERIMENTS = {
    "page-out": Experiment("bars", "{name}: " + WHO, ("pageout-mib-s", "cpu-us-a-page"),
                           ("pageout-mib-s",)),
    "random": Experiment("latency", "{name}: fault latency of " + WHO, (), ("p50-us", "p99-us")),
    "sequential": Experiment("bars", "{name}, a pass over swapped memory: " + WHO,
                             ("touches-per-s", "fault-share"), ("touches-per-s",)),
    "strided": Experiment("bars", "{name}, every 16th page: " + WHO,
                          ("touches-per-s", "fault-share"), ("touches-per-s",)),
    "reverse": Experiment("bars", "{name}, a pass from the end: " + WHO,
                          ("touches-per-s", "fault-share"), ("touches-per-s",)),
    "page-out-flat-out": Experiment("bars", "Page-out at full speed, and faults meanwhile: " + WHO,
                                    ("pageout-mib-s", "p99-us", "max-us"),
                                    ("pageout-mib-s", "max-us")),
    "zipf": Experiment("bars", "{name}: " + WHO, ("touches-per-s", "op-p99-us"),
                       ("touches-per-s", "op-p99-us")),
    "phases": Experiment("timeline", "A working set that moves: " + WHO, ("recovery-ms",),
                         ("recovery-ms",)),
    "budget-lifted": Experiment("timeline", "The budget is lifted: " + WHO, ("recovery-ms",),
                                ("recovery-ms",)),
    "two-guests": Experiment("bars", "{name} of two, which share half of their memory",
                             ("touches-per-s", "op-p99-us", "fairness"), ("touches-per-s",)),
}
EXPERIMENTS["disk"] = Experiment("bars", "{name}: Drum and qemu-storage-daemon",
                                 ("iops", "cpu-us-a-request", "p99-us"), ())
EXPERIMENTS["vswapper-reread"] = Experiment(
    "bars", "A guest of 512 MiB in 100 MiB reads a file of 200 MiB again",
    ("seconds-a-pass", "swap-writes", "swap-reads"), ("seconds-a-pass",))
EXPERIMENTS["vswapper-overwrite"] = Experiment(
    "bars", "Swapped memory is overwritten by reads of the disk",
    ("seconds", "swap-reads", "swap-writes"), ("seconds",))
EXPERIMENTS.update(dict.fromkeys(("evict", "restore", "page-in"), Experiment(
    "bars", "{name}, a page's cost: " + WHO, ("pages-per-s", "cpu-us-a-page"),
    ("pages-per-s", "cpu-us-a-page"))))


class PlotError(Exception):
    """The results cannot be drawn; the text says why, in one line."""


# ---- the results ----

def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            answer = json.load(f)
    except OSError as e:
        raise PlotError("%s: %s" % (path, e.strerror))
    except (ValueError, RecursionError) as e:
        raise PlotError("%s is not JSON: %s" % (path, e))
    runs = answer.get("runs") if isinstance(answer, dict) else None
    if not isinstance(runs, list):
        raise PlotError('%s has no list "runs": is it the results.json of run-bench?' % path)
    for part in ("disk", "vswapper"):
        if isinstance(answer.get(part), list):
            runs += answer[part]
    if not runs:
        raise PlotError("%s has no runs: measure with --parts compare" % path)
    for at, run in enumerate(runs):
        fault = fault_of(run)
        if fault:
            raise PlotError("%s, run %d: %s" % (path, at, fault))
    return answer


def is_number(value):
    """That can be drawn; NaN is below nothing."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18


def fault_of(run):
    """=> what is wrong with a run, or None"""
    if not isinstance(run, dict):
        return "not an object"
    for key in ("name", "pager"):
        if not isinstance(run.get(key), str) or not run[key] or not run[key].isprintable():
            return 'no text "%s"' % key
    if not is_number(run.get("repetition", 0)):
        return '"repetition" is not a number'
    slices = run.get("slices", [])
    if not isinstance(slices, list) or not all(is_number(n) and n >= 0 for n in slices):
        return '"slices" are not numbers'
    buckets = run.get("histogram", [])
    if not isinstance(buckets, list) or not all(
            isinstance(b, list) and len(b) == 2 and all(is_number(n) and n >= 0 for n in b)
            for b in buckets):
        return '"histogram" is not [[ns, count], ...]'
    return None


class Data:
    """All runs, by experiment and pager."""

    def __init__(self, answer):
        self.runs = answer["runs"]
        self.experiments = list(dict.fromkeys(r["name"] for r in self.runs))
        found = dict.fromkeys(r["pager"] for r in self.runs)
        others = [p for p in found if p not in PAGERS]
        self.looks = dict(PAGERS)
        for at, pager in enumerate(others):
            self.looks[pager] = Look(pager, OTHER_COLOURS[at % len(OTHER_COLOURS)], None)
        self.pagers = [p for p in self.looks if p in found]
        self.floors_us = self._floors(answer)
        self.options, self.machine = (answer[k] if isinstance(answer.get(k), dict) else {}
                                      for k in ("options", "machine"))

    @staticmethod
    def _floors(answer):
        """=> {name: median p50}"""
        values = {name: [] for name in FLOORS}
        floors = answer.get("floors")
        for floor in floors if isinstance(floors, list) else ():
            if isinstance(floor, dict) and is_number(floor.get("p50-us")) and floor["p50-us"] > 0:
                name = floor.get("name", "raw")
                if isinstance(name, str) and name in FLOORS:
                    values[name].append(floor["p50-us"])
        return {name: statistics.median(v) for name, v in values.items() if v}

    def of(self, experiment, pager):
        return [r for r in self.runs if r["name"] == experiment and r["pager"] == pager]

    def values(self, experiment, pager, key):
        return [r[key] for r in self.of(experiment, pager)
                if is_number(r.get(key)) and r[key] >= 0]

    def middle(self, experiment, pager, key):
        """=> what stands for all repetitions, or None"""
        values = self.values(experiment, pager, key)
        return middle_of(key, values) if values else None

    def each(self, experiment, pager, key):
        """=> {repetition: what stands for its runs}"""
        found = {}
        for run in self.of(experiment, pager):
            if is_number(run.get(key)) and run[key] >= 0:
                found.setdefault(run.get("repetition"), []).append(run[key])
        return {repetition: middle_of(key, values) for repetition, values in found.items()}

    def figures(self, experiment, wanted):
        """=> keys to draw: those of wanted that were measured, or else what was"""
        runs = [r for r in self.runs if r["name"] == experiment]
        measured = dict.fromkeys(k for r in runs for k, v in r.items() if is_number(v) and v >= 0)
        others = [k for k in measured if not NO_FIGURES.fullmatch(k) and k not in FIGURES]
        for keys in (wanted, others + list(DEFAULT_FIGURES)):
            found = [k for k in keys if k in measured]
            if found:
                return found[:MOST_PANELS]
        return []

    def repetitions(self, experiment):
        return len({r.get("repetition") for r in self.runs if r["name"] == experiment})

    def faults(self, experiment, pager):
        """=> sorted [[low ns, count]] of all repetitions' samples above their fault-ns"""
        counts = collections.Counter()
        for run in self.of(experiment, pager):
            above = run["fault-ns"] if is_number(run.get("fault-ns")) else 0
            for low, count in run.get("histogram", []):
                if low > above and count:
                    counts[low] += count
        return sorted(counts.items())

    def of_all(self, experiment, key):
        """=> what all runs of it say alike, or None"""
        found = {r[key] for r in self.runs if r["name"] == experiment and is_number(r.get(key))}
        return found.pop() if len(found) == 1 else None

    def subtitle(self, experiment=None):
        """What it was measured with, and on which machine."""
        words = []
        threads = self.of_all(experiment, "threads")
        if threads:
            words.append("%d thread%s" % (threads, "" if threads == 1 else "s"))
        for key, what in (("size", "guest RAM %s"), ("budget", "budget %s")):
            value = self.of_all(experiment, key) or self.options.get(key)
            if is_number(value):
                words.append(what % size_text(value))
        if is_number(self.machine.get("cpus")):
            words.append("%d CPUs" % self.machine["cpus"])
        if isinstance(self.machine.get("kernel"), str):
            words.append("Linux " + self.machine["kernel"].split("-")[0])
        return " · ".join(words)


def size_text(size):
    for bits, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << bits:
            return "%g %s" % (round(size / (1 << bits), 2), unit)
    return "%g bytes" % size


def middle_of(key, values):
    return max(values) if key == WORST else statistics.median(values)


def figure_of(key):
    """Of a key that is not in FIGURES, what its name says."""
    if key in FIGURES:
        return FIGURES[key]
    more = True if key.endswith("-per-s") else None
    words = key.replace("-per-s", "-a-second").replace("-per-", "-a-").split("-")
    if words[-2:] == ["mib", "s"]:
        more, words[-2:] = True, ["mib/s"]
    if more is None and set(words) & {"us", "ms", "s", "ns"}:
        more = False
    words = [UNITS.get(w, w) for w in words]
    name = " ".join(words)
    if words[-1] in UNITS.values():
        name = " ".join(words[:-1]) + ", " + words[-1]
    ratio = name.split(",")[0]
    return Figure(name, "%.3g", more, "1 / " + ratio if more else ratio)


def named(name):
    """An experiment's name as words."""
    text = re.sub(r" (\d+ threads)$", r", \1", name.replace("-", " "))
    text = re.sub(r"^zipf (\d+)$", r"zipf pattern, budget \1 %", text)
    text = re.sub(r"^two guests (\d)$", r"guest \1", text)
    text = re.sub(r" (half|text|random)$", r", \1 contents", text)
    text = text.replace("page out", "page-out").replace("page in", "page-in")
    return text[:1].upper() + text[1:]


def experiment_of(name):
    best = max((p for p in EXPERIMENTS if name.startswith(p)), key=len, default=None)
    if best is None:
        return Experiment("bars", "{name}: " + WHO, (), ())
    return EXPERIMENTS[best]


def time_text(us):
    """Three digits at most: 52 µs, 1.2 ms."""
    for limit, scale, unit in ((999.5, 1, "µs"), (999.5e3, 1e3, "ms")):
        if us < limit:
            break
    else:
        scale, unit = 1e6, "s"
    value = us / scale
    return ("%.0f %s" if value >= 99.5 else "%.3g %s") % (value, unit)


def value_text(form, value):
    """With commas at the thousands; never with an exponent."""
    text = form % value
    whole, point, rest = ("%.0f" % value if "e" in text else text).partition(".")
    return re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", whole) + point + rest


def tick_text(value):
    return "%g M" % (value / 1e6) if value >= 1e6 else value_text("%.10g", value)


# ---- fault latency by percentile ----

LATENCY_LEFT, LATENCY_RIGHT, LATENCY_HEIGHT = 84, 546, 330
TABLE_LEFT = LATENCY_RIGHT + 26


def nines(part_above):
    """=> 1 for 10 %, 2 for 1 %"""
    return -math.log10(part_above)


def percentile_text(nine):
    return "%s %%" % ("0", "90", "99", "99.9", "99.99", "99.999", "99.9999")[nine]


def middle_us(low):
    """Of a bucket, which is 1/128 wide."""
    return low * (1 + 1 / 256) / 1e3


def curve(faults, x, y, deepest):
    """=> points; the last is the slowest fault"""
    total = sum(count for _, count in faults)
    points, seen = [(x(max(faults[0][0] / 1e3, x.least)), y(0))], 0
    for low, count in faults:
        seen += count
        deep = nines((total - seen) / total) if seen < total else nines(1 / total)
        points.append((x(max(middle_us(low), x.least)), y(min(deep, deepest))))
    return points


def draw_latency(data, experiment, plan):
    title = plan.title.format(name=named(experiment))
    faults = {p: data.faults(experiment, p) for p in data.pagers if data.of(experiment, p)}
    drawn = {p: f for p, f in faults.items() if f}
    if not drawn:
        return None
    d = Drawing(title, "Fault latency by percentile, one line for each pager.")
    top = d.heading(data.subtitle(experiment)) + 10
    bottom = top + LATENCY_HEIGHT
    deepest = max(2.0, min(DEEPEST, max(nines(1 / sum(c for _, c in f))
                                        for f in drawn.values())))
    # The quickest hundredth does not show on this axis: it shall not take half of the other.
    ends = [us for f in drawn.values() for us in (percentile_above(f, 0, 0.01) / 1e3,
                                                  middle_us(f[-1][0]))]
    ends += data.floors_us.values()
    x = Log(*round_range(min(ends), max(ends)), LATENCY_LEFT, LATENCY_RIGHT)
    y = Linear(deepest, bottom, top)

    latency_axes(d, x, y, top, bottom, deepest)
    for name, us in data.floors_us.items():
        d.line(x(us), top, x(us), bottom, INK, 1.0, FLOORS[name][1], class_="floor",
               data_floor=name)
    for pager in drawn:
        look = data.looks[pager]
        points = curve(drawn[pager], x, y, deepest)
        d.polyline(points, look.colour, 2.4 if pager.startswith("drum") else 1.8, look.dash,
                   data_pager=pager)
        d.dot(*points[-1], 3.2, look.colour)
    latency_table(d, data, experiment, faults, top)
    n = data.repetitions(experiment)
    d.notes(bottom + 62, "%s taken together; a dot is the slowest fault.  Further left is "
                         "better.%s" % (repetitions_text(n), words_note(data, experiment)))
    return d


def repetitions_text(n):
    return "%d repetition%s" % (n, "" if n == 1 else "s")


def words_note(data, experiment, about_faults=True):
    """=> what the words of a plot mean"""
    text, above = "", data.of_all(experiment, "fault-ns")
    if about_faults and above:
        text = "  A fault: a touch of more than %s." % time_text(above / 1e3)
    if any(data.of(experiment, k) for k in KERNELS):
        text += "  Cluster: vm.page-cluster."
    return text


def latency_axes(d, x, y, top, bottom, deepest):
    few = x.most / x.least > 300
    for value in x.ticks((1,) if few else (1, 2, 5)):
        d.line(x(value), top, x(value), bottom)
        d.text(x(value), bottom + 18, tick_text(value), fill=MUTED, anchor="middle")
    if few:
        for value in x.ticks((2, 3, 4, 5, 6, 7, 8, 9)):
            d.line(x(value), bottom, x(value), bottom + 4, MUTED)
    at = [(n, percentile_text(n)) for n in range(int(deepest) + 1)]
    for deep, label in sorted(at + [(nines(0.5), "50 %")]):
        d.line(LATENCY_LEFT, y(deep), LATENCY_RIGHT, y(deep))
        d.text(LATENCY_LEFT - 8, y(deep) + 4, label, fill=MUTED, anchor="end",
               data_percentile="%.3g" % deep)
    d.line(LATENCY_LEFT, bottom, LATENCY_RIGHT, bottom, MUTED)
    d.text((LATENCY_LEFT + LATENCY_RIGHT) / 2, bottom + 38, "fault latency, µs (log scale)",
           anchor="middle")
    middle = (top + bottom) / 2
    d.text(20, middle, "part of faults that are faster", anchor="middle",
           transform="rotate(-90 20 %s)" % middle)


def latency_table(d, data, experiment, faults, top):
    """The legend, with figures."""
    columns = [WIDTH - MARGIN - 116, WIDTH - MARGIN - 58, WIDTH - MARGIN]
    y = top + 12
    for at, label in zip(columns, ("p50", "p99", "worst")):
        d.text(at, y, label, fill=MUTED, anchor="end", size=11.5)
    for pager, buckets in faults.items():
        y += 26
        look = data.looks[pager]
        bold = pager.startswith("drum")
        d.line(TABLE_LEFT, y - 4, TABLE_LEFT + 20, y - 4, look.colour, 3.0, look.dash)
        d.text(TABLE_LEFT + 28, y, look.title, bold=bold, size=11.5)
        worst = max(data.values(experiment, pager, "max-us"),
                    default=buckets[-1][0] / 1e3 if buckets else 0)
        cells = [percentile_above(buckets, 0, p) for p in (0.5, 0.99)] if buckets else []
        texts = [time_text(min(ns / 1e3, worst or ns)) for ns in cells] + [time_text(worst)] \
            if cells else ["no faults"]
        for at, text in zip(columns if cells else columns[2:], texts):
            d.text(at, y, text, anchor="end", bold=bold, size=11.5)
    for name, us in data.floors_us.items():
        y += 26
        d.line(TABLE_LEFT, y - 4, TABLE_LEFT + 20, y - 4, INK, 1.0, FLOORS[name][1])
        d.text(TABLE_LEFT + 28, y, FLOORS[name][0], size=11.5)
        d.text(columns[0], y, time_text(us), anchor="end", size=11.5)
    d.line(TABLE_LEFT, top + 20, WIDTH - MARGIN, top + 20)


# ---- bars ----

BAR_LEFT, BAR_TOP, BAR_STEP, BAR_HEIGHT, PANEL_GAP = 172, 38, 30, 17, 34


def draw_bars(data, experiment, plan):
    keys = data.figures(experiment, plan.bars)
    if not keys:
        return None
    d = Drawing(plan.title.format(name=named(experiment)),
                "Bars, one for each pager: " + "; ".join(figure_of(k).title for k in keys))
    top = d.heading(data.subtitle(experiment)) + 14
    pagers = [p for p in data.pagers if any(data.values(experiment, p, k) for k in keys)]
    a_row = math.ceil(len(keys) / math.ceil(len(keys) / PANELS_A_ROW))
    width = (WIDTH - MARGIN - BAR_LEFT - PANEL_GAP * (a_row - 1)) / a_row
    height = BAR_TOP + BAR_STEP * len(pagers)
    cut, bottom = False, top
    for at, key in enumerate(keys):
        left = BAR_LEFT + at % a_row * (width + PANEL_GAP)
        if at % a_row == 0:
            top, bottom = bottom + (40 if at else 0), bottom + (40 if at else 0) + height
            draw_names(d, data, pagers, top + BAR_TOP)
        cut |= draw_panel(d, data, experiment, key, pagers, (left, left + width, top, bottom))
    n = data.repetitions(experiment)
    note = "Bars: median of %s" % repetitions_text(n)
    if n > 1:
        note += ", the worst of a worst fault; whiskers: least and most" if WORST in keys else \
            "; whiskers: least and most"
    if cut:
        note += ".  A bar with a gap is longer than the plot"
    about_faults = any("fault" in figure_of(k).title for k in keys)
    d.notes(bottom + 44, note + "." + words_note(data, experiment, about_faults))
    return d


def draw_names(d, data, pagers, top):
    for row, pager in enumerate(pagers):
        d.text(BAR_LEFT - 12, top + row * BAR_STEP + 13, data.looks[pager].title, anchor="end",
               bold=pager.startswith("drum"))


def draw_panel(d, data, experiment, key, pagers, frame):
    """One figure.  => was a bar cut"""
    left, right, top, bottom = frame
    figure = figure_of(key)
    values = {p: data.values(experiment, p, key) for p in pagers}
    most = {p: max(v) for p, v in values.items() if v}
    limited = max((m for p, m in most.items() if p != "unlimited"), default=0)
    cut = limited > 0 and most.get("unlimited", 0) > CUT_AT * limited
    longest = max(m for p, m in most.items() if not cut or p != "unlimited") or 1
    room = max(text_width(value_text(figure.form, m)) for m in most.values()) + 12
    x = Linear(longest, left, right - room)
    d.text(left, top + 6, figure.title)
    if figure.more is not None:
        d.text(left, top + 22, "more is better" if figure.more else "less is better", size=11.5,
               fill=MUTED)
    for value in x.ticks(4 if right - left > 300 else 2):
        d.line(x(value), top + 32, x(value), bottom)
        d.text(x(value), bottom + 16, tick_text(value), size=11.5, fill=MUTED, anchor="middle")
    for row, pager in enumerate(pagers):
        if values[pager]:
            draw_bar(d, data.looks[pager], pager, key, values[pager], x,
                     top + BAR_TOP + row * BAR_STEP, cut and pager == "unlimited")
    d.line(left, top + 32, left, bottom, MUTED)
    return cut


def draw_bar(d, look, pager, key, values, x, y, cut):
    middle, least, most = middle_of(key, values), min(values), max(values)
    end = x.end if cut else x(middle)
    d.rect(x.start, y, end - x.start, BAR_HEIGHT, look.colour, data_pager=pager, data_key=key,
           data_value="%g" % middle, rx=1.5)
    axis = y + BAR_HEIGHT / 2
    if cut:
        d.polyline([(end - 26, y + BAR_HEIGHT + 2), (end - 20, y - 2)], CARD, 5.0)
    elif most > least:
        for stroke, width in ((CARD, 4.0), (INK, 1.2)):
            d.line(x(least), axis, x(most), axis, stroke, width)
        for at in (x(least), x(most)):
            d.line(at, axis - 4, at, axis + 4, INK, 1.2)
    d.text((end if cut else x(most)) + 7, axis + 4.5, value_text(figure_of(key).form, middle),
           bold=pager.startswith("drum"))


# ---- speed over time ----

def slices_of(data, experiment, pager):
    """=> ([(s, touches a second)] at the median of the repetitions, [s at which a run began])"""
    by_repetition, begins, width = {}, {}, 0
    for run in data.of(experiment, pager):
        width = run.get("slice-ms")
        if is_number(width) and width > 0:
            all_of_it = by_repetition.setdefault(run.get("repetition"), [])
            begins.setdefault(run.get("repetition"), []).append(len(all_of_it) * width / 1e3)
            all_of_it += run.get("slices", [])
    if not any(by_repetition.values()):
        return [], []
    columns = zip(*(s for s in by_repetition.values() if s))
    return ([((at + 0.5) * width / 1e3, statistics.median(c) * 1e3 / width)
             for at, c in enumerate(columns)], next(iter(begins.values())))


def draw_timeline(data, experiment, plan):
    lines = {p: slices_of(data, experiment, p) for p in data.pagers if data.of(experiment, p)}
    lines = {p: line for p, line in lines.items() if line[0]}
    speeds = [v for points, _ in lines.values() for _, v in points if v > 0]
    if not speeds:
        return None
    d = Drawing(plan.title.format(name=named(experiment)),
                "Touches a second over time, one line for each pager.")
    top = d.heading(data.subtitle(experiment)) + 10
    bottom = top + LATENCY_HEIGHT
    x = Linear(max(points[-1][0] for points, _ in lines.values()), LATENCY_LEFT, LATENCY_RIGHT)
    y = Log(*round_range(min(speeds), max(speeds)), bottom, top)
    for value in y.ticks((1,)):
        d.line(LATENCY_LEFT, y(value), LATENCY_RIGHT, y(value))
        d.text(LATENCY_LEFT - 8, y(value) + 4, tick_text(value), fill=MUTED, anchor="end")
    for value in x.ticks():
        d.text(x(value), bottom + 18, tick_text(value), fill=MUTED, anchor="middle")
    begins = next(iter(lines.values()))[1]
    for at in begins[1:]:
        d.line(x(at), top, x(at), bottom, INK, 1.0, "4 4")
    d.line(LATENCY_LEFT, bottom, LATENCY_RIGHT, bottom, MUTED)
    d.text((LATENCY_LEFT + LATENCY_RIGHT) / 2, bottom + 38, "time, s", anchor="middle")
    d.text(20, (top + bottom) / 2, "touches a second (log scale)", anchor="middle",
           transform="rotate(-90 20 %s)" % ((top + bottom) / 2))
    d.text(WIDTH - MARGIN, top + 12, "recovery", fill=MUTED, anchor="end", size=11.5)
    d.line(TABLE_LEFT, top + 20, WIDTH - MARGIN, top + 20)
    for row, (pager, (points, _)) in enumerate(lines.items()):
        look, at, bold = data.looks[pager], top + 38 + 26 * row, pager.startswith("drum")
        d.polyline([(x(t), y(max(v, y.least))) for t, v in points], look.colour,
                   2.2 if bold else 1.5, look.dash, data_pager=pager)
        d.line(TABLE_LEFT, at - 4, TABLE_LEFT + 20, at - 4, look.colour, 3.0, look.dash)
        d.text(TABLE_LEFT + 28, at, look.title, bold=bold, size=11.5)
        recovery = data.middle(experiment, pager, "recovery-ms")
        d.text(WIDTH - MARGIN, at, "-" if recovery is None else time_text(recovery * 1e3),
               anchor="end", bold=bold, size=11.5)
    d.notes(bottom + 62, "Medians of %s.%s  Recovery: until 95 %% of the speed in the end is "
            "reached." % (
                repetitions_text(data.repetitions(experiment)),
                "  Dashed: the working set moves." if len(begins) > 1 else ""))
    return d


# ---- the summary ----

SUMMARY_LEFT, SUMMARY_STEP = 330, 25


def ratio_of(data, experiment, key, pager):
    """=> (ratio of medians, least and most of single repetitions), below 1 is better; or None.
    Against the kernel's setting that is best at the median."""
    more = figure_of(key).more
    middles = {k: data.middle(experiment, k, key) for k in PEERS[pager]}
    middles = {k: m for k, m in middles.items() if m}
    mine = data.middle(experiment, pager, key)
    if not middles or not mine:
        return None
    best = (max if more else min)(middles, key=middles.get)

    def ratio(ours, kernels):
        return kernels / ours if more else ours / kernels

    ours, theirs = (data.each(experiment, p, key) for p in (pager, best))
    single = [ratio(ours[r], theirs[r]) for r in ours.keys() & theirs.keys()
              if ours[r] > 0 and theirs[r] > 0]
    middle = ratio(mine, middles[best])
    return middle, min(single, default=middle), max(single, default=middle)


def summary_rows(data):
    """=> [(experiment, key, {pager: ratio})]"""
    rows = []
    for experiment in data.experiments:
        plan = experiment_of(experiment)
        for key in plan.ratios or [k for k in data.figures(experiment, plan.bars)
                                   if figure_of(k).more is not None][:2]:
            found = {p: ratio_of(data, experiment, key, p) for p in PEERS}
            found = {p: r for p, r in found.items() if r}
            if found:
                rows.append((experiment, key, found))
    return rows


def draw_summary(data):
    rows = summary_rows(data)
    if not rows:
        return None
    d = Drawing("Drum beside the kernel's own swap",
                "Ratios of times, Drum over the kernel's best setting, on a log scale.")
    top = d.heading("Time that Drum takes / time that the kernel's best setting takes · "
                    + data.subtitle()) + 26
    pagers = [p for p in PEERS if any(p in f for _, _, f in rows)]
    ends = [v for _, _, f in rows for r in f.values() for v in r] + [0.5, 2]
    right = WIDTH - MARGIN - 66 * len(pagers)
    x = Log(*round_range(min(ends), max(ends)), SUMMARY_LEFT, right)
    bottom = top + SUMMARY_STEP * len(rows) + 8
    summary_axes(d, x, top, bottom)
    for at, pager in enumerate(pagers):
        d.text(right + 66 * (at + 1), top - 10, ("Drum", "ram:")[pager != "drum"],
               size=11.5, fill=MUTED, anchor="end")
    last = None
    for row, (experiment, key, found) in enumerate(rows):
        y = top + SUMMARY_STEP * (row + 0.5) + 4
        if experiment != last:
            if row:
                d.line(MARGIN, y - SUMMARY_STEP / 2, SUMMARY_LEFT - 6, y - SUMMARY_STEP / 2)
            d.text(MARGIN, y + 4, named(experiment))
            last = experiment
        d.text(SUMMARY_LEFT - 14, y + 4, figure_of(key).ratio, fill=MUTED, anchor="end")
        for at, pager in reversed(list(enumerate(pagers))):     # Drum on top
            if pager in found:
                summary_mark(d, data.looks[pager].colour if pager != "drum" else None, pager,
                             found[pager], x, y, right + 66 * (at + 1))
    n = max(data.repetitions(e) for e, _, _ in rows)
    kernels = [" and ".join(data.looks[k].title.removeprefix("kernel, ").removeprefix("kernel ")
                            for k in PEERS[p] if k in data.pagers) for p in pagers]
    worst = ", the worst of a worst fault" if any(k == WORST for _, k, _ in rows) else ""
    d.notes(bottom + 60, "Medians of %s%s%s.  The kernel's best of %s, for each line.  Cluster: "
                         "vm.page-cluster." % (repetitions_text(n), worst, "" if n == 1 else
                                               "; lines: ratios of single repetitions",
                                               ", for ram: ".join(kernels)))
    return d


def summary_axes(d, x, top, bottom):
    one = x(1)
    d.rect(x.start, top, one - x.start, bottom - top, BETTER_GROUND)
    d.rect(one, top, x.end - one, bottom - top, WORSE_GROUND)
    for value in x.ticks((1, 2, 5) if x.most / x.least <= 1000 else (1,)):
        if value != 1:
            d.line(x(value), top, x(value), bottom)
        d.text(x(value), bottom + 18, "%g" % value, fill=MUTED, anchor="middle")
    d.line(one, top - 4, one, bottom + 4, INK, 1.4, class_="one")
    d.text(one - 10, top - 10, "← Drum faster", fill=BETTER, anchor="end", size=11.5, bold=True)
    d.text(one + 10, top - 10, "kernel faster →", fill=WORSE, size=11.5, bold=True)
    d.text((x.start + x.end) / 2, bottom + 38, "ratio (log scale)", anchor="middle")


def summary_mark(d, colour, pager, ratio, x, y, text_x):
    middle, least, most = ratio
    colour = colour or (BETTER if middle <= 1 else WORSE)
    if most > least:
        d.line(x(least), y, x(most), y, colour, 2.0)
    d.dot(x(middle), y, 5, colour, data_pager=pager, data_ratio="%g" % middle)
    d.text(text_x, y + 4, "%.2f" % middle, anchor="end", bold=pager == "drum",
           fill=colour if pager == "drum" else INK)


# ---- files ----

KINDS = {"latency": draw_latency, "timeline": draw_timeline, "bars": draw_bars}


def file_name(experiment):
    return re.sub(r"[^A-Za-z0-9._-]+", "-", experiment).lstrip(".") + ".svg"


def plots(data):
    """=> [(file name, drawing)]"""
    found, bare = [], []
    for experiment in data.experiments:
        plan = experiment_of(experiment)
        drawing = KINDS[plan.kind](data, experiment, plan) or draw_bars(data, experiment, plan)
        if drawing is None:
            bare.append(experiment)
        else:
            found.append((file_name(experiment), drawing))
    if not found:
        raise PlotError("no figure to draw in any run")
    if bare:
        print("plots.py: no figure to draw: %s" % ", ".join(bare), file=sys.stderr)
    summary = draw_summary(data)
    if summary is None:
        print("plots.py: no summary: nothing was measured under both Drum and the kernel",
              file=sys.stderr)
    else:
        found.append(("summary.svg", summary))
    return found


def write(directory, files):
    try:
        os.makedirs(directory, exist_ok=True)
        for name, drawing in files:
            path = os.path.join(directory, name)
            with open(path + ".new", "w", encoding="utf-8") as f:
                f.write(drawing.document())
            os.rename(path + ".new", path)
    except OSError as e:
        raise PlotError("cannot write to %s: %s" % (directory, e.strerror))


def main():
    p = argparse.ArgumentParser(prog="plots.py", description="Draw what run-bench measured.")
    p.add_argument("results", metavar="RESULTS.json")
    p.add_argument("directory", metavar="DIRECTORY")
    o = p.parse_args()
    try:
        write(o.directory, plots(Data(load(o.results))))
    except PlotError as e:
        print("plots.py: %s" % e, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
