# SPDX-License-Identifier: BSD-2-Clause
"""What an arbiter is for: three real guests in 60 % of their memory.

    idle    576 MiB, has filled 460 and never touches them again
    busy    704 MiB, works: visits, in random order, pages of a set of 560 MiB.  A visit reads the
            page eight times over, which stands for what a program does with what it reads
    grows   1 GiB, uses 720 MiB and grows by 8 a second, to 840; goes over all of it in
            order, again and again, as fast as it can

The budget is 1382 MiB.  Measured is how long the busy one takes for the same work:

    arbiter     Drum's arbiter, all three with the same shares, their monitors known
    no-tax      the same with --idle-tax 0
    limits      Drum, a fixed limit of a third of the budget for each
    kernel-3    the kernel's swap, one memory cgroup for all, with that much for guest RAM: what QEMUs
                need besides comes on top, looked at anew in each turn

The busy one's set is larger than a third of the budget, or fixed limits would be as good.  Whether the
arbiter is better than the kernel depends on who is hot.  The kernel's LRU keeps what is used most,
whoever has it: here that is the busy one's set, for the growing one goes over its memory in order.  The
arbiter gives both what their shares buy.  With a growing one that is hotter than the busy one, and
little that is idle, it is the other way round.  The tax shows little, for what an idle guest has lost
it does not ask for again.

There are two sets of guests, one for the kernel and one for Drum, and one of them runs at
a time.  A turn: who decides is changed, all work for some seconds to settle, then the work is
timed, by the guest itself, while the third one grows.  What it has grown by it frees, and by
free page reporting it is given back.  Turns of the four alternate.
"""
import os
import re
import select
import statistics
import tempfile
import time

import guest as guests
from report import markdown, spread
from toucher import BenchError, Killed

MIB = 1 << 20
ROLES = ("idle", "busy", "grows")
SIZES = {"idle": 576 * MIB, "busy": 704 * MIB, "grows": 1024 * MIB}
PATROL = {"idle": "--mib=460,--zeros=0",
          "busy": "--mib=560,--zeros=0,--checks=8,--pattern=random",
          "grows": "--mib=840,--first=720,--zeros=0,--pattern=sequential"}
BUDGET = sum(SIZES.values()) * 60 // 100 // MIB * MIB
GROWS_S, GROWS_MAX = 8, 840 - 720       # MiB
WORK, SETTLE_S, PATIENCE_S = 60000, 8, 60
SWAP = 2048 * MIB
NAMES = ("arbiter", "no-tax", "limits", "kernel-3")
TITLES = {"arbiter": "Drum's arbiter", "no-tax": "the same, --idle-tax 0",
          "limits": "Drum, a third each", "kernel-3": "kernel swap, one cgroup"}


class Patrol(guests.Guest):
    """It runs patrol, and nothing else."""
    initramfs = "initramfs.gz"

    def __init__(self, undo, build, role, backend):
        self.append = "loglevel=3 patrol=" + PATROL[role]
        self.devices = ("-device", "virtio-balloon-pci,id=balloon,deflate-on-oom=on,"
                        "free-page-reporting=on",
                        "-qmp", "unix:%s,server=on,wait=off" % backend.drum)
        super().__init__(undo, build, SIZES[role], backend)

    def say(self, line):
        self._process.stdin.write((line + "\n").encode())
        self._process.stdin.flush()

    def find(self, pattern, seconds):
        """=> the match in a line that comes by then, or None"""
        end, out = time.monotonic() + seconds, self._process.stdout.fileno()
        while True:
            while b"\n" in self._buffer:
                line = self._read_line(end)
                self._lines.append(line)
                if guests.COMPLAINTS.search(line) or "PATROL BAD" in line:
                    raise BenchError("the guest complains: " + line)
                found = re.search(pattern, line) if pattern else None
                if found:
                    return found
            left = end - time.monotonic()
            if not select.select([out], [], [], max(0, left))[0]:
                return None
            data = os.read(out, 1 << 16)
            if not data:
                raise Killed("QEMU was killed for want of memory"
                             if self._process.wait() == -9 else "QEMU ended")
            self._buffer += data

    def drain(self):
        self.find(None, 0)


class Where:
    """Of a guest, for guests.Guest."""
    socket = None

    def __init__(self, directory, role, enter):
        self.enter = enter
        self.qmp, self.drum = ("%s/%s%s" % (directory, role, end) for end in (".qmp", ".drum"))

    def check(self):
        pass


class Trio:
    """Three guests, of which none runs but in its turn."""

    def __init__(self, undo, build, enter):
        where = tempfile.mkdtemp(prefix="drum-trio.", dir="/run")
        undo.add("rmtree", path=where)
        self.guests, self.drum, self.grown = {}, {}, 0
        for role in ROLES:
            place = Where(where, role, enter)
            self.guests[role] = Patrol(undo, build, role, place)
            self.drum[role] = place.drum
        for guest in self.guests.values():
            guest.wait_for("PATROL READY", 120)
        self.guests["idle"].say("pause")
        self.guests["idle"].wait_for("PATROL PAUSED", 30)
        self.stop()

    def stop(self):
        for role in ("busy", "grows"):
            self.guests[role].qmp("stop")

    def go(self):
        for role in ("busy", "grows"):
            self.guests[role].qmp("cont")

    def settle(self):
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            for guest in self.guests.values():
                guest.find(None, 0.1)

    def work(self):
        """=> seconds for the busy one's work, while the other grows"""
        busy, grows = self.guests["busy"], self.guests["grows"]
        busy.say("work %d" % WORK)
        began = time.monotonic()
        while True:
            found = busy.find(r"PATROL WORKED visits=\d+ ms=(\d+)", 0.1)
            took = time.monotonic() - began
            if found:
                return int(found.group(1)) / 1e3
            if took > PATIENCE_S:
                raise BenchError("the busy guest does no work")
            due = min(GROWS_MAX, int(took * GROWS_S)) - self.grown
            if due >= GROWS_S // 2:
                grows.say("alloc %d" % due)
                self.grown += due
            grows.drain()
            self.guests["idle"].drain()

    def shrink(self):
        """What it has grown by is given back."""
        grows = self.guests["grows"]
        if self.grown:
            grows.say("free %d" % self.grown)
            if not grows.find("PATROL FREED", PATIENCE_S):
                raise BenchError("the growing guest does not answer")
            # the guest's kernel reports what is free within two seconds
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                grows.find(None, 0.2)
        self.grown = 0

    def close(self):
        self.go()
        for guest in self.guests.values():
            guest.close()


