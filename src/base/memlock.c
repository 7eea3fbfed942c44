/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Two calls of mlockall(2): the first brings in and locks what is mapped now
 * (code, libraries, the heap so far); the second says that what is mapped later is
 * locked page by page, when it is touched (MCL_ONFAULT).  Without that word every
 * later mapping would be filled at once: thread stacks of 8 MiB, sparse files of
 * swblocks, and the RAM of guests.
 *
 * Where RLIMIT_MEMLOCK is a limit and cannot be raised the second call is left out: from then
 * on any mmap(2) could fail, and take a guest with it.
 */

#include "base/memlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define PAGE  4096u
#define STACK (64u << 10) /* a worker has messages of 3 KiB there, and lines of the log */

/* Behind all that has not asked for the same; -1000 would be never, not even if it is
 * we who have taken all memory. */
#define OOM_SCORE -900
#define OOM_TEXT  "-900"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SHADOWED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SHADOWED 1
#endif

/* May we lock as much as we like? */
static bool unlimited(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	/* raised even if the capability is there: it may be given up later */
	if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0)
		return true;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
		return true;
	return syscall(SYS_capget, &head, caps) == 0 &&
	       caps[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK);
}

static int lock_all(void)
{
	if (mlockall(MCL_CURRENT) < 0)
		return -errno;
	if (!unlimited())
		return -EPERM;
	return mlockall(MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}

void memlock_all(void)
{
	int ret;

#ifdef SHADOWED
	return;
#endif
	ret = lock_all();
	if (ret < 0)
		log_warn("own memory is not locked: %s; when the system is short of memory "
			 "guests may wait for long (CAP_IPC_LOCK, RLIMIT_MEMLOCK)",
			 strerror(-ret));
}

void memlock_exempt(void *p, size_t n)
{
	(void)munlock(p, n);
}

void memlock_touch(void *p, size_t n)
{
	volatile char *at = p;

	/* written, and not only read: what was read may be the zero page */
	for (size_t i = 0; i < n; i += PAGE) {
		char same = at[i];

		at[i] = same;
	}
	if (n > 0) {
		char same = at[n - 1];

		at[n - 1] = same;
	}
}

void __attribute__((noinline)) memlock_touch_stack(void)
{
	volatile char here[STACK];

	for (size_t i = 0; i < STACK; i += PAGE)
		here[i] = 0;
	(void)here[0];
}

void memlock_spare_me(void)
{
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0)
		return;
	/* who has started us may have said more */
	if (read(fd, text, sizeof(text) - 1) > 0 && atoi(text) > OOM_SCORE)
		(void)!pwrite(fd, OOM_TEXT, strlen(OOM_TEXT), 0);
	close(fd);
}
