/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The file: a header, then nodes of fixed size, each the key (index of its
 * first page) and 16 words.  It has a node for every 16 pages of the object,
 * so it cannot run out, and is sparse: memory is what was ever used at once.
 * Everything that can be derived from words (the tree, counts, which nodes
 * are free) is in private memory and rebuilt from a scan.
 *
 * A node is free when all its words are 0.  Taking one: key first, then the
 * word; so that at every moment a word that is not 0 stands under the right
 * key.  Giving one back is the last word going to 0.
 *
 *	nwords == sum of swblock.count, swblock.count > 0 for each in the tree
 *	nblocks <= zone.used
 *
 * Whoever walks over pages asks for the same swblock 16 times: `last` is the
 * one that was found last, and saves the walk down the tree.
 *
 * Intents stand in the header.  An intent is set before its write begins and
 * ended when the words that the write was for are stored; so at every moment
 * a block that a write may be on its way to is named by a word or an intent.
 */

#include "swap/object.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* the tree's generated functions are marked with it, and nobody defines it */
#ifndef __unused
#define __unused __attribute__((unused))
#endif
#include <bsd/sys/tree.h>

#define MAGIC	UINT64_C(0x314b4c4257534444) /* "DDSWBLK1" */
#define VERSION 3u

struct header {
	uint64_t magic;
	uint32_t version;
	uint32_t node_size;
	uint64_t pages;
	uint64_t nodes;
	/* 0, or number of blocks - 1 and address */
	uint64_t intent[OBJECT_INTENTS + OBJECT_LATES];
};

#define HEADER_SIZE  4096u
#define INTENT_SHIFT 56

static_assert(sizeof(struct header) <= HEADER_SIZE, "the header has one page");
static_assert(DRUM_ADDR_MASK >> INTENT_SHIFT == 0, "an intent's count is above its address");

struct node {
	uint64_t key;
	uint64_t word[SWBLOCK_PAGES];
};

/* The private half of a node. */
struct swblock {
	RB_ENTRY(swblock) link;
	uint64_t key;
	uint32_t count;	    /* words that are not 0 */
	uint32_t next_free; /* while it is free */
};

RB_HEAD(swblock_tree, swblock);

#define NO_NODE UINT32_MAX

struct object {
	struct swblock_tree tree;
	struct swblock *last; /* in the tree, or NULL */
	struct swblock_zone *zone;
	struct drum_share *share;
	struct swblock *block; /* [nodes] */
	struct node *node;     /* [nodes], in the file */
	void *map;
	int fd; /* the caller's */
	size_t map_size;
	uint64_t pages;
	uint32_t nodes;
	uint32_t fresh; /* nodes from here on were never used */
	uint32_t free;	/* list through next_free */
	uint64_t nblocks, nwords;
};

static int by_key(const struct swblock *a, const struct swblock *b)
{
	return a->key < b->key ? -1 : a->key > b->key;
}

RB_GENERATE_STATIC(swblock_tree, swblock, link, by_key)

static uint64_t key_of(uint64_t page)
{
	return page & ~(uint64_t)(SWBLOCK_PAGES - 1);
}

static struct node *node_of(const struct object *o, const struct swblock *b)
{
	return &o->node[b - o->block];
}

static struct swblock *find(const struct object *o, uint64_t page)
{
	struct object *cache = (struct object *)o;
	struct swblock want = { .key = key_of(page) };
	struct swblock *b = o->last;

	if (b && b->key == want.key)
		return b;
	b = RB_FIND(swblock_tree, &cache->tree, &want);
	if (b)
		cache->last = b;
	return b;
}

/* --- the zone ------------------------------------------------------------------ */

int swblock_zone_init(struct swblock_zone *z, uint64_t want,
		      bool (*fits)(uint64_t bytes, uint64_t *have))
{
	const uint64_t each = sizeof(struct node) + sizeof(struct swblock);

	if (want > UINT64_MAX / each)
		want = UINT64_MAX / each;
	while (want > 0 && !fits(want * each, NULL))
		want -= (want + 2) / 3;
	*z = (struct swblock_zone){ .max = want };
	return want > 0 ? 0 : -ENOMEM;
}

bool swblock_zone_full(const struct swblock_zone *z)
{
	return z && __atomic_load_n(&z->used, __ATOMIC_RELAXED) >=
			    __atomic_load_n(&z->max, __ATOMIC_RELAXED);
}

