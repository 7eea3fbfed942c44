# SPDX-License-Identifier: BSD-2-Clause
"""The tables of settings.py's measurements."""
import statistics

from report import markdown, percentile_above

NEAR_BEST = 0.95


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
