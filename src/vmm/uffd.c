/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_MAX 32

#define FEATURES                                                                               \
	(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_EVENT_REMOVE)

/* The thread that faults: a descriptor that is set up without has 0 in its place. */
#define FEATURES_WISHED UFFD_FEATURE_THREAD_ID

static int agree(int fd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURES | FEATURES_WISHED };

	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return 0;
	/* a wish that the kernel does not know leaves the descriptor as it was */
	api = (struct uffdio_api){ .api = UFFD_API, .features = FEATURES };
	return ioctl(fd, UFFDIO_API, &api) == 0 ? 0 : -errno;
}

static int open_own(int dev)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == EPERM && dev >= 0)
		fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int uffd_probe(int dev, struct err *e)
{
	int fd = open_own(dev), ret;

	if (fd < 0)
		return err_set(e, fd,
			       "userfaultfd: %s (vm.unprivileged_userfaultfd, or no "
			       "/dev/userfaultfd)",
			       strerror(-fd));
	ret = agree(fd);
	close(fd);
	if (ret == 0)
		return 0;
	return err_set(
		e, -ENOTSUP,
		"this kernel's userfaultfd knows no minor faults of shared memory: Linux 6.1 "
		"or newer is needed");
}

int uffd_setup(int fd, struct err *e)
{
	int ret = agree(fd);

	/* It works once a descriptor, so EINVAL is one that has agreed: that
	 * the kernel knows the features was found out by uffd_probe. */
	if (ret == 0 || ret == -EINVAL)
		return 0;
	return err_set(e, ret, "UFFDIO_API: %s", strerror(-ret));
}

int uffd_register(int fd, uint64_t start, uint64_t len, struct err *e)
{
	struct uffdio_register reg = {
		.range = { start, len },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR,
	};
	int code;

	if (ioctl(fd, UFFDIO_REGISTER, &reg) == 0)
		return 0;
	code = -errno;
	if (code == -EBUSY)
		return err_set(e, code,
			       "the RAM is registered with another userfaultfd already "
			       "(another pager, or postcopy migration)");
	return err_set(e, code, "cannot register %llu bytes at %#llx: %s",
		       (unsigned long long)len, (unsigned long long)start, strerror(-code));
}

int uffd_unregister(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_range range = { start, len };

	return ioctl(fd, UFFDIO_UNREGISTER, &range) < 0 ? -errno : 0;
}

bool uffd_is_registered(int fd, uint64_t addr)
{
	struct uffdio_continue cont = { .range = { addr, 4096 } };

	/* the range is looked up before the page is */
	return ioctl(fd, UFFDIO_CONTINUE, &cont) == 0 || errno != ENOENT;
}

int uffd_read(int fd, struct uffd_event *ev, int max)
{
	struct uffd_msg msg[READ_MAX];
	ssize_t n;
	int count = 0;

	if (max > READ_MAX)
		max = READ_MAX;
	do
		n = read(fd, msg, sizeof(msg[0]) * (size_t)max);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (size_t i = 0; i < (size_t)n / sizeof(msg[0]); i++) {
		const struct uffd_msg *m = &msg[i];

		if (m->event == UFFD_EVENT_PAGEFAULT)
			ev[count++] = (struct uffd_event){
				.type = UFFD_FAULT,
				.addr = m->arg.pagefault.address & ~UINT64_C(4095),
				.write = m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE,
				.minor = m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR,
				.tid = (pid_t)m->arg.pagefault.feat.ptid,
			};
		else if (m->event == UFFD_EVENT_REMOVE)
			ev[count++] = (struct uffd_event){
				.type = UFFD_REMOVE,
				.addr = m->arg.remove.start,
				.end = m->arg.remove.end,
			};
	}
	return count;
}

/* What an ioctl that failed may have done before it did. */
static ssize_t result(int ret, int64_t done)
{
	int code = errno;

	if (ret == 0 || done > 0)
		return (ssize_t)done;
	return -code;
}

ssize_t uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len)
{
	struct uffdio_copy copy = { .dst = dst, .src = (uint64_t)(uintptr_t)src, .len = len };
	int ret = ioctl(fd, UFFDIO_COPY, &copy);

	return result(ret, copy.copy);
}

ssize_t uffd_zero(int fd, uint64_t dst, uint64_t len)
{
	struct uffdio_zeropage zero = { .range = { dst, len } };
	int ret = ioctl(fd, UFFDIO_ZEROPAGE, &zero);

	return result(ret, zero.zeropage);
}

ssize_t uffd_continue(int fd, uint64_t dst, uint64_t len)
{
	struct uffdio_continue cont = { .range = { dst, len } };
	int ret = ioctl(fd, UFFDIO_CONTINUE, &cont);

	return result(ret, cont.mapped);
}

/* Of Linux 6.6; the headers of 6.1 do not have it. */
struct poison {
	struct uffdio_range range;
	uint64_t mode;
	int64_t updated;
};

#define POISON _IOWR(UFFDIO, 0x08, struct poison)

ssize_t uffd_poison(int fd, uint64_t dst, uint64_t len)
{
	struct poison poison = { .range = { dst, len } };
	int ret = ioctl(fd, POISON, &poison);

	if (ret < 0 && (errno == EINVAL || errno == ENOTTY) && poison.updated == 0)
		return -ENOTSUP;
	return result(ret, poison.updated);
}

void uffd_wake(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_range range = { start, len };

	ioctl(fd, UFFDIO_WAKE, &range);
}

int uffd_guard(int dev, void *start, size_t len, struct err *e)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features =
					  UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_SIGBUS };
	struct uffdio_register reg = {
		.range = { (uint64_t)(uintptr_t)start, len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = open_own(dev), code;

	if (fd < 0)
		return err_set(e, fd, "userfaultfd: %s", strerror(-fd));
	if (ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &reg) == 0)
		return fd;
	code = -errno;
	close(fd);
	return err_set(e, code, "cannot guard our mapping of the RAM: %s", strerror(-code));
}
