/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/pages.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"

static const char *const names[] = { "hole",	"active",  "inactive",
				     "writing", "swapped", "reading" };
static_assert(sizeof(names) / sizeof(names[0]) == PAGE_STATES, "a name for each state");

/* may[from] has bit `to` set where the change exists; see HACKING for who makes it */
#define TO(s) (1u << PAGE_##s)
static const uint8_t may[PAGE_STATES] = {
	/* touched; found in the memfd all the same; recovered */
	[PAGE_HOLE] = TO(ACTIVE) | TO(SWAPPED),
	/* zapped; discarded; mapped again */
	[PAGE_ACTIVE] = TO(ACTIVE) | TO(INACTIVE) | TO(HOLE),
	/* touched; written out; found clean and punched; discarded or all-zero */
	[PAGE_INACTIVE] = TO(ACTIVE) | TO(WRITING) | TO(SWAPPED) | TO(HOLE),
	/* touched, or failed; punched; discarded or found gone */
	[PAGE_WRITING] = TO(ACTIVE) | TO(SWAPPED) | TO(HOLE),
	/* touched or read ahead; discarded */
	[PAGE_SWAPPED] = TO(READING) | TO(HOLE),
	/* filled and mapped; read ahead; failed; discarded */
	[PAGE_READING] = TO(ACTIVE) | TO(INACTIVE) | TO(SWAPPED) | TO(HOLE),
};
#undef TO

int pages_init(struct pages *p, uint64_t n)
{
	*p = (struct pages){ .n = n };
	p->byte = mmap(NULL, n, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p->byte == MAP_FAILED) {
		p->byte = NULL;
		return -ENOMEM;
	}
	p->count[PAGE_HOLE] = n;
	return 0;
}

void pages_fini(struct pages *p)
{
	if (p->byte)
		munmap(p->byte, p->n);
	p->byte = NULL;
}

static void add(uint64_t *count, uint64_t n)
{
	__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

void page_set(struct pages *p, uint64_t i, enum page_state to)
{
	enum page_state from = page_get(p, i);
	uint8_t mark = 0;

	if (!(may[from] & 1u << to)) {
		log_err("page %llu: %s -> %s is no change that exists", (unsigned long long)i,
			names[from], names[to]);
		abort();
	}
	if (to == PAGE_ACTIVE)
		mark = p->byte[i] & PAGE_HELD;
	if (page_is_pinned(p, i)) {
		if (from == PAGE_INACTIVE)
			add(&p->pinned_inactive, UINT64_MAX);
		if (to == PAGE_ACTIVE)
			mark |= PAGE_PINNED;
		else
			add(&p->pinned, UINT64_MAX);
	}
	p->byte[i] = (uint8_t)to | mark;
	add(&p->count[from], UINT64_MAX);
	add(&p->count[to], 1);
}

void page_mark_zapping(struct pages *p, uint64_t i)
{
	assert(page_get(p, i) == PAGE_ACTIVE && !page_is_pinned(p, i) && !page_is_held(p, i));
	p->byte[i] = PAGE_ACTIVE | PAGE_ZAPPING;
}

void page_unmark_zapping(struct pages *p, uint64_t i)
{
	if (page_is_zapping(p, i))
		p->byte[i] = PAGE_ACTIVE;
}

void page_mark_untouched(struct pages *p, uint64_t i)
{
	assert(page_get(p, i) == PAGE_ACTIVE);
	if (p->byte[i] == PAGE_ACTIVE)
		p->byte[i] = PAGE_ACTIVE | PAGE_UNTOUCHED;
}

void page_mark_pinned(struct pages *p, uint64_t i, bool pinned)
{
	enum page_state s = page_get(p, i);

	assert((s == PAGE_ACTIVE && !page_is_zapping(p, i)) || s == PAGE_INACTIVE);
	if (page_is_pinned(p, i) == pinned)
		return;
	p->byte[i] =
		(uint8_t)((uint8_t)s | (p->byte[i] & PAGE_HELD) | (pinned ? PAGE_PINNED : 0));
	add(&p->pinned, pinned ? 1 : UINT64_MAX);
	if (s == PAGE_INACTIVE)
		add(&p->pinned_inactive, pinned ? 1 : UINT64_MAX);
}

void page_mark_held(struct pages *p, uint64_t i, bool held)
{
	if (page_get(p, i) == PAGE_ACTIVE)
		p->byte[i] = (uint8_t)(PAGE_ACTIVE | (p->byte[i] & PAGE_PINNED) |
				       (held ? PAGE_HELD : 0));
}

uint64_t page_find_pinned(const struct pages *p, uint64_t from, uint64_t to)
{
	const uint64_t any = PAGE_PINNED * (UINT64_MAX / 0xff); /* in each byte */
	uint64_t i = from, eight;

	if (p->pinned == 0)
		return to;
	for (; i + sizeof(eight) <= to; i += sizeof(eight)) {
		memcpy(&eight, p->byte + i, sizeof(eight));
		if (eight & any)
			break;
	}
	while (i < to && !page_is_pinned(p, i))
		i++;
	return i < to ? i : to;
}

static uint64_t find_byte(const struct pages *p, uint64_t from, uint64_t to, uint8_t byte)
{
	const uint8_t *at = from < to ? memchr(p->byte + from, byte, to - from) : NULL;

	return at ? (uint64_t)(at - p->byte) : to;
}

uint64_t page_find(const struct pages *p, uint64_t from, uint64_t to, enum page_state s)
{
	to = find_byte(p, from, to, (uint8_t)s);
	return s == PAGE_ACTIVE ? find_byte(p, from, to, PAGE_ACTIVE | PAGE_UNTOUCHED) : to;
}

uint64_t page_run(const struct pages *p, uint64_t from, uint64_t to, enum page_state s)
{
	uint64_t i = from;

	while (i < to && page_get(p, i) == s)
		i++;
	return i - from;
}

const char *page_state_name(enum page_state s)
{
	return s < PAGE_STATES ? names[s] : "?";
}
