# SPDX-License-Identifier: BSD-2-Clause
"""VSwapper's experiments (ASPLOS'14) in a real guest: what it costs that a guest is told more
memory than it gets.

A guest believes in 512 MiB and may use 100 MiB.  It reads a file of 200 MiB again and again:
its page cache holds all of it, as far as it knows.  Then a process fills 200 MiB of memory, and
has all of it overwritten by reads of its disk.  The same image, in the same run:

    kernel-3     a memory cgroup pages it, with QEMU and qemu-storage-daemon, which serves the
                 disk, in it; their own memory comes on top of the limit
    drum-no-map  Drum pages it and serves the disk, and does not know what pages hold
    drum         the same with the mapper
    balloon      it is not paged: a balloon has taken all but 100 MiB, so that it knows

What the guest reads is checked by a sum.
"""
import os
import random
import shutil
import statistics
import tempfile
import time
from collections import namedtuple

import guest as guests
from disk import StorageDaemon
from report import markdown, spread
from toucher import BenchError, Killed, Watch
from undo import run_tool

MIB, PAGE = 1 << 20, 4096
SIZE, LIMIT, FILE, OVERWRITE = 512 * MIB, 100 * MIB, 200 * MIB, 200
WARM = 8 * MIB          # another file, so that QEMU has translated what is going to run
PASSES, FULL_PASSES = 6, 12     # of which the first is told apart
NAMES = ("kernel-3", "drum-no-map", "drum", "balloon")
TITLES = {"kernel-3": "kernel swap in a cgroup", "drum-no-map": "Drum, --no-map", "drum": "Drum",
          "balloon": "ballooned to 100 MiB"}
REREAD, OVERWRITTEN = "vswapper-reread", "vswapper-overwrite"
FIGURES = (("seconds-a-pass", "s a pass", "%.2f"), ("first-pass-s", "first pass, s", "%.2f"),
           ("swap-writes", "pages written to swap", "%.0f"),
           ("writes-avoided", "not written: on the disk", "%.0f"),
           ("swap-reads", "pages read from swap", "%.0f"),
           ("image-reads", "and from the image", "%.0f"),
           ("disk-mib", "disk requests, MiB", "%.0f"),
           ("resident-mib", "mean resident, MiB", "%.0f"))
OVERWRITE_FIGURES = (("seconds", "s", "%.2f"), ("swap-reads", "pages read from swap", "%.0f"),
                     ("read-in-vain", "of these to be overwritten", "%.0f"),
                     ("reads-avoided", "not read: to be overwritten", "%.0f"),
                     ("swap-writes", "pages written to swap", "%.0f"),
                     ("writes-avoided", "not written: on the disk", "%.0f"))

Scene = namedtuple("Scene", "undo build image sum cgroup passes")


def missing(build):
    """=> why nothing can be measured, or None"""
    if not shutil.which("mke2fs"):
        return "mke2fs is not installed"
    return guests.missing(build)


def sum_of(path):
    """As rereader's."""
    total = 0
    with open(path, "rb") as f:
        for piece in iter(lambda: f.read(MIB), b""):
            x = int.from_bytes(piece, "little")
            width = 8 * len(piece)
            while width > 64:
                width //= 2
                x = (x >> width) ^ (x & ((1 << width) - 1))
            total ^= x
            total = (total << 1 | total >> 63) & ((1 << 64) - 1)
    return "%016x" % total


def make_image(undo, path):
    """An ext4 of blocks of a page, with the files.  => sum of /data"""
    where = tempfile.mkdtemp(prefix="vswapper.", dir=os.path.dirname(path))
    key = undo.add("rmtree", path=where)
    for number, (name, size) in enumerate((("data", FILE), ("warm", WARM))):
        with open(where + "/" + name, "wb") as f:
            for at in range(0, size, 4 * MIB):
                f.write(random.Random(number * size + at).randbytes(4 * MIB))
    undo.add("unlink", path=path)
    if os.path.exists(path):
        os.unlink(path)
    with open(path, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, FILE + WARM + 48 * MIB)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", where, path)
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    total = sum_of(where + "/data")
    undo.undo(key)
    return total


class Counts(dict):
    """Numbers that only grow."""

    def __sub__(self, other):
        return Counts({key: self[key] - other[key] for key in self})


