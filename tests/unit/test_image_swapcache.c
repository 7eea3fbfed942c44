/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads that are diverted to swap, and changes that are told; and over a real file. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache_io.h"

#define PARTS 16u

TestSuite(image_swapcache, .init = set_up, .fini = tear_down, LIMIT);

/* --- reads --------------------------------------------------------------------------- */

Test(image_swapcache, hit)
{
	have_cached(4, 8);
	reads_right(4 * FAKE_BLOCK, 8 * FAKE_BLOCK, 0);
	cr_assert_eq(f->reads, 0, "nothing is asked of the image");
	cr_assert_eq(counts().reads, 1);
	cr_assert_eq(counts().saved_reads, 1);
	cr_assert_eq(counts().read_bytes, 8 * FAKE_BLOCK);
	cr_assert_eq(counts().hit_bytes, 8 * FAKE_BLOCK);
}

Test(image_swapcache, miss)
{
	struct rd *r;

	have_cached(4, 8);
	r = read_at(20 * FAKE_BLOCK, 40 * FAKE_BLOCK, 777);
	cr_assert_eq(f->n, 1);
	cr_assert_eq(f->io[0].req, &r->req, "it is the caller's own request, in one piece");
	cr_assert_eq(image->under_way, 1);
	end_all();
	has(r, r->req.off, r->req.off + r->req.len, 1);
	cr_assert_eq(counts().saved_reads, 0);
	cr_assert_eq(counts().hit_bytes, 0);
	drop(r);
}

Test(image_swapcache, mixed)
{
	struct rd *r;

	have_cached(10, 2);
	have_cached(15, 5); /* of two swblocks */
	r = read_at(9 * FAKE_BLOCK + SECTOR, 12 * FAKE_BLOCK, 0);
	/* 9, 10-11, 12-14, 15, 16-19, 20-21 */
	cr_assert_eq(f->n, 6, "%u", f->n);
	cr_assert_eq(f->reads, 3);
	cr_assert_eq(image->under_way, 4, "the request, and what was asked of the image");
	end_all();
	cr_assert_eq(image->under_way, 0);
	drop(r);
	cr_assert_eq(counts().saved_reads, 0);
	cr_assert_eq(counts().hit_bytes, 7 * FAKE_BLOCK);
	for (uint64_t n = 1; n < 20; n++)
		reads_right(6 * FAKE_BLOCK, n * FAKE_BLOCK, 0);
}

Test(image_swapcache, misaligned)
{
	have_cached(1, 3);
	have_cached(5, 1);
	for (uint64_t from = 0; from < 16; from++)
		for (uint64_t n = 1; n < 50; n += 3)
			reads_right(from * SECTOR, n * SECTOR, 0);
	cr_assert_lt(counts().hit_bytes, counts().read_bytes);
}

Test(image_swapcache, the_last_partial_block_is_never_cached)
{
	struct rd *r;

	fills();
	policy.knob[SWAPCACHE_META_ENABLE] = 1;
	cr_assert(image_swapcache_wants(image, BLOCKS - 1));
	cr_assert_not(image_swapcache_wants(image, BLOCKS));
	have_cached(BLOCKS - 1, 1);
	reads_right(BYTES - TAIL, TAIL, 0);
	reads_right(BYTES - TAIL + SECTOR, SECTOR, 1);
	reads_right(BYTES - TAIL - SECTOR, TAIL + SECTOR, 0);
	cr_assert_eq(sd->gets, 0);
	/* what is behind a run that is not cached comes along with it */
	fake_drop(c, 0, FAKE_BLOCKS);
	have_cached(0, 1);
	sd->refuse = true;
	r = read_at(BYTES - TAIL - FAKE_BLOCK, TAIL + FAKE_BLOCK, 0);
	cr_assert_eq(f->n, 1);
	cr_assert_eq(f->io[0].req, &r->req);
	end_all();
	drop(r);
	/* it has grown: now it is a whole one */
	sd->refuse = false;
	image->info.bytes = (BLOCKS + 1) * FAKE_BLOCK;
	cr_assert(image_swapcache_wants(image, BLOCKS));
	reads_right(BYTES - TAIL, FAKE_BLOCK, 0);
	cr_assert_eq(sd->last_block, BLOCKS);
	cr_assert_eq(sd->gives, 1);
}

