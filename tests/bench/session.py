# SPDX-License-Identifier: BSD-2-Clause
"""One session: a process under a pager, led through the steps of a plan (plan.py)."""
import time

from cpu import Meter
from toucher import BenchError, Toucher, Watch

MIB, PAGE = 1 << 20, 4096
PASS_SECONDS, FULL_PASS_SECONDS = 1.5, 60     # a pass that takes longer is cut
NEAR_LIMIT = 120        # s


def wait_paged_out(pager, target, began):
    while True:
        resident = pager.resident()
        if resident <= target:
            return time.monotonic() - began
        if time.monotonic() - began > NEAR_LIMIT:
            raise BenchError("%s: %d MiB are still resident %d s after the limit was set to "
                             "%d MiB" % (pager.title, resident // MIB, NEAR_LIMIT, target // MIB))
        time.sleep(0.002)


def move_run(name, pages, seconds):
    """A run that touches nothing: pages were moved."""
    return {"name": name, "op": "move", "threads": 0, "touches": 0, "seconds": seconds,
            "faults": 0, "bad": 0, "histogram": [], "pages": pages,
            "pages-per-s": pages / seconds}


class Session:
    def __init__(self, undo, build, plan, pager, cgroup, repetition, seconds, full):
        self._undo, self._plan, self._pager = undo, plan, pager
        self._cgroup, self._repetition, self._seconds = cgroup, repetition, seconds
        self._full = full
        self._pass_seconds = FULL_PASS_SECONDS if full else PASS_SECONDS
        self._program = build + "/tests/bench/vmm_toucher"
        self.runs, self.memory, self.clock_ns = [], {}, 0

    def perform(self):
        pager = self._pager
        pager.begin(self._cgroup, self._plan.size)
        self._toucher = Toucher(self._undo, self._program, self._plan.size, pager.enter,
                                self._plan.content)
        self.clock_ns = self._toucher.clock_ns
        self._remember("before")
        pager.attach(self._toucher)
        self._remember("attached")
        for number, step in enumerate(self._plan.steps, 1):
            if step.get("once") and self._repetition and not self._full:
                continue
            fields = {k: v for k, v in step.items() if k not in ("do", "once")}
            # A seed of its own: the pages that the last one touched are still resident.
            already = len(self.runs)
            getattr(self, "_do_" + step["do"])(seed=self._repetition + 1000 * number, **fields)
            for run in self.runs[already:]:
                run.update({"pager": pager.name, "repetition": self._repetition,
                            "content": self._plan.content})
        figures = pager.figures()
        self._toucher.close()
        pager.end()
        for run in self.runs:
            run["says"] = figures

    def _remember(self, when):
        if hasattr(self._pager, "own_memory"):
            self.memory[when] = self._pager.own_memory()

    def _paging(self):
        return self._pager.name != "unlimited"

    def _page_out(self, to, begin):
        """=> (bytes, seconds) that went out after begin() had asked for it"""
        before, began = self._pager.resident(), time.monotonic()
        begin()
        took = wait_paged_out(self._pager, to + self._pager.slack(), began)
        return before - self._pager.resident(), took

    def _do_squeeze(self, seed, to, **fields):
        if not self._paging():
            return
        budget = int(self._plan.size * to)
        self._toucher.start(seconds=300, seed=seed, **fields)
        moved, took = self._page_out(budget, lambda: self._pager.limit(budget))
        run = self._toucher.stop()
        run["pageout-mib-s"] = moved / MIB / took
        self.runs.append(run)

    def _do_limit(self, seed, to, name=None):
        if not self._paging():
            return
        budget = int(self._plan.size * to)
        meter = Meter(self._pager, [self._toucher])
        moved, took = self._page_out(budget, lambda: self._pager.limit(budget))
        if name is not None:
            self._moved(name, moved, took, meter)

    def _do_evict(self, seed, name):
        if not self._paging():
            return
        meter = Meter(self._pager, [self._toucher])
        moved, took = self._page_out(self._plan.size // 50, self._pager.page_out)
        self._moved(name, moved, took, meter)
        self._remember("out")
        self.memory["pages-out"] = moved // PAGE

    def _do_out(self, seed, to):
        if self._paging():
            self._page_out(self._plan.size // 50, self._pager.page_out)
            self._pager.limit(int(self._plan.size * to))

    def _moved(self, name, moved, took, meter):
        kernel, pager, ours, vmm = meter.read()
        run = move_run(name, moved // PAGE, took)
        run["pageout-mib-s"] = moved / MIB / took
        # The kernel's own swap reclaims in the time of who lowers the limit.
        ours = ours if pager == 0 else 0
        run["cpu-us-a-page"] = (kernel + pager + ours) * 1e6 * PAGE / moved
        run["vmm-cpu-us-a-page"] = vmm * 1e6 * PAGE / moved
        self.runs.append(run)

    def _do_restore(self, seed, name):
        before = self._pager.resident()
        meter = Meter(self._pager, [self._toucher])
        run = self._toucher.run(name=name, op="read", order="sequential", seed=seed,
                                touches=self._plan.size // PAGE, seconds=self._pass_seconds)
        kernel, pager, _, _ = meter.read()
        pages = (self._pager.resident() - before) // PAGE
        if pages > 0:
            # The kernel's own swap works in the time of who faults.
            ours = run["system-s"] if pager == 0 else 0
            run["pages"], run["pages-per-s"] = pages, pages / run["seconds"]
            run["cpu-us-a-page"] = (kernel + pager + ours) * 1e6 / pages
            run["vmm-cpu-us-a-page"] = run["system-s"] * 1e6 / pages
        self.runs.append(run)

    def _do_lift(self, seed):
        self._pager.lift()

    def _do_run(self, seed, **fields):
        with Watch(self._pager.resident) as watch:
            run = self._toucher.run(seconds=self._seconds, seed=seed, **fields)
        run["resident-mib"] = watch.peak() / MIB
        run["resident-mean-mib"] = watch.mean() / MIB
        self.runs.append(run)

    def _do_pass(self, seed, **fields):
        self.runs.append(self._toucher.run(touches=self._plan.size // PAGE,
                                           seconds=self._pass_seconds, seed=seed, **fields))
