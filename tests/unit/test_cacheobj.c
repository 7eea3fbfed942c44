/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cached blocks of an image: each promise of cacheobj.h, one by one.  All of them at
 * random, and with a crash after every store: test_cacheobj_model.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cacheobj_set.h"

#define LIMIT .timeout = 60

/* --- opening ----------------------------------------------------------------------- */

/* Room for as many blocks again, and a file keeps its size whatever the image has. */
Test(cacheobj, room_for_an_image_that_grows, LIMIT)
{
	struct set s;
	struct err e = { 0 };
	uint64_t pages;

	set_out(&s, 100, 1000, 0);
	put_blocks(&s, 199, 1);
	cr_assert_eq(try_put(&s, 200, 1), 0, "beyond what it has room for");
	cr_assert_eq(object_file_pages(s.fd, &pages), 0);
	cr_assert_eq(pages, 200);
	restart_with(&s, 5000);
	cr_assert_eq(cacheobj_claim(s.c), 1);
	cr_assert(is_cached(&s, 199));
	cr_assert_eq(try_put(&s, 200, 1), 0, "the file is what it was");
	clear_away(&s);

	s.fd = memfd_create("words", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(s.fd, 100), 0);
	cr_assert_null(cacheobj_open(s.fd, "a disk", 100, NULL, &e));
	cr_assert_eq(fcntl(s.fd, F_GETFD), -1, "it is closed in every case");
	cr_assert_neq(e.text[0], '\0');
}

/* A daemon that died before it had laid the file out has left a size and nothing else. */
Test(cacheobj, a_file_without_a_header, LIMIT)
{
	struct set s;

	set_out(&s, 96, 1000, 0);
	cr_assert_eq(ftruncate(s.fd, 4096), 0);
	cr_assert_eq(ftruncate(s.fd, 4096 + 192 / 16 * 17 * 8), 0);
	{
		uint64_t none = 0, pages;

		cr_assert_eq(pwrite(s.fd, &none, 8, 0), 8);
		cr_assert_eq(object_file_pages(s.fd, &pages), 0);
		cr_assert_eq(pages, 192);
	}
	restart_with(&s, 40);
	cr_assert_eq(cacheobj_claim(s.c), 0);
	put_blocks(&s, 191, 1);
	clear_away(&s);
}

Test(cacheobj, nothing_before_it_is_claimed, LIMIT)
{
	struct set s;
	struct cacheobj_read r;
	struct cacheobj_change ch;
	uint64_t gap;

	set_out(&s, 100, 1000, 0);
	put_blocks(&s, 0, 16);
	restart(&s);
	cr_assert_eq(cacheobj_read(s.c, &r, 0, 40, &gap), 0);
	cr_assert_eq(gap, 40);
	cr_assert_eq(try_put(&s, 50, 1), 0);
	cr_assert(!cacheobj_has(s.c, 0) && cacheobj_is_empty(s.c));
	cr_assert_eq(drum_cached(s.d), 0);
	/* a change takes the words out, and the blocks are nobody's */
	cacheobj_change(s.c, &ch, 4, 6);
	cacheobj_changed(s.c, &ch, false);
	cr_assert_eq(drum_avail(s.d), 1000);
	cr_assert_eq(cacheobj_claim(s.c), 14);
	cr_assert_eq(drum_avail(s.d), 1000 - 14);
	cr_assert(is_cached(&s, 3) && !is_cached(&s, 4) && !is_cached(&s, 5));
	clear_away(&s);
}

/* --- putting and reading ------------------------------------------------------------- */

Test(cacheobj, what_is_put_is_read, LIMIT)
{
	struct set s;
	struct cacheobj_read r;
	uint64_t gap;

	set_out(&s, 1000, 1000, 0);
	cr_assert(cacheobj_is_empty(s.c));
	put_blocks(&s, 20, 8);
	cr_assert(!cacheobj_is_empty(s.c) && cacheobj_has(s.c, 27) && !cacheobj_has(s.c, 28));
	cr_assert_eq(cacheobj_read(s.c, &r, 22, 100, &gap), 6);
	cr_assert(r.block == 22 && r.n == 6 && gap == 0);
	cr_assert_eq(r.addr, address_of(&s, 22));
	cacheobj_read_end(s.c, &r, 0);
	cr_assert_eq(cacheobj_read(s.c, &r, 22, 3, &gap), 3);
	cacheobj_read_end(s.c, &r, 0);
	/* a run ends with its swblock, and where the next is elsewhere on swap */
	put_blocks(&s, 40, 8);
	put_blocks(&s, 48, 8);
	cr_assert_eq(cacheobj_read(s.c, &r, 40, 100, &gap), 8);
	cacheobj_read_end(s.c, &r, 0);
	put_blocks(&s, 65, 1);
	put_blocks(&s, 64, 1);
	cr_assert_eq(cacheobj_read(s.c, &r, 64, 100, &gap), 1);
	cacheobj_read_end(s.c, &r, 0);
	counts_are(&s, (struct cacheobj_counts){
			       .cached = 26, .used = 26, .read = 6 + 3 + 8 + 1, .put = 26 });
	clear_away(&s);
}

