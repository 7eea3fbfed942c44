/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * stop:    PTRACE_SEIZE and PTRACE_INTERRUPT bring the main thread of the
 *	    process to an event stop, which is inside the kernel's signal
 *	    delivery, before anything of a blocked system call is undone.
 *	    A signal that is delivered first is passed on, not swallowed.
 * call:    registers are set for a system call and rip to a `syscall`
 *	    instruction of the vdso.  orig_rax is -1, so that the kernel does
 *	    not take our registers for an interrupted call of its own.
 *	    PTRACE_SYSCALL is used twice rather than PTRACE_SINGLESTEP once: a
 *	    single step raises SIGTRAP, and QEMU's threads block that, in which
 *	    case the kernel unblocks it for good.  That would be a trace left.
 *	    All signals are blocked meanwhile, or a handler would run with our
 *	    registers; a temporary mask (ppoll's) is set anew by the kernel when
 *	    that call starts again.
 * resume:  signal mask and registers are set back as they were found, and the thread is
 *	    interrupted once more: it thus passes through signal delivery with
 *	    its own registers, and whether its call starts again, or ends with
 *	    EINTR because a handler runs, is the kernel's own decision.
 * death:   we may be killed at any point in between, and the kernel then lets
 *	    the thread go on with whatever registers it has.  So before they
 *	    are touched a signal frame (sigframe.c) is put on its stack, and all
 *	    registers that we ever set lead through it: the call is followed by
 *	    `ret`, and that by rt_sigreturn, which brings back registers, FPU
 *	    and signal mask.  In the order of both stop and resume the thread is
 *	    at each step either in its own state or on its way back to it.
 *
 * The frame, and memory for arguments, is on the stack below the red zone.  Nothing
 * lives there by the ABI, but a handler might be using an alternate stack
 * that was set up beside it, so the bytes are put back afterwards; before the
 * thread runs on, since a handler may run then.
 *
 * The process may die at any moment: every wait then says so, and the error
 * is -ESRCH.
 */

#include "keeper/attach.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/point.h"

/* linux/userfaultfd.h belongs to vmm/uffd.c; this is all that is needed here */
#define USERFAULTFD_IOC_NEW_NR 0xAA00u

#define SCRATCH_SIZE 512u
#define RED_ZONE     128u

#define SYSCALL_LENGTH 2u /* bytes of the instruction */
#define BELOW_MAX      (SIGFRAME_MAX + SCRATCH_SIZE + 64u)

/* Milliseconds that a process may be held by another tracer of ours. */
#define SHARED_TRIES 1000

struct tracee {
	pid_t pid;
	int pidfd;
	struct sigframe_site site;
	struct user_regs_struct saved;
	uint64_t sigmask;	  /* as it was found */
	int stop_signal;	  /* came meanwhile, to be sent again; 0 = none */
	uint64_t sp;		  /* there, of the frame */
	uint64_t scratch;	  /* there, SCRATCH_SIZE bytes for arguments, below the frame */
	size_t below;		  /* bytes from scratch to the end of the frame */
	uint8_t was[BELOW_MAX];	  /* what was there */
	uint8_t frame[BELOW_MAX]; /* what is put there */
};

static int gone(pid_t pid, struct err *e)
{
	return err_set(e, -ESRCH, "process %d is gone", (int)pid);
}

static int ptrace_failed(pid_t pid, const char *what, struct err *e)
{
	int code = -errno;

	if (code == -ESRCH)
		return gone(pid, e);
	return err_set(e, code, "cannot trace process %d (%s): %s", (int)pid, what,
		       strerror(-code));
}

/* A number of /proc/PID/status, or 0. */
static int status_number(pid_t pid, const char *name)
{
	char path[64], line[256];
	size_t len = strlen(name);
	int number = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			number = atoi(line + len + 1);
			break;
		}
	if (f)
		fclose(f);
	return number;
}

/* Why is PTRACE_SEIZE refused? Say what can be found out. */
static int seize_failed(pid_t pid, struct err *e)
{
	int code = -errno, tracer, scope = 0;
	FILE *f;

	if (code == -ESRCH)
		return gone(pid, e);
	tracer = status_number(pid, "TracerPid");
	if (tracer > 0)
		return err_set(e, -EPERM,
			       "process %d is being traced by process %d (a debugger?): end "
			       "that first",
			       (int)pid, tracer);
	f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	if (f) {
		if (fscanf(f, "%d", &scope) != 1)
			scope = 0;
		fclose(f);
	}
	if (scope >= 3)
		return err_set(e, -EPERM,
			       "tracing is forbidden on this host until it is started anew: "
			       "kernel.yama.ptrace_scope is %d",
			       scope);
	return err_set(e, -EPERM,
		       "no permission to trace process %d: %s (drumd needs CAP_SYS_PTRACE, and "
		       "AppArmor or SELinux must allow it)",
		       (int)pid, strerror(-code));
}

