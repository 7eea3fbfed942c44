/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swap of an object, against an array with a word for each page, and what
 * is found when the file is opened again.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "swap/object.h"

/* The file's format: a daemon of another build reads it after a restart. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_NODE_SIZE = 12,
	AT_PAGES = 16,
	AT_NODES = 24,
	AT_NODE0 = 4096,
	NODE_SIZE = 8 + 8 * 16,
};

static int new_file(void)
{
	int fd = memfd_create("swblocks", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static struct object *open_it(int fd, uint64_t pages)
{
	struct err e = { 0 };
	struct object *o = object_open(fd, pages, NULL, &e);

	cr_assert_not_null(o, "object_open: %s", e.text);
	return o;
}

static void set(struct object *o, uint64_t page, uint64_t word)
{
	cr_assert_eq(object_set(o, page, word), 0, "page %llu", (unsigned long long)page);
}

static void poke(int fd, off_t at, uint64_t value, size_t size)
{
	cr_assert_eq(pwrite(fd, &value, size, at), (ssize_t)size);
}

static uint64_t peek(int fd, off_t at)
{
	uint64_t value = 0;

	cr_assert_eq(pread(fd, &value, sizeof(value), at), (ssize_t)sizeof(value));
	return value;
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

Test(object, empty)
{
	int fd = new_file();
	struct object *o = open_it(fd, 1000);
	uint64_t found, word;

	cr_assert_eq(object_count(o), 0);
	cr_assert_eq(object_swblocks(o), 0);
	cr_assert_eq(object_get(o, 0), 0);
	cr_assert_eq(object_get(o, 999), 0);
	cr_assert_eq(object_pop(o, 17), 0);
	cr_assert_not(object_next(o, 0, &found, &word));
	cr_assert_eq(object_run(o, 5, 100), 0);
	object_close(o);
	object_close(NULL);
	cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC, "the file stays the caller's");
	close(fd);
}

Test(object, next_is_found_within_and_behind_a_swblock)
{
	int fd = new_file();
	struct object *o = open_it(fd, 1000);
	uint64_t found = 0, word = 0;

	set(o, 37, SWB_VALID | 1);
	set(o, 40, SWB_WRITING | 2);
	set(o, 999, SWB_VALID | 3);
	cr_assert(object_next(o, 0, &found, &word));
	cr_assert(found == 37 && word == (SWB_VALID | 1));
	cr_assert(object_next(o, 37, &found, &word));
	cr_assert_eq(found, 37);
	cr_assert(object_next(o, 38, &found, &word));
	cr_assert(found == 40 && word == (SWB_WRITING | 2));
	cr_assert(object_next(o, 41, &found, &word));
	cr_assert(found == 999 && word == (SWB_VALID | 3));
	cr_assert_not(object_next(o, 1000, &found, &word));
	object_close(o);
	close(fd);
}

Test(object, run_goes_on_while_the_addresses_do)
{
	int fd = new_file();
	struct object *o = open_it(fd, 100);

	/* over the border of two swblocks, up to the last page */
	for (uint64_t i = 0; i < 70; i++)
		set(o, 30 + i, SWB_VALID | (drum_make(3, 500) + i));
	cr_assert_eq(object_run(o, 30, 1000), 69);
	cr_assert_eq(object_run(o, 30, 12), 12);
	cr_assert_eq(object_run(o, 30, 0), 0);
	cr_assert_eq(object_run(o, 99, 10), 0);
	cr_assert_eq(object_run(o, 29, 10), 0, "it has no word");

	set(o, 60, SWB_WRITING | (drum_make(3, 500) + 30));
	cr_assert_eq(object_run(o, 30, 1000), 29, "the next one is not valid yet");
	set(o, 60, SWB_VALID | (drum_make(3, 500) + 31));
	cr_assert_eq(object_run(o, 30, 1000), 29, "the next one is elsewhere");
	set(o, 60, SWB_VALID | (drum_make(4, 500) + 30));
	cr_assert_eq(object_run(o, 30, 1000), 29, "the next one is on another device");
	cr_assert_neq(object_pop(o, 60), 0);
	cr_assert_eq(object_run(o, 30, 1000), 29, "the next one has none");
	object_close(o);
	close(fd);
}