static bool zone_take(struct swblock_zone *z)
{
	if (!z || __atomic_fetch_add(&z->used, 1, __ATOMIC_RELAXED) <
			  __atomic_load_n(&z->max, __ATOMIC_RELAXED))
		return true;
	__atomic_fetch_sub(&z->used, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&z->refused, 1, __ATOMIC_RELAXED);
	return false;
}

static void zone_give(struct swblock_zone *z, uint64_t n)
{
	if (z)
		__atomic_fetch_sub(&z->used, n, __ATOMIC_RELAXED);
}

/* --- the file ------------------------------------------------------------------- */

static void link_node(struct object *o, uint32_t i, uint64_t key, uint32_t count)
{
	struct swblock *b = &o->block[i];

	b->key = key;
	b->count = count;
	RB_INSERT(swblock_tree, &o->tree, b);
	o->nblocks++;
	o->nwords += count;
}

/* Rebuild everything private from the words that the file holds. */
static int scan(struct object *o, struct err *e)
{
	off_t hole = lseek(o->fd, HEADER_SIZE, SEEK_HOLE);
	uint64_t used = o->nodes;

	/* Nodes are taken from the first on, so nothing is behind the first
	 * hole; reading there would allocate it. */
	if (hole >= 0 && ((uint64_t)hole - HEADER_SIZE) / sizeof(struct node) < used)
		used = ((uint64_t)hole - HEADER_SIZE) / sizeof(struct node);
	for (uint32_t i = 0; i < used; i++) {
		const struct node *n = &o->node[i];
		uint32_t count = 0, beyond = 0;

		for (unsigned int k = 0; k < SWBLOCK_PAGES; k++) {
			count += n->word[k] != 0;
			beyond += n->word[k] != 0 && n->key + k >= o->pages;
		}
		if (count == 0)
			continue;
		if (n->key % SWBLOCK_PAGES != 0 || n->key >= o->pages || beyond ||
		    find(o, n->key))
			return err_set(e, -EINVAL,
				       "swblock %u has the key %llu, which cannot be", i,
				       (unsigned long long)n->key);
		link_node(o, i, n->key, count);
		if (o->zone)
			__atomic_fetch_add(&o->zone->used, 1, __ATOMIC_RELAXED);
		o->fresh = i + 1;
	}
	for (uint32_t i = 0; i < o->fresh; i++)
		if (o->block[i].count == 0) {
			o->block[i].next_free = o->free;
			o->free = i;
		}
	return 0;
}

static void lay_out(struct object *o)
{
	struct header *h = o->map;

	*h = (struct header){
		.version = VERSION,
		.node_size = sizeof(struct node),
		.pages = o->pages,
		.nodes = o->nodes,
	};
	/* last: a file without it is not one */
	__atomic_store_n(&h->magic, MAGIC, __ATOMIC_RELEASE);
}

static int check(const struct object *o, struct err *e)
{
	struct header *h = o->map;

	if (h->magic != MAGIC)
		return err_set(e, -EINVAL, "it is not a file of swblocks");
	/* version 1 is this one without reservations and intents, version 2 without
	 * late blocks and lost pages; from now on it may have some, which an older
	 * reader would not honour */
	if ((h->version == 1 || h->version == 2) && h->node_size == sizeof(struct node))
		h->version = VERSION;
	if (h->version != VERSION || h->node_size != sizeof(struct node))
		return err_set(e, -EINVAL, "its format is %u, this drumd reads %u", h->version,
			       VERSION);
	if (h->pages != o->pages || h->nodes != o->nodes)
		return err_set(e, -EINVAL, "it is for %llu pages, the guest has %llu",
			       (unsigned long long)h->pages, (unsigned long long)o->pages);
	return 0;
}

static int set_up(struct object *o, int fd, struct err *e)
{
	struct stat st;
	bool fresh;
	int ret;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "%s", strerror(errno));
	fresh = st.st_size == 0;
	if (fresh && ftruncate(fd, (off_t)o->map_size) < 0)
		return err_set(e, -errno, "%s", strerror(errno));
	if (!fresh && (uint64_t)st.st_size != o->map_size)
		return err_set(e, -EINVAL, "its size is %lld bytes, not %llu",
			       (long long)st.st_size, (unsigned long long)o->map_size);
	o->map = mmap(NULL, o->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (o->map == MAP_FAILED)
		return err_set(e, -errno, "%s", strerror(errno));
	o->node = (struct node *)((char *)o->map + HEADER_SIZE);
	/* an empty header is a daemon's that died before it laid the file out */
	if (fresh || ((struct header *)o->map)->magic == 0)
		lay_out(o);
	ret = check(o, e);
	return ret < 0 ? ret : scan(o, e);
}

