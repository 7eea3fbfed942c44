/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/disk_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memlock.h"
#include "base/version.h"

#define MAGIC "drum disk 1"

struct file {
	char magic[16];
	char build[VERSION_MAX]; /* a struct of another one may be another */
	uint64_t bytes;
	uint64_t current; /* 0 or 1; stored last */
	struct disk_now copy[2];
};

struct disk_state {
	struct file *file;
};

static void file_name(char *out, size_t size, const char *name)
{
	snprintf(out, size, "disk-%s.state", name);
}

static bool is_ours(const struct file *f)
{
	return memcmp(f->magic, MAGIC, sizeof(MAGIC)) == 0 &&
	       strncmp(f->build, drum_version, sizeof(f->build)) == 0 &&
	       f->bytes == sizeof(*f) && f->current <= 1;
}

static void lay_out(struct file *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->build, sizeof(f->build), "%s", drum_version);
	f->bytes = sizeof(*f);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(f->magic, MAGIC, sizeof(MAGIC));
}

struct disk_state *disk_state_open(int dir_fd, const char *name, struct err *e)
{
	struct disk_state *s = calloc(1, sizeof(*s));
	char file[96];
	void *p = MAP_FAILED;
	int fd;

	file_name(file, sizeof(file), name);
	fd = openat(dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* allocated now: a store to a tmpfs that is full would be SIGBUS */
	if (s && fd >= 0 && (errno = posix_fallocate(fd, 0, sizeof(*s->file))) == 0)
		p = mmap(NULL, sizeof(*s->file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		err_set(e, -errno, "cannot write %s in the run directory: %s", file,
			strerror(errno));
		if (fd >= 0)
			close(fd);
		free(s);
		return NULL;
	}
	close(fd);
	s->file = p;
	if (!is_ours(s->file))
		lay_out(s->file);
	memlock_touch(s->file, sizeof(*s->file));
	return s;
}

void disk_state_close(struct disk_state *s)
{
	if (!s)
		return;
	munmap(s->file, sizeof(*s->file));
	free(s);
}

void disk_state_remove(int dir_fd, const char *name)
{
	char file[96];

	file_name(file, sizeof(file), name);
	unlinkat(dir_fd, file, 0);
}

const struct disk_now *disk_state_now(const struct disk_state *s)
{
	return &s->file->copy[s->file->current & 1];
}

void disk_state_commit(struct disk_state *s, const struct disk_now *next)
{
	uint64_t other = !(s->file->current & 1);

	s->file->copy[other] = *next;
	__atomic_store_n(&s->file->current, other, __ATOMIC_RELEASE);
}

void disk_state_begin(struct disk_state *s, const struct vhost_disk *disk, pid_t pid,
		      const char *guest)
{
	struct disk_now next = { .pid = pid, .number = disk_state_now(s)->number };

	vhost_dev_init(&next.dev, disk);
	snprintf(next.guest, sizeof(next.guest), "%s", guest);
	disk_state_commit(s, &next);
}

void disk_state_end(struct disk_state *s)
{
	struct disk_now next = { .number = disk_state_now(s)->number };

	disk_state_commit(s, &next);
}
