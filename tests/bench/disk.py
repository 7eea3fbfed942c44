# SPDX-License-Identifier: BSD-2-Clause
"""The disk front beside qemu-storage-daemon: one image, one front end, one workload after the other.

The front end is vufront (tests/it/front), with 64 MiB of RAM and one queue; it asks before each
workload, so that CPU time is read between them.  The back ends are there at the same time, each
with a front end of its own, and take turns at each workload: a slow minute of the machine hits
both.  So qemu-storage-daemon is told to lock nothing; Drum does lock the image.  CPU time is that of the back end's processes with all of their
threads, those of io_uring among them; what other kernel threads took meanwhile is told apart.
"""
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from cpu import cpu_of_process, kernel_threads
from report import markdown, spread
from toucher import BenchError, Killed

QSD, DRUM = "qemu-storage-daemon", "drum"
IMAGE_SIZE = 1 << 30
TITLES = {"read-4k-1": "4 KiB random reads, depth 1", "read-4k-32": "4 KiB random reads, depth 32",
          "write-4k-1": "4 KiB random writes, depth 1",
          "write-4k-32": "4 KiB random writes, depth 32",
          "read-1m-4": "1 MiB sequential reads, depth 4",
          "write-1m-4": "1 MiB sequential writes, depth 4"}
FIGURES = (("iops", "requests/s", "%.0f"), ("mib-s", "MiB/s", "%.0f"), ("p50-us", "p50, us", "%.1f"),
           ("p99-us", "p99, us", "%.0f"), ("cpu-us-a-request", "CPU, us a request", "%.2f"),
           ("kernel-us-a-request", "kernel threads beside it, us", "%.2f"))


def missing(build):
    """=> why nothing can be measured, or None"""
    if not shutil.which(QSD):
        return "%s is not installed (configure --install-deps=check does it)" % QSD
    if not os.access(build + "/tests/it/vufront", os.X_OK):
        return "no program tests/it/vufront: run `make bench`"
    return None


class StorageDaemon:
    """qemu-storage-daemon with one export, as fast as it goes: O_DIRECT, io_uring."""
    name = QSD

    def __init__(self, undo, image, enter=None):
        self._undo, self._image, self._enter = undo, image, enter

    def begin(self):
        self._dir = tempfile.mkdtemp(prefix="drum-bench.", dir="/run")
        self._dir_key = self._undo.add("rmtree", path=self._dir)
        self.socket = self._dir + "/disk.sock"
        self._process = subprocess.Popen(
            [QSD, "--blockdev", "driver=file,node-name=f,cache.direct=on,aio=io_uring,"
             "locking=off,discard=unmap,filename=" + self._image, "--export",
             "type=vhost-user-blk,id=e,node-name=f,writable=on,num-queues=1,addr.type=unix,"
             "addr.path=" + self.socket],
            stdin=subprocess.DEVNULL, preexec_fn=self._enter, start_new_session=True)
        try:
            self._key = self._undo.add("kill", pid=self._process.pid, grace=10)
        except BaseException:
            self._process.kill()
            raise

    def check(self):
        if self._process.poll() is not None:
            raise Killed("%s ended with %d" % (QSD, self._process.returncode))

    def cpu_seconds(self):
        return cpu_of_process(self._process.pid)

    def end(self):
        self._undo.undo(self._key)
        self._process.wait()
        self._undo.undo(self._dir_key)


class Drum:
    """drumd with one disk; the front end's process becomes its guest."""
    name = DRUM

    def __init__(self, pager, image):
        self._pager, self._image = pager, image

    def begin(self):
        self._pager.begin(None, IMAGE_SIZE)
        self.socket = self._pager.disk_add(self._image)
        self._pids = self._pager.pids()

    def cpu_seconds(self):
        return sum(cpu_of_process(pid) for pid in self._pids)

    def end(self):
        self._pager.end()


