# SPDX-License-Identifier: BSD-2-Clause
"""The swapcache: what it is good for, and what it costs.

    latency  random reads of 4 KiB, one at a time, by a front end without a guest (disk.py's), of
             a disk that is cached as a whole; beside it the same of a disk whose image lies on the
             swap device's file system and is not cached, and raw reads of the swap device:
             the first two differ by the cache, the last two by the way through Drum
    reads    the same without a front end, in one process (bench_swapcache.c): the swap file by
             pread, by the pager's ring, by the drum, and the image by its cache
    reread   a guest reads a tree of 128 MiB anew, its caches dropped, on an image of which each
             read takes 5 ms: diverted to swap, and not; and once more out of its own page cache,
             which is what the guest itself needs
    rate     what was written is looked at each second, while more is wanted than may be
             written: of any minute no more than maxburst and what has come together since; a
             Drum of its own, while reread's tree is made and read for the first time
    faults   a guest whose pages are on swap, while another one reads from a slow image: with
             the daemon writing and cleaning, and without it, in turn; the other one's reads
             go to its image in both

Each is checked against something that is not Drum's: the sum of the tree, what the kernel
says that drum-pager has written.
"""
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import floors
import guest as guests
from disk import FrontEnd
from report import markdown, spread
from swapfile import make_swap_file
from toucher import BenchError, Toucher
from undo import run_tool

MIB = 1 << 20
TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../it/")
IMAGE, IMAGE_SWAP = 128 * MIB, 192 * MIB
READS_IMAGE, READS_SWAP, READS_SECONDS = 256 * MIB, 384 * MIB, 0.4
TREE, TREE_SWAP, GUEST, SLOW_MS = 128 * MIB, 256 * MIB, 512 * MIB, 5
# more than is written in all
RATE_IMAGE, RATE_SWAP, RATE_MS = 256 * MIB, 320 * MIB, 100
BURST, ACCRATE, MINUTE = 64 * MIB, MIB, 60.0
# of swap what the guest has there twice, and more: blocks of pages that are in memory are kept
BUSY_IMAGE, BUSY_SWAP, BUSY_ACCRATE, BUSY_SHARE = 512 * MIB, 1024 * MIB, 16 * MIB, 11
LATENCY, READS, REREAD, RATE, FAULTS = ("swapcache-" + name for name in
                                        ("latency", "reads", "reread", "rate", "faults"))
WAYS = ("pread", "ring", "drum", "cache")       # as bench_swapcache.c has them
ON = {"data_enable": "on", "meta_enable": "on", "fill_enable": "on", "read_enable": "on"}
OFF = {knob: "off" for knob in ON}


def missing(build):
    """=> why nothing can be measured, or None"""
    for tool in ("nbdkit", "mke2fs"):
        if not shutil.which(tool):
            return tool + " is not installed"
    for program in ("tests/it/vufront", "tests/bench/bench_swapcache"):
        if not os.access(build + "/" + program, os.X_OK):
            return "no program %s: run `make bench`" % program
    return guests.missing(build)


class Server:
    """nbdkit with an image of which each read takes its time."""

    def __init__(self, undo, image, milliseconds):
        self._undo = undo
        self._dir = tempfile.mkdtemp(prefix="drum-bench.", dir="/run")
        self._dir_key = undo.add("rmtree", path=self._dir)
        self.uri = "nbd:nbd+unix:///?socket=%s/nbd.sock" % self._dir
        # it tells of each read that is cut off as its client ends
        log = open(self._dir + "/log", "w+")
        self._process = subprocess.Popen(
            ["nbdkit", "--foreground", "--threads", "16", "--filter=delay", "--unix",
             self._dir + "/nbd.sock", "file", image, "rdelay=%dms" % milliseconds],
            stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)
        try:
            self._key = undo.add("kill", pid=self._process.pid, grace=5)
        except BaseException:
            self._process.kill()
            raise
        deadline = time.monotonic() + 10
        while not os.path.exists(self._dir + "/nbd.sock"):
            if time.monotonic() > deadline or self._process.poll() is not None:
                log.seek(0)
                raise BenchError("nbdkit does not listen: " + log.read())
            time.sleep(0.02)
        log.close()

    def end(self):
        self._undo.undo(self._key)
        self._process.wait()
        self._undo.undo(self._dir_key)


