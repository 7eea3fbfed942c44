# SPDX-License-Identifier: BSD-2-Clause
"""The file that all pagers swap to."""
import os
import stat

from toucher import BenchError
from undo import undo_swapoff

MIB = 1 << 20


def make_swap_file(undo, path, size, keep):
    """A file with every block written: a hole or an unwritten extent costs no read."""
    if os.path.exists(path):
        try:
            undo_swapoff(path)      # of a run whose guardian was killed too
        except RuntimeError as e:
            raise BenchError("%s is in use as swap: %s" % (path, e))
        st = os.stat(path)
        if keep and stat.S_ISREG(st.st_mode) and st.st_size == size \
                and st.st_blocks * 512 >= size:
            return
        os.unlink(path)
    if not keep:
        undo.add("unlink", path=path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)     # in few extents
        data = os.urandom(4 * MIB)
        for at in range(0, size, len(data)):
            os.pwrite(fd, data[:size - at], at)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as e:
        raise BenchError("cannot write a swap file of %d MiB: %s: %s; "
                         "choose another place with --swap-file" % (size // MIB, path, e))
    finally:
        os.close(fd)
