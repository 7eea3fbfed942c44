/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cached blocks of an image against a naive reference: what is in each block of swap and
 * how often each block of the image has changed.  Everything at random, in any order and under
 * way together; deaths at random moments, and after every single store.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cacheobj_set.h"
#include "crash.h"

#define LIMIT .timeout = 120

enum { DISK = 160, SWAP = 120, DEVICES = 2, RUN = CACHEOBJ_RUN };
enum { READS = 6, CHANGES = 4, PUTS = 5, LATES = 200, GUEST = 40 };

struct content { /* of a block of swap */
	uint64_t block;
	uint32_t version;
};

struct writing { /* a write that is on its way, whoever waits for it or nobody */
	drum_addr addr;
	uint32_t n;
	uint64_t block;
	uint32_t version[RUN];
};

struct model {
	struct set s;
	uint64_t random;
	uint32_t version[DISK];			/* of the image now */
	struct content swap[DEVICES + 1][SWAP]; /* [device][block] */
	uint8_t readers[DEVICES + 1][SWAP];

	struct read {
		bool on;
		struct cacheobj_read r;
		uint32_t version[RUN];
	} read[READS];
	struct change {
		bool on;
		struct cacheobj_change ch;
	} change[CHANGES];
	struct {
		bool on, written; /* written: it is on swap, and only the end is missing */
		struct put p;
		uint32_t version[RUN];
	} put[PUTS];
	/* what may still be carried out, until the minute is over */
	struct writing late[LATES];
	unsigned int nlate;
	struct {
		uint64_t block, end;
	} late_change[LATES];
	unsigned int nlate_change;
	drum_addr guest[GUEST];
	bool off[DEVICES + 1];
	bool claimed;
	uint64_t hits, valid_puts, restarts, lates, gone;
};

static uint64_t below(struct model *m, uint64_t n)
{
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return (m->random * UINT64_C(2685821657736338717) >> 20) % n;
}

static struct content *at(struct model *m, drum_addr a)
{
	cr_assert(drum_device_of(a) >= 1 && drum_device_of(a) <= DEVICES);
	cr_assert_lt(drum_block_of(a), SWAP);
	return &m->swap[drum_device_of(a)][drum_block_of(a)];
}

static void scribble(struct model *m, drum_addr a, uint64_t block, uint32_t version)
{
	cr_assert_eq(m->readers[drum_device_of(a)][drum_block_of(a)], 0,
		     "a block is written to while it is read");
	*at(m, a) = (struct content){ block, version };
}

/* Each valid word's block has what the image has, and each block one owner. */
static void look(struct model *m)
{
	struct drum_device_stats st[DEVICES];
	uint64_t used = 0, guests = 0;
	struct cacheobj_counts n;

	counts_hold(&m->s);
	cacheobj_get_counts(m->s.c, &n);
	for (uint64_t b = 0; b < DISK; b++)
		if (is_cached(&m->s, b)) {
			const struct content *c = at(m, address_of(&m->s, b));

			cr_assert(c->block == b && c->version == m->version[b],
				  "block %u: %u of %u, not %u", (unsigned int)b, c->version,
				  (unsigned int)c->block, m->version[b]);
		}
	for (unsigned int i = 0; i < GUEST; i++)
		guests += m->guest[i] != DRUM_NONE;
	cr_assert_eq(drum_stats(m->s.d, st, DEVICES), DEVICES);
	for (unsigned int i = 0; i < DEVICES; i++)
		used += st[i].used;
	cr_assert_eq(used, n.used + guests, "%u used, %u of the cache, %u of guests",
		     (unsigned int)used, (unsigned int)n.used, (unsigned int)guests);
}

/* --- what can happen ---------------------------------------------------------------- */

static bool is_changing(const struct model *m, uint64_t block)
{
	for (unsigned int i = 0; i < CHANGES; i++)
		if (m->change[i].on && block >= m->change[i].ch.block &&
		    block < m->change[i].ch.end)
			return true;
	return false;
}