int object_file_pages(int fd, uint64_t *pages)
{
	struct header h;
	struct stat st;
	ssize_t n;

	*pages = 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	n = pread(fd, &h, sizeof(h), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(h) || st.st_size < HEADER_SIZE)
		return -EINVAL;
	if (h.magic == MAGIC)
		*pages = h.pages;
	else if (h.magic == 0) /* its daemon died before it was laid out */
		*pages = ((uint64_t)st.st_size - HEADER_SIZE) / sizeof(struct node) *
			 SWBLOCK_PAGES;
	return *pages > 0 ? 0 : -EINVAL;
}

struct object *object_open(int fd, uint64_t pages, struct swblock_zone *zone, struct err *e)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		goto nomem;
	RB_INIT(&o->tree);
	o->map = MAP_FAILED;
	o->fd = fd;
	o->zone = zone;
	o->free = NO_NODE;
	o->pages = pages;
	o->nodes = (uint32_t)((pages + SWBLOCK_PAGES - 1) / SWBLOCK_PAGES);
	o->map_size = HEADER_SIZE + (size_t)o->nodes * sizeof(struct node);
	/* touched only where it is used */
	o->block = mmap(NULL, (size_t)o->nodes * sizeof(*o->block), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (o->block == MAP_FAILED) {
		free(o);
		goto nomem;
	}
	if (set_up(o, fd, e) < 0) {
		object_close(o);
		return NULL;
	}
	return o;
nomem:
	err_set(e, -ENOMEM, "out of memory");
	return NULL;
}

void object_set_share(struct object *o, struct drum_share *s)
{
	o->share = s;
}

struct drum_share *object_share(const struct object *o)
{
	return o->share;
}

void object_close(struct object *o)
{
	if (!o)
		return;
	zone_give(o->zone, o->nblocks);
	if (o->map != MAP_FAILED)
		munmap(o->map, o->map_size);
	munmap(o->block, (size_t)o->nodes * sizeof(*o->block));
	free(o);
}

/* --- words ---------------------------------------------------------------------- */

uint64_t object_get(const struct object *o, uint64_t page)
{
	struct swblock *b = find(o, page);

	return b ? node_of(o, b)->word[page % SWBLOCK_PAGES] : 0;
}

/* The file is sparse, and a store into a hole is SIGBUS when the file system
 * is full: have the memory of a node before it is used. */
static int node_memory(struct object *o, uint32_t i)
{
	off_t from = HEADER_SIZE + (off_t)i * (off_t)sizeof(struct node);

	return posix_fallocate(o->fd, from, sizeof(struct node));
}

static struct swblock *take_node(struct object *o, uint64_t key)
{
	uint32_t i = o->free;

	if (!zone_take(o->zone))
		return NULL;
	if (i != NO_NODE) {
		o->free = o->block[i].next_free;
	} else if (o->fresh < o->nodes && node_memory(o, o->fresh) == 0) {
		i = o->fresh++;
	} else {
		zone_give(o->zone, 1);
		return NULL;
	}
	__atomic_store_n(&o->node[i].key, key, __ATOMIC_RELEASE);
	link_node(o, i, key, 0);
	return &o->block[i];
}

int object_set(struct object *o, uint64_t page, uint64_t word)
{
	struct swblock *b = find(o, page);
	uint64_t *w;

	assert(page < o->pages && word != 0);
	if (!b)
		b = take_node(o, key_of(page));
	if (!b)
		return -ENOSPC;
	w = &node_of(o, b)->word[page % SWBLOCK_PAGES];
	if (*w == 0) {
		b->count++;
		o->nwords++;
	}
	__atomic_store_n(w, word, __ATOMIC_RELEASE);
	return 0;
}

