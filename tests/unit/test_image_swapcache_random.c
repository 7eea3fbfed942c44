/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads, changes, fills and what goes wrong with each, many at once and in any order: no read
 * ever returns what was over, by a change that was acknowledged, when it began.
 */
#include "cache_io.h"

#define SECTORS	 (BYTES / SECTOR)
#define REQUESTS 24u
#define HISTORY	 4096u

static uint64_t rnd_state;

static uint64_t rnd(uint64_t n)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (rnd_state >> 11) % n;
}

static bool sometimes(void)
{
	return rnd(2);
}

/* What a sector has held, and since when. */
struct past {
	unsigned int n;
	struct {
		uint64_t version, since;
	} was[HISTORY];
};

static struct past *past; /* [SECTORS] */
static uint64_t now;	  /* events */

/* What the image holds after an event is noted. */
static void note_content(void)
{
	for (uint64_t s = 0; s < SECTORS; s++) {
		struct past *p = &past[s];
		uint64_t word;

		memcpy(&word, f->content + s * SECTOR, 8);
		word >>= 20;
		if (p->n > 0 && p->was[p->n - 1].version == word)
			continue;
		cr_assert_lt(p->n, HISTORY);
		p->was[p->n].version = word;
		p->was[p->n++].since = now;
	}
}

/* Each sector is what the image held at some time since the read began. */
static void check_read(const struct rd *r)
{
	char *data = flat(r);

	for (uint64_t at = 0; at < r->req.len; at += SECTOR) {
		uint64_t s = (r->req.off + at) / SECTOR, word;
		const struct past *p = &past[s];
		bool good = false;

		memcpy(&word, data + at, 8);
		word >>= 20;
		for (unsigned int i = p->n; i-- > 0 && !good;) {
			good = p->was[i].version == word;
			if (p->was[i].since <= r->since)
				break;
		}
		cr_assert(good, "sector %lu has version %lu, which is over", (unsigned long)s,
			  (unsigned long)word);
		cr_assert(word == 0 || is_stamped(data + at, s * SECTOR, SECTOR, word));
	}
	free(data);
}

/* --- one round */

static struct rd *under_way[REQUESTS];
static uint64_t version;

static void begin_one(unsigned int i)
{
	static const uint64_t per[] = { 0, 0, 1, 100, 512, 4096, 4100, 20000 };
	/* mostly in one corner, so that they meet */
	uint64_t corner = rnd(4) ? SECTORS / 4 : SECTORS;
	uint64_t first = rnd(corner), len = rnd(3) ? 1 + rnd(20) : 1 + rnd(300);
	enum image_op op = rnd(3)   ? IMAGE_READ
			   : rnd(4) ? IMAGE_WRITE
			   : rnd(2) ? IMAGE_DISCARD
				    : IMAGE_ZEROES;
	struct rd *r;

	if (rnd(2)) { /* whole blocks */
		first -= first % 8;
		len = (len + 7) / 8 * 8;
	}
	if (len > SECTORS - first)
		len = SECTORS - first;
	r = make(op, first * SECTOR, len * SECTOR, per[op == IMAGE_READ ? rnd(8) : 0]);
	r->since = now;
	if (op == IMAGE_WRITE)
		stamp(r->mem, r->req.off, r->req.len, ++version);
	under_way[i] = r;
	submit(r);
}

static void look_at(unsigned int i)
{
	struct rd *r = under_way[i];

	if (!r || !r->ended)
		return;
	cr_assert_eq(r->ended, 1);
	/* nothing is told of the image's errors but what it has said */
	cr_assert(r->err == 0 || r->err == -EIO || r->err == -ECANCELED, "%d", r->err);
	if (r->req.op == IMAGE_READ && r->err == 0)
		check_read(r);
	drop(r);
	under_way[i] = NULL;
}

static void end_one(void)
{
	unsigned int i = (unsigned int)rnd(f->n);
	const struct fake_io *io = &f->io[i];
	int err = 0;

	if (io->io && rnd(20) == 0)
		err = rnd(2) ? -EIO : -EILSEQ;
	else if (io->req && io->req->op == IMAGE_READ && rnd(40) == 0)
		err = -EIO;
	else if (io->req && io->req->op != IMAGE_READ && rnd(300) == 0)
		err = -EIO;
	fake_end(f, i, err, rnd(2));
	note_content();
}

static void some_event(void)
{
	unsigned int i = (unsigned int)rnd(REQUESTS);
	uint64_t block = rnd(BLOCKS);

	now++;
	switch (rnd(16)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		if (!under_way[i])
			begin_one(i);
		break;
	case 5:
	case 6:
		fake_write(sd, (unsigned int)rnd(FAKE_PUTS));
		break;
	case 7: /* it is cleaned, and what has failed is over */
		fake_drop(c, block, block + 1 + rnd(8));
		c->held = false;
		break;
	case 8:
		sd->refuse = rnd(4) == 0;
		sd->max = (uint32_t)rnd(20);
		policy.knob[SWAPCACHE_READ_ENABLE] = rnd(8) != 0;
		policy.knob[SWAPCACHE_FILL_ENABLE] = rnd(8) != 0;
		policy.knob[SWAPCACHE_DATA_ENABLE] = rnd(4) != 0;
		policy.knob[SWAPCACHE_META_ENABLE] = rnd(2);
		if (rnd(20) == 0)
			image_cancel(image);
		break;
	default:
		if (f->n > 0)
			end_one();
	}
	while (ring_run(ring, 0) > 0)
		;
	for (i = 0; i < REQUESTS; i++)
		look_at(i);
}

Test(image_swapcache_random, at_random, .init = set_up, .fini = tear_down, LIMIT)
{
	past = calloc(SECTORS, sizeof(*past));
	for (uint64_t seed = 1; seed <= 6; seed++) {
		rnd_state = seed * UINT64_C(0x9e3779b97f4a7c15);
		version = 1;
		now = 1;
		for (uint64_t s = 0; s < SECTORS; s++)
			past[s].n = 0;
		stamp(f->content, 0, f->room, 1);
		f->early = sometimes;
		fills();
		note_content();
		for (int i = 0; i < 8000; i++)
			some_event();
		while (f->n > 0)
			end_one();
		for (unsigned int i = 0; i < REQUESTS; i++) {
			look_at(i);
			cr_assert_null(under_way[i], "each has ended");
		}
		cr_assert_eq(image->under_way, 0);
		while (fake_write(sd, 0))
			;
		fake_drop(c, 0, FAKE_BLOCKS);
		c->held = false;
	}
	/* it was about something */
	cr_assert_gt(counts().hit_bytes, 10u << 20);
	cr_assert_gt(counts().fills, 1000);
	cr_assert_gt(counts().fallbacks, 100);
	cr_assert_gt(counts().saved_reads, 100);
	cr_assert_gt(c->n_failed, 5);
	free(past);
}