static void read_begins(struct model *m)
{
	uint64_t block = below(m, DISK), gap;
	struct read *r = &m->read[below(m, READS)];

	if (r->on)
		return;
	if (cacheobj_read(m->s.c, &r->r, block, 1 + below(m, 20), &gap) == 0) {
		for (uint64_t b = block; m->claimed && b < block + gap && b < DISK; b++)
			cr_assert_not(is_cached(&m->s, b));
		return;
	}
	r->on = true;
	m->hits++;
	for (uint32_t k = 0; k < r->r.n; k++) {
		drum_addr a = r->r.addr + k;

		cr_assert_not(is_changing(m, block + k));
		cr_assert_eq(at(m, a)->version, m->version[block + k]);
		r->version[k] = m->version[block + k];
		m->readers[drum_device_of(a)][drum_block_of(a)]++;
	}
}

static void read_ends(struct model *m)
{
	static const int errs[] = { 0, 0, 0, 0, 0, -EILSEQ, -EIO, -ENOTCONN };
	struct read *r = &m->read[below(m, READS)];

	if (!r->on)
		return;
	r->on = false;
	for (uint32_t k = 0; k < r->r.n; k++) {
		drum_addr a = r->r.addr + k;

		/* however the image has changed since */
		cr_assert(at(m, a)->block == r->r.block + k &&
			  at(m, a)->version == r->version[k]);
		m->readers[drum_device_of(a)][drum_block_of(a)]--;
	}
	cacheobj_read_end(m->s.c, &r->r, errs[below(m, 8)]);
}

static void change_begins(struct model *m)
{
	struct change *c = &m->change[below(m, CHANGES)];
	uint64_t block = below(m, DISK), n = 1 + below(m, below(m, 5) ? 6 : 60);

	if (c->on)
		return;
	c->on = true;
	cacheobj_change(m->s.c, &c->ch, block, block + n);
	for (uint64_t b = block; b < block + n && b < DISK; b++) {
		cr_assert_not(is_cached(&m->s, b));
		m->version[b]++;
	}
}

static void carry_out(struct model *m, uint64_t block, uint64_t end)
{
	for (uint64_t b = block; b < end && b < DISK; b++) {
		cr_assert_not(is_cached(&m->s, b));
		m->version[b]++;
	}
}

static void change_ends(struct model *m)
{
	struct change *c = &m->change[below(m, CHANGES)];
	bool failed = below(m, 40) == 0 && m->nlate_change < LATES;

	if (!c->on)
		return;
	c->on = false;
	carry_out(m, c->ch.block, c->ch.end);
	if (failed) {
		m->late_change[m->nlate_change].block = c->ch.block;
		m->late_change[m->nlate_change++].end = c->ch.end;
	}
	cacheobj_changed(m->s.c, &c->ch, failed);
}

static void put_begins(struct model *m)
{
	unsigned int i = (unsigned int)below(m, PUTS);
	uint64_t block = below(m, DISK);
	uint32_t max = 1 + (uint32_t)below(m, 20), n;

	if (m->put[i].on)
		return;
	n = cacheobj_put(m->s.c, &m->put[i].p.range, block, max);
	if (n == 0)
		return;
	cacheobj_put_end(m->s.c, &m->put[i].p.range, -ECANCELED);
	if (max > DISK - block)
		max = (uint32_t)(DISK - block);
	begin_put(&m->s, &m->put[i].p, block, max);
	m->put[i].on = true;
	m->put[i].written = false;
	/* its content is read at any moment from now on until it is written */
	for (uint32_t k = 0; k < m->put[i].p.range.n; k++)
		m->put[i].version[k] = m->version[block + k];
}

