# SPDX-License-Identifier: BSD-2-Clause
"""The process that stands for the VMM, as the benchmark drives it."""
import json
import os
import select
import signal
import subprocess
import threading
import time

from cpu import cpu_of


class BenchError(Exception):
    """Something is broken, or missing; the text says what and what to do."""


class Killed(BenchError):
    """The kernel killed vmm_toucher: a memory cgroup that could not reclaim enough."""


class Toucher:
    """vmm_toucher, its RAM stamped and ready."""
    _live = set()

    def __init__(self, undo, program, size, enter=None, content="random"):
        # A group of its own: it ends by the guardian, not by a Ctrl-C in its middle.
        self.process = subprocess.Popen([program, "--size", str(size),
                                         "--content", content],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=enter, start_new_session=True)
        self._undo, self._key = undo, None
        self._live.add(self)
        self._buffer = b""
        self.size = size
        self.pid = self.process.pid
        try:
            self._key = undo.add("kill", pid=self.pid, grace=5)
            ready = self.answer(60)
            self._memfd = "/proc/%d/fd/%d" % (self.pid, ready["memfd"])
            self.clock_ns = ready["clock-ns"]
        except BaseException:
            self.close()
            raise

    def allocated(self):
        """Bytes of the memfd that are in RAM or, by the kernel, on swap."""
        return os.stat(self._memfd).st_blocks * 512

    def tell(self, line):
        try:
            os.write(self.process.stdin.fileno(), (line + "\n").encode())
        except BrokenPipeError:
            raise BenchError("vmm_toucher ended unexpectedly (killed for want of memory?)")

    def answer(self, timeout):
        """The next line of JSON; an error of the program's is ours."""
        deadline = time.monotonic() + timeout
        out = self.process.stdout.fileno()
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise BenchError("vmm_toucher (pid %d) gave no answer within %g s: "
                                 "a fault that nobody serves?" % (self.pid, timeout))
            data = os.read(out, 1 << 16)
            if not data:
                if self.process.wait() == -signal.SIGKILL:
                    raise Killed("vmm_toucher was killed for want of memory")
                raise BenchError("vmm_toucher ended unexpectedly, exit status %s"
                                 % self.process.wait())
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer = json.loads(line)
        if answer["event"] == "error":
            raise BenchError("vmm_toucher: " + answer["message"])
        return answer

    def start(self, **fields):
        self.tell("run " + " ".join("%s=%s" % item for item in fields.items()))

    def stop(self):
        self.tell("stop")
        return self.answer(60)

    def run(self, **fields):
        self.start(**fields)
        return self.answer(60 + fields.get("seconds", 0) + fields.get("warm", 0))

    def touched(self, seconds):
        """=> bytes of the pages that were touched within so many seconds"""
        self.tell("touched %g" % seconds)
        return self.answer(60)["pages"] * 4096

    def cpu_seconds(self):
        return cpu_of([self.pid])

    @classmethod
    def close_all(cls):
        for toucher in list(cls._live):
            toucher.close()

    def close(self):
        """End it; its RAM and swap are free when this returns."""
        self._live.discard(self)
        if self._key is not None:
            key, self._key = self._key, None
            self._undo.undo(key)
        elif self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Watch:
    """Sample a number of bytes ten times a second; does a pager keep its budget?"""

    def __init__(self, read):
        self._read, self._end = read, threading.Event()
        self.samples = []
        self._thread = threading.Thread(target=self._main, daemon=True)

    def _main(self):
        while not self._end.wait(0.1):
            try:
                self.samples.append(self._read())
            except OSError:
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def peak(self):
        return max(self.samples, default=0)

    def mean(self):
        return sum(self.samples) // max(1, len(self.samples))
