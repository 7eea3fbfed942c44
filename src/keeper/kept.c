/* SPDX-License-Identifier: BSD-2-Clause */

#include "keeper/kept.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "keeper/store.h"

#define KEPT_NAME 64

/* Two guests can share a process, which then has two. */
static void uffd_name(char name[KEPT_NAME], pid_t pid, uint64_t start_time, int remote)
{
	snprintf(name, KEPT_NAME, "uffd-%d-%" PRIu64 "-%d", (int)pid, start_time, remote);
}

static void memfd_name(char name[KEPT_NAME], uint64_t dev, uint64_t ino)
{
	snprintf(name, KEPT_NAME, "memfd-%" PRIu64 "-%" PRIu64, dev, ino);
}

bool is_userfaultfd_of(pid_t pid, int fd)
{
	char link[64], target[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	return strcmp(target, "anon_inode:[userfaultfd]") == 0;
}

void kept_put_uffd(pid_t pid, uint64_t start_time, int remote, int fd)
{
	char name[KEPT_NAME];

	uffd_name(name, pid, start_time, remote);
	(void)store_put(name, fd, true);
}

int kept_take_uffd(pid_t pid, uint64_t start_time, int remote)
{
	char name[KEPT_NAME];
	int fd;

	uffd_name(name, pid, start_time, remote);
	fd = store_take(name);
	if (fd < 0)
		return -ENOENT;
	if (is_userfaultfd_of(getpid(), fd))
		return fd;
	log_err("descriptor %s of the store is no userfaultfd", name);
	store_forget(name);
	close(fd);
	return -ENOENT;
}

void kept_forget_uffd(pid_t pid, uint64_t start_time, int remote)
{
	char name[KEPT_NAME];

	uffd_name(name, pid, start_time, remote);
	store_forget(name);
}

void kept_put_memfds(const struct memfd *m, int n)
{
	char name[KEPT_NAME];

	for (int i = 0; i < n; i++) {
		memfd_name(name, m[i].dev, m[i].ino);
		(void)store_put(name, m[i].fd, true);
	}
}

/* => false: it is not there */
static bool take_memfd(const struct left_memfd *want, struct memfd *out)
{
	char name[KEPT_NAME];
	struct stat st;
	int fd;

	memfd_name(name, want->dev, want->ino);
	fd = store_take(name);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) < 0 || st.st_dev != want->dev || st.st_ino != want->ino) {
		log_err("descriptor %s of the store is another file", name);
		store_forget(name);
		close(fd);
		return false;
	}
	*out = (struct memfd){ fd, st.st_dev, st.st_ino, (uint64_t)st.st_size };
	return true;
}

bool kept_take_memfds(const struct left_memfd *want, int n, struct memfd out[PROTO_MEMFDS_MAX])
{
	for (int i = 0; i < n; i++)
		if (!take_memfd(&want[i], &out[i])) {
			memfds_close(out, i);
			return false;
		}
	return n > 0;
}

void kept_forget_memfds(const struct memfd *m, int n)
{
	char name[KEPT_NAME];

	for (int i = 0; i < n; i++) {
		memfd_name(name, m[i].dev, m[i].ino);
		store_forget(name);
	}
}

bool kept_is_name(const char *name)
{
	return strncmp(name, "uffd-", 5) == 0 || strncmp(name, "memfd-", 6) == 0;
}

bool kept_may_be_needed(const char *name)
{
	unsigned long long since;
	int pid;

	if (sscanf(name, "uffd-%d-%llu", &pid, &since) == 2)
		return start_time_of(pid) == since;
	return strncmp(name, "memfd-", 6) == 0;
}