Test(image_swapcache, shapes_of_vectors)
{
	static const uint64_t per[] = { 0, 1, 7, 511, 512, 513, 4096, 4097, 65536, 100000 };

	have_cached(3, 1);
	have_cached(18, 20);
	for (unsigned int i = 0; i < sizeof(per) / sizeof(per[0]); i++) {
		reads_right(2 * FAKE_BLOCK, 3 * FAKE_BLOCK, per[i]);
		reads_right(2 * FAKE_BLOCK - SECTOR, SECTOR, per[i]);
		reads_right(3 * SECTOR, 60 * FAKE_BLOCK + SECTOR, per[i]);
		reads_right(0, BYTES, per[i]);
	}
	/* and with blocks of 4 KiB, where 64 vectors are not always one */
	image->info.block_size = FAKE_BLOCK;
	for (unsigned int i = 0; i < sizeof(per) / sizeof(per[0]); i++)
		reads_right(2 * FAKE_BLOCK, 50 * FAKE_BLOCK, per[i]);
	image->info.block_size = SECTOR;
}

Test(image_swapcache, image_parts_go_straight_to_memory)
{
	struct rd *r;
	uint64_t bytes = 0;

	have_cached(0, 1);
	r = read_at(0, 60 * FAKE_BLOCK, 1000);
	for (unsigned int i = 0; i < f->n; i++) {
		const struct image_req *req = f->io[i].req;

		if (!req)
			continue;
		cr_assert_eq(req->off % FAKE_BLOCK, 0, "whole blocks where it may be");
		for (unsigned int k = 0; k < req->niov; k++) {
			cr_assert((char *)req->iov[k].iov_base >= r->mem &&
				  (char *)req->iov[k].iov_base < r->mem + r->size);
			bytes += req->iov[k].iov_len;
		}
	}
	cr_assert_eq(bytes, 59 * FAKE_BLOCK);
	end_all();
	drop(r);
}

/* --- what fails ---------------------------------------------------------------------- */

static void check_fallback(int err)
{
	struct rd *r;

	have_cached(4, 3);
	r = read_at(4 * FAKE_BLOCK - SECTOR, 5 * FAKE_BLOCK, 1000);
	for (unsigned int i = 0; i < f->n; i++)
		if (f->io[i].io) {
			fake_end(f, i, err, true); /* bytes came, and are not to be trusted */
			break;
		}
	cr_assert_eq(c->last_err, err, "the cache is told");
	end_all();
	has(r, r->req.off, r->req.off + r->req.len, 1);
	drop(r);
	cr_assert(cacheobj_is_empty(c));
	cr_assert_eq(counts().fallbacks, 1);
	cr_assert_eq(counts().hit_bytes, 0);
	cr_assert_eq(counts().saved_reads, 0);
}

Test(image_swapcache, swap_cannot_be_read)
{
	check_fallback(-EIO);
}

Test(image_swapcache, wrong_checksum)
{
	check_fallback(-EILSEQ);
}

Test(image_swapcache, fallback_of_many_vectors)
{
	struct rd *r;

	have_cached(0, 16);
	r = read_at(SECTOR, 15 * FAKE_BLOCK, 1);
	fake_end(f, 0, -EIO, false);
	cr_assert_eq(f->n, 1, "in one piece");
	end_all();
	has(r, SECTOR, SECTOR + 15 * FAKE_BLOCK, 1);
	drop(r);
}

/* The first error is the request's, which ends once, and asks for nothing more. */
Test(image_swapcache, errors_of_the_image)
{
	struct rd *r;
	unsigned int n;

	for (uint64_t b = 0; b < 80; b += 2)
		have_cached(b, 1);
	r = read_at(0, 80 * FAKE_BLOCK, 0);
	cr_assert_eq(f->n, PARTS);
	fake_end(f, 3, -EIO, false);
	cr_assert_eq(f->n, PARTS - 1, "no more of it");
	fake_end(f, 4, -ENOMEM, false);
	for (n = f->n; n > 0; n--) {
		cr_assert_eq(r->ended, 0);
		fake_end(f, 0, 0, false);
	}
	cr_assert_eq(r->ended, 1);
	cr_assert_eq(r->err, -EIO);
	cr_assert_eq(f->n, 0);
	drop(r);
	reads_right(0, 80 * FAKE_BLOCK, 0);
}

Test(image_swapcache, an_error_lets_the_next_one_go_on)
{
	struct rd *r, *next;

	for (uint64_t b = 0; b < 80; b += 2)
		have_cached(b, 1);
	r = read_at(0, 80 * FAKE_BLOCK, 0);
	next = read_at(2 * FAKE_BLOCK, FAKE_BLOCK, 0);
	fake_end(f, 1, -EIO, false);
	cr_assert_eq(f->n, PARTS, "the other one has begun");
	end_all();
	has(next, 2 * FAKE_BLOCK, 3 * FAKE_BLOCK, 2);
	cr_assert_eq(r->err, -EIO);
	drop(r);
	drop(next);
}