Test(cacheobj, a_gap_is_of_any_length, LIMIT)
{
	struct set s;
	struct cacheobj_read r;
	struct put p;
	uint64_t gap;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 500, 1);
	cr_assert_eq(cacheobj_read(s.c, &r, 3, 1000, &gap), 0);
	cr_assert_eq(gap, 497);
	cr_assert_eq(cacheobj_read(s.c, &r, 3, 40, &gap), 0);
	cr_assert_eq(gap, 40);
	cr_assert_eq(cacheobj_read(s.c, &r, 501, 7000, &gap), 0);
	cr_assert_eq(gap, 7000);
	/* what is being written is not cached */
	begin_put(&s, &p, 490, 5);
	write_put(&s, &p);
	cr_assert_eq(cacheobj_read(s.c, &r, 490, 1000, &gap), 0);
	cr_assert_eq(gap, 10);
	end_put(&s, &p, 0);
	cr_assert_eq(cacheobj_read(s.c, &r, 480, 1000, &gap), 0);
	cr_assert_eq(gap, 10);
	clear_away(&s);
}

/* Puts end before what is cached, being put or changing, and with their swblock. */
Test(cacheobj, what_may_be_put, LIMIT)
{
	struct set s;
	struct put p, q;
	struct cacheobj_change ch;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 10, 2);
	cr_assert_eq(try_put(&s, 0, 16), 10);
	cr_assert_eq(try_put(&s, 10, 16), 0);
	cr_assert_eq(try_put(&s, 12, 16), 4);
	cr_assert_eq(try_put(&s, 12, 2), 2);
	begin_put(&s, &p, 20, 4);
	cr_assert(cacheobj_has(s.c, 20) && cacheobj_has(s.c, 23) && !cacheobj_has(s.c, 24));
	cr_assert_eq(try_put(&s, 16, 16), 4);
	cr_assert_eq(try_put(&s, 20, 16), 0);
	cr_assert_eq(try_put(&s, 23, 16), 0);
	/* less may be written than was to be put: the rest is free for others at once */
	p.range.n = 4;
	cr_assert_eq(write_some(&s, &p, 3), 0);
	cr_assert_eq(try_put(&s, 22, 1), 0);
	begin_put(&s, &q, 23, 16);
	cr_assert_eq(q.range.n, 9);
	drop_put(&s, &q);
	end_put(&s, &p, 0);
	cacheobj_change(s.c, &ch, 100, 105);
	cr_assert_eq(try_put(&s, 96, 16), 4);
	cr_assert_eq(try_put(&s, 104, 1), 0);
	cr_assert_eq(try_put(&s, 105, 1), 1);
	cacheobj_changed(s.c, &ch, false);
	cr_assert_eq(try_put(&s, 96, 16), 16);
	clear_away(&s);
}

/* --- changes -------------------------------------------------------------------------- */

Test(cacheobj, a_change_drops_what_is_cached, LIMIT)
{
	struct set s;
	struct cacheobj_change ch;
	struct cacheobj_counts n;

	set_out(&s, 6000, 6000, 0);
	for (uint64_t b = 0; b < 4800; b += 16)
		put_blocks(&s, b, 16);
	cacheobj_change(s.c, &ch, 100, 4700);
	cr_assert(is_cached(&s, 99) && !is_cached(&s, 100));
	cr_assert(!is_cached(&s, 4699) && is_cached(&s, 4700));
	cr_assert_eq(drum_avail(s.d), 6000 - 200);
	cacheobj_changed(s.c, &ch, false);
	cacheobj_get_counts(s.c, &n);
	cr_assert_eq(n.dropped_by_change, 4600);
	put_blocks(&s, 100, 1);
	cacheobj_drop_all(s.c);
	cr_assert(cacheobj_is_empty(s.c));
	cr_assert_eq(drum_avail(s.d), 6000);
	clear_away(&s);
}