class Scene:
    """What all of them need; files lie beside the swap file that was asked for."""

    def __init__(self, undo, options, make_pager, say):
        self.undo, self.build, self.say = undo, options.build, say
        self._options, self._make_pager = options, make_pager
        self.repetitions, self.full = options.repetitions, options.full
        self.seconds = max(1, options.seconds)

    def file(self, suffix, size):
        """=> the path of a file with every block written"""
        path = self._options.swap_file + suffix
        make_swap_file(self.undo, path, size, self._options.keep)
        return path

    def pager(self, swap_size, suffix=".cache"):
        pager = self._make_pager(self.file(suffix, swap_size))
        pager.begin(None, swap_size)
        return pager


def front(scene, socket, case, seconds, seed=1):
    """=> what vufront says of one case"""
    one = FrontEnd(scene.undo, scene.build, socket, seconds, seed, "--only", case)
    one.answer()
    one.go()
    run = one.answer()
    if run is None or not one.close():
        raise BenchError("vufront failed")
    return run


# ---- latency ----

def fill(scene, pager, socket, name, size):
    """Read it until all of it is cached."""
    for _ in range(20):
        front(scene, socket, "read-1m-4", 1)
        time.sleep(0.3)
        cached = pager.disk_show(name)["cached"]
        if cached >= 0.995 * size:
            return
    raise BenchError("only %d MiB of %d are cached: %s" % (
        cached // MIB, size // MIB, pager.swapcache_show()))


def latency(scene):
    """=> runs"""
    images = [scene.file(".image-" + name, IMAGE) for name in ("cached", "plain")]
    pager, runs = scene.pager(IMAGE_SWAP), []
    sockets = {name: pager.disk_add(image, name=name)
               for name, image in zip(("cached", "plain"), images)}
    pager.swapcache_set(**ON)
    fill(scene, pager, sockets["cached"], "cached", IMAGE)
    pager.swapcache_set(fill_enable="off")
    for repetition in range(max(5, scene.repetitions)):
        order = ["cached", "plain", "raw"]
        order = order[repetition % 3:] + order[:repetition % 3]
        for name in order:
            before = pager.disk_show("cached")
            if name == "raw":
                run = floors.raw_read(scene.build, pager.file, scene.seconds, repetition + 1)
            else:
                run = front(scene, sockets[name], "read-4k-1", scene.seconds, repetition + 1)
            after = pager.disk_show("cached")
            asked, hit = (after[key] - before[key]
                          for key in ("cache-read-bytes", "cache-hit-bytes"))
            if name == "cached" and hit < 0.99 * asked:
                raise BenchError("of %d bytes %d came from swap" % (asked, hit))
            if name != "cached" and hit:
                raise BenchError("%s was to read nothing from the cache" % name)
            runs.append({"name": LATENCY, "pager": name, "repetition": repetition,
                         **{key: run[key] for key in ("p50-us", "p99-us")}})
    pager.end()
    return runs


# ---- reads ----

def reads(scene):
    """=> runs"""
    done = subprocess.run(
        [scene.build + "/tests/bench/bench_swapcache", scene.file(".image-cached", READS_IMAGE),
         scene.file(".cache", READS_SWAP), str(scene.seconds if scene.full else READS_SECONDS),
         str(max(5, scene.repetitions)), "1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        text=True)
    if done.returncode:
        raise BenchError("bench_swapcache failed: exit status %d" % done.returncode)
    return [{"name": READS, "pager": way, "repetition": said["repetition"],
             **{key: said[way][key] for key in ("reads", "p50-us", "p99-us", "mean-us")}}
            for said in map(json.loads, done.stdout.splitlines()) for way in WAYS]


# ---- reread ----

def make_tree(scene):
    """=> path of an image, and what rereader is to say of it"""
    path = scene.file(".tree", TREE + TREE // 4 + 32 * MIB)
    where = tempfile.mkdtemp(prefix="tree.", dir=os.path.dirname(path))
    key = scene.undo.add("rmtree", path=where)
    run_tool(TOOLS + "tree", where + "/tree", str(TREE // MIB), "1")
    said = run_tool(scene.build + "/tests/guest/rereader", "tree", where + "/tree").split()
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", where, path)
    scene.undo.undo(key)
    return path, said


class GuestOn:
    """A backend as guest.py has it."""
    enter = None

    def __init__(self, socket):
        self.socket = socket
        self.qmp = os.path.dirname(socket) + "/guest.sock"

    def check(self):
        pass


def read_tree(guest, wanted, drop=True):
    """=> seconds"""
    if drop:
        guest.do("sync; echo 3 >/proc/sys/vm/drop_caches")
    job = guest.begin("rereader tree /mnt/tree")
    found = guest.wait_for(r"TREE (\d+) (\d+) (\S+) (\w+)", 600)
    guest.end(job, 30)
    if [found.group(n) for n in (1, 2, 4)] != [wanted[n] for n in (1, 2, 4)]:
        raise BenchError("the guest has read something else: %s" % found.group(0))
    return float(found.group(3))


def reread(scene):
    """=> runs, and those of rate, which goes on while nothing is timed that is compared"""
    rate = Rate(scene)
    image, wanted = make_tree(scene)
    server, pager = Server(scene.undo, image, SLOW_MS), scene.pager(TREE_SWAP)
    socket, runs = pager.disk_add(server.uri, name="tree"), []
    guest = guests.Guest(scene.undo, scene.build, GUEST, GuestOn(socket))

    def add(name, drop=True):
        before = pager.disk_show("tree")["cache-hit-bytes"]
        seconds = read_tree(guest, wanted, drop)
        runs.append({"name": REREAD, "pager": name, "seconds": seconds,
                     "hit-mib": (pager.disk_show("tree")["cache-hit-bytes"] - before) / MIB})
        scene.say("swapcache reread, %s: %.1f s, %.0f MiB from swap" % (
            name, seconds, runs[-1]["hit-mib"]))

    guest.wait_for("DISK UP", 120)
    guest.do("mount -t ext4 -o ro,noload /dev/vda /mnt")
    pager.swapcache_set(**ON)
    add("filling")
    limits = rate.end()
    for name in ("cached", "uncached", "cached") * (2 if scene.full else 1):
        pager.swapcache_set(read_enable="on" if name == "cached" else "off")
        add(name)
    add("in the guest's page cache", False)
    guest.close()
    pager.wait_gone()
    pager.end()
    server.end()
    return runs + limits


# ---- rate ----

def written_by(pids):
    """=> bytes that the kernel has sent to devices for them, their threads and io_uring's"""
    total = 0
    for pid in pids:
        with open("/proc/%d/io" % pid) as io:
            total += int(dict(line.split(": ") for line in io)["write_bytes"])
    return total


class Rate:
    """Written from its making on, and looked at each second."""

    def __init__(self, scene):
        self._seconds = 150 if scene.full else 62
        self._server = Server(scene.undo, scene.file(".image-rate", RATE_IMAGE), RATE_MS)
        self._pager = pager = scene.pager(RATE_SWAP, ".rate")
        socket = pager.disk_add(self._server.uri, name="cached")
        pager.swapcache_set(maxburst="64M", curburst="64M", accrate="1M", minburst="1M")
        self._front = FrontEnd(scene.undo, scene.build, socket, self._seconds + 60, 1, "--only",
                               "read-1m-4")
        self._front.answer()
        self._base, self._samples, self._failed = written_by(pager.pids()), [], None
        pager.swapcache_set(**ON)
        self._front.go()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self):
        began, samples = time.monotonic(), self._samples
        try:
            while not samples or samples[-1][0] < self._seconds:
                at = time.monotonic() - began
                found = (int(self._pager.swapcache_show()["knobs"]["write_count"]),
                         written_by(self._pager.pids()) - self._base)
                samples.append((at, *found, time.monotonic() - began))
                time.sleep(max(0.0, began + len(samples) - time.monotonic()))
        except (BenchError, OSError, ValueError) as e:
            self._failed = e

    def end(self):
        """=> a run with what was written when"""
        self._thread.join()
        if self._failed:
            raise BenchError("nobody has seen what was written: %s" % self._failed)
        self._front.kill()
        self._pager.wait_gone()
        self._pager.end()
        self._server.end()
        samples = self._samples
        return [{"name": RATE, "pager": "drum", "samples": samples, "seconds": samples[-1][0],
                 "worst-mib": worst_minute(samples, 1) / MIB,
                 "worst-kernel-mib": worst_minute(samples, 2) / MIB,
                 "written-mib": samples[-1][1] / MIB,
                 "allowed-mib": (BURST + MINUTE * ACCRATE) / MIB}]


def worst_minute(samples, column):
    """=> the most that was written between two samples, the first of which was begun no more than
    a minute before the second had ended"""
    return max(b[column] - a[column] for i, a in enumerate(samples)
               for b in samples[i:] if b[3] - a[0] <= MINUTE)


# ---- faults ----

def faults(scene):
    """=> runs, alternating"""
    image = scene.file(".image-cached", BUSY_IMAGE)
    server, pager = Server(scene.undo, image, 50), scene.pager(BUSY_SWAP)
    socket, runs = pager.disk_add(server.uri, name="cached"), []
    pager.swapcache_set(maxburst="64M", accrate=BUSY_ACCRATE, minburst="1M", curburst="64M")
    toucher = Toucher(scene.undo, scene.build + "/tests/bench/vmm_toucher", GUEST)
    pager.attach(toucher)
    pager.limit(GUEST // 2)
    seconds, pairs = max(2.0, scene.seconds), 10 if scene.full else 6
    one = FrontEnd(scene.undo, scene.build, socket, int(4 * pairs * (seconds + 1)), 1,
                   "--only", "read-1m-4")
    one.answer()
    one.go()
    for number in range(2 * pairs):
        on = (number + 1) // 2 % 2 == 0
        # off is off: nothing is cleaned either.  Nothing is diverted in both: with a cache the
        # front end would ask for a hundred times as much, and be what the faults notice
        pager.swapcache_set(maxswappct=BUSY_SHARE if on else 95,
                            **(dict(ON, read_enable="off") if on else OFF))
        before, cpu = pager.swapcache_show(), pager.cpu_seconds()
        run = toucher.run(name=FAULTS, op="read", order="random", warm=0.5, seconds=seconds,
                          seed=number)
        after = pager.swapcache_show()
        run.update({"name": FAULTS, "pager": "on" if on else "off", "repetition": number // 2,
                    "put-mib": (after["put"] - before["put"]) / MIB,
                    "cleaned-mib": (after["cleaned"] - before["cleaned"]) / MIB,
                    "cpu-percent": 100 * (pager.cpu_seconds() - cpu) / seconds})
        runs.append({key: run[key] for key in (
            "name", "pager", "repetition", "p50-us", "p99-us", "put-mib", "cleaned-mib",
            "cpu-percent", "bad")})
    for key in ("put-mib", "cleaned-mib"):
        if not sum(values(runs, FAULTS, "on", key)):
            raise BenchError("the daemon was not busy: %s is 0: %s" % (
                key, pager.swapcache_show()))
    toucher.close()
    one.kill()
    pager.wait_gone()
    pager.end()
    server.end()
    return runs


SCENES = (latency, reads, reread, faults)


def measure_swapcache(scene):
    """=> runs"""
    runs = []
    for perform in SCENES:
        began = time.monotonic()
        runs += perform(scene)
        scene.say("swapcache %s: %.0f s" % (perform.__name__, time.monotonic() - began))
    return runs


# ---- report ----

def values(runs, name, pager, key):
    return [r[key] for r in runs if r["name"] == name and r["pager"] == pager]


def middle(runs, name, pager, key):
    found = values(runs, name, pager, key)
    return statistics.median(found) if found else None


def ratios(runs, name, pagers, key):
    """=> of the same repetition: (median, least, most), or None"""
    each = [a / b for a, b in zip(*(values(runs, name, pager, key) for pager in pagers)) if b]
    return (statistics.median(each), min(each), max(each)) if each else None


def table(runs, name, title, figures, pagers):
    """=> lines of Markdown, with an empty one at their end"""
    rows = [(title, *(figure for _, figure, _ in figures))]
    for pager, what in pagers:
        cells = [values(runs, name, pager, key) for key, _, _ in figures]
        if any(cells):
            rows.append((what, *(spread(c, form) for c, (_, _, form) in zip(cells, figures))))
    return markdown(rows) + [""] if len(rows) > 1 else []


def swapcache_lines(runs):
    """Lines of Markdown."""
    return table(
        runs, LATENCY, "4 KiB random reads, depth 1", (
            ("p50-us", "p50, us", "%.1f"), ("p99-us", "p99, us", "%.1f")),
        (("raw", "raw, of the swap device"), ("cached", "a disk that is cached"),
         ("plain", "one on the same device, not cached"))
    ) + table(
        runs, READS, "the same, of a block that is cached, in one process", (
            ("p50-us", "p50, us", "%.1f"), ("p99-us", "p99, us", "%.1f"),
            ("mean-us", "mean, us", "%.1f")),
        (("pread", "the swap file, by pread"), ("ring", "the swap file, by the pager's ring"),
         ("drum", "the block of swap, by the drum"), ("cache", "the image, by its cache"))
    ) + table(
        runs, REREAD, "a tree of %d MiB, 5 ms a read" % (TREE // MIB), (
            ("seconds", "s", "%.1f"), ("hit-mib", "of it from swap, MiB", "%.0f")),
        (("filling", "the first time, cached as it is read"), ("cached", "cached"),
         ("uncached", "not diverted"), ("in the guest's page cache",) * 2)
    ) + table(
        runs, RATE, "written, MiB", (
            ("worst-mib", "in the worst minute", "%.1f"),
            ("worst-kernel-mib", "as the kernel counts", "%.1f"),
            ("allowed-mib", "allowed", "%.0f"), ("written-mib", "in all", "%.1f")),
        (("drum", "maxburst 64 MiB, accrate 1 MiB/s"),)
    ) + table(
        runs, FAULTS, "faults of a guest", (
            ("p50-us", "p50, us", "%.1f"), ("p99-us", "p99, us", "%.1f"),
            ("put-mib", "cached meanwhile, MiB", "%.0f"),
            ("cleaned-mib", "cleaned, MiB", "%.0f"), ("cpu-percent", "CPU of Drum, %", "%.0f")),
        (("off", "the daemon off"), ("on", "writing and cleaning")))


def latency_target(runs):
    """=> text, and whether it is what is wanted; None if it was not measured"""
    found = ratios(runs, LATENCY, ("cached", "raw"), "p50-us")
    if found is None:
        return None
    text = "p50 %.2f (%.2f-%.2f)" % found
    text += ", p99 %.2f (%.2f-%.2f)" % ratios(runs, LATENCY, ("cached", "raw"), "p99-us")
    text += "; of the same front end's, not cached: p50 %.2f (%.2f-%.2f)" % ratios(
        runs, LATENCY, ("cached", "plain"), "p50-us")
    text += ", p99 %.2f (%.2f-%.2f)" % ratios(runs, LATENCY, ("cached", "plain"), "p99-us")
    return text, found[0] <= 1.1


def reads_target(runs):
    """=> as latency_target"""
    texts = []
    for way in WAYS[:-1]:
        found = [ratios(runs, READS, ("cache", way), key) for key in ("p50-us", "p99-us")]
        if None in found:
            return None
        texts.append("%s p50 %.3f (%.3f-%.3f), p99 %.2f (%.2f-%.2f)" % (
            "of pread's" if way == "pread" else "of the same by the " + way, *found[0], *found[1]))
    return "; ".join(texts), ratios(runs, READS, ("cache", "pread"), "p50-us")[0] <= 1.1


def reread_target(runs):
    cached, not_cached, hot = (middle(runs, REREAD, p, "seconds") for p in
                               ("cached", "uncached", "in the guest's page cache"))
    if cached is None or not_cached is None:
        return None
    return ("%.1f times: %.1f s, not diverted %.1f s; the guest alone needs %.1f s" % (
        not_cached / cached, cached, not_cached, hot), not_cached >= 10 * cached)


def rate_target(runs):
    worst = max((max(values(runs, RATE, "drum", key)) for key in
                 ("worst-mib", "worst-kernel-mib")), default=None) if values(
                     runs, RATE, "drum", "worst-mib") else None
    if worst is None:
        return None
    allowed = middle(runs, RATE, "drum", "allowed-mib")
    return "%.1f MiB of %.0f" % (worst, allowed), worst <= allowed


def faults_target(runs):
    found = ratios(runs, FAULTS, ("on", "off"), "p99-us")
    if found is None:
        return None
    return "%.2f (%.2f-%.2f); p50 %.2f (%.2f-%.2f); %.0f MiB/s cached, %.0f MiB cleaned" % (
        *found, *ratios(runs, FAULTS, ("on", "off"), "p50-us"),
        BUSY_ACCRATE / MIB, sum(values(runs, FAULTS, "on", "cleaned-mib"))), found[0] <= 1.1