class FrontEnd:
    """vufront bench."""

    def __init__(self, undo, build, socket, seconds, seed, *options):
        self._undo = undo
        self._process = subprocess.Popen(
            [build + "/tests/it/vufront", "bench", socket, "--steps", "--ram", "64", "--wait", "30",
             "--seconds", str(seconds), "--seed", str(seed), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._buffer, self._timeout = b"", seconds + 60
        try:
            self._key = undo.add("kill", pid=self._process.pid, grace=5)
        except BaseException:
            self._process.kill()
            raise

    def answer(self):
        """=> the next line, or None at its end"""
        out, deadline = self._process.stdout.fileno(), time.monotonic() + self._timeout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise BenchError("vufront gave no answer within %g s: a request that nobody "
                                 "answers?" % self._timeout)
            data = os.read(out, 1 << 16)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer = json.loads(line)
        if answer["event"] == "error":
            raise BenchError("vufront: " + answer["message"])
        return answer

    def go(self):
        os.write(self._process.stdin.fileno(), b"\n")

    def close(self):
        """=> did it end by itself, and well?"""
        self._process.stdin.close()
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            status = -1
        self._undo.undo(self._key)
        self._process.wait()
        self._process.stdout.close()
        return status == 0

    def kill(self):
        """It has given what it was there for: load."""
        died = self._process.poll() is not None
        self._undo.undo(self._key)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        if died:
            raise BenchError("vufront has ended too soon")


def measure_one(backend, front, repetition):
    """=> a run of the workload that the front end is ready for"""
    before = backend.cpu_seconds(), kernel_threads()
    front.go()
    run = front.answer()
    if run is None:
        raise BenchError("vufront ended on %s" % backend.name)
    after = backend.cpu_seconds(), kernel_threads()
    ours, kernel = (1e6 * (b - a) / run["requests"] for a, b in zip(before, after))
    run.update({"name": "disk-" + run["name"], "pager": backend.name, "repetition": repetition,
                "cpu-us-a-request": ours, "kernel-us-a-request": kernel})
    return run


def measure_repetition(undo, backends, build, seconds, repetition):
    """All back ends are there, and take turns at each workload.  => runs"""
    for backend in backends:
        backend.begin()
    pairs = [(backend, FrontEnd(undo, build, backend.socket, seconds, repetition + 1))
             for backend in backends]
    runs, turn = [], repetition
    while all([front.answer() is not None for _, front in pairs]):       # they are ready
        turn = (turn + 1) % len(pairs)
        runs += [measure_one(*pair, repetition) for pair in pairs[turn:] + pairs[:turn]]
    failed = [backend.name for backend, front in pairs if not front.close()]
    for backend in backends:
        backend.end()
    if failed:
        raise BenchError("vufront failed on " + " and ".join(failed))
    return runs


def measure_disk(undo, backends, build, seconds, repetitions, say):
    """=> runs"""
    runs = []
    for repetition in range(repetitions):
        found = measure_repetition(undo, backends, build, seconds, repetition)
        for backend in backends:
            say("%d/%d disk on %s: %s" % (
                repetition + 1, repetitions, backend.name, ", ".join(
                    "%s %.0f/s" % (r["name"][len("disk-"):], r["iops"]) for r in found
                    if r["pager"] == backend.name)))
        runs += found
    return runs


# ---- report ----

def names(runs):
    return list(dict.fromkeys(run["name"] for run in runs))


def values(runs, name, backend, key):
    return [r[key] for r in runs if r["name"] == name and r["pager"] == backend]


def ratios(runs, name, key):
    """=> (median, least, most) of Drum's / the other's of the same repetition, or None"""
    pairs = list(zip(values(runs, name, DRUM, key), values(runs, name, QSD, key)))
    each = sorted(ours / theirs for ours, theirs in pairs if theirs)
    if not each:
        return None
    middle = each[len(each) // 2] if len(each) % 2 else sum(each[len(each) // 2 - 1:][:2]) / 2
    return middle, each[0], each[-1]


def disk_lines(runs):
    """Lines of Markdown: a table for each workload."""
    lines = []
    for name in names(runs):
        rows = [(TITLES[name[len("disk-"):]], *(title for _, title, _ in FIGURES))]
        for backend in (QSD, DRUM):
            if values(runs, name, backend, "iops"):
                rows.append((backend, *(spread(values(runs, name, backend, key), form)
                                        for key, _, form in FIGURES)))
        found = [ratios(runs, name, key) for key, _, _ in FIGURES]
        if any(found):
            rows.append(("Drum / " + QSD, *("" if r is None else "%.2f (%.2f-%.2f)" % r
                                            for r in found)))
        lines += markdown(rows) + [""]
    return lines


def disk_target(runs):
    """=> text, and whether it is what is wanted; None if it was not measured"""
    texts, met = [], True
    for name in names(runs):
        both = [ratios(runs, name, key) for key in ("iops", "cpu-us-a-request")]
        if None in both:
            return None
        texts.append("%s %.2f / %.2f" % (name[len("disk-"):], both[0][0], both[1][0]))
        met &= both[0][0] >= 1 and both[1][0] <= 1
    return ("; ".join(texts), met) if texts else None
