/* SPDX-License-Identifier: BSD-2-Clause */
#include "cacheobj_set.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "swap/cacheobj_private.h"

void add_device(struct set *s, unsigned int number, uint64_t blocks)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct swap_device *dev = device_file_create("file", "/a/swap/file", fd, 1, number,
						     blocks * SWAP_BLOCK, 0);

	cr_assert_not_null(dev);
	cr_assert_eq(drum_add(s->d, dev, 0, number), (int)number);
}

static void open_it(struct set *s, uint64_t disk)
{
	struct err e = { 0 };

	s->d = drum_create();
	cr_assert_not_null(s->d);
	for (unsigned int i = 0; i < 2; i++)
		if (s->size[i] > 0)
			add_device(s, i + 1, s->size[i]);
	s->own_fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	cr_assert_geq(s->own_fd, 0);
	s->c = cacheobj_open(s->own_fd, "a disk", disk, s->d, &e);
	cr_assert_not_null(s->c, "%s", e.text);
}

void set_out(struct set *s, uint64_t disk, uint64_t a, uint64_t b)
{
	*s = (struct set){ .disk = disk, .size = { a, b } };
	s->fd = memfd_create("words", MFD_CLOEXEC);
	open_it(s, disk);
	cr_assert_eq(cacheobj_claim(s->c), 0);
}

static void close_it(struct set *s)
{
	for (int i = 0; i < SET_PUTS; i++)
		if (s->puts[i])
			cacheobj_unref(s->c);
	memset(s->puts, 0, sizeof(s->puts));
	if (s->c)
		cacheobj_unref(s->c);
	drum_destroy(s->d);
}

void let_go(struct set *s)
{
	close_it(s);
	close(s->fd);
}

void clear_away(struct set *s)
{
	if (s->c)
		counts_hold_but(s, UINT64_MAX);
	let_go(s);
}

void restart_with(struct set *s, uint64_t disk)
{
	close_it(s);
	open_it(s, disk);
}

void restart(struct set *s)
{
	restart_with(s, s->disk);
}

static void note(struct set *s, struct put *old, struct put *new)
{
	int i = 0;

	while (s->puts[i] != old)
		cr_assert_lt(++i, SET_PUTS);
	s->puts[i] = new;
}

void begin_put(struct set *s, struct put *p, uint64_t block, uint32_t max)
{
	cr_assert_gt(cacheobj_put(s->c, &p->range, block, max), 0);
	cr_assert(p->range.block == block && p->range.n <= max);
	note(s, NULL, p);
}

int write_some(struct set *s, struct put *p, uint32_t n)
{
	uint64_t got;

	p->addr = drum_alloc(s->d, NULL, n, &got);
	cr_assert_eq(got, n);
	return cacheobj_put_write(s->c, &p->range, n, p->addr);
}

void write_put(struct set *s, struct put *p)
{
	cr_assert_eq(write_some(s, p, p->range.n), 0);
}

void end_put(struct set *s, struct put *p, int err)
{
	note(s, p, NULL);
	cacheobj_put_end(s->c, &p->range, err);
}

void drop_put(struct set *s, struct put *p)
{
	end_put(s, p, -ECANCELED);
}

void put_blocks(struct set *s, uint64_t block, uint32_t n)
{
	struct put p;

	begin_put(s, &p, block, n);
	cr_assert_eq(p.range.n, n);
	write_put(s, &p);
	end_put(s, &p, 0);
}

uint32_t try_put(struct set *s, uint64_t block, uint32_t max)
{
	struct put p;
	uint32_t n = cacheobj_put(s->c, &p.range, block, max);

	if (n > 0) {
		cr_assert_eq(p.range.n, n);
		cacheobj_put_end(s->c, &p.range, -ECANCELED);
	}
	return n;
}

bool is_cached(struct set *s, uint64_t block)
{
	return cacheobj_valid(object_get(s->c->words, block));
}

drum_addr address_of(struct set *s, uint64_t block)
{
	return object_get(s->c->words, block) & DRUM_ADDR_MASK;
}

void store_word(struct set *s, uint64_t block, uint64_t word)
{
	cr_assert_eq(object_set(s->c->words, block, word), 0);
}

void counts_hold(struct set *s)
{
	counts_hold_but(s, 0);
}

void counts_hold_but(struct set *s, uint64_t held)
{
	struct drum_device_stats st[2];
	uint64_t used = 0, valid = 0, words = 0, at = 0, word, missing = 0;
	size_t n = drum_stats(s->d, st, 2);
	struct cacheobj_counts count;

	cacheobj_get_counts(s->c, &count);
	for (size_t i = 0; i < n; i++)
		used += st[i].used;
	for (; object_next(s->c->words, at, &at, &word); at++) {
		words++;
		valid += cacheobj_valid(word);
	}
	for (unsigned int i = 0; i < s->c->late_n; i++) {
		const struct cacheobj_late *l =
			&s->c->late[(s->c->late_first + i) % CACHEOBJ_LATES];

		missing += l->ours ? 0 : l->n;
	}
	cr_assert_eq(count.cached, valid);
	cr_assert_eq(drum_cached(s->d), valid);
	cr_assert_eq(count.used, words - missing);
	if (held != UINT64_MAX)
		cr_assert_geq(used, count.used + held);
}

void counts_are(struct set *s, struct cacheobj_counts want)
{
	struct cacheobj_counts n;

	counts_hold(s);
	cacheobj_get_counts(s->c, &n);
	want.missed = n.missed;
	cr_assert_eq(memcmp(&n, &want, sizeof(n)), 0,
		     "cached %llu, used %llu, read %llu, put %llu, dropped %llu, failed %llu",
		     (unsigned long long)n.cached, (unsigned long long)n.used,
		     (unsigned long long)n.read, (unsigned long long)n.put,
		     (unsigned long long)n.dropped, (unsigned long long)n.failed_reads);
}
