# SPDX-License-Identifier: BSD-2-Clause
"""From the runs of one benchmark to its tables.

A figure is the median over the repetitions, with the smallest and the largest.
The ratio is Drum's median over the better of the kernel's two: the smaller
time, the larger throughput.
"""
import statistics

KERNELS = ("kernel-0", "kernel-3")
WANTED_P50_RATIO = 1.15
WANTED_WORST_US = 50e3
NEAR_BEST = 0.95

# (key in a run, what it is called, is more better, format)
FIGURES = (
    ("p50-us", "fault p50, us", False, "%.1f"),
    ("p99-us", "fault p99, us", False, "%.1f"),
    ("io-p50-us", "p50 of faults with I/O, us", False, "%.1f"),
    ("fault-share", "touches that fault, %", None, "%.1f"),
    ("touches-per-s", "touches a second", True, "%.0f"),
    ("max-us", "worst fault, ms", False, "%.2f"),
    ("pageout-mib-s", "page-out, MiB/s", True, "%.0f"),
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
    run["fault-share"] = 100 * run["faults"] / run["touches"] if run["touches"] else 0.0
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

    def kernel_best(self, experiment, key, more_is_better):
        values = [v for v in (self.median(experiment, k, key) for k in KERNELS)
                  if v is not None]
        if not values:
            return None
        return max(values) if more_is_better else min(values)

    def ratio(self, experiment, key, more_is_better=False):
        drum = self.median(experiment, "drum", key)
        best = self.kernel_best(experiment, key, more_is_better)
        return drum / best if drum is not None and best else None

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


def table(results):
    """Lines of Markdown."""
    rows = [("experiment", "figure", "kernel, page-cluster 0", "kernel, page-cluster 3",
             "Drum", "Drum / kernel's best")]
    for experiment in results.experiments:
        for key, title, more, form in FIGURES:
            cells = [cell(results, experiment, p, key, form) for p in (*KERNELS, "drum")]
            if all(c == "-" for c in cells):
                continue
            if key == "max-us":
                worst = [results.worst(experiment, p) for p in (*KERNELS, "drum")]
                best = min((w for w in worst[:2] if w is not None), default=None)
                ratio = worst[2] / best if worst[2] is not None and best else None
            else:
                ratio = None if more is None else results.ratio(experiment, key, more)
            rows.append((experiment, title, *cells,
                         "-" if ratio is None else "%.2f" % ratio))
        floor = results.floor("p50-us")
        over = [results.median(experiment, p, "p50-us") for p in (*KERNELS, "drum")]
        rows.append((experiment, "fault p50 / raw read p50",
                     *("-" if v is None else "%.2f" % (v / floor) for v in over), "-"))
    return markdown(rows)


def wanted(results):
    """=> [(text, was it met)] of the figures that are aimed at; empty without Drum"""
    found = []
    if "drum" not in results.pagers:
        return found
    for experiment in results.experiments:
        if not experiment.startswith("random") or any(
                r["threads"] != 1 for r in results.runs if r["name"] == experiment):
            continue
        for key, what in (("p50-us", "fault p50"), ("io-p50-us", "p50 of faults with I/O")):
            ratio = results.ratio(experiment, key)
            if ratio is not None:
                found.append(("%s: %s within %.2f of the kernel's best: %.2f"
                              % (experiment, what, WANTED_P50_RATIO, ratio),
                              ratio <= WANTED_P50_RATIO))
    for experiment in results.experiments:
        worst = results.worst(experiment, "drum")
        if worst is not None:
            found.append(("%s: no fault above %.0f ms: worst %.2f ms"
                          % (experiment, WANTED_WORST_US / 1e3, worst / 1e3),
                          worst <= WANTED_WORST_US))
    return found


def merge_settings(runs):
    """=> a cell for each setting: medians over its repetitions, and all faults together"""
    found = []
    for of in dict.fromkeys((r["devices"], r["cluster"], r["depth"]) for r in runs):
        mine = [r for r in runs if (r["devices"], r["cluster"], r["depth"]) == of]
        rates = [r["pageout-mib-s"] for r in mine]
        counts = {}
        for run in mine:
            for low, count in run["histogram"]:
                counts[low] = counts.get(low, 0) + count
        p99 = percentile_above(sorted(counts.items()), mine[0]["fault-ns"], 0.99)
        found.append({"devices": of[0], "cluster": of[1], "depth": of[2],
                      "pageout-mib-s": statistics.median(rates),
                      "least-mib-s": min(rates), "most-mib-s": max(rates),
                      "cpu-ms-per-gib": statistics.median(r["cpu-ms-per-gib"] for r in mine),
                      "p99-us": None if p99 is None else p99 / 1e3,
                      "max-us": max(r["max-us"] for r in mine),
                      "faults": sum(r["faults"] for r in mine)})
    found.sort(key=lambda c: (c["devices"], c["cluster"], c["depth"]))
    best = {}
    for one in found:
        fastest = best.get(one["devices"])
        if fastest is None or one["pageout-mib-s"] > fastest["pageout-mib-s"]:
            best[one["devices"]] = one
    for one in found:
        fastest = best[one["devices"]]
        one["best"] = one is fastest
        one["of-best"] = one["pageout-mib-s"] / fastest["pageout-mib-s"]
    return found


def settings_report(runs, default, size):
    """Lines of Markdown."""
    rows = [("devices", "payload", "depth", "page-out, MiB/s", "of the best", "CPU, ms a GiB",
             "fault p99, us", "worst fault, ms", "")]
    for one in merge_settings(runs):
        is_default = all(one[k] == default[k] for k in ("cluster", "depth"))
        marks = ["**best**"] if one["best"] else \
                ["near"] if one["of-best"] >= NEAR_BEST else []
        marks += ["default"] if is_default else []
        rows.append(("%d" % one["devices"], "%dK" % (one["cluster"] >> 10), "%d" % one["depth"],
                     "%.0f (%.0f-%.0f)" % (one["pageout-mib-s"], one["least-mib-s"],
                                           one["most-mib-s"]),
                     "%.2f" % one["of-best"], "%.0f" % one["cpu-ms-per-gib"],
                     "-" if one["p99-us"] is None else "%.0f" % one["p99-us"],
                     "%.1f" % (one["max-us"] / 1e3), ", ".join(marks)))
    return ["Page-out of an idle guest of %d MiB by what a write moves and how many are in flight, "
            "medians (least-most)" % (size >> 20),
            "of %d; both devices are files on one disk.  Faults: of one thread that reads at "
            "random while the limit" % len({r["repetition"] for r in runs}),
            "goes down to a quarter, all repetitions together.  CPU: of drumd and its pager.  "
            "\"near\": within %.0f %% of the best." % (100 * (1 - NEAR_BEST)), ""] + markdown(rows)


CHECKSUM_FIGURES = (
    ("pageout-mib-s", "page-out, MiB/s", "%.0f"),
    ("cpu-ms-per-gib", "CPU of page-out, ms a GiB", "%.0f"),
    ("p50-us", "random read, fault p50, us", "%.1f"),
    ("p99-us", "random read, fault p99, us", "%.1f"),
    ("touches-per-s", "random read, touches a second", "%.0f"),
)


def checksums_report(runs):
    """Lines of Markdown."""
    rows = [("checksums", "with", "without", "with / without")]
    for key, title, form in CHECKSUM_FIGURES:
        values = [[r[key] for r in runs if r["checksums"] is which] for which in (True, False)]
        medians = [statistics.median(v) for v in values]
        rows.append((title, *("%s (%s-%s)" % (form % m, form % min(v), form % max(v))
                              for m, v in zip(medians, values)),
                     "%.2f" % (medians[0] / medians[1]) if medians[1] else "-"))
    return markdown(rows)


def pin_check_report(runs):
    """=> a line"""
    def of(key, form):
        values = [r[key] for r in runs]
        return "%s (%s-%s)" % (form % statistics.median(values), form % min(values),
                               form % max(values))

    return ("Pin check: %s ns a page evicted, with %s looks; that is %s %% of the time of a "
            "page-out at %s MiB/s." % (of("ns-a-page", "%.0f"), of("looks-a-page", "%.3f"),
                                       of("share", "%.1f"),
                                       of("pageout-mib-s", "%.0f")))