/* Whole blocks are read for the cache; what was not asked for does not make a request fail. */
Test(image_swapcache, errors_beside_what_is_asked_for)
{
	struct rd *r;

	fills();
	f->bad = 6 * FAKE_BLOCK;
	f->bad_end = f->bad + SECTOR;
	reads_right(6 * FAKE_BLOCK + SECTOR, 4 * SECTOR, 0);
	reads_right(4 * FAKE_BLOCK, 2 * FAKE_BLOCK, 0);
	cr_assert_eq(sd->drops, 1);
	cr_assert_eq(sd->gives, 1);
	r = read_at(4 * FAKE_BLOCK, 4 * FAKE_BLOCK, 0);
	end_all();
	cr_assert_eq(r->ended, 1);
	cr_assert_eq(r->err, -EIO);
	drop(r);
	cr_assert_not(fake_write(sd, 9) && fake_write(sd, 9), "one only was given");
	cr_assert(c->word[6] == FAKE_NONE && c->word[7] == FAKE_NONE);
}

/* Memory that is gone when something is copied there, or read. */
Test(image_swapcache, memory_of_the_guest_is_gone)
{
	struct iovec v[2];
	struct rd *r = calloc(1, sizeof(*r));
	int fd = memfd_create("guest", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, 2 * FAKE_BLOCK), 0);
	for (int i = 0; i < 2; i++)
		v[i] = (struct iovec){ mmap(NULL, FAKE_BLOCK, PROT_READ | PROT_WRITE,
					    MAP_SHARED, fd, (off_t)(i * FAKE_BLOCK)),
				       FAKE_BLOCK };
	cr_assert_eq(ftruncate(fd, FAKE_BLOCK), 0);
	r->req = (struct image_req){
		.done = on_end, .len = 2 * FAKE_BLOCK, .iov = v, .niov = 2
	};
	for (int how = 0; how < 4; how++) {
		fake_drop(c, 0, FAKE_BLOCKS);
		policy.knob[SWAPCACHE_DATA_ENABLE] = how == 3;
		if (how > 0 && how < 3) /* both from swap, or the one that is gone not */
			have_cached(0, how == 1 ? 2 : 1);
		submit(r);
		end_all();
		cr_assert_eq(r->ended, 1);
		cr_assert_eq(r->err, -EFAULT, "%d: %d", how, r->err);
		/* it is there again, and so is the caller's request, as it was */
		cr_assert_eq(ftruncate(fd, 2 * FAKE_BLOCK), 0);
		submit(r);
		end_all();
		cr_assert_eq(r->err, 0, "%d: %d", how, r->err);
		cr_assert(is_stamped(v[1].iov_base, FAKE_BLOCK, FAKE_BLOCK, how == 1 ? 2 : 1));
		cr_assert_eq(ftruncate(fd, FAKE_BLOCK), 0);
	}
	cr_assert_eq(sd->gives, 1, "what the image has is good, wherever it could not go");
	cr_assert_eq(counts().fallbacks, 0);
	munmap(v[0].iov_base, FAKE_BLOCK);
	munmap(v[1].iov_base, FAKE_BLOCK);
	close(fd);
	free(r);
}

/* --- changes ------------------------------------------------------------------------- */

/* The cache knows that it is over before the caller does, who may read again at once. */
static void is_over(struct rd *w)
{
	(void)w;
	cr_assert_null(c->changes);
}

static struct rd *change(enum image_op op, uint64_t off, uint64_t len, uint64_t version)
{
	struct rd *w = make(op, off, len, 0);

	if (op == IMAGE_WRITE)
		stamp(w->mem, off, len, version);
	w->then = is_over;
	submit(w);
	return w;
}

Test(image_swapcache, changes_drop_what_they_touch)
{
	static const enum image_op ops[] = { IMAGE_WRITE, IMAGE_DISCARD, IMAGE_ZEROES };

	for (unsigned int i = 0; i < 3; i++) {
		struct rd *w;

		fake_drop(c, 0, FAKE_BLOCKS);
		have_cached(0, 8);
		/* the last sector of 2, all of 3, and the first of 4 */
		w = change(ops[i], 3 * FAKE_BLOCK - SECTOR, FAKE_BLOCK + 2 * SECTOR, 9);
		cr_assert_eq(f->io[0].req, &w->req);
		for (unsigned int b = 0; b < 8; b++)
			cr_assert_eq(c->word[b] == FAKE_NONE, b >= 2 && b <= 4, "%u", b);
		cr_assert_not_null(c->changes, "as long as it is under way");
		end_all();
		cr_assert_eq(w->err, 0);
		drop(w);
	}
	cr_assert_eq(c->n_changes, 3);
	cr_assert_eq(c->n_failed, 0);
	cr_assert_eq(image->under_way, 0);
}

