/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The memory of a blist: one mapping for each level of the tree (blist.c says
 * what is in it).  Anonymous memory is zero and not resident before it is
 * written, and zero reads "all allocated": so a new blist of any size costs
 * nothing but addresses, and one that grows need only tell its parents.
 *
 * Growing maps first and changes the tree then, so that it fails before
 * anything has changed.  Shrinking changes the tree first; giving back the
 * end of a mapping needs no memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "swap/blist.h"
#include "swap/blist_node.h"

/* Bytes of level k, in whole pages. */
static size_t level_bytes(int k, uint64_t blocks)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t nodes = (size_t)((blocks + level_blocks(k) - 1) >> level_shift(k));

	return (nodes * node_bytes(k) + page - 1) / page * page;
}

/*
 * Change the mapping of level k to len bytes; new bytes are zero and not
 * resident before they are written.  => 0 or -ENOMEM, nothing changed
 */
static int level_map(struct blist *bl, int k, size_t len)
{
	void *mem = bl->mem[k];

	if (len == bl->len[k])
		return 0;
	if (len == 0) {
		munmap(mem, bl->len[k]);
		mem = NULL;
	} else if (!mem) {
		mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	} else {
		mem = mremap(mem, bl->len[k], len, MREMAP_MAYMOVE);
	}
	if (mem == MAP_FAILED)
		return -ENOMEM;
	bl->mem[k] = mem;
	bl->len[k] = len;
	bl->leaf = bl->mem[0];
	return 0;
}

/* Map what a tree of this size needs, and no more. => 0 or -ENOMEM, nothing changed */
static int levels_map(struct blist *bl, uint64_t blocks)
{
	size_t old[LEVELS];
	int top = top_for(blocks);

	for (int k = 0; k < LEVELS; k++) {
		old[k] = bl->len[k];
		if (level_map(bl, k, k <= top ? level_bytes(k, blocks) : 0) == 0)
			continue;
		/* giving back the end of a mapping needs no memory */
		while (k-- > 0)
			(void)level_map(bl, k, old[k]);
		return -ENOMEM;
	}
	return 0;
}

struct blist *blist_create(uint64_t blocks)
{
	struct blist *bl;

	if (blocks == 0 || blocks > BLIST_MAX_BLOCKS) {
		errno = EINVAL;
		return NULL;
	}
	bl = calloc(1, sizeof(*bl));
	if (!bl)
		return NULL;
	if (levels_map(bl, blocks) < 0) {
		free(bl);
		errno = ENOMEM;
		return NULL;
	}
	bl->blocks = blocks;
	bl->top = top_for(blocks);
	return bl;
}

void blist_destroy(struct blist *bl)
{
	if (!bl)
		return;
	for (int k = 0; k < LEVELS; k++)
		(void)level_map(bl, k, 0);
	free(bl);
}

int blist_resize(struct blist *bl, uint64_t blocks)
{
	int top;

	if (blocks == 0 || blocks > BLIST_MAX_BLOCKS)
		return -EINVAL;
	top = top_for(blocks);

	if (blocks >= bl->blocks) {
		if (levels_map(bl, blocks) < 0)
			return -ENOMEM;
		/* what was the root is the first child of the next, whose others are
		 * empty */
		for (; bl->top < top; bl->top++) {
			*masks_of(bl, bl->top + 1, 0) = (struct masks){ 0, 0 };
			runs_store(bl, bl->top, 0, bl->root);
			/* the others are empty: its end run is no longer at the end */
			bl->root.end = 0;
		}
		bl->blocks = blocks;
		return 0;
	}

	/*
	 * What is cut off stays in the memory that is kept, to the end of its
	 * pages, but as contents of a child that the masks call empty, or
	 * of one whose parents go with the levels above the new root.
	 */
	(void)blist_fill(bl, blocks, bl->blocks - blocks);
	for (; bl->top > top; bl->top--) {
		open_child(bl, bl->top - 1, 0);
		bl->root = runs_of(bl, bl->top - 1, 0);
	}
	bl->blocks = blocks;
	/* shrinking a mapping does not fail; if it did, the rest would only stay */
	(void)levels_map(bl, blocks);
	return 0;
}

uint64_t blist_memory(const struct blist *bl)
{
	uint64_t sum = sizeof(*bl);

	for (int k = 0; k < LEVELS; k++)
		sum += bl->len[k];
	return sum;
}
