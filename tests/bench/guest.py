# SPDX-License-Identifier: BSD-2-Clause
"""A real guest of stock QEMU, with one vhost-user-blk disk and a balloon, as benchmarks drive it.

It runs tests/it/guest/disk-init, which does what it is told on the console, and rereader.
"""
import json
import os
import re
import select
import shutil
import socket
import subprocess
import time

from cpu import cpu_of_process
from toucher import BenchError, Killed

QEMU = "qemu-system-x86_64"
TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../it/guest/")
COMPLAINTS = re.compile(r"I/O error|EXT4-fs (error|warning)|GUEST FAILED|Kernel panic|Oops|BUG: (?!soft)|"
                        r"segfault|Out of memory|rereader:")


def missing(build):
    """=> why there can be no guest, or None; builds what it runs"""
    if not shutil.which(QEMU):
        return "no " + QEMU
    for tool in ("build-guest", "build-bench"):
        done = subprocess.run([TOOLS + tool, build + "/tests/guest"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            return (done.stdout.strip().splitlines() or [tool + " failed"])[-1]
    return None


class Guest:
    """It is up when it says DISK UP; the disk is /dev/vda."""
    initramfs = "initramfs-bench.gz"
    append = "loglevel=4 rdinit=/disk-init patrol=none"
    devices = ("-device", "virtio-balloon-pci,id=balloon")

    def __init__(self, undo, build, size, backend):
        """backend: socket, of its disk if it has one, and qmp, where QEMU's is to be; enter();
        check(), which raises when it is not there any more"""
        self._undo, self._qmp, self._check = undo, backend.qmp, backend.check
        self.size, self._buffer, self._lines, self._jobs = size, b"", [], 0
        files = build + "/tests/guest/"
        disk = ("-chardev", "socket,id=disk,path=%s,reconnect=1" % backend.socket,
                "-device", "vhost-user-blk-pci,chardev=disk,num-queues=1") if backend.socket else ()
        self._process = subprocess.Popen(
            [QEMU, "-M", "q35,memory-backend=mem", "-accel", "tcg", "-smp", "1", "-m", "%dM" % (
                size >> 20), "-object", "memory-backend-memfd,id=mem,size=%d,share=on" % size,
             "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot",
             "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
             "-qmp", "unix:%s,server=on,wait=off" % backend.qmp,
             "-kernel", files + "vmlinuz", "-initrd", files + self.initramfs,
             "-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check "
             + self.append, *disk, *self.devices],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=backend.enter, start_new_session=True)
        self.pid = self._process.pid
        try:
            self._key = undo.add("kill", pid=self.pid, grace=10)
        except BaseException:
            self._process.kill()
            raise

    def _fail(self, text):
        raise BenchError("%s; its last words:\n%s" % (text, "\n".join(self._lines[-8:])))

    def _read_line(self, deadline):
        out = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if not select.select([out], [], [], max(0, min(1, left)))[0]:
                self._check()
                if left <= 0:
                    self._fail("the guest says nothing more")
                continue
            data = os.read(out, 1 << 16)
            if not data:
                if self._process.wait() == -9:
                    raise Killed("QEMU was killed for want of memory")
                self._fail("QEMU ended with %s" % self._process.wait())
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def wait_for(self, pattern, seconds):
        """=> the match in the next line in which it is"""
        deadline = time.monotonic() + seconds
        while True:
            line = self._read_line(deadline)
            self._lines.append(line)
            if COMPLAINTS.search(line):
                self._fail("the guest complains")
            found = re.search(pattern, line)
            if found:
                return found

    def begin(self, command):
        """=> a job in the background, for end()"""
        self._jobs += 1
        job = "job%d" % self._jobs
        self._process.stdin.write(("%s %s\n" % (job, command)).encode())
        self._process.stdin.flush()
        return job

    def end(self, job, seconds):
        status = self.wait_for(r"DISK %s (\d+)" % job, seconds).group(1)
        if status != "0":
            self._fail("%s ended with %s" % (job, status))

    def do(self, command, seconds=60):
        self.end(self.begin(command), seconds)

    def _memfd(self):
        with open("/proc/%d/maps" % self.pid) as maps:
            for line in maps:
                if "/memfd:memory-backend-memfd" in line:
                    return "/proc/%d/map_files/%s" % (self.pid, line.split()[0])
        raise BenchError("QEMU maps no guest RAM")

    def allocated(self):
        """Bytes of RAM that are in memory or, by the kernel, on swap."""
        return os.stat(self._memfd()).st_blocks * 512

    def pages_in_memory(self, runs):
        """=> how many pages of RAM are allocated; runs: [(first, pages)], below 2 GiB"""
        fd = os.open(self._memfd(), os.O_RDONLY)
        found = 0
        for first, pages in runs:
            at, end = first * 4096, (first + pages) * 4096
            while at < end:
                try:
                    data = min(end, os.lseek(fd, at, os.SEEK_DATA))
                except OSError:         # no more of it
                    break
                at = min(end, os.lseek(fd, data, os.SEEK_HOLE)) if data < end else end
                found += (at - data) // 4096
        os.close(fd)
        return found

    def cpu_seconds(self):
        return cpu_of_process(self.pid)

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(self._qmp)
            answers = s.makefile("r")
            answers.readline()          # the greeting
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": arguments}):
                s.sendall(json.dumps(request).encode() + b"\n")
                answer = json.loads(answers.readline())
                while "event" in answer:
                    answer = json.loads(answers.readline())
                if "error" in answer:
                    raise BenchError("QEMU: %s: %s" % (command, answer["error"]["desc"]))
        return answer["return"]

    def balloon(self, size, seconds=60):
        """Leave it so much; => when it has given back the rest"""
        self.qmp("balloon", value=size)
        deadline = time.monotonic() + seconds
        while self.qmp("query-balloon")["actual"] > size:
            if time.monotonic() > deadline:
                raise BenchError("the guest does not inflate its balloon")
            time.sleep(0.1)

    def close(self):
        self._undo.undo(self._key)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
