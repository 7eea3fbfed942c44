/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a page of patrol's memory must hold: a function of who wrote it (salt),
 * where it belongs (index) and how often it was written (generation), over all
 * of its 4096 bytes.  Who knows these three knows every byte, so a page that is
 * stale, zero, torn, shifted or another page's cannot pass for the right one.
 * Shared by patrol (in the guest) and mapper (on the host).
 */
#ifndef DRUM_TEST_STAMP_H
#define DRUM_TEST_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PAGE_SIZE   4096
#define PAGE_WORDS  (PAGE_SIZE / 8)
#define STAMP_MAGIC UINT64_C(0x4c4f52544150444d) /* pages that patrol walks */
#define MAIL_MAGIC  UINT64_C(0x4c49414d50415244) /* pages that two processes share */
#define STAMP_HEAD  4				 /* words: magic, salt, index, generation */

/* A compressible page repeats one word; a zero page has no head either. */
enum stamp_kind { STAMP_RANDOM, STAMP_COMPRESSIBLE, STAMP_ZERO };

/* splitmix64: a bijection whose every output bit depends on every input bit. */
static inline uint64_t stamp_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline uint64_t stamp_seed(uint64_t salt, uint64_t index, uint64_t gen)
{
	return stamp_mix(stamp_mix(stamp_mix(salt) ^ index) ^ gen);
}

/* zeros: percentage of pages that are to be all zero. */
static inline enum stamp_kind stamp_kind(uint64_t seed, unsigned zeros)
{
	unsigned r = (unsigned)((seed >> 32) % 100);

	if (r < zeros)
		return STAMP_ZERO;
	return r < zeros + (100 - zeros) / 3 ? STAMP_COMPRESSIBLE : STAMP_RANDOM;
}

struct stamp {
	uint64_t head[STAMP_HEAD];
	uint64_t seed, step;
	unsigned period; /* words after which a page repeats; 0: never */
	enum stamp_kind kind;
};

static inline struct stamp stamp_make(uint64_t magic, uint64_t salt, uint64_t index,
				      uint64_t gen, unsigned zeros)
{
	uint64_t seed = stamp_seed(salt, index, gen);
	struct stamp s = { .head = { magic, salt, index, gen },
			   .seed = seed,
			   .kind = stamp_kind(seed, zeros) };

	/* An odd step makes a Weyl sequence, in which no word comes twice. */
	s.step = s.kind == STAMP_COMPRESSIBLE ? 0 : stamp_mix(seed) | 1;
	return s;
}

/* Multiplied so that neighbouring words do not compress either. */
static inline uint64_t stamp_word(const struct stamp *s, unsigned i)
{
	uint64_t w;

	if (s->kind == STAMP_ZERO)
		return 0;
	if (i < STAMP_HEAD)
		return s->head[i];
	w = s->seed + s->step * (s->period ? i % s->period : i);
	return w ^ (s->step ? w * UINT64_C(0x9fb21c651e98df25) : 0);
}

static inline void stamp_write(const struct stamp *s, volatile uint64_t *page, unsigned from)
{
	for (unsigned i = from; i < PAGE_WORDS; i++)
		page[i] = stamp_word(s, i);
}

/* => PAGE_WORDS if all is right from word `from` on, else the first wrong word */
static inline unsigned stamp_check(const struct stamp *s, const volatile uint64_t *page,
				   unsigned from)
{
	for (unsigned i = from; i < PAGE_WORDS; i++)
		if (page[i] != stamp_word(s, i))
			return i;
	return PAGE_WORDS;
}

/*
 * A page that two processes write in turn, each checking what the other wrote.
 * Who has the turn owns the page; he writes the body, then the sequence, then
 * gives the turn away.  The words before the body never change but those two.
 */
enum { MAIL_W_MAGIC, MAIL_W_SALT, MAIL_W_INDEX, MAIL_W_SEQ, MAIL_W_TURN, MAIL_W_BODY };
#define MAIL_PATROL    UINT64_C(0x11111111)
#define MAIL_MAPPER    UINT64_C(0x22222222)
#define MAIL_COUNT_MAX 4096

static inline uint64_t mail_load(const volatile uint64_t *w)
{
	return __atomic_load_n(w, __ATOMIC_ACQUIRE);
}

static inline void mail_send(volatile uint64_t *page, uint64_t salt, uint64_t index,
			     uint64_t seq, uint64_t to)
{
	struct stamp s = stamp_make(MAIL_MAGIC, salt ^ to, index, seq, 0);

	stamp_write(&s, page, MAIL_W_BODY);
	page[MAIL_W_SEQ] = seq;
	__atomic_store_n(&page[MAIL_W_TURN], to, __ATOMIC_RELEASE);
}

/* => true if the body is what was sent to `to` with that sequence number */
static inline bool mail_check(const volatile uint64_t *page, uint64_t salt, uint64_t index,
			      uint64_t seq, uint64_t to)
{
	struct stamp s = stamp_make(MAIL_MAGIC, salt ^ to, index, seq, 0);

	return page[MAIL_W_MAGIC] == MAIL_MAGIC && page[MAIL_W_SALT] == salt &&
	       page[MAIL_W_INDEX] == index && page[MAIL_W_SEQ] == seq &&
	       stamp_check(&s, page, MAIL_W_BODY) == PAGE_WORDS;
}

#endif