/* Wait for the next stop. => its status, or -ESRCH */
static int wait_stop(struct tracee *t, struct err *e)
{
	int status;

	for (;;) {
		if (waitpid(t->pid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return gone(t->pid, e);
		}
		if (WIFEXITED(status) || WIFSIGNALED(status))
			return gone(t->pid, e);
		if (WIFSTOPPED(status))
			return status;
	}
}

static bool is_event_stop(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP;
}

/*
 * Wait for the event stop that PTRACE_INTERRUPT asked for; signals on the way
 * are delivered, since the thread is not in our hands yet (or no more).
 */
static int wait_event_stop(struct tracee *t, struct err *e)
{
	for (;;) {
		int status = wait_stop(t, e);

		if (status < 0)
			return status;
		if (is_event_stop(status))
			return 0;
		if (ptrace(PTRACE_CONT, t->pid, 0, WSTOPSIG(status)) < 0)
			return ptrace_failed(t->pid, "PTRACE_CONT", e);
	}
}

static int get_regs(struct tracee *t, struct user_regs_struct *regs, struct err *e)
{
	struct iovec iov = { regs, sizeof(*regs) };

	if (ptrace(PTRACE_GETREGSET, t->pid, NT_PRSTATUS, &iov) < 0)
		return ptrace_failed(t->pid, "PTRACE_GETREGSET", e);
	if (iov.iov_len != sizeof(*regs))
		return err_set(e, -ENOTSUP, "process %d is not a 64-bit process", (int)t->pid);
	return 0;
}

static int set_regs(struct tracee *t, const struct user_regs_struct *regs, struct err *e)
{
	struct iovec iov = { (void *)regs, sizeof(*regs) };

	if (ptrace(PTRACE_SETREGSET, t->pid, NT_PRSTATUS, &iov) < 0)
		return ptrace_failed(t->pid, "PTRACE_SETREGSET", e);
	return 0;
}

static int mem_read(struct tracee *t, uint64_t addr, void *buf, size_t len, struct err *e)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)addr, len };

	if (process_vm_readv(t->pid, &local, 1, &remote, 1, 0) != (ssize_t)len)
		return err_set(e, -EIO, "cannot read the stack of process %d: %s", (int)t->pid,
			       strerror(errno));
	return 0;
}

static int mem_write(struct tracee *t, uint64_t addr, const void *buf, size_t len,
		     struct err *e)
{
	struct iovec local = { (void *)buf, len }, remote = { (void *)(uintptr_t)addr, len };

	if (process_vm_writev(t->pid, &local, 1, &remote, 1, 0) != (ssize_t)len)
		return err_set(e, -EIO, "cannot write to the stack of process %d: %s",
			       (int)t->pid, strerror(errno));
	return 0;
}

/* Is its tracer one of our threads, or has it just let go? */
static bool traced_by_us(pid_t pid)
{
	int tracer = status_number(pid, "TracerPid");
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d", tracer);
	return tracer == 0 || access(path, F_OK) == 0;
}

/*
 * Another tracer of ours may have it for a moment: two guests can share a
 * process.
 */
static int seize(struct tracee *t, struct err *e)
{
	struct pollfd dead = { .fd = t->pidfd, .events = POLLIN };

	for (int i = 0; i < SHARED_TRIES; i++) {
		if (ptrace(PTRACE_SEIZE, t->pid, 0, PTRACE_O_TRACESYSGOOD) == 0) {
			/* the number may be another process's by now; ours is
			 * dead then, and a stranger is let go untouched */
			if (poll(&dead, 1, 0) == 0)
				return 0;
			ptrace(PTRACE_INTERRUPT, t->pid, 0, 0);
			if (wait_event_stop(t, NULL) == 0)
				ptrace(PTRACE_DETACH, t->pid, 0, 0);
			return gone(t->pid, e);
		}
		if (errno != EPERM || !traced_by_us(t->pid))
			break;
		usleep(1000);
		errno = EPERM;
	}
	return seize_failed(t->pid, e);
}