Test(image_swapcache, changes_are_told_whatever_the_knobs_say)
{
	struct rd *w;

	memset(policy.knob, 0, sizeof(policy.knob));
	for (int i = 0; i < 2; i++) {
		have_cached(0, 4);
		w = change(IMAGE_WRITE, 0, SECTOR, 9);
		end_all();
		drop(w);
		cr_assert_eq(c->word[0], FAKE_NONE);
		cr_assert_neq(c->word[1], FAKE_NONE);
		fake_drop(c, 0, FAKE_BLOCKS);
		image_swapcache_set_mode(image, SWAPCACHE_OFF);
	}
}

Test(image_swapcache, flushes_change_nothing)
{
	struct rd *w = make(IMAGE_FLUSH, 0, 0, 1);

	have_cached(0, 4);
	submit(w);
	cr_assert_eq(f->io[0].req, &w->req);
	cr_assert_eq(c->n_changes, 0);
	end_all();
	cr_assert_eq(w->ended, 1);
	cr_assert_eq(w->err, 0);
	cr_assert_neq(c->word[0], FAKE_NONE);
	drop(w);
}

/* What does not reach the image is no change. */
Test(image_swapcache, refused_and_empty_requests)
{
	struct rd *w = make(IMAGE_WRITE, 5, SECTOR, 0), *v = make(IMAGE_DISCARD, 0, 0, 1);

	have_cached(0, 4);
	submit(w);
	submit(v);
	end_all();
	cr_assert_eq(w->err, -EINVAL);
	cr_assert_eq(v->err, 0);
	cr_assert_eq(c->n_changes, 0);
	drop(w);
	drop(v);
}

Test(image_swapcache, a_change_that_failed)
{
	struct rd *w = change(IMAGE_WRITE, 0, FAKE_BLOCK, 9);

	fills();
	fake_end(f, 0, -EIO, false);
	cr_assert_eq(w->err, -EIO);
	cr_assert_eq(c->n_failed, 1);
	reads_right(0, FAKE_BLOCK, 0);
	cr_assert_eq(sd->gets, 1, "it was asked, and it is not the time");
	cr_assert_eq(sd->gives, 0);
	drop(w);
}

/* A read that begins after the change has ended sees it. */
Test(image_swapcache, changes_between_reads)
{
	struct rd *w, *r;

	have_cached(0, 4);
	r = read_at(0, 4 * FAKE_BLOCK, 0); /* before: from swap, the old */
	w = change(IMAGE_WRITE, FAKE_BLOCK, FAKE_BLOCK, 9);
	fake_end(f, 1, 0, false);
	cr_assert_eq(w->ended, 1);
	end_all();
	has(r, 0, 4 * FAKE_BLOCK, 2);
	drop(r);
	drop(w);
	r = read_at(0, 4 * FAKE_BLOCK, 0);
	end_all();
	has(r, 0, FAKE_BLOCK, 2);
	has(r, FAKE_BLOCK, 2 * FAKE_BLOCK, 9);
	has(r, 2 * FAKE_BLOCK, 4 * FAKE_BLOCK, 2);
	drop(r);
}

/* The image's answer is older than the change, which was over before the answer came. */
static bool always(void)
{
	return true;
}

Test(image_swapcache, a_change_while_blocks_are_filled)
{
	struct rd *r, *w;

	fills();
	f->early = always;
	r = read_at(0, 4 * FAKE_BLOCK, 0);
	cr_assert_eq(sd->last_n, 4);
	w = change(IMAGE_WRITE, 2 * FAKE_BLOCK + SECTOR, SECTOR, 9);
	fake_end(f, 1, 0, false);
	cr_assert_eq(w->ended, 1);
	end_all();
	has(r, 0, 4 * FAKE_BLOCK, 1);
	cr_assert(fake_write(sd, 0));
	for (unsigned int b = 0; b < 4; b++)
		cr_assert_eq(c->word[b] == FAKE_NONE, b == 2, "%u", b);
	drop(r);
	r = read_at(0, 4 * FAKE_BLOCK, 0);
	end_all();
	has(r, 2 * FAKE_BLOCK + SECTOR, 2 * FAKE_BLOCK + 2 * SECTOR, 9);
	drop(r);
	drop(w);
}