/* Content that was read before a change, whenever the change came, is not cached. */
Test(cacheobj, a_put_notices_changes, LIMIT)
{
	struct set s;
	struct cacheobj_change ch;
	struct put p;

	set_out(&s, 1000, 1000, 0);
	for (int when = 0; when < 2; when++) {
		begin_put(&s, &p, 32, 8);
		if (when == 1)
			write_put(&s, &p);
		cacheobj_change(s.c, &ch, 30, 33);
		cacheobj_changed(s.c, &ch, false);
		cacheobj_change(s.c, &ch, 39, 50);
		if (when == 0)
			write_put(&s, &p);
		cacheobj_changed(s.c, &ch, false);
		end_put(&s, &p, 0);
		for (uint64_t b = 32; b < 40; b++)
			cr_assert_eq(is_cached(&s, b), b > 32 && b < 39, "%d", (int)b);
		cr_assert_eq(drum_avail(s.d), 1000 - 6);
		cacheobj_drop_all(s.c);
	}
	/* all of it: nothing is written, and the blocks are still the caller's */
	begin_put(&s, &p, 32, 8);
	cacheobj_change(s.c, &ch, 32, 40);
	cacheobj_changed(s.c, &ch, false);
	cr_assert_eq(write_some(&s, &p, 8), -ESTALE);
	cr_assert_eq(drum_avail(s.d), 1000 - 8);
	drum_free(s.d, NULL, p.addr, 8);
	drop_put(&s, &p);
	/* of the part that is to be written */
	begin_put(&s, &p, 32, 8);
	cacheobj_change(s.c, &ch, 32, 34);
	cacheobj_changed(s.c, &ch, false);
	cr_assert_eq(write_some(&s, &p, 2), -ESTALE);
	drum_free(s.d, NULL, p.addr, 2);
	drop_put(&s, &p);
	/* another image, with a put under way */
	begin_put(&s, &p, 32, 8);
	write_put(&s, &p);
	cacheobj_drop_all(s.c);
	end_put(&s, &p, 0);
	cr_assert(cacheobj_is_empty(s.c));
	clear_away(&s);
}

/* It may be carried out within the minute: then nothing of before it may be cached. */
Test(cacheobj, a_change_that_failed, LIMIT)
{
	struct set s;
	struct cacheobj_change ch;
	uint64_t now;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 0, 1);
	cacheobj_change(s.c, &ch, 100, 101);
	cacheobj_changed(s.c, &ch, true);
	cr_assert_eq(try_put(&s, 100, 1), 0);
	cr_assert_eq(try_put(&s, 500, 1), 0);
	cr_assert(is_cached(&s, 0), "what was cached is still read");
	now = clock_ns();
	cacheobj_step(s.c, now + DRUM_HOLD_NS - 10 * NSEC_PER_SEC);
	cr_assert_eq(try_put(&s, 100, 1), 0);
	cacheobj_step(s.c, now + DRUM_HOLD_NS);
	cr_assert_eq(try_put(&s, 100, 1), 1);

	/* the later of two counts */
	cacheobj_hold_puts(s.c, now + 1000 * NSEC_PER_SEC);
	cacheobj_hold_puts(s.c, now + 500 * NSEC_PER_SEC);
	cacheobj_step(s.c, now + 999 * NSEC_PER_SEC);
	cr_assert_eq(try_put(&s, 100, 1), 0);
	cacheobj_step(s.c, now + 1000 * NSEC_PER_SEC);
	cr_assert_eq(try_put(&s, 100, 1), 1);
	cacheobj_hold_puts(s.c, now - 1);
	cr_assert_eq(try_put(&s, 100, 1), 1, "that is over by the clock");
	clear_away(&s);
}

/* --- reads and what happens meanwhile ----------------------------------------------------- */

