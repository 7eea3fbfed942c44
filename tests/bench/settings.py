# SPDX-License-Identifier: BSD-2-Clause
"""How page-out is set best: bytes a write moves, writes in flight, devices; checksums, pin check.

A cell of the table is one setting.  Each is measured twice in each repetition, on one
guest that stays attached.  First the guest is idle and all of it is paged out flat out
(`guest out`): how fast, and how much CPU time of Drum's.  Then all of it is paged in,
and a thread reads at random while the limit goes down to a quarter of the guest: what
faults cost while that setting writes.  How much is written beside
reads Drum finds out itself (beside.c), within what the setting allows.

Every cell moves the same pages; the cells come in another random order in each
repetition, and no repetition begins that would end too late, by the time that the
last one took.  Both devices are files on one disk: the second shows what going round
costs, not what another disk brings.
"""
import random
import time

from toucher import BenchError, Toucher

MIB = 1 << 20
CLUSTERS = (4 << 10, 64 << 10, 256 << 10, 1 << 20)
DEPTHS = (1, 8, 32)
DEVICES = (1, 2)
READ_SECONDS = 0.7
CHECKSUM_SECONDS = 1.5


class Guest:
    """One guest under Drum, that is paged out as a whole again and again."""

    def __init__(self, undo, pager, program, size):
        self.pager = pager
        pager.begin(None, size)
        self.toucher = Toucher(undo, program, size)
        pager.attach(self.toucher)

    def close(self):
        self.toucher.close()
        self.pager.end()

    def all_in(self):
        self.pager.limit(self.toucher.size)
        self.pager.page_in()

    def all_out(self):
        """=> what it took; the guest is idle"""
        before, cpu = self.pager.resident(), self.pager.cpu_seconds()
        began = time.monotonic()
        self.pager.page_out()
        took = time.monotonic() - began
        cpu = self.pager.cpu_seconds() - cpu
        moved = before - self.pager.resident()
        if moved < self.toucher.size * 0.99:
            raise BenchError("%d of %d MiB were paged out: is another program holding pages, or "
                             "swap full?" % (moved // MIB, self.toucher.size // MIB))
        return {"pageout-mib-s": moved / MIB / took, "cpu-ms-per-gib": 1e3 * cpu * 1024 * MIB
                / moved, "seconds": took}

    def squeezed(self, seed):
        """=> the reads of a thread while the limit goes down to a quarter, and after"""
        self.toucher.start(name="squeezed", op="read", order="random", seconds=READ_SECONDS,
                           seed=seed)
        self.pager.limit(self.toucher.size // 4)
        return self.toucher.answer(60)


def cells():
    return [{"devices": devices, "cluster": cluster, "depth": depth} for devices in DEVICES
            for cluster in CLUSTERS for depth in DEPTHS]


def measure_cell(guest, second, cell, repetition):
    guest.pager.set_paging(cell["cluster"], cell["depth"])
    # Equal priorities rotate; a lower one is not used while there is room above.
    guest.pager.swap_priority(second, 10 if cell["devices"] == 2 else 5)
    guest.all_in()
    run = guest.all_out()
    guest.all_in()
    read = guest.squeezed(repetition)
    run.update(cell, repetition=repetition,
               **{k: read[k] for k in ("bad", "faults", "touches", "max-us", "fault-ns",
                                       "histogram")})
    return run


def measure_settings(undo, pager, program, size, second, repetitions, seconds, say):
    """=> (the default cell, a run for each cell and repetition); takes those seconds at most,
    unless one repetition needs more"""
    guest = Guest(undo, pager, program, size)
    default = pager.paging()
    pager.swap_priority(pager.file, 10)
    pager.swap_on(second, "--priority", "5")
    runs, end = [], time.monotonic() + seconds
    for repetition in range(repetitions):
        order, began = cells(), time.monotonic()
        random.Random(repetition).shuffle(order)
        for cell in order:
            runs.append(measure_cell(guest, second, cell, repetition))
        took = time.monotonic() - began
        say("%d/%d page-out, %d settings %3.0f s" % (repetition + 1, repetitions, len(order), took))
        if repetition + 1 < repetitions and time.monotonic() + took > end:
            say("no time for more; --settings-seconds allows it")
            break
    guest.close()
    return default, runs


def measure_checksums(undo, pager, program, size, repetitions, say):
    """The same device with and without them, in turn.  => runs"""
    guest = Guest(undo, pager, program, size)
    runs, began = [], time.monotonic()
    for repetition in range(repetitions):
        for with_them in ((True, False), (False, True))[repetition % 2]:
            guest.all_in()
            pager.swap_off(pager.file)
            pager.swap_on(pager.file, *(() if with_them else ("--no-checksums",)))
            run = guest.all_out()
            read = guest.toucher.run(name="random-read", op="read", order="random",
                                     seconds=CHECKSUM_SECONDS, seed=repetition)
            run.update(checksums=with_them, repetition=repetition,
                       **{k: read[k] for k in ("bad", "faults", "touches", "p50-us", "p99-us",
                                               "touches-per-s", "max-us")})
            runs.append(run)
    say("checksums: %3.0f s" % (time.monotonic() - began))
    guest.close()
    return runs


def measure_pin_check(undo, pager, program, size, repetitions, say):
    """What it costs to look whether pages are pinned, while an idle guest is paged out.
    => runs; none where there is no pin check"""
    guest = Guest(undo, pager, program, size)
    runs, began = [], time.monotonic()
    for _ in range(repetitions):
        guest.all_in()
        before = pager.figures()
        run = guest.all_out()
        after = pager.figures()
        took, looks, pages = (after[k] - before[k]
                              for k in ("pin-check-us", "pin-checks", "pages-out"))
        if looks == 0:
            break
        run.update({"ns-a-page": 1e3 * took / pages, "looks-a-page": looks / pages,
                    "share": 100 * took / 1e6 / run["seconds"], "pinned": after["pinned"],
                    "bad": 0, "touches": 0})
        runs.append(run)
    say("pin check: %3.0f s" % (time.monotonic() - began))
    guest.close()
    return runs