Test(image_swapcache, nothing_is_filled_beside_a_change)
{
	struct rd *r, *w = change(IMAGE_WRITE, 2 * FAKE_BLOCK, FAKE_BLOCK, 9);

	fills();
	f->early = always;
	r = read_at(2 * FAKE_BLOCK, FAKE_BLOCK, 0);
	cr_assert_eq(f->io[1].req, &r->req, "it goes to the image");
	end_all();
	cr_assert_eq(sd->gives, 0);
	drop(r);
	drop(w);
}

/* --- fills --------------------------------------------------------------------------- */

Test(image_swapcache, blocks_are_filled_as_they_are_read)
{
	struct rd *r;

	fills();
	r = read_at(3 * FAKE_BLOCK + SECTOR, 30 * FAKE_BLOCK, 1000);
	/* 3-15, 16-31, 32-33: whole blocks, although less was asked for */
	cr_assert_eq(f->n, 3);
	cr_assert_eq(f->io[0].req->off, 3 * FAKE_BLOCK);
	cr_assert_eq(f->io[0].req->len, 13 * FAKE_BLOCK);
	cr_assert_eq(f->io[2].req->len, 2 * FAKE_BLOCK);
	end_all();
	has(r, r->req.off, r->req.off + r->req.len, 1);
	drop(r);
	cr_assert_eq(sd->gives, 3);
	cr_assert_eq(counts().fills, 31);
	while (fake_write(sd, 0))
		;
	for (unsigned int b = 0; b < BLOCKS; b++)
		cr_assert_eq(c->word[b] != FAKE_NONE, b >= 3 && b < 34, "%u", b);
	r = read_at(3 * FAKE_BLOCK, 31 * FAKE_BLOCK, 0);
	end_all();
	has(r, 3 * FAKE_BLOCK, 34 * FAKE_BLOCK, 1);
	cr_assert_eq(f->reads, 3, "it is on swap now");
	cr_assert_eq(counts().saved_reads, 1);
	drop(r);
}

Test(image_swapcache, the_daemon_takes_less_or_nothing)
{
	struct rd *r;

	fills();
	sd->refuse = true;
	r = read_at(0, 40 * FAKE_BLOCK, 0);
	cr_assert_eq(f->io[0].req, &r->req, "as it is");
	cr_assert_eq(sd->gets, 1, "it is asked once");
	end_all();
	drop(r);
	sd->refuse = false;
	sd->max = 3;
	r = read_at(0, 40 * FAKE_BLOCK, 0);
	cr_assert_eq(f->n, FAKE_PUTS + 1, "as many as it has buffers; the rest in one");
	end_all();
	has(r, 0, 40 * FAKE_BLOCK, 1);
	cr_assert_eq(sd->gives, FAKE_PUTS);
	drop(r);
}

Test(image_swapcache, metadata_alone_is_filled)
{
	struct rd *r;

	policy.knob[SWAPCACHE_META_ENABLE] = 1;
	reads_right(20 * FAKE_BLOCK, 2 * FAKE_BLOCK, 0);
	cr_assert_eq(sd->gets, 0);
	r = read_at(18 * FAKE_BLOCK, 4 * FAKE_BLOCK, 0);
	cr_assert_eq(f->n, 2, "18-19, and 20-21, which are read again");
	end_all();
	cr_assert_eq(sd->last_block, 20);
	cr_assert_eq(sd->last_n, 2);
	has(r, 18 * FAKE_BLOCK, 22 * FAKE_BLOCK, 1);
	drop(r);
}

Test(image_swapcache, knobs_that_divert_nothing)
{
	have_cached(0, 8);
	for (int how = 0; how < 3; how++) {
		struct rd *r;

		fills();
		policy.knob[SWAPCACHE_READ_ENABLE] = how != 0;
		policy.knob[SWAPCACHE_FILL_ENABLE] = how == 1;
		image_swapcache_set_mode(image, how == 1 ? SWAPCACHE_OFF : SWAPCACHE_ON);
		r = read_at(how == 2 ? 10 * FAKE_BLOCK : 0, 10 * FAKE_BLOCK, 0);
		cr_assert_eq(f->io[0].req, &r->req, "%d", how);
		cr_assert_eq(f->n, 1);
		end_all();
		has(r, r->req.off, r->req.off + r->req.len, 1);
		drop(r);
	}
	cr_assert_eq(sd->gets, 0);
	reads_right(0, 10 * FAKE_BLOCK, 0);
	cr_assert_eq(counts().hit_bytes, 8 * FAKE_BLOCK, "it was there all the time");
}