static void put_is_written(struct model *m)
{
	unsigned int i = (unsigned int)below(m, PUTS);
	struct put *p = &m->put[i].p;
	uint64_t got;
	int ret;

	if (!m->put[i].on || p->range.writing)
		return;
	p->addr = drum_alloc(m->s.d, NULL, 1 + below(m, p->range.n), &got);
	if (p->addr == DRUM_NONE)
		return;
	ret = cacheobj_put_write(m->s.c, &p->range, (uint32_t)got, p->addr);
	if (ret == 0)
		return;
	cr_assert_eq(ret, -ESTALE);
	m->gone++;
	drum_free(m->s.d, NULL, p->addr, got);
	m->put[i].on = false;
	drop_put(&m->s, p);
}

static struct writing writing_of(struct model *m, unsigned int i)
{
	const struct put *p = &m->put[i].p;
	struct writing w = { .addr = p->addr, .n = p->range.n, .block = p->range.block };

	memcpy(w.version, m->put[i].version, sizeof(w.version));
	return w;
}

static void land(struct model *m, const struct writing *w)
{
	for (uint32_t k = 0; k < w->n; k++)
		scribble(m, w->addr + k, w->block + k, w->version[k]);
}

static void put_ends(struct model *m)
{
	static const int errs[] = { 0, 0, 0, 0, 0, 0, -ENOSPC, -ENOTCONN };
	unsigned int i = (unsigned int)below(m, PUTS);
	struct writing w = writing_of(m, i);
	int err = errs[below(m, 8)];

	if (!m->put[i].on)
		return;
	if (!m->put[i].p.range.writing) {
		err = -ECANCELED;
	} else if (err == 0) {
		land(m, &w);
		m->valid_puts++;
	} else if (err == -ENOTCONN && m->nlate < LATES) {
		m->late[m->nlate++] = w;
		m->lates++;
	} else {
		err = -ENOSPC;
	}
	m->put[i].on = false;
	end_put(&m->s, &m->put[i].p, err);
}

/* What nobody waits for any more is carried out after all. */
static void late_ones_land(struct model *m)
{
	while (m->nlate > 0)
		land(m, &m->late[--m->nlate]);
	while (m->nlate_change > 0) {
		m->nlate_change--;
		carry_out(m, m->late_change[m->nlate_change].block,
			  m->late_change[m->nlate_change].end);
	}
}

static void a_minute_passes(struct model *m)
{
	late_ones_land(m);
	cacheobj_step(m->s.c, UINT64_MAX);
}

static void guests_work(struct model *m)
{
	unsigned int i = (unsigned int)below(m, GUEST);
	uint64_t got;

	if (m->guest[i] != DRUM_NONE) {
		cr_assert_eq(at(m, m->guest[i])->block, UINT64_MAX, "another wrote there");
		drum_free(m->s.d, NULL, m->guest[i], 1);
		m->guest[i] = DRUM_NONE;
		return;
	}
	m->guest[i] = drum_alloc(m->s.d, NULL, 1, &got);
	if (m->guest[i] != DRUM_NONE)
		scribble(m, m->guest[i], UINT64_MAX, i);
}

static void cleaned(struct model *m)
{
	uint64_t from = below(m, DISK);

	(void)cacheobj_clean(m->s.c, &from, 1 + below(m, 40), below(m, 2));
}

static void device_goes(struct model *m)
{
	unsigned int number = 1 + (unsigned int)below(m, DEVICES);
	uint64_t from = 0;

	m->off[number] = !m->off[number];
	drum_set_off(m->s.d, number, m->off[number]);
	if (!m->off[number])
		return;
	while (cacheobj_leave_devices(m->s.c, &from, 1 + below(m, 30)))
		;
	for (uint64_t b = 0; b < DISK; b++)
		cr_assert(!is_cached(&m->s, b) ||
			  drum_device_of(address_of(&m->s, b)) != number);
}

static void all_dropped(struct model *m)
{
	for (uint64_t b = 0; b < DISK; b++)
		m->version[b]++;
	cacheobj_drop_all(m->s.c);
	cr_assert(cacheobj_is_empty(m->s.c));
}