/* As many as there are pages: set cannot run out. */
Test(object, every_page_at_once)
{
	static const uint64_t sizes[] = { 1, 15, 16, 17, 1000, 65536 };

	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		uint64_t n = sizes[k];
		int fd = new_file();
		struct object *o = open_it(fd, n);

		for (uint64_t i = 0; i < n; i++)
			set(o, i * 7919 % n, SWB_VALID | (i + 1));
		cr_assert_eq(object_count(o), n);
		cr_assert_eq(object_swblocks(o), (n + 15) / 16);
		object_close(o);
		close(fd);
	}
}

Test(object, nodes_are_reused)
{
	int fd = new_file();
	const uint64_t pages = UINT64_C(1) << 26; /* 256 GiB */
	struct object *o = open_it(fd, pages);
	uint64_t before;

	set(o, 0, SWB_VALID | 1);
	before = file_bytes(fd);
	/* each time in another swblock, and never two of them */
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t page = i * 3203 % pages;

		cr_assert_eq(object_pop(o, i == 0 ? 0 : (i - 1) * 3203 % pages), SWB_VALID | 1);
		cr_assert_eq(object_swblocks(o), 0);
		set(o, page, SWB_VALID | 1);
		cr_assert_eq(object_swblocks(o), 1);
	}
	cr_assert_eq(peek(fd, AT_NODE0), 19999 * UINT64_C(3203) / 16 * 16, "the first node");
	cr_assert_eq(file_bytes(fd), before, "the file has grown");
	object_close(o);
	close(fd);
}

/* The gaps that a scan finds are filled before the file gets longer. */
Test(object, nodes_are_reused_after_a_restart)
{
	enum { N = 200 };
	int fd = new_file();
	struct object *o = open_it(fd, 16 * 1000);

	for (uint64_t i = 0; i < N; i++)
		set(o, i * 16, SWB_VALID | (i + 1));
	for (uint64_t i = 0; i < N; i += 2)
		cr_assert_eq(object_pop(o, i * 16), SWB_VALID | (i + 1));
	object_close(o);

	o = open_it(fd, 16 * 1000);
	cr_assert_eq(object_swblocks(o), N / 2);
	for (uint64_t i = 0; i < N / 2; i++)
		set(o, (500 + i) * 16, SWB_VALID | (1000 + i));
	cr_assert_eq(object_swblocks(o), N);
	for (uint64_t i = 0; i < N; i++)
		cr_assert_eq(peek(fd, AT_NODE0 + (off_t)i * NODE_SIZE) >= 500 * 16, i % 2 == 0,
			     "node %llu", (unsigned long long)i);
	set(o, 999 * 16, SWB_VALID | 1);
	cr_assert_eq(peek(fd, AT_NODE0 + (off_t)N * NODE_SIZE), 999 * 16);
	object_close(o);
	close(fd);
}

/* --- what is no such file ---------------------------------------------------- */

static void refused(int fd, uint64_t pages, int code, const char *text)
{
	struct err e = { 0 };
	struct object *o = object_open(fd, pages, NULL, &e);

	cr_assert_null(o, "'%s' was expected", text);
	cr_assert_eq(e.code, code, "%d, '%s'", e.code, e.text);
	cr_assert_str_eq(e.text, text);
}

/* A file of 40 pages, with words of pages 3 and 20. */
static int sample(void)
{
	int fd = new_file();
	struct object *o = open_it(fd, 40);

	set(o, 3, SWB_VALID | 7);
	set(o, 20, SWB_VALID | 8);
	object_close(o);
	return fd;
}

