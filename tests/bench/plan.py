# SPDX-License-Identifier: BSD-2-Clause
"""What is measured on which pager, as data.

A session is one process (vmm_toucher) under one pager, and goes through steps:

    squeeze  bring the limit down to a share of RAM while threads touch it; page-out flat out
    limit    bring it down while the process is idle
    evict    page out all of it, idle: rate and CPU time
    out      page out all of it, and have a limit then
    restore  touch it in order, without a limit: rate and CPU time
    lift     no limit from here on
    run      an experiment for so many seconds
    pass     an experiment that goes over RAM once

In FULL a pass goes to its end; else it ends after a moment, and its speed counts.

"once" marks what runs in the first repetition only, unless everything is asked for.
"""
from collections import namedtuple

MIB, GIB = 1 << 20, 1 << 30

KERNEL_DISK, KERNEL_RAM = ("kernel-0", "kernel-3"), ("zswap", "zram")
DISK, RAM = (*KERNEL_DISK, "drum"), (*KERNEL_RAM, "drum-ram")
PAGERS = ("unlimited", *KERNEL_DISK, *KERNEL_RAM, "drum", "drum-ram")

# size: of RAM; pagers: which ones by default; once: one repetition by default
Session = namedtuple("Session", "name part size content pagers once steps")


def run(name, **fields):
    return {"do": "run", "name": name, "op": "read", "order": "random", "warm": 0.3, **fields}


def one_pass(name, **fields):
    return {"do": "pass", "name": name, "op": "read", **fields}


CORE = Session("random", "core", GIB, "random", DISK, False, (
    {"do": "squeeze", "to": 0.25, "name": "page-out-flat-out", "op": "read", "order": "random",
     "threads": 2},
    run("random-read"),
    run("random-write", op="write"),
    run("random-read-2-threads", threads=2, once=True),
    run("random-write-2-threads", op="write", threads=2, once=True),
))

MOVE = Session("move", "core", GIB, "random", DISK, False, (
    {"do": "evict", "name": "evict"},
    {"do": "lift"},
    {"do": "restore", "name": "restore"},
    {"do": "out", "to": 0.25},
    one_pass("sequential-read", order="sequential"),
    {"do": "out", "to": 0.25},
    one_pass("strided-read", order="strided", stride=16),
    {"do": "out", "to": 0.25, "once": True},
    one_pass("reverse-read", order="reverse", once=True),
))

# What the unlimited machine does with the same experiments; there is nothing to page.
BASELINE = Session("baseline", "core", GIB, "random", ("unlimited",), True, (
    run("random-read"), run("random-write", op="write"),
    run("random-read-2-threads", threads=2), run("random-write-2-threads", op="write", threads=2),
    one_pass("sequential-read", order="sequential"),
    one_pass("strided-read", order="strided", stride=16),
    one_pass("reverse-read", order="reverse"),
))

ZIPF_STEP = {"do": "run", "order": "zipf", "writes": 5, "warm": 0.7}
ZIPF = Session("zipf", "zipf", 2 * GIB, "random", DISK, False, (
    {"do": "limit", "to": 0.75, "once": True},
    {**ZIPF_STEP, "name": "zipf-75", "once": True},
    {"do": "limit", "to": 0.5},
    {**ZIPF_STEP, "name": "zipf-50", "warm": 2},
    {"do": "limit", "to": 0.25, "once": True},
    {**ZIPF_STEP, "name": "zipf-25", "once": True},
))
ZIPF_BASELINE = Session("zipf-baseline", "zipf", 2 * GIB, "random", ("unlimited",), True, (
    {**ZIPF_STEP, "name": "zipf-50"},))


def contents(content, pagers, once):
    """Page-out and random faults by what pages hold."""
    return Session(content, "contents", GIB // 2, content, pagers, once, (
        {"do": "limit", "to": 0.25, "name": "page-out-" + content},
        run("random-read-" + content),
    ))


SESSIONS = (BASELINE, CORE, MOVE, contents("half", RAM, False),
            contents("half", ("kernel-3", "drum"), True),
            contents("text", (*RAM, "kernel-3", "drum"), True),
            contents("random", (*RAM, "kernel-3", "drum"), True),
            ZIPF_BASELINE, ZIPF)

# In FULL each session runs on all pagers; one that merely adds pagers is left out then.
FULL_SESSIONS = tuple(s._replace(pagers=PAGERS, once=False) for s in
                      (CORE, MOVE, contents("half", PAGERS, False), contents("text", PAGERS, False),
                       contents("random", PAGERS, False), ZIPF))