Test(cacheobj, dropped_while_it_is_read, LIMIT)
{
	struct set s;
	struct cacheobj_read r[3];
	struct cacheobj_change ch;
	uint64_t gap;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 0, 16);
	cr_assert_eq(cacheobj_read(s.c, &r[0], 2, 6, &gap), 6);
	cr_assert_eq(cacheobj_read(s.c, &r[1], 4, 8, &gap), 8);
	cacheobj_change(s.c, &ch, 0, 16);
	cr_assert_eq(cacheobj_read(s.c, &r[2], 3, 1, &gap), 0, "nobody else reads it");
	cr_assert_eq(drum_avail(s.d), 1000 - 10, "2 to 11 are being read");
	counts_hold(&s);
	cacheobj_changed(s.c, &ch, false);
	cr_assert_eq(try_put(&s, 2, 1), 0);
	cacheobj_read_end(s.c, &r[0], 0);
	cr_assert_eq(drum_avail(s.d), 1000 - 8);
	counts_hold(&s);
	cr_assert_eq(try_put(&s, 2, 16), 2);
	cacheobj_read_end(s.c, &r[1], 0);
	cr_assert_eq(drum_avail(s.d), 1000);
	cr_assert(cacheobj_is_empty(s.c));
	clear_away(&s);
}

Test(cacheobj, a_bad_read_drops_the_blocks, LIMIT)
{
	struct set s;
	struct cacheobj_read r[2];
	uint64_t gap;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 0, 16);
	cr_assert_eq(cacheobj_read(s.c, &r[0], 0, 4, &gap), 4);
	cr_assert_eq(cacheobj_read(s.c, &r[1], 2, 4, &gap), 4);
	cacheobj_read_end(s.c, &r[0], -EILSEQ);
	cr_assert(!is_cached(&s, 0) && !is_cached(&s, 3) && is_cached(&s, 4));
	cr_assert_eq(drum_avail(s.d), 1000 - 14, "2 and 3 are being read");
	cacheobj_read_end(s.c, &r[1], -EIO);
	cr_assert(!is_cached(&s, 5) && is_cached(&s, 6));
	cr_assert_eq(drum_avail(s.d), 1000 - 10);
	cr_assert_eq(drum_blocks(s.d), 1000, "who cannot read may yet write");
	counts_are(&s, (struct cacheobj_counts){ .cached = 10,
						 .used = 10,
						 .read = 8,
						 .put = 16,
						 .dropped = 6,
						 .failed_reads = 8,
						 .checksum_errors = 4,
						 .missed = 3 });
	clear_away(&s);
}

/* --- puts that fail ---------------------------------------------------------------------- */

Test(cacheobj, a_put_that_fails, LIMIT)
{
	struct set s;
	struct put p;

	set_out(&s, 1000, 1000, 0);
	begin_put(&s, &p, 0, 4);
	end_put(&s, &p, -ECANCELED);
	cr_assert_eq(drum_avail(s.d), 1000, "it had no blocks");

	begin_put(&s, &p, 0, 4);
	write_put(&s, &p);
	end_put(&s, &p, -ENOSPC);
	cr_assert_eq(drum_avail(s.d), 1000);
	cr_assert_eq(try_put(&s, 0, 16), 16);

	begin_put(&s, &p, 0, 4);
	write_put(&s, &p);
	end_put(&s, &p, -EIO);
	cr_assert_eq(drum_blocks(s.d), 1000 - 4, "they are bad");
	cr_assert_eq(drum_avail(s.d), 1000 - 4);
	cr_assert_eq(try_put(&s, 0, 16), 16);
	cr_assert(cacheobj_is_idle(s.c));
	counts_are(&s, (struct cacheobj_counts){ .dropped = 4 });
	clear_away(&s);
}

/* The write may still be carried out: the blocks are used for nothing before that is over. */
Test(cacheobj, a_put_that_may_be_late, LIMIT)
{
	struct set s;
	struct cacheobj_change ch;
	struct put p;
	uint64_t now;

	set_out(&s, 1000, 1000, 0);
	begin_put(&s, &p, 0, 4);
	write_put(&s, &p);
	end_put(&s, &p, -ENOTCONN);
	now = clock_ns();
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(drum_avail(s.d), 1000 - 4);
		cr_assert_eq(try_put(&s, 3, 1), 0);
		cr_assert(cacheobj_has(s.c, 3) && !is_cached(&s, 3));
		cr_assert(!cacheobj_is_idle(s.c));
		counts_hold(&s);
		/* nor does a change, or the end, make them free */
		cacheobj_change(s.c, &ch, 0, 100);
		cacheobj_changed(s.c, &ch, false);
		cacheobj_drop_all(s.c);
		cacheobj_step(s.c, now + DRUM_HOLD_NS - 10 * NSEC_PER_SEC);
	}
	cacheobj_retire(s.c);
	cr_assert_eq(drum_avail(s.d), 1000 - 4);
	cacheobj_step(s.c, now + DRUM_HOLD_NS);
	cr_assert_eq(drum_avail(s.d), 1000);
	cr_assert(cacheobj_is_idle(s.c));
	clear_away(&s);
}

