# SPDX-License-Identifier: BSD-2-Clause
"""What no pager can beat, measured in the same run as the pagers.

A raw random read of the swap file by io_uring; the round trip of an empty userfaultfd;
a fault that is answered by the least there can be in user space; and how fast fio writes the file sequentially.
"""
import json
import shutil
import subprocess

from toucher import BenchError

FIO_BLOCKS = ("128k", "512k", "1m")
FIO_DEPTHS = (1, 4, 16)


def ask(program, *arguments):
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise BenchError("cannot measure what the machine can do at best: %s %s failed; is "
                         "the swap file on a disk?" % (program, " ".join(arguments)))
    return json.loads(done.stdout)


def raw_read(build, path, seconds, seed):
    return ask(build + "/tests/bench/floors", "raw", path, str(seconds), str(seed))


def handler(build, path, seconds, seed):
    return ask(build + "/tests/bench/floors", "handler", path, str(seconds), str(seed))


def userfaultfd(build):
    return ask(build + "/tests/bench/floors", "userfaultfd")


def fio_write(path, size, block, depth):
    """=> MiB/s of sequential writes of random data over blocks that are allocated"""
    done = subprocess.run(
        ["fio", "--name=write", "--filename=" + path, "--rw=write", "--direct=1",
         "--ioengine=io_uring", "--bs=" + block, "--iodepth=%d" % depth, "--size=%d" % size,
         "--allow_file_create=0", "--overwrite=1", "--refill_buffers", "--output-format=json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise BenchError("fio failed: " + (done.stderr or done.stdout).strip())
    job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    return job["write"]["bw_bytes"] / (1 << 20)


class Fio:
    """Sequential writes at the best block size: looked for once, then repeated."""

    def __init__(self, path, size):
        self._path, self._size = path, size
        self.best, self.tried, self.runs = None, [], []

    @staticmethod
    def missing():
        return None if shutil.which("fio") else \
            "fio is not installed (configure --install-deps=check does it)"

    def search(self):
        for block in FIO_BLOCKS:
            for depth in FIO_DEPTHS:
                rate = fio_write(self._path, self._size // 4, block, depth)
                self.tried.append({"block": block, "depth": depth, "mib-s": rate})
        self.best = max(self.tried, key=lambda one: one["mib-s"])

    def repeat(self):
        if self.best is None:
            self.search()
        self.runs.append(fio_write(self._path, self._size, self.best["block"],
                                   self.best["depth"]))

    def as_json(self):
        return {"best": self.best, "tried": self.tried, "runs-mib-s": self.runs}
