# SPDX-License-Identifier: BSD-2-Clause
"""From the runs of one benchmark to its tables.

A figure is the median over the repetitions, with the smallest and the largest.  A ratio
is Drum's median over that of the kernel's best setting on the same kind of storage: the
smaller time, the larger throughput.
"""
import statistics

KERNELS = ("kernel-0", "kernel-3")
KERNELS_RAM = ("zswap", "zram")
PEERS = {"drum": KERNELS, "drum-ram": KERNELS_RAM}
TITLES = {"unlimited": "unlimited", "kernel-0": "kernel, page-cluster 0",
          "kernel-3": "kernel, page-cluster 3", "zswap": "kernel with zswap",
          "zram": "kernel with zram", "drum": "Drum", "drum-ram": "Drum with ram:"}

# (key in a run, what it is called, is more better, format)
FIGURES = (
    ("p50-us", "fault p50, us", False, "%.1f"),
    ("p99-us", "fault p99, us", False, "%.1f"),
    ("p999-us", "fault p99.9, us", False, "%.0f"),
    ("io-p50-us", "p50 of faults with I/O, us", False, "%.1f"),
    ("op-p99-us", "operation p99, us", False, "%.1f"),
    ("max-us", "worst, ms", False, "%.2f"),
    ("fault-share", "touches that fault, %", None, "%.1f"),
    ("touches-per-s", "touches/s", True, "%.0f"),
    ("pageout-mib-s", "page-out, MiB/s", True, "%.0f"),
    ("pages-per-s", "pages/s", True, "%.0f"),
    ("cpu-us-a-page", "CPU, us a page", False, "%.2f"),
    ("vmm-cpu-us-a-page", "of the VMM's own, us a page", None, "%.2f"),
    ("recovery-ms", "recovery, ms", False, "%.0f"),
    ("fairness", "slower / faster", None, "%.2f"),
    ("resident-mib", "most resident, MiB", None, "%.0f"),
)


def percentile_above(histogram, threshold_ns, p):
    """Of the samples above a threshold; histogram is [[low edge, count], ...]."""
    rest = [(low, count) for low, count in histogram if low > threshold_ns]
    total = sum(count for _, count in rest)
    if total == 0:
        return None
    seen = 0
    for low, count in rest:
        seen += count
        if seen > p * total or seen == total:
            return low * (1 + 1 / 256)      # the middle of a bucket of 1/128


def complete(run, floor_p50_us):
    """Add to an experiment's answer the figures that follow from it."""
    if not run["touches"]:
        return
    run["fault-share"] = 100 * run["faults"] / run["touches"]
    # Nothing below half of the device's own time can have waited for the device.
    io_ns = floor_p50_us * 500
    p50 = percentile_above(run["histogram"], io_ns, 0.5)
    run["io-p50-us"] = None if p50 is None else p50 / 1e3
    run["io-threshold-us"] = io_ns / 1e3


class Results:
    """All runs, grouped by experiment and pager."""

    def __init__(self, runs, floors):
        self.runs, self.floors = runs, floors
        self.experiments = list(dict.fromkeys(r["name"] for r in runs))
        self.pagers = list(dict.fromkeys(r["pager"] for r in runs))

    def values(self, experiment, pager, key):
        return [r[key] for r in self.runs
                if r["name"] == experiment and r["pager"] == pager and r.get(key) is not None]

    def median(self, experiment, pager, key):
        values = self.values(experiment, pager, key)
        return statistics.median(values) if values else None

    def worst(self, experiment, pager):
        return max(self.values(experiment, pager, "max-us"), default=None)

    def kernel_best(self, experiment, key, more_is_better, peers=KERNELS):
        values = [v for v in (self.median(experiment, k, key) for k in peers)
                  if v is not None]
        if not values:
            return None
        return max(values) if more_is_better else min(values)

    def ratios(self, experiment, key, more_is_better=False, pager="drum"):
        """=> the median's ratio and those of single repetitions, least and most; or None"""
        drum = self.median(experiment, pager, key)
        best = self.kernel_best(experiment, key, more_is_better, PEERS[pager])
        if drum is None or not best:
            return None
        each = [v / best for v in self.values(experiment, pager, key)]
        return drum / best, min(each), max(each)

    def floor(self, key):
        return statistics.median(f[key] for f in self.floors)

    def bad(self):
        return sum(r["bad"] for r in self.runs)


