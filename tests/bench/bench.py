# SPDX-License-Identifier: BSD-2-Clause
"""The whole of one run: what is measured when, and what it makes of it.

Scenes come first, once each; then repetitions of the sessions.  Within a repetition the
pagers alternate, each time in another order, so that a slow minute of the machine hits
all alike.  Repetitions end early rather than beyond the time that was asked for.
"""
import os
import time

import arbiter
import disk
import floors
import scenes
import swapcache
import vswapper
from pager_drum import DrumPager
from pager_kernel import KernelPager, NoPager, no_zram, no_zswap
from plan import FULL_SESSIONS, GIB, MIB, PAGERS, SESSIONS
from report import complete
from session import Session
from settings import measure_checksums, measure_pin_check, measure_settings
from swapfile import make_swap_file
from toucher import Killed, Toucher

SECOND = "-2"           # after the swap file's name: another device
RAW_SECONDS = 0.2
HANDLER_SECONDS = 0.4
WHOLE_PARTS = ("core", "contents", "zipf")
SCENE_PAGERS = {"phases": ("unlimited", "kernel-3", "drum"),
                "two-guests": ("unlimited", "kernel-0", "kernel-3", "drum"),
                "working-set": ("drum",), "tax": ("drum",)}


class Bench:
    def __init__(self, options, undo, say):
        self.options, self._undo, self._say = options, undo, say
        self.out = options.build + "/tests/bench"
        self._program = self.out + "/vmm_toucher"
        self._drum_log = self.out + "/drumd.log"
        open(self._drum_log, "w").close()
        self._cgroup = None
        self.began = time.monotonic()
        self.runs, self.raw, self.uffd, self.memory, self.working_sets = [], [], [], [], []
        self.handler = []
        self.tax, self.clock, self.left_out = [], [], []
        self.fio = None
        self.default, self.settings, self.checksums, self.pin_check = None, [], [], []
        self.disk, self.vswapper, self.swapcache, self.arbiter = [], [], [], []
        self.load = [os.getloadavg()[0]]
        self.done_repetitions = 0

    def pager(self, name, file=None):
        file = file or self.options.swap_file
        if name == "unlimited":
            return NoPager()
        if name in ("drum", "drum-ram"):
            return DrumPager(self._undo, file, self.options.build, self._drum_log,
                             name == "drum-ram")
        cluster = 0 if name == "kernel-0" else 3
        return KernelPager(self._undo, file, name, "kernel, " + name, cluster,
                           name if name in ("zswap", "zram") else None)

    def _available(self):
        """=> names; a line for each that the machine does not have"""
        missing = {"zswap": no_zswap(), "zram": no_zram()}
        found = []
        for name in self.options.pagers:
            if missing.get(name):
                self.left_out.append("%s: left out, %s" % (name, missing[name]))
            else:
                found.append(name)
        return found

    def swap_size(self):
        return 2 * GIB + 64 * MIB if set(self.options.parts) & set(WHOLE_PARTS + tuple(
            SCENE_PAGERS) + ("vswapper", "arbiter")) else 2 * self.options.settings_size

    def measure(self):
        o = self.options
        make_swap_file(self._undo, o.swap_file, self.swap_size(), o.keep)
        names = self._available()
        for line in self.left_out:
            self._say(line)
        if set(names) - {"unlimited", "drum", "drum-ram"}:
            self._cgroup = KernelPager.prepare_machine(self._undo)
        if "core" in o.parts:
            self._find_fio()
        self._measure_scenes(names)
        if "disk" in o.parts:
            self._measure_disk()
        if "vswapper" in o.parts:
            self._measure_vswapper(names)
        if "swapcache" in o.parts:
            self._measure_swapcache()
        if "arbiter" in o.parts:
            self._measure_arbiter(names)
        if set(o.parts) & set(WHOLE_PARTS):
            self._repeat(names)
        self._measure_settings()
        self.load.append(os.getloadavg()[0])

    def _find_fio(self):
        reason = floors.Fio.missing()
        if reason:
            self.left_out.append("fio: left out, " + reason)
        else:
            self.fio = floors.Fio(self.options.swap_file, GIB)
            self.fio.search()

    # ---- sessions ----

    def _sessions(self):
        plans = FULL_SESSIONS if self.options.full else SESSIONS
        return [plan for plan in plans if plan.part in self.options.parts]

    def _repeat(self, names):
        steady = 0          # seconds of what every repetition does
        for repetition in range(self.options.repetitions):
            if repetition and time.monotonic() - self.began + steady > 60 * self.options.minutes:
                self._say("no time for more repetitions; --minutes allows it")
                break
            steady = 0
            if self.fio is not None:
                self.fio.repeat()
            for plan in self._sessions():
                if plan.once and repetition and not self.options.full:
                    continue
                began = time.monotonic()
                self._round(plan, [n for n in plan.pagers if n in names], repetition)
                steady += 0 if plan.once else time.monotonic() - began
            self.done_repetitions += 1

    def _round(self, plan, names, repetition):
        if not names:
            return
        turn = repetition % len(names)
        for name in names[turn:] + names[:turn]:
            began = time.monotonic()
            raw = self._raw_read(name, repetition)
            if name == "drum-ram":
                self.uffd.append(floors.userfaultfd(self.options.build))
            if name == "drum" and plan.name == "random":
                self.handler.append(floors.handler(
                    self.options.build, self.options.swap_file, HANDLER_SECONDS, repetition))
            pager = self.pager(name)
            session = Session(self._undo, self.options.build, plan, pager, self._cgroup,
                              repetition, self.options.seconds, self.options.full)
            self._survive(pager, plan.name, session.perform)
            for run in session.runs:
                complete(run, raw["p50-us"])
            self.runs += session.runs
            self.clock.append(session.clock_ns)
            if "out" in session.memory:
                self.memory.append({**session.memory, "size": plan.size, "pager": name,
                                    "repetition": repetition})
            self._say("%d/%d %-9s %-9s %3.0f s  %s" % (
                repetition + 1, self.options.repetitions, plan.name, name,
                time.monotonic() - began, ", ".join(
                    "%s %.0f/s" % (r["name"], r.get("touches-per-s", r.get("pages-per-s", 0)))
                    for r in session.runs)))

    def _survive(self, pager, what, perform):
        """A pager may lose its process, which is a result; its other figures count.
        => what perform() returns, or None"""
        try:
            return perform()
        except Killed as e:
            self.left_out.append("%s on %s: cut, %s" % (what, pager.name, e))
            self._say(self.left_out[-1])
            Toucher.close_all()
            pager.end()
            return None

    def _raw_read(self, name, repetition):
        raw = floors.raw_read(self.options.build, self.options.swap_file, RAW_SECONDS,
                              repetition)
        raw.update(pager=name, repetition=repetition)
        self.raw.append(raw)
        return raw

    # ---- scenes ----

    def _measure_scenes(self, names):
        full = self.options.full
        for repetition in range(self.options.repetitions if full else 1):
            scene = scenes.Scene(self._undo, self._program, self._cgroup, full, repetition)
            for part, pagers in SCENE_PAGERS.items():
                if part not in self.options.parts:
                    continue
                if full and part not in ("working-set", "tax"):
                    pagers = PAGERS
                for name in pagers:
                    if name in names:
                        began = time.monotonic()
                        self._scene(part, scene, self.pager(name))
                        self._say("%s on %s: %.0f s" % (part, name, time.monotonic() - began))
        scenes.add_recovery(self.runs)

    def _scene(self, part, scene, pager):
        perform = {
            "phases": lambda: scenes.phases(scene, pager),
            "working-set": lambda: scenes.zipf_working_set(scene, pager),
            "two-guests": lambda: (scenes.two_guests(
                scene, pager, max(1.5, self.options.seconds)), []),
            "tax": lambda: (scenes.tax(scene, pager, 20 if scene.full else 6), []),
        }[part]
        raw = self._raw_read(part, scene.repetition)
        runs, sets = self._survive(pager, part, perform) or ([], [])
        for run in runs:
            complete(run, raw["p50-us"])
        self.runs += runs
        self.working_sets += sets
        if part == "tax":
            self.tax += runs

    # ---- the disk front ----

    def _measure_disk(self):
        o, reason = self.options, disk.missing(self.options.build)
        if reason:
            self.left_out.append("disk: left out, " + reason)
            return
        image = o.swap_file + ".disk"
        make_swap_file(self._undo, image, disk.IMAGE_SIZE, o.keep)
        backends, drum = [disk.StorageDaemon(self._undo, image)], self.pager("drum")
        if "drum" not in o.pagers or not drum.has_disks():
            self.left_out.append("disk on Drum: left out, this drumctl has none, or was not asked")
        else:
            backends.append(disk.Drum(drum, image))
        self.disk = disk.measure_disk(self._undo, backends, o.build, max(1, o.seconds),
                                      o.repetitions, self._say)

    def _measure_vswapper(self, names):
        o, reason = self.options, vswapper.missing(self.options.build)
        backends = []
        if "kernel-3" in names:
            backends.append(vswapper.Kernel(self.pager("kernel-3")))
        if "drum" in names and self.pager("drum").has_disks():
            backends += [vswapper.Drum(self.pager("drum"), name)
                         for name in vswapper.NAMES if name != "kernel-3"]
        else:
            reason = reason or "it needs Drum, with disks"
        if reason:
            self.left_out.append("vswapper: left out, " + reason)
            return
        image = o.swap_file + ".ext4"
        scene = vswapper.Scene(self._undo, o.build, image,
                               vswapper.make_image(self._undo, image), self._cgroup,
                               vswapper.FULL_PASSES if o.full else vswapper.PASSES)
        self.vswapper, lines = vswapper.measure_vswapper(
            scene, backends, 3 if o.full else 1, self._say)
        self.left_out += lines

    def _measure_swapcache(self):
        o, reason = self.options, swapcache.missing(self.options.build)
        if "drum" not in o.pagers or not self.pager("drum").has_swapcache():
            reason = reason or "this drumctl has none, or was not asked"
        if reason:
            self.left_out.append("swapcache: left out, " + reason)
            return
        self.swapcache = swapcache.measure_swapcache(swapcache.Scene(
            self._undo, o, lambda file: self.pager("drum", file), self._say))

    def _measure_arbiter(self, names):
        o, reason = self.options, arbiter.missing(self.options.build)
        if "drum" not in o.pagers or not self.pager("drum").has_arbiter():
            reason = reason or "this drumctl has none, or was not asked"
        if reason:
            self.left_out.append("arbiter: left out, " + reason)
            return
        second = o.swap_file + SECOND
        make_swap_file(self._undo, second, arbiter.SWAP, o.keep)
        kernel = (self.pager("kernel-3", second), self._cgroup) if "kernel-3" in names else None
        self.arbiter, lines = arbiter.measure_arbiter(
            self._undo, o.build, self.pager("drum"), kernel, 5 if o.full else 3, self._say)
        self.left_out += lines

    # ---- of Drum alone ----

    def _measure_settings(self):
        o = self.options
        if "settings" in o.parts:
            second = o.swap_file + SECOND
            make_swap_file(self._undo, second, o.settings_size + 16 * MIB, o.keep)
            self.default, self.settings = measure_settings(
                self._undo, self.pager("drum"), self._program, o.settings_size, second,
                o.repetitions, o.settings_seconds, self._say)
        if "checksums" in o.parts:
            self.checksums = measure_checksums(self._undo, self.pager("drum"), self._program,
                                               o.settings_size, o.repetitions, self._say)
        if "pin-check" in o.parts:
            self.pin_check = measure_pin_check(self._undo, self.pager("drum"), self._program,
                                               o.settings_size, o.repetitions, self._say)

    def checked(self):
        return self.runs + self.settings + self.checksums

    def bad(self):
        return sum(run["bad"] for run in self.checked()) + sum(
            run.get("bad", 0) for run in self.swapcache)