static int set_mask(struct tracee *t, const uint64_t *mask, struct err *e)
{
	if (ptrace(PTRACE_SETSIGMASK, t->pid, sizeof(*mask), mask) < 0)
		return ptrace_failed(t->pid, "PTRACE_SETSIGMASK", e);
	return 0;
}

/* The way back, on the thread's stack, before anything of it is changed. */
static int put_frame(struct tracee *t, struct err *e)
{
	uint8_t xstate[SIGFRAME_MAX], *image = t->frame + SCRATCH_SIZE;
	struct iovec iov = { xstate, sizeof(xstate) };
	uint64_t top = t->saved.rsp - RED_ZONE;
	size_t len;
	int ret;

	if (ptrace(PTRACE_GETREGSET, t->pid, NT_X86_XSTATE, &iov) < 0)
		return ptrace_failed(t->pid, "the state of its FPU", e);
	len = sigframe_build(image, &t->saved, t->sigmask, xstate, iov.iov_len, top, &t->site,
			     &t->sp);
	if (len == 0)
		return err_set(e, -ENOTSUP, "the FPU of process %d has %zu bytes of state",
			       (int)t->pid, iov.iov_len);
	t->scratch = t->sp - SCRATCH_SIZE;
	t->below = SCRATCH_SIZE + len;
	ret = mem_read(t, t->scratch, t->was, t->below, e);
	if (ret == 0)
		ret = mem_write(t, t->scratch, t->frame, t->below, e);
	return ret;
}

/*
 * Of a tracer that was killed the thread may still have its system call before it, if
 * it was kept from running since (SIGSTOP, a frozen cgroup).  It is not to be done any
 * more: the thread goes on behind it, on the way back.
 */
static void skip_leftover(struct tracee *t)
{
	struct sigframe_site left = { .call = t->saved.rip };

	if (mem_read(t, t->saved.rsp, &left.sigreturn, sizeof(left.sigreturn), NULL) == 0 &&
	    sigframe_holds(t->pid, &left))
		t->saved.rip += SYSCALL_LENGTH;
}

/* From here on all that the thread can do, if we die, is to go back. */
static int leave_own_state(struct tracee *t, struct err *e)
{
	const uint64_t all = UINT64_MAX;
	struct user_regs_struct back = t->saved;
	int ret;

	/* as if the `ret` had been done */
	back.rip = t->site.sigreturn;
	back.rsp = t->sp + sizeof(uint64_t);
	back.orig_rax = UINT64_MAX;
	ret = set_regs(t, &back, e);
	point_crash("attach-regs");
	if (ret == 0)
		ret = set_mask(t, &all, e);
	point_crash("attach-mask");
	return ret;
}

/* Let it go as it was found; signals that came meanwhile are pending there. */
static void tracee_resume(struct tracee *t)
{
	/* in this order, see "death" above; but once it is in its own state the
	 * bytes are nobody's way back */
	if (set_mask(t, &t->sigmask, NULL) < 0)
		return;
	point_crash("attach-unmask");
	if (set_regs(t, &t->saved, NULL) < 0)
		return;
	point_crash("attach-back");
	if (mem_write(t, t->scratch, t->was, t->below, NULL) < 0)
		log_warn("process %d: what was below its stack pointer is not put back",
			 (int)t->pid);
	if (ptrace(PTRACE_INTERRUPT, t->pid, 0, 0) < 0 || ptrace(PTRACE_CONT, t->pid, 0, 0) < 0)
		return;
	point_crash("attach-resume");
	if (wait_event_stop(t, NULL) < 0)
		return;
	ptrace(PTRACE_DETACH, t->pid, 0, 0);
	if (t->stop_signal)
		kill(t->pid, t->stop_signal);
}

static int tracee_stop(struct tracee *t, struct attach_target *target, struct err *e)
{
	pid_t pid = target->pid;
	int ret = 0;

	/* A process may be another program by now (execve). */
	if (!sigframe_holds(pid, &target->site))
		ret = sigframe_find(pid, &target->site, e);
	if (ret < 0)
		return ret;
	t->pid = pid;
	t->pidfd = target->pidfd;
	t->site = target->site;
	t->stop_signal = 0;
	memset(t->frame, 0, SCRATCH_SIZE);
	ret = seize(t, e);
	if (ret < 0)
		return ret;
	if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
		return ptrace_failed(pid, "PTRACE_INTERRUPT", e);
	ret = wait_event_stop(t, e);
	point_crash("attach-stopped");
	if (ret == 0)
		ret = get_regs(t, &t->saved, e);
	if (ret == 0 && ptrace(PTRACE_GETSIGMASK, pid, sizeof(t->sigmask), &t->sigmask) < 0)
		ret = ptrace_failed(pid, "PTRACE_GETSIGMASK", e);
	if (ret == 0)
		skip_leftover(t);
	if (ret == 0)
		ret = put_frame(t, e);
	point_crash("attach-frame");
	if (ret < 0) {
		if (ret != -ESRCH)
			ptrace(PTRACE_DETACH, pid, 0, 0);
		return ret;
	}
	ret = leave_own_state(t, e);
	if (ret < 0 && ret != -ESRCH)
		tracee_resume(t);
	return ret;
}