/* Nothing is ended: what was on its way may land within a minute of the next start. */
static void dies(struct model *m)
{
	for (unsigned int i = 0; i < PUTS; i++)
		if (m->put[i].on && m->put[i].p.range.writing) {
			cr_assert_lt(m->nlate, LATES);
			m->late[m->nlate++] = writing_of(m, i);
		}
	for (unsigned int i = 0; i < CHANGES; i++)
		if (m->change[i].on) {
			cr_assert_lt(m->nlate_change, LATES);
			m->late_change[m->nlate_change].block = m->change[i].ch.block;
			m->late_change[m->nlate_change++].end = m->change[i].ch.end;
		}
	memset(m->put, 0, sizeof(m->put));
	memset(m->read, 0, sizeof(m->read));
	memset(m->change, 0, sizeof(m->change));
	memset(m->readers, 0, sizeof(m->readers));
	memset(m->off, 0, sizeof(m->off));
	restart(&m->s);
	m->claimed = false;
	drum_set_closed(m->s.d, true);
	for (unsigned int i = 0; i < GUEST; i++)
		if (m->guest[i] != DRUM_NONE)
			cr_assert_eq(drum_claim(m->s.d, NULL, m->guest[i]), 0);
	for (int i = 0; i < 4; i++) { /* the disk is served before that is done */
		change_begins(m);
		change_ends(m);
		read_begins(m);
		put_begins(m);
	}
	(void)cacheobj_claim(m->s.c);
	m->claimed = true;
	/* as who fences the image says */
	cacheobj_hold_puts(m->s.c, UINT64_MAX - 1);
	drum_set_closed(m->s.d, false);
	m->restarts++;
}

static const struct {
	void (*fn)(struct model *m);
	unsigned int weight;
} things[] = {
	{ read_begins, 200 },
	{ read_ends, 160 },
	{ change_begins, 15 },
	{ change_ends, 60 },
	{ put_begins, 200 },
	{ put_ends, 160 },
	{ put_is_written, 200 },
	{ cleaned, 2 },
	{ a_minute_passes, 15 },
	{ guests_work, 60 },
	{ device_goes, 3 },
	{ all_dropped, 1 },
	{ dies, 2 },
};
enum { THINGS = sizeof(things) / sizeof(things[0]), SEEDS = 4, STEPS = 60000 };

static void something(struct model *m)
{
	unsigned int sum = 0, at_weight;

	for (unsigned int i = 0; i < THINGS; i++)
		sum += things[i].weight;
	at_weight = (unsigned int)below(m, sum);
	for (unsigned int i = 0; i < THINGS; i++) {
		if (at_weight < things[i].weight) {
			things[i].fn(m);
			return;
		}
		at_weight -= things[i].weight;
	}
}

ParameterizedTestParameters(cacheobj_model, at_random)
{
	static int seeds[SEEDS];

	for (int i = 0; i < SEEDS; i++)
		seeds[i] = i + 1;
	return cr_make_param_array(int, seeds, SEEDS);
}

ParameterizedTest(int *seed, cacheobj_model, at_random, LIMIT)
{
	static struct model m;

	m.random = (uint64_t)*seed * UINT64_C(0x9e3779b97f4a7c15);
	set_out(&m.s, DISK / 2, SWAP, SWAP);
	m.claimed = true;
	for (unsigned int i = 0; i < STEPS; i++) {
		something(&m);
		look(&m);
	}
	/* it has been where it is difficult */
	cr_assert(m.hits > 500 && m.valid_puts > 200 && m.restarts > 5 && m.lates > 20 &&
			  m.gone > 0,
		  "%llu hits, %llu puts, %llu restarts, %llu late, %llu gone",
		  (unsigned long long)m.hits, (unsigned long long)m.valid_puts,
		  (unsigned long long)m.restarts, (unsigned long long)m.lates,
		  (unsigned long long)m.gone);
	for (unsigned int i = 0; i < 500; i++) {
		read_ends(&m);
		change_ends(&m);
		put_ends(&m);
	}
	a_minute_passes(&m);
	cacheobj_retire(m.s.c);
	cr_assert(cacheobj_is_idle(m.s.c));
	look(&m);
	clear_away(&m.s);
}

