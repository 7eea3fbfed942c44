/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/wset.h"

#define FILE  "guest-a.wset"
#define PAGES 1000u /* no multiple of a word's */

static char dir[] = "wset-XXXXXX";
static int dir_fd;
static struct wset w;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	cr_assert(dir_fd >= 0);
	w = (struct wset){ 0 };
}

static void tear_down(void)
{
	wset_close(&w);
	unlinkat(dir_fd, FILE, 0);
	rmdir(dir);
}

TestSuite(wset, .init = set_up, .fini = tear_down, .timeout = 60);

static void make(uint64_t pages)
{
	cr_assert_eq(wset_create(&w, dir_fd, FILE, pages), 0);
}

/* => what wset_open says; w is what it has opened */
static int again(uint64_t pages, struct err *e)
{
	wset_close(&w);
	*e = (struct err){ 0 };
	return wset_open(&w, dir_fd, FILE, pages, e);
}

Test(wset, one_that_is_closed_has_nothing)
{
	wset_add(&w, 3);
	wset_put(&w, 0, UINT64_MAX);
	wset_set_use(&w, WSET_ARMED, 5);
	cr_assert_not(wset_is_open(&w));
	cr_assert_not(wset_has(&w, 3));
	cr_assert_eq(wset_get(&w, 0), 0);
	cr_assert_eq(wset_next(&w, 0, 7), 7);
	cr_assert_eq(wset_run(&w, 3, 5), 0);
	cr_assert_eq(wset_use(&w), WSET_NEW);
	cr_assert_eq(wset_since(&w), 0);
	wset_close(&w);
}

/* Against a byte for each page. */
Test(wset, says_what_was_recorded)
{
	static bool is[PAGES + 200];
	unsigned int seed = 7, n = 0;

	make(PAGES);
	for (unsigned int i = 0; i < 300; i++) {
		uint64_t page = (unsigned int)rand_r(&seed) % (PAGES + 100);

		if (i % 3) {
			wset_add(&w, page);
			if (page < PAGES)
				is[page] = true;
			continue;
		}
		page = page / WSET_BITS * WSET_BITS;
		uint64_t bits = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed);

		wset_put(&w, page, bits);
		for (unsigned int k = 0; k < WSET_BITS && page + k < PAGES; k++)
			is[page + k] = bits >> k & 1;
	}
	for (uint64_t p = 0; p < PAGES + 100; p++) {
		uint64_t next = p;
		uint32_t run = 0;

		n += is[p];
		cr_assert_eq(wset_has(&w, p), is[p], "page %u", (unsigned int)p);
		cr_assert_eq(wset_get(&w, p / WSET_BITS * WSET_BITS) >> p % WSET_BITS & 1,
			     is[p]);
		while (next < PAGES && !is[next])
			next++;
		cr_assert_eq(wset_next(&w, p, PAGES), next < PAGES ? next : PAGES);
		if (next > p && next < PAGES)
			cr_assert_eq(wset_next(&w, p, next), next, "not beyond `to`");
		while (run < 20 && is[p + run])
			run++;
		cr_assert_eq(wset_run(&w, p, 20), run);
	}
	cr_assert_eq(w.count, n);
	cr_assert_gt(n, 200);
}

Test(wset, outlives_who_made_it)
{
	struct err e;

	cr_assert_eq(again(PAGES, &e), -ENOENT);
	make(PAGES);
	wset_add(&w, 0);
	wset_add(&w, PAGES - 1);
	wset_set_use(&w, WSET_ARMED, 1234);
	cr_assert_eq(again(PAGES, &e), 0, "%s", e.text);
	cr_assert_eq(w.count, 2);
	cr_assert(wset_has(&w, 0));
	cr_assert(wset_has(&w, PAGES - 1));
	cr_assert_eq(wset_use(&w), WSET_ARMED);
	cr_assert_eq(wset_since(&w), 1234);
	/* another one in its place begins with nothing */
	make(PAGES);
	cr_assert_eq(w.count, 0);
	cr_assert_eq(wset_next(&w, 0, PAGES), PAGES);
	cr_assert_eq(wset_use(&w), WSET_NEW);
}

static void change(off_t at, const void *bytes, size_t n)
{
	int fd = openat(dir_fd, FILE, O_RDWR);

	cr_assert(fd >= 0);
	cr_assert_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

Test(wset, what_is_no_such_file_is_refused)
{
	struct err e;
	int fd;

	make(PAGES);
	cr_assert_eq(again(PAGES + 64, &e), -EINVAL);
	cr_assert(strstr(e.text, "bytes"), "%s", e.text);
	cr_assert_not(wset_is_open(&w));
	/* the same size, and another guest's */
	cr_assert_eq(again(PAGES + 1, &e), -EINVAL);
	cr_assert(strstr(e.text, "1000 pages, not 1001"), "%s", e.text);
	cr_assert_eq(again(PAGES, &e), 0, "%s", e.text);
	/* torn where it was made: nothing of the head is there yet */
	change(0, "\0\0\0\0\0\0\0\0", 8);
	cr_assert_eq(again(PAGES, &e), -EINVAL);
	cr_assert(strstr(e.text, "no record"), "%s", e.text);
	fd = openat(dir_fd, FILE, O_RDWR);
	cr_assert_eq(ftruncate(fd, 10), 0);
	close(fd);
	cr_assert_eq(again(PAGES, &e), -EINVAL);
	cr_assert_eq(unlinkat(dir_fd, FILE, 0), 0);
	cr_assert_eq(mkdirat(dir_fd, FILE, 0700), 0);
	cr_assert_lt(again(PAGES, &e), 0);
	cr_assert_neq(e.code, 0);
	cr_assert_lt(wset_create(&w, dir_fd, FILE, PAGES), 0);
	cr_assert_not(wset_is_open(&w));
	unlinkat(dir_fd, FILE, AT_REMOVEDIR);
}

/* What is recorded of pages that there are not, and a use that there is not. */
Test(wset, garbage_is_a_wrong_hint)
{
	uint64_t ones = UINT64_MAX;
	struct err e;

	make(PAGES);
	for (off_t i = 0; i < (PAGES + 63) / 64; i++)
		change(64 + i * 8, &ones, 8);
	change(16, &ones, 8);
	cr_assert_eq(again(PAGES, &e), 0, "%s", e.text);
	cr_assert_eq(wset_use(&w), WSET_NEW);
	cr_assert_not(wset_has(&w, PAGES));
	cr_assert_eq(wset_run(&w, PAGES - 3, 20), 3);
	cr_assert_eq(wset_next(&w, PAGES, PAGES + 24), PAGES);
	cr_assert_eq(wset_get(&w, 960), (UINT64_C(1) << 40) - 1);
	cr_assert_eq(w.count, PAGES);
}

/* No room for it: told here, and not by SIGBUS later. */
Test(wset, one_that_cannot_be_made)
{
	cr_assert_lt(wset_create(&w, -1, FILE, PAGES), 0);
	cr_assert_not(wset_is_open(&w));
	cr_assert_lt(wset_create(&w, dir_fd, FILE, UINT64_C(1) << 60), 0);
	cr_assert_not(wset_is_open(&w));
	cr_assert_lt(faccessat(dir_fd, FILE, F_OK, 0), 0, "nothing of it is left");
}