/* All ten blocks are the image's. */
static void reads_of_the_image(void)
{
	struct rd *r = read_at(0, 10 * FAKE_BLOCK, 0);

	end_all();
	has(r, 0, r->req.len, 1);
	drop(r);
	cr_assert_eq(counts().hit_bytes, 0);
}

Test(image_swapcache, blocks_are_filled_while_none_is_read)
{
	fills();
	have_cached(0, 4);
	have_cached(6, 1);
	policy.knob[SWAPCACHE_READ_ENABLE] = 0;
	reads_of_the_image();
	cr_assert_eq(counts().fills, 5, "4 and 5, and 7 to 9: %lu",
		     (unsigned long)counts().fills);
	cr_assert_eq(sd->gives, 2);
	/* again: all is there, or about to be */
	reads_of_the_image();
	cr_assert_eq(sd->gives, 2);
	cr_assert_eq(sd->gets, 2, "nor is anybody asked");
}

/* --- what is wanted ------------------------------------------------------------------ */

Test(image_swapcache, wants)
{
	static const struct {
		enum swapcache_mode mode;
		bool data, meta, chflags;
		uint64_t largest;
		bool wants_data, wants_meta;
	} rows[] = {
		/* mode		    data   meta	  flags	 largest */
		{ SWAPCACHE_AUTO, false, false, false, 0, false, false },
		{ SWAPCACHE_AUTO, true, false, false, 0, true, true },
		{ SWAPCACHE_AUTO, false, true, false, 0, false, true },
		{ SWAPCACHE_AUTO, true, true, false, 0, true, true },
		{ SWAPCACHE_AUTO, true, false, true, 0, false, false },
		{ SWAPCACHE_AUTO, true, true, true, 0, false, true },
		{ SWAPCACHE_AUTO, true, false, false, BYTES, true, true },
		{ SWAPCACHE_AUTO, true, false, false, BYTES - 1, false, false },
		{ SWAPCACHE_AUTO, true, true, false, BYTES - 1, false, true },
		{ SWAPCACHE_ON, false, false, false, 0, false, false },
		{ SWAPCACHE_ON, true, false, false, 0, true, true },
		{ SWAPCACHE_ON, false, true, false, 0, false, true },
		{ SWAPCACHE_ON, true, false, true, 0, true, true },
		{ SWAPCACHE_ON, true, true, true, 0, true, true },
		{ SWAPCACHE_ON, true, false, true, BYTES, true, true },
		{ SWAPCACHE_ON, true, false, true, BYTES - 1, false, false },
		{ SWAPCACHE_META, true, false, false, 0, false, false },
		{ SWAPCACHE_META, true, true, false, 0, false, true },
		{ SWAPCACHE_META, false, true, true, 1, false, true },
		{ SWAPCACHE_OFF, true, false, false, 0, false, false },
		{ SWAPCACHE_OFF, true, true, false, 0, false, false },
	};

	policy.knob[SWAPCACHE_FILL_ENABLE] = 0;
	for (int i = 0; i < 3; i++)
		reads_right(7 * FAKE_BLOCK, FAKE_BLOCK, 0);
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		policy.knob[SWAPCACHE_DATA_ENABLE] = rows[i].data;
		policy.knob[SWAPCACHE_META_ENABLE] = rows[i].meta;
		policy.knob[SWAPCACHE_USE_CHFLAGS] = rows[i].chflags;
		policy.knob[SWAPCACHE_MAXFILESIZE] = rows[i].largest;
		image_swapcache_set_mode(image, rows[i].mode);
		cr_assert_eq(image_swapcache_wants(image, 8), rows[i].wants_data, "%u", i);
		cr_assert_eq(image_swapcache_wants(image, 7), rows[i].wants_meta, "%u", i);
	}
}