Test(cacheobj, more_late_blocks_than_there_can_be, LIMIT)
{
	enum { MANY = 515 };
	struct set s;
	struct put p;

	set_out(&s, 2000, 2000, 0);
	for (uint64_t i = 0; i < MANY; i++) { /* no two make a run */
		begin_put(&s, &p, 1998 - i * 3, 1);
		write_put(&s, &p);
		end_put(&s, &p, -ENOTCONN);
	}
	counts_hold_but(&s, 3);
	cr_assert_eq(drum_avail(s.d), 2000 - MANY);
	cacheobj_step(s.c, UINT64_MAX);
	cr_assert_eq(drum_avail(s.d), 2000 - 3, "the drum holds these");
	drum_release_held(s.d, UINT64_MAX);
	cr_assert_eq(drum_avail(s.d), 2000);
	cr_assert(cacheobj_is_idle(s.c));
	clear_away(&s);
}

Test(cacheobj, no_swblock, LIMIT)
{
	struct set s;
	struct put p;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	set_out(&s, 100, 1000, 0);
	put_blocks(&s, 0, 2);
	cr_assert_eq(dup3(null, s.own_fd, O_CLOEXEC), s.own_fd, "no memory for the file");
	begin_put(&s, &p, 20, 4);
	cr_assert_eq(write_some(&s, &p, 4), -ENOSPC);
	drum_free(s.d, NULL, p.addr, 4);
	drop_put(&s, &p);
	cr_assert_eq(try_put(&s, 20, 4), 4);
	put_blocks(&s, 3, 2);
	close(null);
	clear_away(&s);
}

/* --- cleaning ---------------------------------------------------------------------------- */

static void read_block(struct set *s, uint64_t block)
{
	struct cacheobj_read r;
	uint64_t gap;

	cr_assert_eq(cacheobj_read(s->c, &r, block, 1, &gap), 1);
	cacheobj_read_end(s->c, &r, 0);
}

Test(cacheobj, cleaning_leaves_what_was_read_since, LIMIT)
{
	struct set s;
	uint64_t at = 0;

	set_out(&s, 1000, 1000, 0);
	for (uint64_t b = 0; b < 64; b += 16)
		put_blocks(&s, b, 8);
	read_block(&s, 16 + 3);
	cr_assert_eq(cacheobj_clean(s.c, &at, 1000, false), 24);
	cr_assert(!is_cached(&s, 0) && !is_cached(&s, 32) && !is_cached(&s, 48));
	cr_assert_eq(drum_avail(s.d), 1000 - 8);
	counts_hold(&s);
	cr_assert_eq(cacheobj_clean(s.c, &at, 1000, false), 0, "that was the end");
	at = 0;
	cr_assert_eq(cacheobj_clean(s.c, &at, 1000, false), 8, "not a third time");
	cr_assert_eq(drum_avail(s.d), 1000);

	put_blocks(&s, 16, 8);
	read_block(&s, 16);
	at = 0;
	cr_assert_eq(cacheobj_clean(s.c, &at, 1000, true), 8, "in a hurry that is no reason");
	cr_assert_eq(drum_avail(s.d), 1000);
	{
		struct cacheobj_counts n;

		cacheobj_get_counts(s.c, &n);
		cr_assert_eq(n.cleaned, 24 + 8 + 8);
	}
	/* and what was read long ago is no reason for what is there now */
	put_blocks(&s, 16, 8);
	at = 0;
	cr_assert_eq(cacheobj_clean(s.c, &at, 1000, false), 8);
	cr_assert_eq(drum_avail(s.d), 1000);
	clear_away(&s);
}