class Kernel:
    name = "kernel-3"

    def __init__(self, pager):
        self._pager = pager

    def begin(self, scene):
        self._cgroup = scene.cgroup
        self._pager.begin(scene.cgroup, SIZE)
        self._disk = StorageDaemon(scene.undo, scene.image, self._pager.enter)
        self._disk.begin()
        self.socket, self.enter = self._disk.socket, self._pager.enter
        self.qmp = os.path.dirname(self.socket) + "/qmp.sock"

    def squeeze(self, guest):
        self._pager.attach(guest)
        self._pager.limit(LIMIT)

    def check(self):
        self._disk.check()

    def adjust(self):
        """QEMU's own memory is another by now, and of what was in the page cache for it less."""
        self._pager.allowance = self._cgroup.usage() - self._cgroup.shmem()
        self._pager.limit(LIMIT)

    def all_out(self):
        """What its limit leaves stays: the kernel kills QEMU rather than page out that too."""

    def resident(self):
        return self._pager.resident()

    @staticmethod
    def counts():
        with open("/proc/vmstat") as vmstat:
            found = dict(line.split() for line in vmstat)
        return Counts({"swap-writes": int(found["pswpout"]), "swap-reads": int(found["pswpin"])})

    def says(self):
        return self._pager.figures()

    def end(self):
        self._disk.end()
        self._pager.end()


class Drum:
    """And the guest with a balloon, whose disk is Drum's as well."""
    enter = None

    def __init__(self, pager, name):
        self._pager, self.name = pager, name

    def begin(self, scene):
        self._pager.begin(None, SIZE)
        options = ("--no-map",) if self.name == "drum-no-map" else ()
        self.socket = self._pager.disk_add(scene.image, *options)
        self.qmp = os.path.dirname(self.socket) + "/guest.sock"

    def squeeze(self, guest):
        self._pager.attached(guest)
        if self.name == "balloon":
            guest.balloon(LIMIT)
        else:
            self._pager.limit(LIMIT)

    def adjust(self):
        pass

    check = adjust

    def all_out(self):
        self._pager.page_out()

    def resident(self):
        return self._pager.resident()

    def counts(self):
        swap, disk = self._pager.swap_show(), self._pager.disk_show()
        return Counts({"swap-writes": swap["write-bytes"] // PAGE,
                       "swap-reads": swap["read-bytes"] // PAGE,
                       "writes-avoided": disk["writes-avoided"],
                       "reads-avoided": disk["reads-avoided"],
                       "image-reads": disk["image-reads"],
                       "disk-mib": disk["read-bytes"] / MIB})

    def says(self):
        return {"guest": self._pager.show(), "disk": self._pager.disk_show()}

    def end(self):
        self._pager.wait_gone()
        self._pager.end()


def reread(backend, guest, scene):
    """=> a run: passes over the file"""
    counts, passes = [backend.counts()], []
    with Watch(backend.resident) as watch:
        job = guest.begin("rereader read /mnt/data %d" % scene.passes)
        for number in range(scene.passes):
            found = guest.wait_for(r"READ (\d+) (\S+) (\w+)", 300)
            passes.append(float(found.group(2)))
            if found.group(3) != scene.sum:
                raise BenchError("%s: the guest has read something else" % backend.name)
            counts.append(backend.counts())
            if number == 0:
                backend.adjust()
        guest.end(job, 30)
    run = {"name": REREAD, "pager": backend.name, "size": SIZE, "budget": LIMIT,
           "passes-s": passes, "first-pass-s": passes[0], "resident-mib": watch.mean() / MIB,
           "seconds-a-pass": statistics.median(passes[1:]), "counts-by-pass": [b - a for a, b in zip(counts, counts[1:])],
           **(counts[-1] - counts[0])}
    if run["swap-writes"] + run.get("writes-avoided", 0):
        run["avoided-percent"] = 100 * run.get("writes-avoided", 0) / (
            run["swap-writes"] + run.get("writes-avoided", 0))
    return run


def overwrite(backend, guest, scene):
    """=> a run: memory that was swapped is overwritten by reads of the disk"""
    job = guest.begin("rereader overwrite /mnt/data %d /tmp/go" % OVERWRITE)
    where, found = [], None
    while not where or found.group(1):
        found = guest.wait_for(r"AT (\d+) (\d+)$|FILLED()", 300)
        where.append((int(found.group(1) or 0), int(found.group(2) or 0)))
    backend.all_out()
    there = guest.pages_in_memory(where)
    before = backend.counts()
    guest.do("touch /tmp/go1")
    seconds = float(guest.wait_for(r"OVERWRITTEN (\S+)", 300).group(1))
    counts = backend.counts() - before
    guest.do("touch /tmp/go2")
    if guest.wait_for(r"SUM (\w+)", 300).group(1) != scene.sum:
        raise BenchError("%s: the guest has read something else" % backend.name)
    guest.end(job, 30)
    run = {"name": OVERWRITTEN, "pager": backend.name, "size": SIZE, "budget": LIMIT,
           "seconds": seconds, **counts}
    if "reads-avoided" in run:
        # each was there, or is counted, or else it has come in meanwhile
        run["read-in-vain"] = sum(n for _, n in where) - there - run["reads-avoided"]
    return run


