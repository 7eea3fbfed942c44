# SPDX-License-Identifier: BSD-2-Clause
"""The peer: the kernel's own swap, under a memory cgroup with the same budget.

The pages of a shared memfd are charged to the cgroup of the one who first
touches them, here the program itself, and are swapped as anonymous memory is.

There may be compressed memory in front of the file: zswap, a cache of what goes to the
file, or a disk of zram of higher priority.  What these take is not charged to the
budget, as what a `ram:` device of Drum's takes is not.
"""
import os
import time

from toucher import BenchError
from undo import run_tool, swap_is_on

PAGE_CLUSTER = "/proc/sys/vm/page-cluster"
ZSWAP = "/sys/module/zswap/parameters/"
ZRAM, ZRAM_DISK = "/sys/block/zram0/", "/dev/zram0"
LEAST = 8 << 20
COMPRESSOR = "lz4"      # as Drum, where the kernel has it


def read_text(path):
    with open(path) as f:
        return f.read().strip()


def write_text(path, text):
    with open(path, "w") as f:
        f.write(text)


class MemoryCgroup:
    """A memory cgroup of version 1 or 2, whichever is mounted."""

    def __init__(self, undo):
        self.path = None
        for line in open("/proc/mounts"):
            _, where, kind, flags = line.split()[:4]
            if kind == "cgroup" and "memory" in flags.split(","):
                self.version, self.path = 1, where
            elif kind == "cgroup2" and "memory" in read_text(
                    where + "/cgroup.controllers").split():
                self.version, self.path = 2, where
                control = where + "/cgroup.subtree_control"
                if "memory" not in read_text(control).split():
                    undo.add("write", path=control, text="-memory")
                    write_text(control, "+memory")
        if self.path is None:
            raise BenchError("no memory cgroup is mounted, neither version 1 nor 2: "
                             "the kernel's swap cannot be given a budget")
        self.path += "/drum-bench-%d" % os.getpid()
        names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
                 2: ("memory.max", "memory.current")}[self.version]
        self._limit, self._usage = (self.path + "/" + name for name in names)
        undo.add("rmdir", path=self.path)
        os.mkdir(self.path)

    def enter(self):
        """In the child, before it executes the program."""
        write_text(self.path + "/cgroup.procs", str(os.getpid()))

    def usage(self):
        return int(read_text(self._usage))

    def shmem(self):
        """Bytes of shared memory in RAM; what is on swap does not count."""
        for line in open(self.path + "/memory.stat"):
            name, value = line.split()
            if name == "shmem":
                return int(value)
        raise BenchError("no shmem in %s/memory.stat" % self.path)

    def unlimit(self):
        write_text(self._limit, "max" if self.version == 2 else "-1")

    def limit(self, size):
        """=> when the kernel has reclaimed that much; it may need several attempts"""
        deadline = time.monotonic() + 120
        while True:
            try:
                write_text(self._limit, str(size))
                return
            except OSError as e:
                if time.monotonic() > deadline:
                    raise BenchError("the kernel cannot page out to %d bytes: %s" % (size, e))


def set_if_possible(path, text):
    """=> was it taken?"""
    try:
        write_text(path, text)
    except OSError:
        return False
    return True


def no_zswap():
    return None if os.path.exists(ZSWAP) else "the kernel has no zswap"


def no_zram():
    if not os.path.exists(ZRAM_DISK):
        return "the kernel has no %s" % ZRAM_DISK
    if read_text(ZRAM + "disksize") != "0":
        return "%s is in use" % ZRAM_DISK
    return None


class KernelPager:
    guest_limits = False        # one budget for all processes

    def __init__(self, undo, swap_file, name, title, cluster, front=None):
        self.name, self.title = name, title
        self._undo, self._file, self._cluster, self._front = undo, swap_file, cluster, front
        self._cgroup = None
        self._keys = []
        self.says = {"page-cluster": cluster}

    @staticmethod
    def prepare_machine(undo):
        """Once in a run: remember what each session is going to change."""
        undo.add("write", path=PAGE_CLUSTER, text=read_text(PAGE_CLUSTER))
        if os.path.exists(ZSWAP):
            for name in ("compressor", "enabled"):
                undo.add("write", path=ZSWAP + name, text=read_text(ZSWAP + name))
            set_if_possible(ZSWAP + "compressor", COMPRESSOR)
        return MemoryCgroup(undo)

    def begin(self, cgroup, size):
        self._cgroup = cgroup
        if self._front == "zram":
            self._zram_on(size)
        if os.path.exists(ZSWAP):
            # Else it would keep in RAM, outside of the budget, what Drum has to read.
            write_text(ZSWAP + "enabled", "Y" if self._front == "zswap" else "N")
            if self._front == "zswap":
                self.says["compressor"] = read_text(ZSWAP + "compressor")
        # The highest priority: other swap of the machine must not be what is measured.
        self._swap_on(self._file, 32766)
        write_text(PAGE_CLUSTER, str(self._cluster))
        cgroup.unlimit()

    def _zram_on(self, size):
        self._keys.append(self._undo.add("write", path=ZRAM + "reset", text="1"))
        set_if_possible(ZRAM + "comp_algorithm", COMPRESSOR)
        self.says["compressor"] = read_text(ZRAM + "comp_algorithm")
        write_text(ZRAM + "disksize", str(size))
        self._swap_on(ZRAM_DISK, 32767)

    def _swap_on(self, path, priority):
        run_tool("mkswap", path)
        self._keys.append(self._undo.add("swapoff", path=path))
        run_tool("swapon", "-p", str(priority), path)
        if not swap_is_on(path):
            raise BenchError("%s was switched on but is not in /proc/swaps" % path)

    @property
    def enter(self):
        return self._cgroup.enter

    def attach(self, *touchers):
        # What is charged beside guest RAM, page tables and all, comes on top of the budget.
        self.allowance = max(0, self._cgroup.usage() - sum(t.allocated() for t in touchers))

    def limit(self, size):
        self._cgroup.limit(size + self.allowance)

    def lift(self):
        self._cgroup.unlimit()

    def page_out(self):
        """All but what the kernel's reclaim cannot do without."""
        self.limit(LEAST)

    def resident(self):
        return self._cgroup.shmem()

    def slack(self):
        return self.allowance

    def cpu_seconds(self):
        return 0        # it has no process of its own

    def figures(self):
        return dict(self.says, allowance=self.allowance)

    def end(self):
        """After the touchers have ended."""
        while self._keys:
            self._undo.undo(self._keys.pop())


class NoPager:
    """Memory without a limit: what there is to lose."""
    name, title, guest_limits, enter = "unlimited", "unlimited", False, None

    def begin(self, cgroup, size):
        pass

    def attach(self, *touchers):
        self._touchers = touchers

    def limit(self, size):
        pass

    lift = page_out = end = lambda self: None

    def resident(self):
        return 0

    def slack(self):
        return 0

    def cpu_seconds(self):
        return 0

    def figures(self):
        return {}
