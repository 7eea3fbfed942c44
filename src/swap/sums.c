/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The file: a page of header, then the words, mapped shared.  A word is
 * 30 bits of checksum, 0 for none (a sum of 0 is stored as 1), and two bits for the
 * halves of a mirror.  The file is sparse, and touching a hole of it would be
 * SIGBUS when the file system is full.  So each page of words is allocated
 * before its first word is stored, and `have` tells which are; none of the
 * others is touched, not even to read.
 *
 * A word is changed by compare and exchange: its checksum belongs to the owner of
 * the block, the two bits to the mirror, who takes one away from all words
 * when a half is replaced.
 *
 * Death between sums_set and the end of the write leaves a sum of data that
 * is not there; its block is forgotten then (SWB_WRITING), or, where a block
 * is written anew in place, has the same data before and after.
 */

#include "swap/sums.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/point.h"

#define MAGIC	     UINT64_C(0x31534d5553444444) /* "DDDSUMS1" */
#define HEADER_SIZE  4096u
#define BLOCK	     4096u
#define WORDS_A_PAGE (4096u / sizeof(uint32_t))
#define HALVES	     3u
#define HALVES_SHIFT 30
#define SUM_MASK     ((1u << HALVES_SHIFT) - 1)

struct header {
	uint64_t magic;
	uint64_t version;
	uint64_t mirror_blocks;
	struct {
		uint64_t known; /* set after the other two, taken away before the bits */
		uint64_t dev_id, ino;
	} half[2];
};

_Static_assert(sizeof(struct header) <= HEADER_SIZE, "it has a page");

struct sums {
	int fd;
	uint64_t blocks; /* [a] */
	uint64_t max;	 /* words that are mapped */
	struct header *map;
	uint32_t *word;
	uint8_t *have; /* [a] each: this page of words is allocated */
};

/* Growing must not move the words under those who read them: addresses for the
 * most blocks that a device can grow to without being switched off. */
#define GROWTH 16u

static int allocate(int fd, off_t at, off_t len)
{
	int ret;

	do
		ret = posix_fallocate(fd, at, len);
	while (ret == EINTR);
	return -ret;
}

static size_t map_size(const struct sums *s)
{
	return HEADER_SIZE + s->max * sizeof(uint32_t);
}

/* Which pages of words does the file have? */
static int find_pages(struct sums *s)
{
	off_t end = (off_t)map_size(s), at = HEADER_SIZE;

	while ((at = lseek(s->fd, at, SEEK_DATA)) >= 0 && at < end) {
		off_t hole = lseek(s->fd, at, SEEK_HOLE);

		if (hole < 0)
			return -errno;
		if (hole > end)
			hole = end;
		for (at -= at % 4096; at < hole; at += 4096)
			s->have[(at - HEADER_SIZE) / 4096] = 1;
	}
	return at < 0 && errno != ENXIO ? -errno : 0;
}