Test(cacheobj, cleaning_leaves_what_is_read_or_written, LIMIT)
{
	struct set s;
	struct cacheobj_read r;
	struct put p;
	uint64_t at = 0, gap;

	set_out(&s, 1000, 1000, 0);
	for (uint64_t b = 0; b < 64; b += 16)
		put_blocks(&s, b, 8);
	cr_assert_eq(cacheobj_read(s.c, &r, 20, 4, &gap), 4);
	begin_put(&s, &p, 40, 4);
	write_put(&s, &p);
	cr_assert_gt(cacheobj_clean(s.c, &at, 1000, true), 0);
	cr_assert(!is_cached(&s, 0) && is_cached(&s, 16) && is_cached(&s, 32) &&
		  !is_cached(&s, 48));
	counts_hold(&s);
	cacheobj_read_end(s.c, &r, 0);
	end_put(&s, &p, 0);
	at = 0;
	cr_assert_eq(cacheobj_clean(s.c, &at, 1000, true), 20);
	cr_assert_eq(drum_avail(s.d), 1000);
	clear_away(&s);
}

Test(cacheobj, cleaning_is_resumed, LIMIT)
{
	struct set s;
	uint64_t at = 0, was;

	set_out(&s, 10000, 10000, 0);
	for (uint64_t b = 0; b < 8000; b += 16)
		put_blocks(&s, b, 16);
	cr_assert_eq(cacheobj_clean(s.c, &at, 100, false), 112);
	cr_assert_eq(at, 112);
	cr_assert_eq(drum_avail(s.d), 10000 - 8000 + 112);
	for (was = drum_avail(s.d); cacheobj_clean(s.c, &at, 1000, false) > 0;
	     was = drum_avail(s.d)) {
		cr_assert_leq(drum_avail(s.d) - was, 1000 + 16);
		cr_assert_gt(drum_avail(s.d), was);
	}
	cr_assert_eq(drum_avail(s.d), 10000);
	/* what is looked at and not freed counts as well */
	for (uint64_t b = 0; b < 8000; b += 16) {
		put_blocks(&s, b, 1);
		read_block(&s, b);
	}
	at = 0;
	cr_assert_geq(cacheobj_clean(s.c, &at, 10, false), 10);
	cr_assert(at > 0 && at < 8000);
	clear_away(&s);
}

Test(cacheobj, leaves_devices_that_are_off, LIMIT)
{
	struct set s;
	struct cacheobj_read r;
	struct put p;
	uint64_t at = 0, gap, on2 = 0;

	set_out(&s, 4000, 2000, 2000);
	for (uint64_t b = 0; b < 3200; b += 16) {
		put_blocks(&s, b, 8);
		on2 += drum_device_of(address_of(&s, b)) == 2 ? 8 : 0;
	}
	cr_assert_eq(on2, 800, "they take turns");
	cr_assert(!cacheobj_leave_devices(s.c, &at, UINT64_MAX));
	counts_are(&s, (struct cacheobj_counts){ .cached = 1600, .used = 1600, .put = 1600 });
	for (at = 0; drum_device_of(address_of(&s, at)) != 2; at += 16)
		;
	cr_assert_eq(cacheobj_read(s.c, &r, at, 4, &gap), 4);
	begin_put(&s, &p, 3500, 4);
	do {
		write_put(&s, &p);
		if (drum_device_of(p.addr) != 2) {
			end_put(&s, &p, -ENOSPC);
			begin_put(&s, &p, 3500, 4);
		}
	} while (drum_device_of(p.addr) != 2);
	drum_set_off(s.d, 2, true);
	at = 0;
	cr_assert(cacheobj_leave_devices(s.c, &at, 100));
	cr_assert(cacheobj_leave_devices(s.c, &at, 1400));
	cr_assert(!cacheobj_leave_devices(s.c, &at, 1000));
	counts_hold(&s);
	cr_assert_null(drum_remove(s.d, 2), "it is being read and written");
	cacheobj_read_end(s.c, &r, 0);
	end_put(&s, &p, 0);
	at = 0;
	cr_assert(!cacheobj_leave_devices(s.c, &at, 10000));
	{
		struct swap_device *dev = drum_remove(s.d, 2);
		struct cacheobj_counts n;

		cr_assert_not_null(dev);
		device_close(dev);
		cacheobj_get_counts(s.c, &n);
		cr_assert(n.dropped == 804 && n.cached == 800);
	}
	clear_away(&s);
}

/* --- the end ------------------------------------------------------------------------------ */