/* --- a death after every store ----------------------------------------------------------- */

/* Shared with the child that dies: what is on the image, on swap, and on its way there. */
struct world {
	uint32_t version[DISK];
	struct content swap[SWAP];
	bool writing[SWAP], reading[SWAP];
};

static struct world *world;
static struct set crashing;
static unsigned int valid_seen[2]; /* states with and without */

static void world_put(uint64_t block, uint32_t n, int err)
{
	uint32_t version[RUN];
	struct put p;

	begin_put(&crashing, &p, block, n);
	for (uint32_t k = 0; k < p.range.n; k++)
		version[k] = world->version[block + k];
	write_put(&crashing, &p);
	for (uint32_t k = 0; k < n; k++) {
		uint64_t b = drum_block_of(p.addr) + k;

		world->writing[b] = true;
		world->swap[b] = (struct content){ block + k, version[k] };
	}
	for (uint32_t k = 0; k < n && err != -ENOTCONN; k++)
		world->writing[drum_block_of(p.addr) + k] = false;
	end_put(&crashing, &p, err);
}

static void look_at_world(void *arg, const int *copy)
{
	struct set s = crashing;
	struct err e = { 0 };
	uint64_t valid = 0;

	(void)arg;
	memset(s.puts, 0, sizeof(s.puts));
	s.d = drum_create();
	cr_assert_not_null(s.d);
	add_device(&s, 1, SWAP);
	s.own_fd = fcntl(copy[0], F_DUPFD_CLOEXEC, 0);
	s.c = cacheobj_open(s.own_fd, "a copy", DISK / 2, s.d, &e);
	cr_assert_not_null(s.c, "%s", e.text);
	valid = cacheobj_claim(s.c);
	counts_hold(&s);
	for (uint64_t b = 0; b < DISK; b++)
		if (is_cached(&s, b)) {
			const struct content *c =
				&world->swap[drum_block_of(address_of(&s, b))];

			cr_assert(c->block == b && c->version == world->version[b], "block %u",
				  (unsigned int)b);
			cr_assert_not(world->writing[drum_block_of(address_of(&s, b))]);
			valid--;
		}
	cr_assert_eq(valid, 0);
	/* who is written to, or read, is nobody's for a minute */
	for (int deaths = 0; deaths < 2; deaths++) {
		for (uint64_t b = 0; b < SWAP; b++)
			if (world->writing[b] || world->reading[b])
				cr_assert_eq(drum_claim(s.d, NULL, drum_make(1, b)), -EEXIST,
					     "block %u of swap", (unsigned int)b);
		cacheobj_step(s.c, clock_ns() + DRUM_HOLD_NS - 10 * NSEC_PER_SEC);
	}
	cacheobj_step(s.c, UINT64_MAX);
	counts_hold(&s);
	valid_seen[cacheobj_is_empty(s.c)]++;
	cacheobj_retire(s.c);
	cr_assert(cacheobj_is_idle(s.c));
	cr_assert_eq(drum_avail(s.d), SWAP);
	cacheobj_unref(s.c);
	drum_destroy(s.d);
}

static unsigned int dies_everywhere(void (*fn)(void *arg))
{
	unsigned int n = crash_everywhere(fn, &crashing.fd, 1, look_at_world, NULL);

	/* not clear_away: another process has changed the words behind its back */
	let_go(&crashing);
	return n;
}

static void set_out_world(void)
{
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	cr_assert_neq(world, MAP_FAILED);
	set_out(&crashing, DISK / 2, SWAP, 0);
}

static void do_put(void *arg)
{
	(void)arg;
	world_put(2, 6, 0);
	world_put(10, 3, -ENOTCONN);
	world_put(20, 3, -ENOSPC);
}

Test(cacheobj_model, put_may_be_cut_off_anywhere, LIMIT)
{
	set_out_world();
	world_put(0, 2, 0);
	/* a key, 6 words, and each again; 3 words; 3 and out again */
	cr_assert_geq(dies_everywhere(do_put), 6 * 2 + 3 + 3 * 2 + 1);
	cr_assert_eq(valid_seen[1], 0);
}

