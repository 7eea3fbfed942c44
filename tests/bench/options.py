# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmark is asked to do."""
import argparse
import os

from plan import MIB, PAGERS

PARTS = ("core", "contents", "zipf", "working-set", "phases", "two-guests", "tax", "disk",
         "vswapper", "swapcache", "arbiter")
FULL_PARTS = (*PARTS, "settings", "checksums", "pin-check")


def size_of(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    unit = units.get(text[-1:].upper(), 1)
    try:
        size = int(text[:-1] if unit > 1 else text) * unit
    except ValueError:
        raise argparse.ArgumentTypeError("not a size: %r (512M, 2G)" % text)
    if size <= 0 or size % 4096:
        raise argparse.ArgumentTypeError("not a positive multiple of 4096: %r" % text)
    return size


def list_of(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError("no such one: %r (%s)"
                                                 % (name, ", ".join(known)))
        return names
    return parse


def parse_options():
    env = os.environ
    full = env.get("FULL", "") not in ("", "0")
    p = argparse.ArgumentParser(description="Measure Drum against the kernel's swap.")
    p.add_argument("--build", default=env.get("DRUM_BUILD", "."),
                   help="where drumd, drumctl and tests/bench are [$DRUM_BUILD]")
    p.add_argument("--full", action="store_true", default=full,
                   help="every part, on every pager, for longer [FULL=1]")
    p.add_argument("--repetitions", type=int, default=5, help="[5]")
    p.add_argument("--minutes", type=float,
                   help="no repetition begins that would end later [9.7; no end with --full]")
    p.add_argument("--seconds", type=float, help="each experiment takes [0.8; 4 with --full]")
    p.add_argument("--pagers", type=list_of(PAGERS), default=list(PAGERS),
                   help="which ones may be measured [%s]" % ",".join(PAGERS))
    p.add_argument("--parts", type=list_of(FULL_PARTS),
                   help="what to measure [%s; and %s with --full]"
                   % (",".join(PARTS), ",".join(FULL_PARTS[len(PARTS):])))
    p.add_argument("--settings-size", type=size_of, default=256 * MIB,
                   help="of guest RAM in settings, checksums and pin-check [256M]")
    p.add_argument("--settings-seconds", type=float, default=150.0,
                   help="no repetition of the settings begins that would end later [150]")
    p.add_argument("--swap-file", help="on a disk, not a tmpfs [BUILD/tests/bench/swapfile]")
    p.add_argument("--keep", action="store_true", help="keep the swap file, and use it again")
    o = p.parse_args()
    o.build = os.path.abspath(o.build)
    o.seconds = o.seconds or (4.0 if o.full else 0.8)
    o.minutes = o.minutes or (1e6 if o.full else 9.7)
    o.parts = o.parts or list(FULL_PARTS if o.full else PARTS)
    o.swap_file = os.path.abspath(o.swap_file or o.build + "/tests/bench/swapfile")
    if o.repetitions < 1:
        p.error("at least one repetition")
    if o.settings_size < 64 * MIB:
        p.error("with less than 64M the settings cannot be told apart")
    return o