Test(cacheobj, retired, LIMIT)
{
	struct set s;
	struct cacheobj_read r;
	struct put p, q;
	uint64_t gap;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 0, 16);
	cr_assert_eq(cacheobj_read(s.c, &r, 0, 1, &gap), 1);
	begin_put(&s, &p, 16, 4);
	write_put(&s, &p);
	begin_put(&s, &q, 32, 4);
	cacheobj_retire(s.c);
	cr_assert(cacheobj_is_empty(s.c) && !cacheobj_is_idle(s.c));
	cr_assert_eq(drum_avail(s.d), 1000 - 5);
	cr_assert_eq(try_put(&s, 100, 1), 0);
	cr_assert_eq(write_some(&s, &q, 4), -ESTALE);
	drum_free(s.d, NULL, q.addr, 4);
	drop_put(&s, &q);
	cacheobj_read_end(s.c, &r, 0);
	cr_assert(!cacheobj_is_idle(s.c));
	end_put(&s, &p, 0);
	cr_assert(cacheobj_is_idle(s.c));
	cr_assert_eq(drum_avail(s.d), 1000);
	clear_away(&s);
}

/* A put has a reference, so the object outlives its disk. */
Test(cacheobj, the_last_reference_closes_it, LIMIT)
{
	struct set s;
	struct put p;

	set_out(&s, 1000, 1000, 0);
	cr_assert_str_eq(cacheobj_name(s.c), "a disk");
	cr_assert_eq(cacheobj_drum(s.c), s.d);
	put_blocks(&s, 0, 8);
	cr_assert_eq(drum_cached(s.d), 8);
	begin_put(&s, &p, 16, 4);
	write_put(&s, &p);
	cacheobj_ref(s.c);
	cacheobj_unref(s.c);
	cacheobj_unref(s.c);
	cr_assert_geq(fcntl(s.own_fd, F_GETFD), 0);
	end_put(&s, &p, 0);
	cr_assert_eq(fcntl(s.own_fd, F_GETFD), -1);
	cr_assert_eq(drum_cached(s.d), 0, "nobody can count on them now");
	s.c = NULL;
	clear_away(&s);
}

/* --- restarts ------------------------------------------------------------------------------
 */

Test(cacheobj, a_restart_keeps_what_is_valid, LIMIT)
{
	struct set s;
	struct cacheobj_read r;
	struct cacheobj_change ch;
	struct put p, q;
	uint64_t gap, now;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 0, 16);
	begin_put(&s, &p, 32, 4);
	write_put(&s, &p);
	begin_put(&s, &q, 64, 4);
	cr_assert_eq(cacheobj_read(s.c, &r, 4, 2, &gap), 2);
	cacheobj_change(s.c, &ch, 4, 8);
	for (int deaths = 0; deaths < 2; deaths++) {
		restart(&s);
		cr_assert_eq(cacheobj_claim(s.c), 12);
		now = clock_ns();
		/* 4 that were written, 2 that were read; for a minute, again and again */
		cr_assert_eq(drum_avail(s.d), 1000 - 12 - 4 - 2);
		counts_hold(&s);
		cr_assert(is_cached(&s, 3) && !is_cached(&s, 4) && is_cached(&s, 8));
		cr_assert_eq(try_put(&s, 32, 1), 0);
		cr_assert_eq(try_put(&s, 6, 16), 2);
		cr_assert_eq(try_put(&s, 64, 4), 4);
		cacheobj_step(s.c, now + DRUM_HOLD_NS - 10 * NSEC_PER_SEC);
		cr_assert_eq(drum_avail(s.d), 1000 - 12 - 4 - 2);
	}
	cacheobj_step(s.c, now + DRUM_HOLD_NS);
	cr_assert_eq(drum_avail(s.d), 1000 - 12);
	cr_assert_eq(try_put(&s, 32, 1), 1);
	restart(&s);
	cr_assert_eq(cacheobj_claim(s.c), 12);
	cr_assert_eq(drum_avail(s.d), 1000 - 12);
	clear_away(&s);
}