static int set_up(struct sums *s, uint64_t blocks, struct err *e)
{
	struct header *h;
	struct stat st;
	int ret;

	if (fstat(s->fd, &st) < 0)
		return err_set(e, -errno, "%s", strerror(errno));
	s->max = (blocks * GROWTH + WORDS_A_PAGE - 1) / WORDS_A_PAGE * WORDS_A_PAGE;
	/* it may have been larger, or half of a mirror is missing: lose nothing */
	if ((uint64_t)st.st_size > map_size(s))
		s->max = ((uint64_t)st.st_size - HEADER_SIZE) / 4096 * WORDS_A_PAGE;
	if (ftruncate(s->fd, (off_t)map_size(s)) < 0)
		return err_set(e, -errno, "%s", strerror(errno));
	if (allocate(s->fd, 0, HEADER_SIZE) < 0)
		return err_set(e, -ENOSPC, "there is no room for it");
	s->have = calloc(s->max / WORDS_A_PAGE, 1);
	h = mmap(NULL, map_size(s), PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (h != MAP_FAILED)
		s->map = h;
	if (!s->map || !s->have)
		return err_set(e, -ENOMEM, "out of memory");
	s->word = (uint32_t *)((char *)s->map + HEADER_SIZE);
	s->blocks = blocks;
	if (st.st_size == 0 || h->magic == 0)
		__atomic_store_n(&h->magic, MAGIC, __ATOMIC_RELEASE);
	if (h->magic != MAGIC || h->version != 0)
		return err_set(e, -EINVAL, "it is not a file of checksums of this drumd");
	ret = find_pages(s);
	return ret < 0 ? err_set(e, ret, "%s", strerror(-ret)) : 0;
}

struct sums *sums_open(int fd, uint64_t blocks, struct err *e)
{
	struct sums *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	s->fd = fd;
	if (set_up(s, blocks, e) < 0) {
		sums_close(s);
		return NULL;
	}
	return s;
}

void sums_close(struct sums *s)
{
	if (!s)
		return;
	if (s->map)
		munmap(s->map, map_size(s));
	close(s->fd);
	free(s->have);
	free(s);
}

int sums_grow(struct sums *s, uint64_t blocks)
{
	if (blocks > s->max)
		return -EFBIG;
	__atomic_store_n(&s->blocks, blocks, __ATOMIC_RELAXED);
	return 0;
}

static bool has_word(const struct sums *s, uint64_t block)
{
	return __atomic_load_n(&s->have[block / WORDS_A_PAGE], __ATOMIC_ACQUIRE);
}

/* => false: the word has no memory, and there is none to be had */
static bool get_word(struct sums *s, uint64_t block)
{
	uint64_t page = block / WORDS_A_PAGE;
	off_t at = HEADER_SIZE + (off_t)(page * 4096);

	if (has_word(s, block))
		return true;
	/* two threads may do it for two blocks: the second does nothing */
	if (point_hit("sums-memory") || allocate(s->fd, at, 4096) < 0)
		return false;
	__atomic_store_n(&s->have[page], 1, __ATOMIC_RELEASE);
	return true;
}

static uint32_t sum_of(const void *data)
{
	uint32_t sum = (uint32_t)XXH3_64bits(data, BLOCK) & SUM_MASK;

	return sum ? sum : 1;
}

/* Those bits of a word become `set`. */
static void change(uint32_t *word, uint32_t bits, uint32_t set)
{
	uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(word, &old, (old & ~bits) | set, true,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

void sums_set(struct sums *s, uint64_t block, const void *data)
{
	/* first, since it may not return (guard_run) */
	uint32_t sum = sum_of(data);

	assert(block < s->max);
	if (get_word(s, block))
		change(&s->word[block], SUM_MASK, sum);
}

bool sums_check(const struct sums *s, uint64_t block, const void *data)
{
	uint32_t sum;

	assert(block < s->max);
	if (!has_word(s, block))
		return true;
	sum = __atomic_load_n(&s->word[block], __ATOMIC_ACQUIRE) & SUM_MASK;
	return sum == 0 || sum == sum_of(data);
}

unsigned int sums_halves(const struct sums *s, uint64_t block)
{
	assert(block < s->max);
	if (!has_word(s, block))
		return 0;
	return __atomic_load_n(&s->word[block], __ATOMIC_ACQUIRE) >> HALVES_SHIFT;
}

int sums_set_halves(struct sums *s, uint64_t block, unsigned int halves)
{
	assert(block < s->max);
	if (!get_word(s, block))
		return -ENOSPC;
	change(&s->word[block], ~SUM_MASK, (halves & HALVES) << HALVES_SHIFT);
	return 0;
}

bool sums_half_is(const struct sums *s, unsigned int k, uint64_t dev_id, uint64_t ino)
{
	const struct header *h = s->map;

	return __atomic_load_n(&h->half[k].known, __ATOMIC_ACQUIRE) &&
	       h->half[k].dev_id == dev_id && h->half[k].ino == ino;
}

void sums_new_half(struct sums *s, unsigned int k, uint64_t dev_id, uint64_t ino)
{
	struct header *h = s->map;

	__atomic_store_n(&h->half[k].known, 0, __ATOMIC_SEQ_CST);
	for (uint64_t page = 0; page < s->max / WORDS_A_PAGE; page++)
		for (uint64_t i = 0; has_word(s, page * WORDS_A_PAGE) && i < WORDS_A_PAGE; i++)
			change(&s->word[page * WORDS_A_PAGE + i], 1u << (HALVES_SHIFT + k), 0);
	h->half[k].dev_id = dev_id;
	h->half[k].ino = ino;
	__atomic_store_n(&h->half[k].known, 1, __ATOMIC_SEQ_CST);
}

uint64_t sums_mirror_blocks(const struct sums *s)
{
	return __atomic_load_n(&s->map->mirror_blocks, __ATOMIC_RELAXED);
}

void sums_set_mirror_blocks(struct sums *s, uint64_t blocks)
{
	__atomic_store_n(&s->map->mirror_blocks, blocks, __ATOMIC_RELAXED);
}
