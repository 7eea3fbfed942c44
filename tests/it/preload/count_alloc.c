/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For LD_PRELOAD: counts who asks for memory on threads named drum-worker.
 *
 * COUNT_ALLOC names a file of 4096 bytes, which is mapped by every process:
 *
 *	bytes 0 to 3	the test writes something other than 0: count from now on
 *	bytes 8 to 15	how often it happened
 *	from byte 16 on	the first callers: offset in the program or library
 *
 * tests/it/t_no_alloc.sh reads it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLERS 64

struct shared {
	uint32_t armed;
	uint64_t count;
	uint64_t caller[CALLERS];
};

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static struct shared *shared;

static void __attribute__((constructor)) begin(void)
{
	const char *path = getenv("COUNT_ALLOC");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	if (fd >= 0)
		p = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
				    fd, 0);
	if (p != MAP_FAILED)
		shared = p;
	if (fd >= 0)
		close(fd);
}

static void note(void *caller)
{
	char name[16] = "";
	Dl_info info;
	uint64_t n;
	int err = errno;

	if (!shared || !__atomic_load_n(&shared->armed, __ATOMIC_RELAXED))
		return;
	prctl(PR_GET_NAME, name);
	errno = err;
	if (strcmp(name, "drum-worker") != 0)
		return;
	n = __atomic_fetch_add(&shared->count, 1, __ATOMIC_RELAXED);
	if (n < CALLERS && dladdr(caller, &info))
		shared->caller[n] = (uint64_t)((char *)caller - (char *)info.dli_fbase);
	errno = err;
}

#define NOTE note(__builtin_return_address(0))

void *malloc(size_t n)
{
	NOTE;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	NOTE;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	NOTE;
	return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	NOTE;
	return __libc_memalign(align, n);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
	NOTE;
	return __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	NOTE;
	*p = __libc_memalign(align, n);
	return *p ? 0 : ENOMEM;
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	NOTE;
	return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, off);
}