def measure_one(backend, scene):
    """=> runs, and why there are not more of them; or None"""
    backend.begin(scene)
    guest, runs, reason = guests.Guest(scene.undo, scene.build, SIZE, backend), [], None
    try:
        guest.wait_for("DISK UP", 120)
        guest.do("mount -t ext4 -o ro,noload /dev/vda /mnt")
        guest.do("rereader read /mnt/warm 2")
        backend.squeeze(guest)
        runs.append(reread(backend, guest, scene))
        if backend.name != "balloon":       # it has no memory for that
            runs.append(overwrite(backend, guest, scene))
        for run in runs:
            run["says"] = backend.says()
    except Killed as e:         # which is a result
        reason = "vswapper on %s: cut, %s" % (backend.name, e)
    guest.close()
    backend.end()
    return runs, reason


def measure_vswapper(scene, backends, repetitions, say):
    """=> runs, and lines of what is not among them"""
    runs, left_out = [], []
    for repetition in range(repetitions):
        turn = repetition % len(backends)
        for backend in backends[turn:] + backends[:turn]:
            began = time.monotonic()
            found, reason = measure_one(backend, scene)
            if reason:
                left_out.append(reason)
                say(reason)
            say("%d/%d vswapper on %s: %.0f s, %s s a pass" % (
                repetition + 1, repetitions, backend.name, time.monotonic() - began,
                " ".join("%.2f" % s for run in found for s in run.get("passes-s", ()))))
            runs += [{**run, "repetition": repetition} for run in found]
    return runs, left_out


# ---- report ----

def values(runs, name, pager, key):
    return [r[key] for r in runs if r["name"] == name and r["pager"] == pager and key in r]


def vswapper_lines(runs):
    """Lines of Markdown: a table for each of the two."""
    lines = []
    for name, title, figures in (
            (REREAD, "512 MiB, of which 100 are to be had; a file of 200 MiB again", FIGURES),
            (OVERWRITTEN, "200 MiB of memory overwritten by reads of the disk",
             OVERWRITE_FIGURES)):
        rows = [(title, *(figure for _, figure, _ in figures))]
        for pager in NAMES:
            cells = [values(runs, name, pager, key) for key, _, _ in figures]
            if any(cells):
                rows.append((TITLES[pager], *(spread(c, form) if c else "-" for c, (_, _, form)
                                              in zip(cells, figures))))
        if len(rows) > 1:
            lines += markdown(rows) + [""]
    return lines


def middle(runs, name, pager, key):
    found = values(runs, name, pager, key)
    return statistics.median(found) if found else None


def time_target(runs):
    """=> text, and whether it is what is wanted; None if it was not measured"""
    ours, theirs, swap = (middle(runs, REREAD, p, "seconds-a-pass")
                          for p in ("drum", "balloon", "kernel-3"))
    if ours is None or theirs is None:
        return None
    text = "%.2f: %.2f s a pass, ballooned %.2f s" % (ours / theirs, ours, theirs)
    unmapped = middle(runs, REREAD, "drum-no-map", "seconds-a-pass")
    for what, seconds in (("without the mapper", unmapped), ("kernel swap", swap)):
        if seconds is not None:
            text += ", %s %.2f s" % (what, seconds)
    return text, ours <= 1.2 * theirs


def writes_target(runs):
    found = values(runs, REREAD, "drum", "avoided-percent")
    if not found:
        return None
    later = [counts for run in runs if run["name"] == REREAD and run["pager"] == "drum"
             for counts in run["counts-by-pass"][2:]]
    avoided, written = (sum(counts[key] for counts in later)
                        for key in ("writes-avoided", "swap-writes"))
    return ("%s %%: %.0f pages, %.0f written; from the third pass on, when what the guest has "
            "left from its start is out, %.2f %%" % (
                spread(found, "%.2f"), middle(runs, REREAD, "drum", "writes-avoided"),
                middle(runs, REREAD, "drum", "swap-writes"),
                100 * avoided / max(1, avoided + written)), statistics.median(found) >= 90)


def reads_target(runs):
    found = values(runs, OVERWRITTEN, "drum", "read-in-vain")
    if not found:
        return None
    text = "%s; %.0f not read; of the guest's other pages %.0f read" % (
        spread(found, "%.0f"), middle(runs, OVERWRITTEN, "drum", "reads-avoided"),
        middle(runs, OVERWRITTEN, "drum", "swap-reads"))
    kernel = middle(runs, OVERWRITTEN, "kernel-3", "swap-reads")
    if kernel is not None:
        text += "; kernel swap %.0f in all" % kernel
    return text, statistics.median(found) == 0