class Kernel:
    def __init__(self, undo, build, pager, cgroup):
        self._pager, self._cgroup = pager, cgroup
        pager.begin(cgroup, 0)
        self.trio = Trio(undo, build, pager.enter)

    def begin(self, _name):
        self.adjust()

    def adjust(self):
        """QEMU's own memory comes on top of the budget, as much as there is of it in RAM."""
        self._pager.allowance = self._cgroup.usage() - self._cgroup.shmem()
        self._pager.limit(BUDGET)

    def resident(self):
        return {"all": self._cgroup.shmem() // MIB}

    def end(self):
        self.trio.close()
        self._pager.end()


class Drum:
    def __init__(self, undo, build, pager):
        self._pager = pager
        pager.begin(None, 0)
        self.trio = Trio(undo, build, None)
        for role, guest in self.trio.guests.items():
            pager.ctl("guest", "attach", str(guest.pid), "--name", role, "--shares", "1000",
                      "--qmp", self.trio.drum[role])

    def begin(self, name):
        ctl = self._pager.ctl
        if name == "limits":
            ctl("host", "set", "--budget", "none")
        for role in ROLES:
            limit = BUDGET // len(ROLES) if name == "limits" else SIZES[role]
            ctl("guest", "set", role, "--limit", str(min(limit, SIZES[role])))
        if name != "limits":
            ctl("host", "set", "--budget", str(BUDGET), "--idle-tax",
                "0" if name == "no-tax" else "75")

    def adjust(self):
        pass

    def resident(self):
        return {role: guest.allocated() // MIB for role, guest in self.trio.guests.items()}

    def end(self):
        self.trio.close()
        self._pager.end()


def turn(backend, name):
    """=> a run"""
    trio = backend.trio
    backend.begin(name)
    trio.go()
    trio.settle()
    backend.adjust()
    seconds = trio.work()
    resident = backend.resident()
    trio.shrink()
    trio.stop()
    return {"name": "arbiter", "pager": name, "seconds": seconds, "resident-mib": resident}


def measure_arbiter(undo, build, drum, kernel, repetitions, say):
    """drum: its pager, kernel: its pager and cgroup; or None.  => runs, lines of what is left out"""
    runs, left_out, backends = [], [], {}
    if drum is not None:
        one = Drum(undo, build, drum)
        backends.update({name: one for name in NAMES[:3]})
    if kernel is not None:
        backends["kernel-3"] = Kernel(undo, build, *kernel)
    for repetition in range(repetitions):
        names = [name for name in NAMES if name in backends]
        at = repetition % len(names)
        for name in names[at:] + names[:at]:
            try:
                run = turn(backends[name], name)
            except Killed as e:         # which is a result
                left_out.append("arbiter on %s: cut, %s" % (name, e))
                say(left_out[-1])
                del backends[name]
                continue
            say("%d/%d arbiter on %s: %.1f s; MiB: %s" % (
                repetition + 1, repetitions, name, run["seconds"], " ".join(
                    "%s %d" % item for item in run["resident-mib"].items())))
            runs.append({**run, "repetition": repetition})
    for backend in dict.fromkeys(backends.values()):
        backend.end()
    return runs, left_out


def missing(build):
    """=> why nothing can be measured, or None"""
    return guests.missing(build)


# ---- report ----

def seconds(runs, name):
    return [run["seconds"] for run in runs if run["pager"] == name]


def arbiter_lines(runs):
    """Lines of Markdown."""
    rows = [("three guests in 60 % of their memory", "the busy one's work, s", "to the arbiter's",
             "resident at its end, MiB")]
    ours = seconds(runs, "arbiter")
    for name in NAMES:
        found = seconds(runs, name)
        if not found:
            continue
        last = [run["resident-mib"] for run in runs if run["pager"] == name][-1]
        rows.append((TITLES[name], spread(found, "%.1f"),
                     "%.2f" % (statistics.median(found) / statistics.median(ours))
                     if ours else "-", " ".join("%s %d" % item for item in last.items())))
    return markdown(rows) + [""] if len(rows) > 1 else []


def arbiter_target(runs):
    """=> text, and whether it is what is wanted; None if it was not measured"""
    ours = seconds(runs, "arbiter")
    if not ours:
        return None
    ours, ratios, text = statistics.median(ours), [], []
    for name in NAMES[1:]:
        found = seconds(runs, name)
        if found:
            ratio = statistics.median(found) / ours
            text.append("%s %.2f" % (TITLES[name], ratio))
            ratios += [ratio] if name != "no-tax" else []
    if not ratios:
        return None
    return "%.1f s; %s" % (ours, ", ".join(text)), min(ratios) >= 1.3
