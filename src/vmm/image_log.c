/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/image_log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memlock.h"

int image_log_init(struct image_log *log, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*log = (struct image_log){ 0 };
	if (p == MAP_FAILED)
		return -ENOMEM;
	memlock_touch(p, size);
	log->memory = p;
	log->size = size;
	return 0;
}

void image_log_fini(struct image_log *log)
{
	if (log->memory)
		munmap(log->memory, log->size);
	log->memory = NULL;
}

static void put(struct image_log *log, const void *data, uint64_t n)
{
	uint64_t at = log->head % log->size, first = log->size - at;

	if (first > n)
		first = n;
	memcpy(log->memory + at, data, first);
	memcpy(log->memory, (const char *)data + first, n - first);
	log->head += n;
}

static void get(const struct image_log *log, uint64_t *from, void *data, uint64_t n)
{
	uint64_t at = *from % log->size, first = log->size - at;

	if (first > n)
		first = n;
	memcpy(data, log->memory + at, first);
	memcpy((char *)data + first, log->memory, n - first);
	*from += n;
}

bool image_log_add(struct image_log *log, const struct image_record *rec, const void *data)
{
	uint64_t n = rec->zeroes ? 0 : rec->len;

	if (log->head - log->tail + sizeof(*rec) + n > log->size)
		return false;
	put(log, rec, sizeof(*rec));
	if (n > 0)
		put(log, data, n);
	return true;
}

bool image_log_get(const struct image_log *log, uint64_t *at, struct image_record *rec,
		   void *data)
{
	if (*at == log->head)
		return false;
	get(log, at, rec, sizeof(*rec));
	if (!rec->zeroes)
		get(log, at, data, rec->len);
	return true;
}

void image_log_trim(struct image_log *log, uint64_t mark)
{
	assert(mark <= log->head);
	if (mark > log->tail)
		log->tail = mark;
}
