# SPDX-License-Identifier: BSD-2-Clause
"""results.json, results.md and plots/ in the build directory."""
import json
import os
import subprocess
import sys
import time

from arbiter import arbiter_lines
from disk import disk_lines
from report import (Results, markdown, slowdown_lines, spread, tables, tax_lines)
from settings_report import (checksums_report, merge_settings, pin_check_report,
                             settings_report)
from swapcache import swapcache_lines
from targets import Measured, targets
from vswapper import vswapper_lines


def replace(path, text):
    with open(path + ".new", "w") as out:
        out.write(text)
    os.rename(path + ".new", path)


def floor_lines(bench):
    lines = []
    if bench.raw:
        lines.append("Raw 4 KiB random read of the swap file by io_uring, O_DIRECT: p50 %s us, "
                     "p99 %s us." % (spread([f["p50-us"] for f in bench.raw], "%.1f"),
                                     spread([f["p99-us"] for f in bench.raw], "%.1f")))
    if bench.uffd:
        lines.append("Empty userfaultfd round trip: p50 %s us, p99 %s us."
                     % (spread([f["p50-us"] for f in bench.uffd], "%.1f"),
                        spread([f["p99-us"] for f in bench.uffd], "%.1f")))
    if bench.handler:
        lines.append("The same with such a read in between, which is the least that a pager in "
                     "user space can be: p50 %s us, p99 %s us."
                     % (spread([f["p50-us"] for f in bench.handler], "%.1f"),
                        spread([f["p99-us"] for f in bench.handler], "%.1f")))
    if bench.fio is not None and bench.fio.runs:
        lines.append("fio writes sequentially %s MiB/s (%s, depth %d; the best of %d settings)."
                     % (spread(bench.fio.runs, "%.0f"), bench.fio.best["block"],
                        bench.fio.best["depth"], len(bench.fio.tried)))
    return lines


def target_lines(found):
    rows = [("", "", "wanted", "measured")]
    rows += [(one["verdict"], one["what"], one["wanted"], one["measured"]) for one in found]
    return ["What to reach: ratios to the kernel's best setting of the same run, medians "
            "(least-most).", "", *markdown(rows), ""]


class Output:
    def __init__(self, bench):
        self._bench = bench
        self.results = Results(bench.runs, bench.raw)
        self.targets = targets(Measured(self.results, bench.raw, bench.uffd, bench.fio,
                                        [m for m in bench.memory if m["pager"] == "drum"],
                                        bench.working_sets, bench.handler, bench.disk,
                                        bench.vswapper, bench.swapcache, bench.arbiter),
                               bench.bad() > 0)

    def lines(self):
        """=> the whole report, in Markdown"""
        b, o = self._bench, self._bench.options
        lines = ["%d repetitions of %g s; %d CPUs, Linux %s.  Medians (least-most)."
                 % (b.done_repetitions, o.seconds, os.cpu_count(), os.uname().release)]
        lines += floor_lines(b)
        if b.clock:
            lines.append("A fault is a touch that took longer than 2 us; a reading of the clock "
                         "takes %.0f ns." % max(b.clock))
        lines += ["%s." % reason for reason in b.left_out] + [""]
        lines += tables(self.results)
        lines += slowdown_lines(self.results) + (tax_lines(b.tax) if b.tax else []) + [""]
        if b.settings:
            lines += settings_report(b.settings, b.default, o.settings_size) + [""]
        if b.checksums:
            lines += checksums_report(b.checksums) + [""]
        if b.pin_check:
            lines += [pin_check_report(b.pin_check), ""]
        lines += disk_lines(b.disk) + vswapper_lines(b.vswapper) + swapcache_lines(b.swapcache)
        lines += arbiter_lines(b.arbiter)
        lines += target_lines(self.targets)
        lines.append("Pages touched and checked: %d; bad pages: %d.  It took %d s; load average "
                     "%.1f before and %.1f after." % (
                         sum(r["touches"] for r in b.checked()), b.bad(),
                         time.monotonic() - b.began, *b.load))
        return lines

    def write(self, lines):
        b = self._bench
        path = b.out + "/results.json"
        replace(b.out + "/results.md", "\n".join(lines) + "\n")
        replace(path, json.dumps(
            {"machine": {"cpus": os.cpu_count(), "kernel": os.uname().release,
                         "clock-ns": max(b.clock, default=None), "load-average": b.load},
             "options": vars(b.options), "floors": b.raw, "userfaultfd": b.uffd,
             "handler": b.handler,
             "fio": b.fio.as_json() if b.fio is not None else None,
             "left-out": b.left_out, "runs": b.runs, "bad": b.bad(),
             "targets": self.targets, "own-memory": b.memory, "working-sets": b.working_sets,
             "settings": {"default": b.default, "runs": b.settings,
                          "cells": merge_settings(b.settings)},
             "checksums": b.checksums, "pin-check": b.pin_check, "disk": b.disk,
             "vswapper": b.vswapper, "swapcache": b.swapcache,
             "arbiter": b.arbiter},
            separators=(",", ":")) + "\n")
        return path

    def plot(self, path):
        """=> what went wrong, or None"""
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plots.py")
        if not os.path.exists(program):
            return None
        plots = self._bench.out + "/plots"
        os.makedirs(plots, exist_ok=True)
        done = subprocess.run([sys.executable, program, path, plots])
        return "no plots: exit status %d" % done.returncode if done.returncode else None