def cell(results, experiment, pager, key, form):
    values = results.values(experiment, pager, key)
    if not values:
        return "-"
    scale = 1e-3 if key == "max-us" else 1
    if key in ("max-us", "resident-mib"):       # the worst is the figure, not its median
        return form % (max(values) * scale)
    text = form % (statistics.median(values) * scale)
    if len(values) > 1:
        text += " (%s-%s)" % (form % (min(values) * scale), form % (max(values) * scale))
    return text


def markdown(rows):
    """=> lines; the first row is the heading"""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return lines


def experiment_table(results, experiment):
    """Lines of Markdown: a row for each pager, a column for each figure that there is."""
    pagers = [p for p in TITLES if any(r["pager"] == p and r["name"] == experiment
                                       for r in results.runs)]
    figures = [f for f in FIGURES if any(results.values(experiment, p, f[0]) for p in pagers)]
    rows = [(experiment, *(f[1] for f in figures))]
    for pager in pagers:
        rows.append((TITLES[pager], *(cell(results, experiment, pager, f[0], f[3])
                                      for f in figures)))
    for pager in PEERS:
        ratios = [None if more is None else results.ratios(experiment, key, more, pager)
                  for key, _, more, _ in figures]
        if any(ratios):
            rows.append((TITLES[pager] + " / kernel's best",
                         *("" if r is None else "%.2f" % r[0] for r in ratios)))
    return markdown(rows)


def tables(results):
    """Lines of Markdown."""
    lines = []
    for experiment in results.experiments:
        lines += experiment_table(results, experiment) + [""]
    return lines


def spread(values, form):
    """=> "median (least-most)" """
    if len(values) == 1:
        return form % values[0]
    return "%s (%s-%s)" % tuple(form % v for v in
                                (statistics.median(values), min(values), max(values)))


def time_of_faults(run):
    """=> percent of a run's time that went into touches that were faults"""
    ns = sum(low * count for low, count in run["histogram"] if low > run["fault-ns"])
    return ns / 1e7 / run["seconds"]


def tax_lines(runs):
    """How much slower touches are while attached: by pairs of neighbouring blocks."""
    taxes = []
    for block in {r["block"] for r in runs}:
        speed = {name: statistics.median(r["touches-per-s"] for r in runs
                                         if r["block"] == block and r["name"] == name)
                 for name in ("attached", "not-attached")}
        taxes.append(100 * (1 - speed["attached"] / speed["not-attached"]))
    cpu = [r["pager-cpu-percent"] for r in runs if r["name"] == "attached"]
    faults = [[time_of_faults(r) for r in runs if r["name"] == name]
              for name in ("attached", "not-attached")]
    return ["Attached without a limit: %s %% slower than not attached (wanted: under 1 %%), %d "
            "alternations; Drum itself uses %s %% of a CPU meanwhile.  Touches that take longer "
            "than 2 us are %s %% of the time attached and %s %% not."
            % (spread(taxes, "%.2f"), len(taxes), spread(cpu, "%.2f"),
               *(spread(f, "%.2f") for f in faults))]


def slowdown_lines(results):
    """Two guests in half of their memory, against the same two without a limit."""
    lines = []
    for pager in results.pagers:
        slow = []
        for name in ("two-guests-1", "two-guests-2"):
            free, here = (results.median(name, p, "touches-per-s") for p in ("unlimited", pager))
            if free and here:
                slow.append("%.2f" % (free / here))
        if len(slow) == 2 and pager != "unlimited":
            lines.append("Two guests on %s: slowdown %s and %s, fairness %s."
                         % (TITLES[pager], *slow, spread(results.values(
                             "two-guests-1", pager, "fairness"), "%.2f")))
    return lines
