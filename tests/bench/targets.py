# SPDX-License-Identifier: BSD-2-Clause
"""What is to be reached, beside what was measured.

Each row of ROWS is a function of everything that was measured (Measured) and gives the
text of the figure and whether it is what is wanted; None if nothing was measured for it.
"""
import statistics
from collections import namedtuple

from arbiter import arbiter_target
from disk import disk_target
from report import KERNELS, KERNELS_RAM, spread
from swapcache import (faults_target, latency_target, rate_target, reads_target as cached_target,
                       reread_target)
from vswapper import reads_target, time_target, writes_target

MIB = 1 << 20
RANDOM = ("random-read", "random-write")

# results: Results; uffd, handler: floors; fio: floors.Fio or None; memory: of sessions on Drum;
# disk, vswapper, swapcache, arbiter: runs of the files of those names
Measured = namedtuple("Measured",
                      "results raw uffd fio memory working_sets handler disk vswapper "
                      "swapcache arbiter")

ZIPF_PAGES, ZIPF_THETA = (2 << 30) // 4096, 0.99


def ratio_text(ratios):
    middle, least, most = ratios
    return "%.2f" % middle if least == most else "%.2f (%.2f-%.2f)" % ratios


def handler(m, key):
    """=> the least that a pager in user space can be, or None"""
    return statistics.median(f[key] for f in m.handler) if m.handler else None


def percentiles(m):
    texts, met = [], True
    for name in RANDOM:
        both = [m.results.ratios(name, key) for key in ("p50-us", "p99-us")]
        if None in both:
            return None
        texts.append("%s %s / %s" % (name, *(ratio_text(r) for r in both)))
        met &= both[0][0] <= 1.05 and both[1][0] <= 1.0
    least = handler(m, "p50-us")
    if least is not None:
        texts.append("the least that user space can do %.2f / %.2f" % tuple(
            handler(m, key) / m.results.kernel_best("random-read", key, False)
            for key in ("p50-us", "p99-us")))
    return "; ".join(texts), met


def above_raw(m):
    raw = {f["repetition"]: f["p50-us"] for f in m.raw if f["pager"] == "drum"}
    over = [r["p50-us"] - raw[r["repetition"]] for r in m.results.runs
            if r["name"] == "random-read" and r["pager"] == "drum"]
    if not over:
        return None
    text = "%s us" % spread(over, "%.1f")
    if m.handler:
        text += "; the least that user space can do %.1f us" % (
            handler(m, "p50-us") - statistics.median(raw.values()))
    return text, statistics.median(over) <= 10


def passes(m):
    texts, met = [], True
    for name in ("sequential-read", "strided-read", "reverse-read"):
        ratios = m.results.ratios(name, "touches-per-s", True)
        if ratios is None:
            return None
        times = 1 / ratios[0], 1 / ratios[2], 1 / ratios[1]
        texts.append("%s %s" % (name, ratio_text(times)))
        if name != "reverse-read":      # told, not asked for
            met &= times[0] <= 0.5
    return "; ".join(texts), met


def share_of_popular(pages):
    """=> of touches by zipf, how many go to so many of the most popular pages"""
    sums = [sum(rank ** -ZIPF_THETA for rank in range(1, n + 1)) for n in (pages, ZIPF_PAGES)]
    return sums[0] / sums[1]