Test(image_swapcache, images_without)
{
	struct fake_image *other = fake_image(BYTES, 2 * FAKE_BLOCK, c);
	struct image_swapcache_counts n = { .reads = 1 };

	cr_assert_eq(image_swapcache_on(&other->image, c, sd, &policy, SWAPCACHE_ON), -EINVAL,
		     "its blocks are larger than those of swap");
	cr_assert_null(image_swapcache_object(&other->image));
	cr_assert_not(image_swapcache_wants(&other->image, 0));
	image_swapcache_set_mode(&other->image, SWAPCACHE_ON);
	image_swapcache_get_counts(&other->image, &n);
	cr_assert_eq(n.reads, 0);
	image_swapcache_off(&other->image);
	image_swapcache_off(NULL);
	image_close(&other->image);
	fake_now = f;
	cr_assert_eq(image_swapcache_object(image), c);
	image_swapcache_off(image);
	cr_assert_eq(c->refs, 1);
	have_cached(0, 1);
	fake_drop(c, 0, 1);
	reads_right(0, FAKE_BLOCK, 0);
	use(image, SWAPCACHE_OFF); /* with no memory touched before it is used */
	image_swapcache_set_mode(image, SWAPCACHE_AUTO);
	have_cached(0, 1);
	reads_right(0, FAKE_BLOCK, 0);
	cr_assert_eq(counts().hit_bytes, FAKE_BLOCK);
}

/* --- parts --------------------------------------------------------------------------- */

Test(image_swapcache, who_finds_no_part_waits_in_order)
{
	struct rd *r[PARTS + 5], *elsewhere;

	have_cached(0, BLOCKS - 10);
	for (unsigned int i = 0; i < PARTS + 5; i++)
		r[i] = read_at(i * FAKE_BLOCK, FAKE_BLOCK, 0);
	cr_assert_eq(f->n, PARTS);
	/* what the cache has nothing of does not wait */
	elsewhere = read_at((BLOCKS - 5) * FAKE_BLOCK, FAKE_BLOCK, 0);
	cr_assert_eq(f->io[PARTS].req, &elsewhere->req);
	fake_end(f, PARTS, 0, false);
	has(elsewhere, elsewhere->req.off, elsewhere->req.off + FAKE_BLOCK, 1);
	drop(elsewhere);
	/* each end of the newest begins the next in order */
	for (unsigned int i = 0; i < 5; i++) {
		fake_end(f, PARTS - 1, 0, false);
		cr_assert_eq(f->n, PARTS);
		cr_assert_eq(r[PARTS - 1 + i]->ended, 1);
	}
	end_all();
	for (unsigned int i = 0; i < PARTS + 5; i++) {
		has(r[i], i * FAKE_BLOCK, (i + 1) * FAKE_BLOCK, 2);
		drop(r[i]);
	}
}

Test(image_swapcache, a_large_one_has_all_parts_and_the_next_waits)
{
	struct rd *large, *next;

	for (uint64_t b = 0; b < 90; b += 2)
		have_cached(b, 1);
	large = read_at(0, 90 * FAKE_BLOCK, 0);
	next = read_at(0, FAKE_BLOCK, 0);
	cr_assert_eq(f->n, PARTS);
	for (unsigned int i = 0; i < 90 - PARTS; i++) {
		fake_end(f, i % PARTS, 0, false);
		cr_assert_eq(f->n, PARTS);
	}
	cr_assert_eq(next->ended, 0);
	fake_end(f, 0, 0, false); /* the last one is cut to its end: now the next */
	cr_assert_eq(f->n, PARTS);
	fake_end(f, PARTS - 1, 0, false);
	cr_assert_eq(next->ended, 1);
	cr_assert_eq(large->ended, 0);
	end_all();
	cr_assert_eq(large->ended, 1);
	cr_assert_eq(large->err, 0);
	drop(large);
	drop(next);
}

static struct rd *follower;
static int followers;

static void follow(struct rd *r)
{
	(void)r;
	if (followers-- > 0)
		submit(follower);
}

Test(image_swapcache, requests_from_within_done)
{
	struct rd *first = make(IMAGE_READ, 0, 40 * FAKE_BLOCK, 0);

	have_cached(0, 30);
	follower = make(IMAGE_READ, 10 * FAKE_BLOCK, 30 * FAKE_BLOCK, 100);
	first->then = follow;
	follower->then = follow;
	followers = 20;
	submit(first);
	end_all();
	cr_assert_eq(followers, -1);
	cr_assert_eq(counts().reads, 21);
	has(follower, 10 * FAKE_BLOCK, 30 * FAKE_BLOCK, 2);
	has(follower, 30 * FAKE_BLOCK, 40 * FAKE_BLOCK, 1);
	drop(first);
	drop(follower);
}

static void close_it(struct rd *r)
{
	(void)r;
	image_close(image);
}

