# SPDX-License-Identifier: BSD-2-Clause
"""What a daemon itself takes of the host's memory.

Of its processes all that is theirs: anonymous memory, and a fair share of what they share
(Pss) of mappings that are no files, such as rings.  Not what is a guest's RAM, and not
programs and libraries.  The files of the run directory, on a tmpfs, count as what they
occupy there, mapped or not.  Page tables are told apart: they are the kernel's, for
guest RAM that the pager maps.
"""
import os
import re

GUEST_RAM = "/memfd:memory-backend-memfd"
HEADING = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")
NO_FILE = ("", "[heap]", "[stack]")


def mappings(pid):
    """=> (path, {field: bytes}) of each mapping"""
    path, fields = None, {}
    with open("/proc/%d/smaps" % pid) as smaps:
        for line in smaps:
            if HEADING.match(line):
                if path is not None:
                    yield path, fields
                words = line.split(None, 5)
                path, fields = words[5].strip() if len(words) == 6 else "", {}
            elif line.endswith(" kB\n"):
                name, value = line.split(":")
                fields[name] = int(value.split()[0]) << 10
    if path is not None:
        yield path, fields


def of_process(pid, run_dir):
    total = 0
    for path, fields in mappings(pid):
        if path.startswith((GUEST_RAM, run_dir)):
            continue
        if path in NO_FILE or path.startswith(("anon_inode:", "/memfd:", "/dev/zero")):
            total += fields["Pss"]
        else:
            total += fields["Anonymous"]        # written data of programs and libraries
    return total


def page_tables(pid):
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("VmPTE:"):
                return int(line.split()[1]) << 10
    return 0


def own_memory(pids, run_dir):
    """=> bytes by kind"""
    files = [os.path.join(where, name) for where, _, names in os.walk(run_dir)
             for name in names]
    return {"processes": sum(of_process(pid, run_dir) for pid in pids),
            "files": sum(os.lstat(path).st_blocks * 512 for path in files
                         if not path.endswith(".ram")),
            "page-tables": sum(page_tables(pid) for pid in pids)}
