/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/diskset.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/swapcache_knobs.h"

/* Texts, and numbers of either size. */
enum kind { TEXT, U32, U64 };

#define ENTRY(kind, field)                                                                     \
	{                                                                                      \
#field, kind, offsetof(struct diskset_entry, field),                           \
			sizeof(((struct diskset_entry *)NULL)->field)                          \
	}

static const struct key {
	const char *name;
	enum kind kind;
	size_t at, size;
} keys[] = {
	ENTRY(TEXT, image),    ENTRY(TEXT, socket),    ENTRY(TEXT, serial),
	ENTRY(TEXT, guest),    ENTRY(U32, cache),      ENTRY(U32, map),
	ENTRY(U32, read_only), ENTRY(U32, queues),     ENTRY(U32, number),
	ENTRY(U64, fence),     ENTRY(U64, dev),	       ENTRY(U64, ino),
	ENTRY(U64, bytes),     ENTRY(U32, block_size), ENTRY(U32, can_discard),
	ENTRY(U32, can_zero),  ENTRY(U32, swapcache),
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

static void print(FILE *f, const struct diskset_entry *d)
{
	fprintf(f, "disk %s\n", d->name);
	for (size_t i = 0; i < KEYS; i++) {
		const void *at = (const char *)d + keys[i].at;

		if (keys[i].kind == TEXT)
			fprintf(f, "%s %s\n", keys[i].name, (const char *)at);
		else if (keys[i].kind == U32)
			fprintf(f, "%s %u\n", keys[i].name, *(const unsigned int *)at);
		else
			fprintf(f, "%s %" PRIu64 "\n", keys[i].name, *(const uint64_t *)at);
	}
	fprintf(f, "end\n");
}

int diskset_save(int dir_fd, const struct diskset_entry *const *set, size_t n)
{
	int fd = openat(dir_fd, DISKSET_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int ret = f ? 0 : -errno;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return ret;
	}
	for (size_t i = 0; i < n; i++)
		print(f, set[i]);
	if (fflush(f) != 0 || ferror(f))
		ret = errno ? -errno : -EIO;
	fclose(f);
	if (ret == 0 && renameat(dir_fd, DISKSET_FILE ".new", dir_fd, DISKSET_FILE) < 0)
		ret = -errno;
	return ret;
}

static int set_text(struct diskset_entry *d, const struct key *k, const char *value)
{
	if (strlen(value) >= k->size)
		return -EINVAL;
	strcpy((char *)d + k->at, value);
	return 0;
}

static int set_number(struct diskset_entry *d, const struct key *k, const char *value)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || end == value || *end || *value == '-' ||
	    (k->kind == U32 && n > UINT32_MAX))
		return -EINVAL;
	if (k->kind == U32)
		*(unsigned int *)(void *)((char *)d + k->at) = (unsigned int)n;
	else
		*(uint64_t *)(void *)((char *)d + k->at) = n;
	return 0;
}

static int set(struct diskset_entry *d, const char *name, const char *value)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].name, name) == 0)
			return keys[i].kind == TEXT ? set_text(d, &keys[i], value)
						    : set_number(d, &keys[i], value);
	return 0;
}

static bool is_whole(const struct diskset_entry *d)
{
	return d->image[0] && d->socket[0] && d->queues > 0 && d->block_size > 0 &&
	       d->swapcache < SWAPCACHE_MODES;
}

/* The lines of all disks.  => how many there are, or -EINVAL */
static int parse(FILE *f, struct diskset_entry *set_of, size_t max)
{
	struct diskset_entry *d = NULL; /* whose lines these are */
	size_t n = 0, size = 0;
	char *line = NULL;
	int ret = 0;

	while (ret == 0 && getline(&line, &size, f) > 0) {
		char *value;

		line[strcspn(line, "\n")] = '\0';
		value = strchr(line, ' ');
		if (value)
			*value++ = '\0';
		if (d && strcmp(line, "end") == 0) {
			ret = is_whole(d) ? 0 : -EINVAL;
			d = NULL;
		} else if (!d && value && *value && strcmp(line, "disk") == 0 && n < max &&
			   strlen(value) <= DISK_NAME_MAX) {
			d = &set_of[n++];
			*d = (struct diskset_entry){ 0 };
			strcpy(d->name, value);
		} else {
			ret = d && value ? set(d, line, value) : -EINVAL;
		}
	}
	free(line);
	if (ret == 0 && d)
		ret = -EINVAL;
	return ret < 0 ? ret : (int)n;
}

int diskset_read(int dir_fd, struct diskset_entry *set_of, size_t max)
{
	int fd = openat(dir_fd, DISKSET_FILE, O_RDONLY | O_CLOEXEC), ret;
	FILE *f;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	f = fdopen(fd, "r");
	if (!f) {
		ret = -errno;
		close(fd);
		return ret;
	}
	ret = parse(f, set_of, max);
	fclose(f);
	return ret;
}