/* Resume until the next stop at the border of a system call. */
static int to_syscall_stop(struct tracee *t, struct err *e)
{
	for (;;) {
		int status;

		if (ptrace(PTRACE_SYSCALL, t->pid, 0, 0) < 0)
			return ptrace_failed(t->pid, "PTRACE_SYSCALL", e);
		status = wait_stop(t, e);
		if (status < 0)
			return status;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return 0;
		/* All that can be blocked is: this is SIGSTOP, or the group
		 * stop that another thread's SIGSTOP began. */
		if (!is_event_stop(status))
			t->stop_signal = WSTOPSIG(status);
	}
}

/* => what the call returned there, or an error of ours in *ret */
static int tracee_syscall(struct tracee *t, int64_t *result, struct err *e, uint64_t nr,
			  uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	struct user_regs_struct regs;
	int ret;

	regs = t->saved;
	regs.rip = t->site.call;
	regs.rsp = t->sp;
	regs.rax = nr;
	regs.orig_rax = UINT64_MAX;
	regs.rdi = a0;
	regs.rsi = a1;
	regs.rdx = a2;
	regs.r10 = a3;
	regs.r8 = 0;
	regs.r9 = 0;
	ret = set_regs(t, &regs, e);
	point_crash("attach-set");
	if (ret == 0)
		ret = to_syscall_stop(t, e);
	point_crash("attach-call");
	if (ret == 0)
		ret = to_syscall_stop(t, e);
	point_crash("attach-called");
	if (ret == 0)
		ret = get_regs(t, &regs, e);
	if (ret < 0)
		return ret;
	*result = (int64_t)regs.rax;
	return 0;
}

/* The same for calls that only fail for reasons of the process's own. */
static int tracee_call(struct tracee *t, int64_t *result, struct err *e, const char *what,
		       uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	int ret = tracee_syscall(t, result, e, nr, a0, a1, a2, a3);

	if (ret == 0 && *result < 0)
		ret = err_set(e, (int)*result, "%s inside process %d: %s", what, (int)t->pid,
			      strerror((int)-*result));
	return ret;
}