/* The caller's done is the last that is called: the image may be closed there. */
Test(image_swapcache_end, closed_from_within_done, .init = set_up, LIMIT)
{
	struct fake_image *was = f;
	struct rd *r = make(IMAGE_READ, 0, FAKE_BLOCK, 0);
	struct swap_io *io;

	have_cached(0, 1);
	r->then = close_it;
	submit(r);
	io = was->io[0].io;
	memcpy(io->iov[0].iov_base, c->slot[was->io[0].addr], FAKE_BLOCK);
	was->n = 0;
	io->done(io, 0);
	has(r, 0, FAKE_BLOCK, 2);
	cr_assert_eq(c->refs, 1);
	drop(r);
}

/* --- cancelling ---------------------------------------------------------------------- */

Test(image_swapcache, what_waits_is_cancelled)
{
	struct rd *large, *small[3], *one;

	for (uint64_t b = 0; b < 90; b += 2)
		have_cached(b, 1);
	one = read_at(0, FAKE_BLOCK, 0);
	large = read_at(0, 90 * FAKE_BLOCK, 0);
	for (int i = 0; i < 3; i++)
		small[i] = read_at(0, FAKE_BLOCK, 0);
	image_cancel(image);
	cr_assert(f->cancelled, "the image too");
	cr_assert_eq(small[0]->ended, 0, "not from within");
	while (ring_run(ring, 0) > 0)
		;
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(small[i]->ended, 1);
		cr_assert_eq(small[i]->err, -ECANCELED);
		drop(small[i]);
	}
	cr_assert_eq(large->ended, 0, "what it has under way");
	/* swap fails now: the image is not asked */
	cr_assert_not_null(f->io[0].io);
	fake_end(f, 0, -EIO, false);
	cr_assert_eq(one->err, -ECANCELED);
	cr_assert_eq(f->n, PARTS - 1);
	end_all();
	cr_assert_eq(large->err, -ECANCELED);
	cr_assert_eq(image->under_way, 0);
	drop(large);
	drop(one);
	/* and it can be used again */
	reads_right(0, 90 * FAKE_BLOCK, 0);
}

Test(image_swapcache, a_fill_is_cancelled)
{
	struct rd *r;

	fills();
	r = read_at(0, FAKE_BLOCK, 0);
	image_cancel(image);
	fake_end(f, 0, -ECANCELED, false);
	cr_assert_eq(r->ended, 1);
	cr_assert_eq(r->err, -ECANCELED);
	cr_assert_eq(sd->drops, 1);
	drop(r);
	/* likewise if it came to the image just after that was told */
	r = read_at(0, FAKE_BLOCK, 0);
	fake_end(f, 0, -ECANCELED, false);
	cr_assert_eq(r->ended, 1);
	cr_assert_eq(r->err, -ECANCELED);
	drop(r);
}

/* --- a real file --------------------------------------------------------------------- */

/* O_DIRECT, if the file system has it, with all kinds of memory. */
Test(image_swapcache, a_real_file)
{
	static const uint64_t per[] = { 0, 1, 512, 4096, 5000 };
	char path[] = "drum-test-swapcache-XXXXXX";
	struct image *file, *fake = image;
	struct err e = { 0 };
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, f->content, BYTES, 0), (ssize_t)BYTES);
	close(fd);
	fd = image_open(path, IMAGE_CACHE_NONE, false, &e);
	if (fd < 0)
		fd = image_open(path, IMAGE_CACHE_WRITEBACK, false, &e);
	unlink(path);
	cr_assert_geq(fd, 0, "%s", e.text);
	file = image_file_open(fd, path, IMAGE_CACHE_NONE, false, &e);
	cr_assert_not_null(file, "%s", e.text);
	use(file, SWAPCACHE_ON);
	image = file;
	have_cached(3, 9);
	have_cached(20, 1);
	for (unsigned int i = 0; i < 2 * sizeof(per) / sizeof(per[0]); i++) {
		struct rd *r = make(IMAGE_READ, 0, 40 * FAKE_BLOCK, per[i / 2]);

		policy.knob[SWAPCACHE_DATA_ENABLE] = i % 2;
		submit(r);
		while (!r->ended) {
			while (f->n > 0)
				fake_end(f, f->n - 1, 0, true);
			if (!r->ended)
				cr_assert_geq(ring_run(ring, UINT64_MAX), 0);
		}
		has(r, 0, 3 * FAKE_BLOCK, 1);
		has(r, 3 * FAKE_BLOCK, 12 * FAKE_BLOCK, 2);
		has(r, 12 * FAKE_BLOCK, 20 * FAKE_BLOCK, 1);
		has(r, 21 * FAKE_BLOCK, 40 * FAKE_BLOCK, 1);
		drop(r);
	}
	cr_assert_gt(sd->gives, 0);
	while (fake_write(sd, 0))
		;
	image_close(file);
	image = fake;
}