Test(object, header_is_checked)
{
	int fd = sample();
	uint64_t was = peek(fd, AT_MAGIC);
	struct err e = { 0 };

	poke(fd, AT_MAGIC, was ^ UINT64_C(1) << 40, 8);
	refused(fd, 40, -EINVAL, "it is not a file of swblocks");
	poke(fd, AT_MAGIC, was, 8);
	object_close(open_it(fd, 40));

	poke(fd, AT_VERSION, 9, 4);
	refused(fd, 40, -EINVAL, "its format is 9, this drumd reads 3");
	poke(fd, AT_VERSION, 2, 4);

	poke(fd, AT_NODE_SIZE, NODE_SIZE + 8, 4);
	cr_assert_null(object_open(fd, 40, NULL, &e), "nodes of another size");
	cr_assert_eq(e.code, -EINVAL);
	poke(fd, AT_NODE_SIZE, NODE_SIZE, 4);

	/* as many nodes, and the file is as long */
	refused(fd, 41, -EINVAL, "it is for 40 pages, the guest has 41");
	poke(fd, AT_NODES, 4, 8);
	e.code = 0;
	cr_assert_null(object_open(fd, 40, NULL, &e), "another number of nodes");
	cr_assert_eq(e.code, -EINVAL);
	poke(fd, AT_NODES, 3, 8);
	object_close(open_it(fd, 40));
	close(fd);
}

Test(object, size_is_checked)
{
	int fd = sample();

	refused(fd, 49, -EINVAL, "its size is 4504 bytes, not 4640");
	refused(fd, 32, -EINVAL, "its size is 4504 bytes, not 4368");
	cr_assert_eq(ftruncate(fd, 100), 0);
	refused(fd, 40, -EINVAL, "its size is 100 bytes, not 4504");
	close(fd);
}

Test(object, keys_are_checked)
{
	int fd = sample();

	poke(fd, AT_NODE0, 8, 8);
	refused(fd, 40, -EINVAL, "swblock 0 has the key 8, which cannot be");
	poke(fd, AT_NODE0, 48, 8);
	refused(fd, 40, -EINVAL, "swblock 0 has the key 48, which cannot be");
	poke(fd, AT_NODE0, 16, 8);
	refused(fd, 40, -EINVAL, "swblock 1 has the key 16, which cannot be");
	poke(fd, AT_NODE0, 0, 8);
	/* a free node's key means nothing */
	poke(fd, AT_NODE0 + 2 * NODE_SIZE, 12345, 8);
	object_close(open_it(fd, 40));
	close(fd);
}

/* 40 pages end in the middle of the node of page 32. */
Test(object, no_page_is_beyond_the_last)
{
	int fd = new_file();
	struct object *o = open_it(fd, 40);

	set(o, 39, SWB_VALID | 7);
	object_close(o);
	poke(fd, AT_NODE0 + 8 + 15 * 8, SWB_VALID | 9, 8);
	refused(fd, 40, -EINVAL, "swblock 0 has the key 32, which cannot be");
	close(fd);
}

Test(object, file_that_cannot_be_used)
{
	int fd = sample(), reader;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(reader, 0);
	refused(reader, 40, -EACCES, "Permission denied");
	close(reader);
	close(fd);
	refused(fd, 40, -EBADF, "Bad file descriptor");
}

/* Died after ftruncate, before the magic number was stored. */
Test(object, layout_is_finished)
{
	int fd = new_file();
	struct object *o;

	cr_assert_eq(ftruncate(fd, AT_NODE0 + 3 * NODE_SIZE), 0);
	o = open_it(fd, 40);
	set(o, 39, SWB_VALID | 5);
	object_close(o);
	o = open_it(fd, 40);
	cr_assert_eq(object_get(o, 39), SWB_VALID | 5);
	object_close(o);
	close(fd);
}

/* --- against an array --------------------------------------------------------- */

struct model {
	uint64_t pages;
	uint64_t *word;
	uint64_t random;
	int fd;
	struct object *o;
};

/* xorshift64*, so that a failure repeats anywhere */
static uint64_t below(struct model *m, uint64_t n)
{
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return (m->random * UINT64_C(2685821657736338717) >> 20) % n;
}

static uint64_t model_next(const struct model *m, uint64_t page)
{
	while (page < m->pages && m->word[page] == 0)
		page++;
	return page;
}

static uint32_t model_run(const struct model *m, uint64_t page, uint32_t max)
{
	uint32_t n = 0;

	if ((m->word[page] & SWB_FLAGS) != SWB_VALID)
		return 0;
	while (n < max && page + n + 1 < m->pages &&
	       m->word[page + n + 1] == m->word[page] + n + 1)
		n++;
	return n;
}