/* Whatever cannot be claimed is dropped, and words of another version are kept from use. */
Test(cacheobj, a_restart_with_words_that_are_not_ours, LIMIT)
{
	static const uint64_t odd[] = {
		SWB_RESERVED, SWB_VALID | SWB_KEPT, SWB_LOST, 0, SWB_RESERVED | SWB_HELD,
	};
	enum { ODD = sizeof(odd) / sizeof(odd[0]) };
	struct set s;
	uint64_t base;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 0, 16);
	base = drum_block_of(address_of(&s, 0));
	store_word(&s, 2, drum_make(2, 5) | SWB_VALID);		       /* no such device */
	store_word(&s, 3, drum_make(1, 5000) | SWB_VALID);	       /* no such block */
	store_word(&s, 4, drum_make(DRUM_IMAGE_FIRST, 5) | SWB_VALID); /* not of swap */
	store_word(&s, 5, drum_make(1, base + 6) | SWB_VALID);	       /* twice */
	store_word(&s, 7, drum_make(2, 7) | SWB_WRITING);	       /* of a missing one */
	store_word(&s, 8, drum_make(100, 7) | SWB_WRITING);	       /* of none ever */
	store_word(&s, 9, drum_make(1, base + 10) | SWB_WRITING);      /* of another's */
	for (uint64_t i = 0; i < ODD; i++)
		store_word(&s, 32 + i, drum_make(1, 900 + i) | odd[i]);
	restart(&s);
	cr_assert_eq(drum_claim(s.d, NULL, drum_make(1, base + 15)), 0, "a guest has it");
	cr_assert_eq(cacheobj_claim(s.c), 16 - 8);
	for (uint64_t b = 0; b < 16; b++)
		cr_assert_eq(is_cached(&s, b), b < 2 || b == 5 || (b >= 10 && b < 15), "%d",
			     (int)b);
	cr_assert_eq(drum_avail(s.d), 1000 - 1 - 8 - ODD);
	cr_assert(cacheobj_has(s.c, 7) && !cacheobj_has(s.c, 8) && !cacheobj_has(s.c, 9));
	for (uint64_t i = 0; i < ODD; i++)
		cr_assert_eq(try_put(&s, 32 + i, 1), 0);
	counts_hold(&s);
	/* a pager that has the device knows of what may be on its way there */
	restart(&s);
	add_device(&s, 2, 100);
	cr_assert_eq(cacheobj_claim(s.c), 8);
	cr_assert_eq(drum_claim(s.d, NULL, drum_make(2, 7)), -EEXIST);
	cacheobj_step(s.c, UINT64_MAX);
	cr_assert_eq(drum_avail(s.d), 1100 - 8);
	counts_hold(&s);
	cacheobj_retire(s.c);
	cr_assert(cacheobj_is_idle(s.c));
	cr_assert_eq(drum_avail(s.d), 1100);
	clear_away(&s);
}

/* What is on its way to a device that is missing is forgotten with the minute. */
Test(cacheobj, late_on_a_device_that_is_missing, LIMIT)
{
	struct swap_device image = { .blocks = 100 };
	struct set s;

	set_out(&s, 1000, 1000, 0);
	store_word(&s, 7, drum_make(2, 7) | SWB_WRITING);
	store_word(&s, 9, drum_make(DRUM_IMAGE_FIRST, 9) | SWB_VALID);
	restart(&s);
	/* an image's blocks are for whoever wants them, but not for us */
	cr_assert_eq(drum_add_image(s.d, &image, 0), DRUM_IMAGE_FIRST);
	cr_assert_eq(cacheobj_claim(s.c), 0);
	cr_assert_eq(drum_image_owners(s.d, DRUM_IMAGE_FIRST), 0);
	counts_are(&s, (struct cacheobj_counts){ 0 });
	cr_assert(!cacheobj_is_idle(s.c));
	cr_assert_eq(try_put(&s, 7, 1), 0);
	cacheobj_step(s.c, UINT64_MAX);
	cr_assert(cacheobj_is_idle(s.c));
	cr_assert_eq(try_put(&s, 7, 1), 1);
	cr_assert_eq(drum_remove_image(s.d, DRUM_IMAGE_FIRST), &image);
	clear_away(&s);
}

/* A disk that is gone before its cache was claimed. */
Test(cacheobj, retired_before_it_is_claimed, LIMIT)
{
	struct set s;
	struct put p;

	set_out(&s, 1000, 1000, 0);
	put_blocks(&s, 0, 16);
	begin_put(&s, &p, 32, 4);
	write_put(&s, &p);
	restart(&s);
	cacheobj_retire(s.c);
	cr_assert(!cacheobj_is_idle(s.c));
	cr_assert_eq(cacheobj_claim(s.c), 0);
	cr_assert_eq(drum_avail(s.d), 1000 - 4);
	cr_assert(!cacheobj_is_idle(s.c));
	cacheobj_step(s.c, UINT64_MAX);
	cr_assert(cacheobj_is_idle(s.c));
	cr_assert_eq(drum_avail(s.d), 1000);
	clear_away(&s);
}
