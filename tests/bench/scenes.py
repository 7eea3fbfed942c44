# SPDX-License-Identifier: BSD-2-Clause
"""Experiments that are no list of steps: what moves, what is shared, what is a tax.

Each takes an environment (Scene) and a pager and returns runs; their figures are the
keys that they add.
"""
import statistics
import time
from collections import namedtuple

from session import wait_paged_out
from toucher import Toucher

MIB, GIB, PAGE = 1 << 20, 1 << 30, 4096
SLICE = 0.05            # s, of which the speed is told
RECOVERED = 0.95        # of the speed that there was in the end
MOVES = 3
TAX_SLICE, TAX_SLICES = 1.0, 1      # s, a look at the sample in each; with each attach

# full: as long as it should be, and not merely long enough to be seen
Scene = namedtuple("Scene", "undo program cgroup full repetition")


def close(pager, *touchers):
    for toucher in touchers:
        toucher.close()
    pager.end()


def finish(runs, pager, scene, figures):
    for run in runs:
        run.update({"pager": pager.name, "repetition": scene.repetition, "says": figures})
    return runs


def steady(run):
    """=> touches in a slice at its end"""
    return statistics.median(run["slices"][-max(1, len(run["slices"]) // 4):])


def recovery_ms(run, unlimited):
    """=> ms from the change until three slices in a row are as fast as the last quarter is;
    None if that is still far from what it is without a limit"""
    slices = run["slices"][int(run["changed-s"] * 1e3 / run["slice-ms"]):]
    if unlimited is not None and steady(run) < unlimited / 2:
        return None
    for at in range(len(slices) - 2):
        if statistics.mean(slices[at:at + 3]) >= RECOVERED * steady(run):
            return at * run["slice-ms"]
    return None


def add_recovery(runs):
    """To all runs that tell their speed over time, of all pagers."""
    for run in (r for r in runs if "changed-s" in r):
        free = [steady(r) for r in runs if r["name"] == run["name"]
                and r["pager"] == "unlimited" and r.get("slices")]
        run["recovery-ms"] = recovery_ms(run, statistics.median(free) if free else None)


def working_set(name, pager, toucher, repetition):
    """What Drum says of the memory that is in use, and what the program knows of it."""
    says, size = pager.show(), toucher.size
    found = {"name": name, "pager": pager.name, "repetition": repetition, "size": size}
    for seconds, idle in ((10, "idle-10s"), (60, "idle-1m")):
        found["true-%ds" % seconds] = toucher.touched(seconds)
        if idle in says:
            found["found-%ds" % seconds] = size - says[idle]
    if "working-set" in says:
        found["found-60s"] = says["working-set"]
    return found


def zipf_working_set(scene, pager):
    """=> runs, and the working set of a zipf pattern that has run for a while"""
    pager.begin(scene.cgroup, GIB)
    toucher = Toucher(scene.undo, scene.program, GIB, pager.enter)
    pager.attach(toucher)
    pager.limit(GIB // 2)
    run = toucher.run(name="working-set-zipf", order="zipf", writes=5,
                      seconds=65 if scene.full else 12)
    found = working_set("zipf", pager, toucher, scene.repetition)
    runs = finish([run], pager, scene, pager.figures())
    close(pager, toucher)
    return runs, [found]


def phases(scene, pager):
    """A working set moves through RAM, in a budget that is a quarter larger than the set;
    then the budget is lifted under a set of twice its size."""
    seconds, size = (10, 200 * MIB) if scene.full else (4, 100 * MIB)
    pager.begin(scene.cgroup, GIB)
    toucher = Toucher(scene.undo, scene.program, GIB, pager.enter)
    pager.attach(toucher)
    budget, pages = size // 4 * 5, size // PAGE
    if pager.name != "unlimited":
        pager.limit(budget)
        wait_paged_out(pager, budget + pager.slack(), time.monotonic())
    runs = []
    for move in range(MOVES):
        run = toucher.run(name="phases", op="read", order="random", first=move * pages,
                          pages=pages, seconds=seconds, every=SLICE, seed=move)
        run["changed-s"] = 0.0
        runs.append(run)
    sets = []
    if hasattr(pager, "show"):
        sets.append(working_set("phases", pager, toucher, scene.repetition))
    runs.append(lifted(pager, toucher, 2 * budget // PAGE, seconds))
    finish(runs, pager, scene, pager.figures())
    close(pager, toucher)
    return runs, sets


def lifted(pager, toucher, pages, seconds):
    """=> a run in which the limit goes early"""
    began = time.monotonic()
    toucher.start(name="budget-lifted", op="read", order="random", pages=pages,
                  seconds=2 * seconds, every=SLICE, seed=99)
    time.sleep(seconds / 3)
    at = time.monotonic() - began
    pager.lift()
    run = toucher.answer(60 + 2 * seconds)
    run["changed-s"] = at
    return run


def two_guests(scene, pager, seconds):
    """Two processes of 512 MiB with half of their combined memory; both touch by zipf.  The
    kernel gives them one budget, Drum one each."""
    size = GIB // 2
    pager.begin(scene.cgroup, 2 * size)
    both = [Toucher(scene.undo, scene.program, size, pager.enter) for _ in range(2)]
    pager.attach(*both)
    if pager.name != "unlimited":
        pager.limit(size)
        wait_paged_out(pager, size + pager.slack(), time.monotonic())
    for number, toucher in enumerate(both, 1):
        toucher.start(name="two-guests-%d" % number, order="zipf", writes=5,
                      seconds=seconds, warm=2, seed=number + 10 * scene.repetition)
    runs = [toucher.answer(60 + seconds) for toucher in both]
    speeds = [run["touches-per-s"] for run in runs]
    for run in runs:
        run["fairness"] = min(speeds) / max(speeds)
    finish(runs, pager, scene, pager.figures())
    close(pager, *both)
    return runs


def tax(scene, pager, blocks):
    """What it costs to be attached without a limit: random touches of memory that is all
    resident, attached and not in turn.  => a run for each slice"""
    pager.begin(None, GIB)
    toucher = Toucher(scene.undo, scene.program, GIB // 2)
    runs = []
    for block in range(blocks):
        for attached in ((True, False), (False, True))[block % 2]:
            if attached:
                pager.attach(toucher)
            for number in range(TAX_SLICES):
                cpu = pager.cpu_seconds()
                run = toucher.run(name="attached" if attached else "not-attached", op="read",
                                  order="random", warm=0.05, seconds=TAX_SLICE,
                                  seed=block * TAX_SLICES + number)
                run["pager-cpu-percent"] = 100 * (pager.cpu_seconds() - cpu) / run["seconds"]
                run["block"] = block
                runs.append(run)
            if attached:
                pager.detach()
    finish(runs, pager, scene, {})
    close(pager, toucher)
    return runs
