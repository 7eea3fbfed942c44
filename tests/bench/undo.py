# SPDX-License-Identifier: BSD-2-Clause
"""Undo what was done to the machine, whatever becomes of the benchmark.

Every change (swap switched on, a file in /proc/sys, a cgroup, a process) is
told to a guardian process before it is made.  The guardian undoes one when it
is asked to, and all that are left, last first, when its pipe closes: at the
normal end as well as when the benchmark was killed with -9.  So there is one
way to restore things, and every run uses it.

Each action is harmless when there is nothing to undo.
"""
import json
import os
import signal
import subprocess
import sys
import time

PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def swap_is_on(path):
    """Is this very file in /proc/swaps?  Told by inode: paths have many spellings."""
    with open("/proc/swaps") as swaps:
        names = [line.split()[0] for line in swaps.readlines()[1:]]
    for name in names:
        name = name.encode().decode("unicode_escape")
        try:
            if os.path.samefile(name, path):
                return True
        except OSError:
            continue
    return False


def run_tool(*command):
    """Run a program of the system; raise RuntimeError with what it said."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "PATH": PATH, "LC_ALL": "C"})
    if done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stdout.strip()
                                       or "exit status %d" % done.returncode))
    return done.stdout


def undo_swapoff(path):
    if os.path.exists(path) and swap_is_on(path):
        run_tool("swapoff", path)


def undo_write(path, text):
    with open(path, "w") as out:
        out.write(text)


def undo_unlink(path):
    if os.path.lexists(path):
        os.unlink(path)


def undo_umount(path):
    if os.path.ismount(path):
        run_tool("umount", "-l", path)


def undo_rmtree(path):
    run_tool("rm", "-rf", "--", path)


def undo_rmdir(path):
    """A cgroup's directory is busy for a moment after its last process ended."""
    deadline = time.monotonic() + 10
    while os.path.isdir(path):
        try:
            os.rmdir(path)
        except OSError as e:
            if time.monotonic() > deadline:
                raise RuntimeError("cannot remove %s: %s" % (path, e)) from e
            time.sleep(0.02)


def group_signal(group, signum):
    """=> is there anybody left in the process group?"""
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    return True


def undo_kill(pidfd, group, grace):
    """End a process politely, then by force; then what is left of its group."""
    import select
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], grace)[0]:
            sys.stderr.write("run-bench: process %d ignores SIGTERM for %g s: killing it\n"
                             % (group, grace))
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], 30)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)
    group_signal(group, signal.SIGKILL)


ACTIONS = {f.__name__[5:]: f for f in
           (undo_swapoff, undo_write, undo_unlink, undo_umount, undo_rmtree, undo_rmdir,
            undo_kill)}


class Undo:
    """The benchmark's end of the guardian."""

    def __init__(self):
        theirs, self._to = os.pipe()
        self._from, answer = os.pipe()
        self._next = 0
        self._child = os.fork()
        if self._child == 0:
            os.close(self._to)
            os.close(self._from)
            try:
                status = self._guard(theirs, answer)
            except BaseException as e:      # nothing may escape into the parent's code
                sys.stderr.write("run-bench: the guardian failed: %r\n" % e)
                status = 1
            os._exit(status)
        os.close(theirs)
        os.close(answer)
        self._answers = os.fdopen(self._from)

    @staticmethod
    def _guard(requests, answers):
        os.setsid()     # Ctrl-C on the terminal is for the benchmark, not for us
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(signum, signal.SIG_IGN)
        pending, failed = {}, False

        def undo(key):
            nonlocal failed
            action, arguments = pending.pop(key)
            try:
                ACTIONS[action](**arguments)
                return "ok"
            except Exception as e:
                failed = True
                sys.stderr.write("run-bench: NOT restored: %s %s: %s\n"
                                 % (action, arguments, e))
                return str(e).replace("\n", " ")

        with os.fdopen(requests) as lines:
            for line in lines:
                request = json.loads(line)
                if request["op"] == "add":
                    # A descriptor names the process even after its number is used again.
                    arguments, reply = request["arguments"], "ok"
                    if "pid" in arguments:
                        pid = arguments.pop("pid")
                        arguments["pidfd"] = os.pidfd_open(pid)
                        arguments["group"] = pid
                    pending[request["key"]] = (request["action"], arguments)
                else:
                    reply = undo(request["key"])
                try:
                    os.write(answers, (reply + "\n").encode())
                except BrokenPipeError:
                    pass    # the benchmark is gone; the loop ends with its pipe
        for key in sorted(pending, reverse=True):
            undo(key)
        return 1 if failed else 0

    def _ask(self, **request):
        os.write(self._to, (json.dumps(request) + "\n").encode())
        answer = self._answers.readline().strip()
        if answer != "ok":
            raise RuntimeError(answer or "the guardian process is gone")

    def add(self, action, **arguments):
        """Promise to undo something that is about to be done.  => key for undo()"""
        self._next += 1
        self._ask(op="add", key=self._next, action=action, arguments=arguments)
        return self._next

    def undo(self, key):
        self._ask(op="undo", key=key)

    def close(self):
        """Undo all that is left.  => was everything restored?"""
        os.close(self._to)
        status = os.waitpid(self._child, 0)[1]
        self._answers.close()
        return status == 0
