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
 *	ncount == sum of swblock.count, swblock.count > 0 for each in the tree
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
#define VERSION 1u

struct header {
	uint64_t magic;
	uint32_t version;
	uint32_t node_size;
	uint64_t pages;
	uint64_t nodes;
};

#define HEADER_SIZE 4096u

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
	struct swblock want = { .key = key_of(page) };

	return RB_FIND(swblock_tree, (struct swblock_tree *)&o->tree, &want);
}

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
	const struct header *h = o->map;

	if (h->magic != MAGIC)
		return err_set(e, -EINVAL, "it is not a file of swblocks");
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

struct object *object_open(int fd, uint64_t pages, struct err *e)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		goto nomem;
	RB_INIT(&o->tree);
	o->map = MAP_FAILED;
	o->fd = fd;
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

void object_close(struct object *o)
{
	if (!o)
		return;
	if (o->map != MAP_FAILED)
		munmap(o->map, o->map_size);
	munmap(o->block, (size_t)o->nodes * sizeof(*o->block));
	free(o);
}

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

	if (i != NO_NODE)
		o->free = o->block[i].next_free;
	else if (o->fresh < o->nodes && node_memory(o, o->fresh) == 0)
		i = o->fresh++;
	else
		return NULL;
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
		o->nblocks--;
		b->next_free = o->free;
		o->free = (uint32_t)(b - o->block);
	}
	return old;
}

bool object_next(const struct object *o, uint64_t page, uint64_t *found, uint64_t *word)
{
	struct swblock want = { .key = key_of(page) };
	struct swblock *b = RB_NFIND(swblock_tree, (struct swblock_tree *)&o->tree, &want);

	for (; b; b = RB_NEXT(swblock_tree, (struct swblock_tree *)&o->tree, b)) {
		const struct node *n = node_of(o, b);
		unsigned int k = b->key < page ? page % SWBLOCK_PAGES : 0;

		for (; k < SWBLOCK_PAGES; k++)
			if (n->word[k] != 0) {
				*found = b->key + k;
				*word = n->word[k];
				return true;
			}
	}
	return false;
}

uint32_t object_run(const struct object *o, uint64_t page, uint32_t max)
{
	uint64_t first = object_get(o, page);
	const struct swblock *b = NULL;
	uint32_t n = 0;

	while (n < max) {
		uint64_t next = page + n + 1;

		if (!b || key_of(next) != b->key)
			b = find(o, next);
		if (!b || node_of(o, b)->word[next % SWBLOCK_PAGES] != first + n + 1)
			break;
		n++;
	}
	return n;
}

uint64_t object_count(const struct object *o)
{
	return o->nwords;
}

uint64_t object_swblocks(const struct object *o)
{
	return o->nblocks;
}