static int send_fd(int sock, int fd)
{
	struct iovec iov = { "u", 1 };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * Hand dev_uffd over: the process makes a pair of sockets, we take a
 * duplicate of one end, send the descriptor, and it receives it at the other.
 * => its number there
 */
static int hand_over(struct tracee *t, int pidfd, int dev_uffd, int *there, struct err *e)
{
	/* what the process's recvmsg is given, laid out in its scratch bytes */
	struct {
		struct msghdr msg;
		struct iovec iov;
		union {
			struct cmsghdr head;
			char space[CMSG_SPACE(sizeof(int))];
		} control;
		char byte;
		int pair[2];
	} lay = { 0 };
	uint64_t at = t->scratch;
	int64_t res, ignored;
	int ret, ours;

	_Static_assert(sizeof(lay) <= SCRATCH_SIZE, "scratch");
	ret = tracee_call(t, &res, e, "socketpair", SYS_socketpair, AF_UNIX,
			  SOCK_DGRAM | SOCK_CLOEXEC, 0,
			  at + ((uint8_t *)lay.pair - (uint8_t *)&lay));
	if (ret < 0)
		return ret;
	ret = mem_read(t, at + ((uint8_t *)lay.pair - (uint8_t *)&lay), lay.pair,
		       sizeof(lay.pair), e);
	if (ret < 0)
		return ret;

	ours = (int)syscall(SYS_pidfd_getfd, pidfd, lay.pair[0], 0);
	ret = ours < 0 ? -errno : send_fd(ours, dev_uffd);
	if (ours >= 0)
		close(ours);
	if (ret < 0) {
		err_set(e, ret, "cannot hand /dev/userfaultfd to process %d: %s", (int)t->pid,
			strerror(-ret));
		goto out;
	}

	lay.iov = (struct iovec){ (void *)(uintptr_t)(at + (size_t)(&lay.byte - (char *)&lay)),
				  1 };
	lay.msg.msg_iov = (void *)(uintptr_t)(at + (size_t)((char *)&lay.iov - (char *)&lay));
	lay.msg.msg_iovlen = 1;
	lay.msg.msg_control =
		(void *)(uintptr_t)(at + (size_t)((char *)&lay.control - (char *)&lay));
	lay.msg.msg_controllen = sizeof(lay.control);
	ret = mem_write(t, at, &lay, sizeof(lay), e);
	if (ret == 0)
		ret = tracee_call(t, &res, e, "recvmsg", SYS_recvmsg, (uint64_t)lay.pair[1], at,
				  MSG_CMSG_CLOEXEC, 0);
	if (ret == 0)
		ret = mem_read(t, at, &lay, sizeof(lay), e);
	if (ret == 0 && lay.control.head.cmsg_type != SCM_RIGHTS)
		ret = err_set(e, -EIO,
			      "process %d received no descriptor (too many open files?)",
			      (int)t->pid);
	if (ret == 0)
		memcpy(there, CMSG_DATA(&lay.control.head), sizeof(*there));
out:
	for (int i = 0; i < 2; i++)
		if (tracee_syscall(t, &ignored, NULL, SYS_close, (uint64_t)lay.pair[i], 0, 0,
				   0) < 0)
			break;
	return ret;
}

static int make_from_device(struct tracee *t, int pidfd, int dev_uffd, int64_t *remote,
			    struct err *e)
{
	int64_t ignored;
	int dev = -1, ret;

	if (dev_uffd < 0)
		return err_set(e, -EPERM,
			       "process %d may not use userfaultfd(2), and /dev/userfaultfd is "
			       "missing "
			       "here (modprobe it, or set vm.unprivileged_userfaultfd to 1)",
			       (int)t->pid);
	ret = hand_over(t, pidfd, dev_uffd, &dev, e);
	if (ret < 0)
		return ret;
	ret = tracee_call(t, remote, e, "ioctl(USERFAULTFD_IOC_NEW)", SYS_ioctl, (uint64_t)dev,
			  USERFAULTFD_IOC_NEW_NR, O_CLOEXEC | O_NONBLOCK, 0);
	if (tracee_syscall(t, &ignored, NULL, SYS_close, (uint64_t)dev, 0, 0, 0) < 0 &&
	    ret == 0)
		ret = gone(t->pid, e);
	return ret;
}

int attach_userfaultfd(struct attach_target *target, int dev_uffd, int *fd, int *remote,
		       struct err *e)
{
	int pidfd = target->pidfd;
	pid_t pid = target->pid;
	struct tracee t;
	int64_t res = -1, ignored;
	int ret = tracee_stop(&t, target, e);

	if (ret < 0)
		return ret;
	ret = tracee_syscall(&t, &res, e, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
	if (ret == 0 && res == -EPERM)
		ret = make_from_device(&t, pidfd, dev_uffd, &res, e);
	else if (ret == 0 && res < 0)
		ret = err_set(e, (int)res, "userfaultfd inside process %d: %s", (int)pid,
			      strerror((int)-res));
	if (ret == 0) {
		*remote = (int)res;
		*fd = (int)syscall(SYS_pidfd_getfd, pidfd, *remote, 0);
		if (*fd < 0) {
			ret = err_set(e, -errno, "pidfd_getfd from process %d: %s", (int)pid,
				      strerror(errno));
			if (tracee_syscall(&t, &ignored, NULL, SYS_close, (uint64_t)*remote, 0,
					   0, 0) < 0)
				log_warn("process %d keeps a userfaultfd that nobody uses",
					 (int)pid);
		}
	}
	tracee_resume(&t);
	return ret;
}

int attach_zap(struct attach_target *target, const struct attach_range *range, size_t n,
	       struct err *e)
{
	struct tracee t;
	int64_t res;
	int ret = tracee_stop(&t, target, e);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = tracee_call(&t, &res, e, "madvise(MADV_DONTNEED)", SYS_madvise,
				  range[i].start, range[i].len, MADV_DONTNEED, 0);
	tracee_resume(&t);
	return ret;
}

int attach_close(struct attach_target *target, int remote, struct err *e)
{
	struct tracee t;
	int64_t res;
	int ret = tracee_stop(&t, target, e);

	if (ret < 0)
		return ret;
	ret = tracee_call(&t, &res, e, "close", SYS_close, (uint64_t)remote, 0, 0, 0);
	tracee_resume(&t);
	return ret;
}
