# SPDX-License-Identifier: BSD-2-Clause
"""The peer: the kernel's own swap, under a memory cgroup with the same budget.

The pages of a shared memfd are charged to the cgroup of the one who first
touches them, here the program itself, and are swapped as anonymous memory is.
"""
import os
import time

from toucher import BenchError
from undo import run_tool, swap_is_on

PAGE_CLUSTER = "/proc/sys/vm/page-cluster"
ZSWAP = "/sys/module/zswap/parameters/enabled"


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


class KernelPager:
    def __init__(self, undo, swap_file, cluster):
        self.name = "kernel-%d" % cluster
        self.title = "kernel, page-cluster %d" % cluster
        self._undo, self._file, self._cluster = undo, swap_file, cluster
        self._cgroup = None

    @staticmethod
    def prepare_machine(undo):
        """Once in a run: remember what each session is going to change."""
        undo.add("write", path=PAGE_CLUSTER, text=read_text(PAGE_CLUSTER))
        if os.path.exists(ZSWAP) and read_text(ZSWAP) == "Y":
            # It would keep in RAM, outside of the budget, what Drum has to read.
            undo.add("write", path=ZSWAP, text="Y")
            write_text(ZSWAP, "N")
        return MemoryCgroup(undo)

    def begin(self, cgroup):
        self._cgroup = cgroup
        run_tool("mkswap", self._file)
        self._key = self._undo.add("swapoff", path=self._file)
        # The highest priority: other swap of the machine must not be what is measured.
        run_tool("swapon", "-p", "32767", self._file)
        if not swap_is_on(self._file):
            raise BenchError("%s was switched on but is not in /proc/swaps" % self._file)
        write_text(PAGE_CLUSTER, str(self._cluster))
        cgroup.unlimit()

    @property
    def enter(self):
        return self._cgroup.enter

    def attach(self, toucher):
        # What is charged beside guest RAM, page tables and all, comes on top of the budget.
        self.allowance = max(0, self._cgroup.usage() - toucher.allocated())

    def limit(self, size):
        self._cgroup.limit(size + self.allowance)

    def resident(self):
        return self._cgroup.shmem()

    def slack(self):
        return self.allowance

    def figures(self):
        return {"allowance": self.allowance}

    def end(self):
        """After the toucher has ended."""
        self._undo.undo(self._key)