uint64_t object_pop(struct object *o, uint64_t page)
{
	struct swblock *b = find(o, page);
	uint64_t *w, old;

	if (!b)
		return 0;
	w = &node_of(o, b)->word[page % SWBLOCK_PAGES];
	old = *w;
	if (old == 0)
		return 0;
	__atomic_store_n(w, 0, __ATOMIC_RELEASE);
	o->nwords--;
	if (--b->count == 0) {
		RB_REMOVE(swblock_tree, &o->tree, b);
		o->last = NULL;
		o->nblocks--;
		zone_give(o->zone, 1);
		b->next_free = o->free;
		o->free = (uint32_t)(b - o->block);
	}
	return old;
}

bool object_next(const struct object *o, uint64_t page, uint64_t *found, uint64_t *word)
{
	struct object *cache = (struct object *)o;
	struct swblock want = { .key = key_of(page) };
	struct swblock *b = o->last;

	if (!b || b->key != want.key)
		b = RB_NFIND(swblock_tree, &cache->tree, &want);
	for (; b; b = RB_NEXT(swblock_tree, &cache->tree, b)) {
		const struct node *n = node_of(o, b);
		unsigned int k = b->key < page ? page % SWBLOCK_PAGES : 0;

		cache->last = b;
		for (; k < SWBLOCK_PAGES; k++)
			if (n->word[k] != 0) {
				*found = b->key + k;
				*word = n->word[k];
				return true;
			}
	}
	return false;
}

/* Is the word of a page n behind that of the word first the n-th behind it on swap? */
static bool follows(uint64_t first, uint64_t word, uint64_t n)
{
	/* the last block of a device and the first one of the next differ by 1 too */
	return word == first + n &&
	       drum_device_of(word & DRUM_ADDR_MASK) == drum_device_of(first & DRUM_ADDR_MASK);
}

static bool is_valid(uint64_t word)
{
	return (word & SWB_FLAGS) == SWB_VALID;
}

uint32_t object_run(const struct object *o, uint64_t page, uint32_t max)
{
	uint64_t first = object_get(o, page);
	uint32_t n = 0;

	if (is_valid(first))
		while (n < max && follows(first, object_get(o, page + n + 1), n + 1))
			n++;
	return n;
}

bool object_has(const struct object *o, uint64_t page, uint32_t max, uint32_t *before,
		uint32_t *after)
{
	uint64_t word = object_get(o, page);
	uint32_t n = 0;

	if (after)
		*after = object_run(o, page, max);
	if (is_valid(word) && before)
		while (n < max && n < page && follows(object_get(o, page - n - 1), word, n + 1))
			n++;
	if (before)
		*before = n;
	return is_valid(word);
}

uint64_t object_pages(const struct object *o)
{
	return o->pages;
}

uint64_t object_count(const struct object *o)
{
	return o->nwords;
}

uint64_t object_swblocks(const struct object *o)
{
	return o->nblocks;
}

/* --- for a restart -------------------------------------------------------------- */

static uint64_t *intent(const struct object *o, unsigned int i)
{
	struct header *h = o->map;

	assert(i < OBJECT_INTENTS + OBJECT_LATES);
	return &h->intent[i];
}

void object_intent(struct object *o, unsigned int i, drum_addr a, uint32_t n)
{
	uint64_t was = *intent(o, i);

	assert(n >= 1 && n <= 256 && a != DRUM_NONE);
	assert(was == 0 || ((was & DRUM_ADDR_MASK) == a && was >> INTENT_SHIFT < n - 1));
	__atomic_store_n(intent(o, i), (uint64_t)(n - 1) << INTENT_SHIFT | a, __ATOMIC_RELEASE);
}

void object_intent_end(struct object *o, unsigned int i)
{
	__atomic_store_n(intent(o, i), 0, __ATOMIC_RELEASE);
}

uint32_t object_intent_get(const struct object *o, unsigned int i, drum_addr *a)
{
	uint64_t word = *intent(o, i);

	*a = word & DRUM_ADDR_MASK;
	return word ? (uint32_t)(word >> INTENT_SHIFT) + 1 : 0;
}

void object_settle(struct object *o)
{
	uint64_t page = 0, word;

	for (; object_next(o, page, &page, &word); page++)
		if (word & SWB_HELD) {
			/* it has a word: this cannot fail */
			int ret = object_set(o, page, word & ~SWB_HELD);

			assert(ret == 0);
			(void)ret;
		}
}