static void compare(const struct model *m, const struct object *o)
{
	uint64_t words = 0, blocks = 0, found, word, at = 0;

	for (uint64_t i = 0; i < m->pages; i++) {
		cr_assert_eq(object_get(o, i), m->word[i], "page %llu", (unsigned long long)i);
		words += m->word[i] != 0;
	}
	for (uint64_t i = 0; i < m->pages; i += SWBLOCK_PAGES)
		blocks += model_next(m, i) < i + SWBLOCK_PAGES && model_next(m, i) < m->pages;
	cr_assert_eq(object_count(o), words);
	cr_assert_eq(object_swblocks(o), blocks);
	while (object_next(o, at, &found, &word)) {
		cr_assert_eq(found, model_next(m, at));
		cr_assert_eq(word, m->word[found]);
		at = found + 1;
	}
	cr_assert_eq(model_next(m, at), m->pages);
}

/* A cluster out, at addresses that are neighbours too. */
static void put(struct model *m, uint64_t page, uint64_t n)
{
	uint64_t word = (below(m, 4) == 0 ? SWB_WRITING : SWB_VALID) |
			drum_make(1 + (unsigned int)below(m, 3), page + 1000 * below(m, 2));

	for (uint64_t i = 0; i < n && page + i < m->pages; i++) {
		set(m->o, page + i, word + i);
		m->word[page + i] = word + i;
	}
}

static void take(struct model *m, uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < n && page + i < m->pages; i++) {
		cr_assert_eq(object_pop(m->o, page + i), m->word[page + i]);
		m->word[page + i] = 0;
	}
}

static void look(struct model *m, uint64_t page)
{
	uint64_t found = 0, word = 0, want = model_next(m, page);
	uint32_t max = (uint32_t)below(m, 100);

	cr_assert_eq(object_get(m->o, page), m->word[page]);
	cr_assert_eq(object_next(m->o, page, &found, &word), want < m->pages);
	if (want < m->pages)
		cr_assert(found == want && word == m->word[want]);
	cr_assert_eq(object_run(m->o, page, max), model_run(m, page, max), "page %llu, max %u",
		     (unsigned long long)page, max);
}

static void reopen(struct model *m)
{
	/* what a pager that was killed just now would leave */
	struct object *next = open_it(m->fd, m->pages);

	object_close(m->o);
	m->o = next;
	compare(m, m->o);
}

static void step(struct model *m, unsigned int full)
{
	uint64_t page = below(m, m->pages), n = 1 + below(m, 40);
	uint64_t what = below(m, 100);

	if (what < full)
		put(m, page, n);
	else if (what < 60)
		take(m, page, n);
	else
		look(m, page);
}

static const struct {
	uint64_t pages;
	unsigned int steps;
	unsigned int full; /* of 60 changes, how many put */
} shapes[] = {
	{ 1, 500, 30 },	    { 15, 3000, 30 },	 { 16, 3000, 30 },     { 17, 3000, 10 },
	{ 100, 10000, 30 }, { 1000, 20000, 5 },	 { 1000, 20000, 30 },  { 1000, 20000, 55 },
	{ 4096, 20000, 8 }, { 4099, 20000, 30 }, { 30000, 20000, 20 },
};

Test(object, equals_an_array, .timeout = 120)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct model m = { .pages = shapes[i].pages,
				   .random = 77 + i,
				   .fd = new_file() };

		m.word = calloc(m.pages, sizeof(*m.word));
		cr_assert_not_null(m.word);
		m.o = open_it(m.fd, m.pages);
		for (unsigned int k = 0; k < shapes[i].steps; k++) {
			step(&m, shapes[i].full);
			if (k % (shapes[i].steps / 20) == 0)
				reopen(&m);
		}
		compare(&m, m.o);
		take(&m, 0, m.pages);
		cr_assert_eq(object_swblocks(m.o), 0);
		reopen(&m);
		object_close(m.o);
		close(m.fd);
		free(m.word);
	}
}
