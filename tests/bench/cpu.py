# SPDX-License-Identifier: BSD-2-Clause
"""CPU time, without what was spent waiting: of processes, and of the kernel's threads."""
import glob
import resource
import time

# Reclaim, writeback and the ends of I/O.  The workers of io_uring are threads of the
# process that they work for and are counted with it.
KERNEL_THREADS = ("kswapd", "kworker", "ksoftirqd", "kcompactd")


def run_time(path):
    try:
        with open(path) as schedstat:
            return int(schedstat.read().split()[0])
    except OSError:
        return 0        # a thread that has just ended


def cpu_of(pids):
    """=> seconds that the threads have used that are there now"""
    return sum(run_time(path) for pid in pids
               for path in glob.glob("/proc/%s/task/*/schedstat" % pid)) / 1e9


def cpu_of_process(pid):
    """=> seconds that all of its threads have used, those too that have ended"""
    return time.clock_gettime((~pid << 3) | 2)      # clock_getcpuclockid(3)


def is_kernel_thread(pid):
    try:
        with open("/proc/%d/comm" % pid) as comm:
            name = comm.read()
        with open("/proc/%d/stat" % pid) as stat:
            parent = stat.read().rsplit(")", 1)[1].split()[1]
    except OSError:
        return False
    return parent == "2" and name.startswith(KERNEL_THREADS)


def kernel_threads():
    """=> seconds that the kernel's threads have used"""
    pids = (int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/comm"))
    return sum(run_time("/proc/%d/schedstat" % pid) for pid in pids
               if is_kernel_thread(pid)) / 1e9


def our_system_time():
    """=> seconds of this process in the kernel, where a cgroup's new limit is enforced"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


class Meter:
    """CPU time of everything that moves pages, since this was made."""

    def __init__(self, pager, touchers):
        self._pager, self._touchers = pager, touchers
        self._before = self._now()

    def _now(self):
        return (kernel_threads(), self._pager.cpu_seconds(), our_system_time(),
                sum(t.cpu_seconds() for t in self._touchers))

    def read(self):
        """=> seconds of kernel threads, of the pager, of ours, of the touchers"""
        return [now - then for now, then in zip(self._now(), self._before)]
