# SPDX-License-Identifier: BSD-2-Clause
"""Drum as it is installed: drumd, driven by drumctl, on the same swap file.

A budget for several guests is shared out equally: Drum limits each guest.
"""
import glob
import json
import os
import socket
import subprocess
import tempfile
import time

from cpu import cpu_of
from memory import own_memory
from toucher import BenchError
from undo import run_tool

GUESTS = ("bench", "bench-2")


class DrumPager:
    guest_limits = True
    enter = None

    def __init__(self, undo, swap_file, build, log_path, with_ram=False):
        self.name, self.title = ("drum-ram", "Drum with ram:") if with_ram else ("drum", "Drum")
        self._with_ram = with_ram
        self._undo, self.file, self._build = undo, swap_file, build
        self._log_path = log_path
        self._log = None

    def _fail(self, text):
        """Raise what went wrong, with the last that drumd said."""
        try:
            with open(self._log_path, errors="replace") as log:
                last = "".join(log.readlines()[-8:])
        except OSError:
            last = ""
        raise BenchError("%s\n--- end of %s ---\n%s" % (text, self._log_path, last))

    def _ctl(self, *arguments):
        done = subprocess.run([self._build + "/drumctl", "-s", self._socket, *arguments],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:
            self._fail("drumctl %s: exit status %d: %s"
                       % (" ".join(arguments), done.returncode,
                          (done.stderr or done.stdout).strip()))
        return done.stdout

    def ctl(self, *arguments):
        return self._ctl(*arguments)

    def begin(self, _cgroup, size):
        # A short path: a socket's has 107 characters at most.
        self._run_dir = tempfile.mkdtemp(prefix="drum-bench.", dir="/run")
        self._socket = self._run_dir + "/qmp.sock"
        self._dir_key = self._undo.add("rmtree", path=self._run_dir)
        # What drumd keeps there is memory, as on a real host, whatever /run is here.
        self._mount_key = self._undo.add("umount", path=self._run_dir)
        run_tool("mount", "-t", "tmpfs", "none", self._run_dir)
        self._touchers = ()
        self._log = open(self._log_path, "a")
        # What it notes for good is not for the host's own directory.
        with open(self._run_dir + "/drum.conf", "w") as conf:
            conf.write("[drumd]\nstate-dir = %s/state\n" % self._run_dir)
        self._daemon = subprocess.Popen(
            [self._build + "/drumd", "--foreground", "--run-dir", self._run_dir, "--config",
             self._run_dir + "/drum.conf"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            start_new_session=True)
        try:
            self._key = self._undo.add("kill", pid=self._daemon.pid, grace=30)
        except BaseException:
            self._daemon.kill()
            raise
        self._wait_for_socket()
        if self._with_ram:
            self._ctl("swap", "on", "ram:%d" % size, "--priority", "100")
        self.swap_on(self.file)

    def swap_on(self, path, *options):
        # No trace of mkswap: a careful pager refuses a file that says it is swap.
        with open(path, "r+b") as f:
            f.write(b"\xa5" * 4096)
            f.flush()
            os.fsync(f.fileno())
        self._ctl("swap", "on", path, *options)

    def swap_off(self, path):
        self._ctl("swap", "off", path)

    def swap_priority(self, path, priority):
        self._ctl("swap", "priority", path, str(priority))

    def has_disks(self):
        """Does this drumctl know disks?"""
        said = subprocess.run([self._build + "/drumctl", "--help"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True).stdout
        return "disk add" in said

    def disk_add(self, image, *options, name=GUESTS[0]):
        """=> the socket at which it is served; who connects becomes the guest of that name"""
        path = self._run_dir + "/%s-disk.sock" % name
        self._ctl("disk", "add", name, "--image", image, "--socket", path, *options)
        return path

    def attached(self, guest):
        """It has connected to the disk."""
        self._touchers = (guest,)

    def wait_gone(self, seconds=30):
        """Its VMM has ended; => when Drum has let go of it"""
        deadline = time.monotonic() + seconds
        while json.loads(self._ctl("guest", "list", "--json")):
            if time.monotonic() > deadline:
                self._fail("a guest that has ended is still listed")
            time.sleep(0.05)

    def _show(self, kind, name):
        answer = json.loads(self._ctl(kind, "show", name, "--json", "--bytes"))
        return answer[0] if isinstance(answer, list) else answer

    def disk_show(self, name=GUESTS[0]):
        """=> all that Drum says of the disk, sizes in bytes"""
        return self._show("disk", name)

    def has_swapcache(self):
        """Does this drumctl know it?"""
        said = subprocess.run([self._build + "/drumctl", "--help"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True).stdout
        return "swapcache set" in said

    def swapcache_set(self, **knobs):
        self._ctl("swapcache", "set", *("%s=%s" % knob for knob in knobs.items()))

    def swapcache_show(self):
        """=> all that Drum says of it, sizes in bytes"""
        return json.loads(self._ctl("swapcache", "show", "--json", "--bytes"))

    def has_arbiter(self):
        """Does this drumctl know it?"""
        said = subprocess.run([self._build + "/drumctl", "--help"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True).stdout
        return "host set" in said

    def swap_show(self):
        return self._show("swap", self.file)

    def _wait_for_socket(self):
        deadline = time.monotonic() + 15
        while True:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self._socket)
                    return
                except OSError:
                    pass
            if self._daemon.poll() is not None:
                self._fail("drumd ended at its start, exit status %d" % self._daemon.returncode)
            if time.monotonic() > deadline:
                self._fail("drumd does not listen on %s after 15 s" % self._socket)
            time.sleep(0.02)

    def attach(self, *touchers):
        self._touchers = touchers
        for number, toucher in enumerate(touchers):
            self._ctl("guest", "attach", str(toucher.pid), "--name", GUESTS[number],
                      "--limit", str(toucher.size))

    def detach(self):
        for name in self._guests():
            self._ctl("guest", "detach", name)
        self._touchers = ()

    def _guests(self):
        return GUESTS[:len(self._touchers)]

    def limit(self, size):
        for name in self._guests():
            self._ctl("guest", "set", name, "--limit", str(size // len(self._touchers)))

    def lift(self):
        for name, toucher in zip(GUESTS, self._touchers):
            self._ctl("guest", "set", name, "--limit", str(toucher.size))

    def resident(self):
        """By the memfd itself, not by what Drum says of it."""
        return sum(t.allocated() for t in self._touchers)

    def page_out(self):
        for name in self._guests():
            self._ctl("guest", "out", name)

    def page_in(self):
        for name in self._guests():
            self._ctl("guest", "in", name)

    def show(self):
        """=> all that Drum says of the first guest, sizes in bytes"""
        return self._show("guest", GUESTS[0])

    def own_memory(self):
        return own_memory(self.pids(), self._run_dir)

    def paging(self):
        """=> the limits of paging, as drumctl names them, in bytes and numbers"""
        return json.loads(self._ctl("paging", "show", "--json", "--bytes"))

    def set_paging(self, cluster, depth):
        self._ctl("paging", "set", "--cluster", str(cluster), "--depth", str(depth))

    def pids(self):
        """=> drumd and its pager"""
        pids = [self._daemon.pid]
        for path in glob.glob("/proc/%d/task/*/children" % self._daemon.pid):
            with open(path) as children:
                pids += [int(pid) for pid in children.read().split()]
        return pids

    def cpu_seconds(self):
        return cpu_of(self.pids())

    def slack(self):
        return 0

    def figures(self):
        """What Drum says of the guest; kept with the results, not compared."""
        answer = json.loads(self._ctl("guest", "list", "--json"))
        guests = answer if isinstance(answer, list) else next(
            (v for v in answer.values() if isinstance(v, list)), [])
        for guest in guests:
            if guest.get("name") == GUESTS[0]:
                return guest
        self._fail("drumctl guest list --json does not list the guest %s" % GUESTS[0])

    def end(self):
        """After the toucher has ended."""
        self._undo.undo(self._key)
        status = self._daemon.wait()
        self._log.close()
        self._undo.undo(self._mount_key)
        self._undo.undo(self._dir_key)
        if status != 0:
            self._fail("drumd did not stop cleanly, exit status %d" % status)