static void do_change(void *arg)
{
	struct cacheobj_change ch;
	struct cacheobj_read r;
	uint64_t gap;

	(void)arg;
	if (cacheobj_read(crashing.c, &r, 4, 3, &gap) != 3)
		_exit(1);
	for (uint32_t k = 0; k < r.n; k++)
		world->reading[drum_block_of(r.addr) + k] = true;
	cacheobj_change(crashing.c, &ch, 2, 12);
	for (uint64_t b = 2; b < 12; b++)
		world->version[b]++;
	cacheobj_changed(crashing.c, &ch, false);
	for (uint32_t k = 0; k < r.n; k++)
		world->reading[drum_block_of(r.addr) + k] = false;
	cacheobj_read_end(crashing.c, &r, 0);
	world_put(2, 6, 0);
}

Test(cacheobj_model, change_may_be_cut_off_anywhere, LIMIT)
{
	set_out_world();
	world_put(0, 16, 0);
	cr_assert_geq(dies_everywhere(do_change), 10 + 3 + 6 * 2);
	cr_assert_eq(valid_seen[1], 0);
}

static void do_change_of_a_put(void *arg)
{
	struct cacheobj_change ch;
	struct put p;

	(void)arg;
	begin_put(&crashing, &p, 2, 6);
	write_put(&crashing, &p);
	for (uint32_t k = 0; k < 6; k++) {
		world->writing[drum_block_of(p.addr) + k] = true;
		world->swap[drum_block_of(p.addr) + k] = (struct content){ 2 + k, 0 };
	}
	cacheobj_change(crashing.c, &ch, 4, 6);
	world->version[4]++;
	world->version[5]++;
	for (uint32_t k = 0; k < 6; k++)
		world->writing[drum_block_of(p.addr) + k] = false;
	end_put(&crashing, &p, 0);
	cacheobj_changed(crashing.c, &ch, false);
}

Test(cacheobj_model, change_of_a_put_may_be_cut_off_anywhere, LIMIT)
{
	set_out_world();
	cr_assert_geq(dies_everywhere(do_change_of_a_put), 6 + 6);
	cr_assert_gt(valid_seen[0], 0);
}

static void do_drop(void *arg)
{
	struct cacheobj_read r;
	uint64_t gap, from = 0;

	(void)arg;
	if (cacheobj_read(crashing.c, &r, 0, 3, &gap) != 3)
		_exit(1);
	cacheobj_read_end(crashing.c, &r, -EILSEQ);
	if (cacheobj_clean(crashing.c, &from, 100, true) == 0)
		_exit(1);
	world_put(5, 4, 0);
	cacheobj_retire(crashing.c);
}

Test(cacheobj_model, drop_and_clean_may_be_cut_off_anywhere, LIMIT)
{
	set_out_world();
	world_put(0, 16, 0);
	world_put(32, 5, 0);
	cr_assert_geq(dies_everywhere(do_drop), 3 + 13 + 5 + 4 * 3);
	cr_assert(valid_seen[0] > 20 && valid_seen[1] > 4);
}

/* The claim of what a death has left dies itself. */
static void do_claim(void *arg)
{
	(void)arg;
	(void)cacheobj_claim(crashing.c);
	cacheobj_step(crashing.c, UINT64_MAX);
}

Test(cacheobj_model, claim_may_be_cut_off_anywhere, LIMIT)
{
	struct put p;

	set_out_world();
	world_put(0, 4, 0);
	begin_put(&crashing, &p, 8, 4);
	write_put(&crashing, &p);
	store_word(&crashing, 20, drum_make(1, 100) | SWB_RESERVED);
	store_word(&crashing, 21, drum_make(2, 100) | SWB_VALID);
	restart(&crashing);
	/* one made "writing", one out, and 5 late ones */
	cr_assert_geq(dies_everywhere(do_claim), 1 + 1 + 5);
	cr_assert_eq(valid_seen[1], 0);
}