def zipf_at_best(m):
    """The same if only what is least popular were ever out of memory, which nobody can know:
    with this run's times of what waits for the device and of what does not.
    => touches a second, or None"""
    runs = [r for r in m.results.runs if r["name"] == "zipf-50" and r["pager"] == "drum"]
    slow, fast = [], []
    for run in runs:
        for ns, count in run["histogram"]:
            (slow if ns >= run["io-threshold-us"] * 1000 else fast).append((ns, count))
    if not slow or not fast:
        return None
    mean = [sum(ns * n for ns, n in part) / sum(n for _, n in part) for part in (slow, fast)]
    misses = 1 - share_of_popular(ZIPF_PAGES // 2)
    return 1e9 / (misses * mean[0] + (1 - misses) * mean[1])


def zipf(m):
    ratios = m.results.ratios("zipf-50", "touches-per-s", True)
    if ratios is None:
        return None
    text, most = ratio_text(ratios), zipf_at_best(m)
    if most is not None:
        text += "; with the fewest misses that there can be %.2f" % (
            most / m.results.kernel_best("zipf-50", "touches-per-s", True))
    return text, ratios[0] >= 1.2


def page_out(m):
    drum = m.results.values("evict", "drum", "pageout-mib-s")
    ratios = m.results.ratios("evict", "pageout-mib-s", True)
    if not drum or ratios is None or m.fio is None or not m.fio.runs:
        return None
    fio = statistics.median(m.fio.runs)
    best = m.fio.best
    return ("%s MiB/s; %.2f of fio's %s MiB/s (%s, depth %d); %s of the kernel's"
            % (spread(drum, "%.0f"), statistics.median(drum) / fio,
               spread(m.fio.runs, "%.0f"), best["block"], best["depth"], ratio_text(ratios)),
            statistics.median(drum) >= 0.9 * fio and ratios[0] >= 1)


def cpu(m):
    texts, met = [], True
    for name, most in (("evict", 4), ("restore", 6)):
        drum = m.results.values(name, "drum", "cpu-us-a-page")
        if not drum:
            return None
        own = m.results.median(name, "drum", "vmm-cpu-us-a-page")
        kernel = m.results.kernel_best(name, "cpu-us-a-page", False)
        texts.append("%s %s us (and %.2f us of the VMM's; kernel's best %s)"
                     % (name, spread(drum, "%.2f"), own,
                        "-" if kernel is None else "%.2f us" % kernel))
        met &= statistics.median(drum) <= most
    return "; ".join(texts), met


def from_ram(m):
    name = "random-read-half"
    ours = m.results.values(name, "drum-ram", "p50-us")
    if not ours or not m.uffd:
        return None
    empty = [f["p50-us"] for f in m.uffd]
    kernel = m.results.kernel_best(name, "p50-us", False, KERNELS_RAM)
    return ("%s us, empty round trip %s us; kernel's best in memory %s us"
            % (spread(ours, "%.1f"), spread(empty, "%.1f"),
               "-" if kernel is None else "%.1f" % kernel),
            statistics.median(ours) <= statistics.median(empty) + 4)


def working_set(m):
    if not m.working_sets:
        return None
    if not any("found-10s" in w for w in m.working_sets):
        return "not offered by this drumd", None
    texts, met = [], True
    for name in dict.fromkeys(w["name"] for w in m.working_sets):
        mine = [w for w in m.working_sets if w["name"] == name]
        for seconds in (10, 60):
            found, true = "found-%ds" % seconds, "true-%ds" % seconds
            off = [100 * (w[found] / w[true] - 1) for w in mine if found in w and w[true]]
            if off:
                texts.append("%s within %d s %s %% off (truth %d MiB)"
                             % (name, seconds, spread(off, "%+.0f"),
                                statistics.median(w[true] for w in mine) / MIB))
                met &= abs(statistics.median(off)) <= 15
    return "; ".join(texts), met


def worst(m):
    name = "page-out-flat-out"
    ours = m.results.worst(name, "drum")
    if ours is None:
        return None
    kernels = [m.results.worst(name, k) for k in KERNELS]
    best = min((k for k in kernels if k is not None), default=None)
    return ("%.2f ms of %d faults; kernel's best %s"
            % (ours / 1e3, sum(m.results.values(name, "drum", "faults")),
               "-" if best is None else "%.2f ms" % (best / 1e3)), ours < 20e3)


def own_memory(m):
    """Growth since before the guest was there, against what is allowed for it."""
    texts = []
    for one in m.memory:
        grew = [sum(one[when][kind] - one["before"][kind] for kind in ("processes", "files"))
                for when in ("attached", "out")]
        tables = one["out"]["page-tables"] - one["before"]["page-tables"]
        allowed = one["size"] / 1000 + 16 * one["pages-out"]
        texts.append((grew[1] / allowed, grew, one, tables))
    if not texts:
        return None
    texts.sort(key=lambda t: t[0])
    share, grew, one, tables = texts[len(texts) // 2]
    return ("%.2f of it: attached %.2f MiB (%.2f bytes a page), all out %.2f MiB (%.1f bytes a "
            "swapped page more); page tables %.2f MiB beside it"
            % (share, grew[0] / MIB, grew[0] / (one["size"] / 4096), grew[1] / MIB,
               (grew[1] - grew[0]) / one["pages-out"], tables / MIB), share <= 1)


ROWS = (
    ("random fault p50 / p99", "at most 1.05 / 1.0", percentiles),
    ("random fault p50 above the raw device read", "at most 10 us", above_raw),
    ("sequential and strided pass over swapped memory", "at most 0.5 of the kernel's time", passes),
    ("zipf at 50 % budget, throughput", "at least 1.2", zipf),
    ("page-out rate, 1 GiB of random data",
     "at least 0.9 of fio's sequential write, and at least the kernel's", page_out),
    ("CPU for one page evicted / restored without I/O wait", "at most 4 us / 6 us", cpu),
    ("fault served from `ram:` p50", "at most the empty userfaultfd round trip + 4 us", from_ram),
    ("working set found on zipf and phases", "within 15 % of the truth", working_set),
    ("worst fault while page-out runs flat out", "under 20 ms", worst),
    ("Drum's own memory", "at most 0.1 % of guest RAM + 16 bytes a swapped page", own_memory),
    ("disk requests a second / CPU a request, of qemu-storage-daemon's",
     "at least 1.0 / at most 1.0", lambda m: disk_target(m.disk)),
    ("a guest of 512 MiB in 100 MiB reads a file of 200 MiB again",
     "at most 1.2 of the time of one ballooned to that", lambda m: time_target(m.vswapper)),
    ("writes to swap that this needs not", "at least 90 %", lambda m: writes_target(m.vswapper)),
    ("200 MiB of swapped memory are overwritten from the disk: of that read from swap",
     "0 pages", lambda m: reads_target(m.vswapper)),
    ("cached read, of a raw read of the device, in the pager", "at most 1.1",
     lambda m: cached_target(m.swapcache)),
    ("the same through the front end, of a disk that is cached", "at most 1.1",
     lambda m: latency_target(m.swapcache)),
    ("a guest reads a tree again, 5 ms a read, cached", "at least 10 times faster",
     lambda m: reread_target(m.swapcache)),
    ("written to the cache in any minute", "at most maxburst and what accrate gives in it",
     lambda m: rate_target(m.swapcache)),
    ("fault p99 while the swapcache writes and cleans, of that without", "at most 1.1",
     lambda m: faults_target(m.swapcache)),
    ("three guests in 60 % of their memory, one idle, one busy, one growing: the busy one's work",
     "1.3 times faster than with the kernel's swap, and than with equal limits",
     lambda m: arbiter_target(m.arbiter)),
)


def targets(measured, void):
    """=> a row of text for each, and whether it was met; void: pages were bad, and times of
    what loses data are worth nothing"""
    found = []
    for what, wanted, figure in ROWS:
        text, met = figure(measured) or ("not measured", None)
        verdict = "void" if void else "-" if met is None else "met" if met else "MISSED"
        found.append({"what": what, "wanted": wanted, "measured": text, "met": met,
                      "verdict": verdict})
    return found
