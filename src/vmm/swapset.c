/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/swapset.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/point.h"

int swapset_save(int dir_fd, const struct swapset_entry *set, size_t n)
{
	int fd = openat(dir_fd, SWAPSET_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);
	int ret = fd < 0 ? -errno : 0;

	for (size_t i = 0; i < n && ret == 0; i++)
		if (dprintf(fd,
			    "%u %u %u %d %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64
			    " %" PRIu64 " %s\n",
			    set[i].number, set[i].half, set[i].flags, set[i].priority,
			    set[i].max_inflight, set[i].max_bandwidth, set[i].dev, set[i].ino,
			    set[i].bytes, set[i].path) < 0)
			ret = -errno;
	if (fd >= 0)
		close(fd);
	point_crash("swapset-new");
	if (ret == 0 && renameat(dir_fd, SWAPSET_FILE ".new", dir_fd, SWAPSET_FILE) < 0)
		ret = -errno;
	return ret;
}

static int parse(const char *line, struct swapset_entry *entry)
{
	int at = 0;

	if (sscanf(line,
		   "%u %u %u %d %" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %n",
		   &entry->number, &entry->half, &entry->flags, &entry->priority,
		   &entry->max_inflight, &entry->max_bandwidth, &entry->dev, &entry->ino,
		   &entry->bytes, &at) < 9 ||
	    at == 0 || line[at] == '\0' || entry->half > 1)
		return -EINVAL;
	entry->path = strdup(line + at);
	return entry->path ? 0 : -ENOMEM;
}

int swapset_read(int dir_fd, struct swapset_entry *set, size_t max)
{
	int fd = openat(dir_fd, SWAPSET_FILE, O_RDONLY | O_CLOEXEC), ret = 0;
	size_t n = 0, size = 0;
	char *line = NULL;
	FILE *f;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	f = fdopen(fd, "r");
	if (!f) {
		ret = -errno;
		close(fd);
		return ret;
	}
	while (ret == 0 && getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		ret = n < max ? parse(line, &set[n]) : -EINVAL;
		n += ret == 0;
	}
	free(line);
	fclose(f);
	if (ret == 0)
		return (int)n;
	while (n > 0)
		free(set[--n].path);
	return ret;
}
