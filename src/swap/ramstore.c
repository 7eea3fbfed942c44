/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The file: a page of header, a 64-bit word and a 32-bit stamp for each block,
 * then slabs of 64 KiB.  A word says where a block's slot is, and how long what
 * it holds; 0 is nothing.  A slot begins with its block and a checksum of what
 * follows.  The tables have memory from the first; a slab's is allocated before
 * it is touched (a store into a hole of a full tmpfs is SIGBUS), and punched
 * out when it is free.
 *
 *	put	slot's contents, stamp, then the word: the commit point.  The slot
 *		that the block had before is free after that.
 *	drop	the word to 0, then the slot is free.
 *	pack	(emptying a slab) copy the slot, then the word, then the old slot
 *		is free.
 *
 * So at every moment each word that is not 0 names a whole slot of its own, and
 * a process that dies anywhere leaves at worst a slot that no word names, which
 * is a free slot.  All else (ramslab.c, ramcold.c) is rebuilt by a scan of the
 * words.  The bytes of a put are the memory's at once, whoever dies: nothing is
 * to be flushed, since the file lives in memory only.
 *
 * A word or slot that is damaged costs its own block only: whoever follows a
 * word looks whether the slot is in use, of the length's class, and of this
 * block; if not, the block is damaged, and the slot stays what it is.
 *
 * Locks: `lock` for everything that is private and for words and slots, held
 * for arithmetic and one copy of at most 3 KiB (some 0.1 us; copying under the
 * lock is what allows slots to be moved).  `slow` is taken before it, by who
 * gets or gives back memory or packs: by one at a time, with `lock` let go in
 * between, so that readers never wait for a system call or a whole slab.
 *
 * Which memory is the measure: if slabs were packed, `needed` of them would be
 * in use, and packing is done when a slab is wanted and there is none; so what
 * is free for good is the limit less that.  It follows each put and drop at
 * once, fragmented or not, and both thresholds go by it.
 *
 * Coldness is the time of writing: a page is written here when it was not used
 * for a while, is read once, and freed by that.  What is here for long has not
 * been used for long, and there is no other use that could be seen.
 */

#include "swap/ramstore.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/point.h"
#include "swap/ramcold.h"

#define MAGIC	UINT64_C(0x314d415253444444) /* "DDDSRAM1" */
#define VERSION 1u

struct header {
	uint64_t magic;
	uint64_t version;
	uint64_t bytes;
	uint64_t blocks;
	uint64_t slabs;
};

#define HEADER_SIZE 4096u
#define PAGE	    4096u

/* The start of a slot. */
struct head {
	uint32_t check;
	uint32_t block;
};

/* A word. */
#define W_USED	     (UINT64_C(1) << 63)
#define W_SLAB_BITS  24
#define W_SLOT_SHIFT 24
#define W_SLOT_BITS  10
#define W_LEN_SHIFT  34
#define W_LEN_BITS   12

_Static_assert(RAMSLAB_SLOTS <= 1u << W_SLOT_BITS, "a slot fits into a word");
_Static_assert(RAMSTORE_LEN_MAX < 1u << W_LEN_BITS, "a length fits into a word");
_Static_assert(RAMSTORE_BYTES_MAX / RAMSLAB_BYTES <= UINT64_C(1) << W_SLAB_BITS,
	       "a slab fits into a word");
_Static_assert(RAMSTORE_LEN_MAX + sizeof(struct head) == RAMSLAB_SLOT_MAX, "a slot's length");

#define SPARE_KEPT  4u	/* free slabs that keep their memory for the next put */
#define PACK_BATCH  16u /* slots that are moved before others get a turn */
#define LOOSE_KEPT  8u	/* slabs that fragmentation may cost, besides a quarter */
#define DROP_BATCH  64u
#define SPANS	    64u /* generations that fill a store: how finely coldness is told */
#define PUT_RETRIES 8u	/* others may take the slab that one has made free */

struct ramstore {
	int fd;
	uint64_t limit, blocks;	 /* [I] */
	uint32_t nslabs;	 /* [I] */
	uint64_t tables;	 /* [I] bytes of tables, private ones included */
	uint32_t high, low;	 /* [I] slabs needed at which moving begins and ends */
	uint32_t full, not_full; /* [I] the same for nearly full */
	struct ramstore_env env; /* [I] */

	void *map;
	size_t map_size;
	uint64_t *word;	 /* [a] stored with the lock */
	uint32_t *stamp; /* [a] stored with the lock */
	char *data;
	uint8_t *claimed; /* a bit a block, until claims are done */

	pthread_mutex_t slow;	   /* rank: before lock */
	pthread_mutex_t lock;	   /* leaf */
	struct ramslabs *slabs;	   /* [lock] */
	struct ramcold cold;	   /* [lock], ramcold_is by any */
	uint32_t backed;	   /* [lock] slabs with memory */
	bool starved;		   /* [lock] the system has no memory for us */
	uint64_t count, bytes;	   /* [lock] blocks that hold something */
	uint64_t packings;	   /* [lock] */
	uint64_t refused, damaged; /* [a] */
};

/* --- words and slots ---------------------------------------------------------- */

static uint64_t word_make(struct ramslot at, uint32_t len)
{
	return W_USED | (uint64_t)len << W_LEN_SHIFT | (uint64_t)at.slot << W_SLOT_SHIFT |
	       at.slab;
}

static struct ramslot word_slot(uint64_t w)
{
	return (struct ramslot){
		.slab = (uint32_t)(w & ((UINT64_C(1) << W_SLAB_BITS) - 1)),
		.slot = (uint32_t)(w >> W_SLOT_SHIFT & ((1u << W_SLOT_BITS) - 1)),
	};
}

static uint32_t word_len(uint64_t w)
{
	return (uint32_t)(w >> W_LEN_SHIFT & ((1u << W_LEN_BITS) - 1));
}

static uint32_t class_for(uint32_t len)
{
	return ramslabs_class(len + (uint32_t)sizeof(struct head));
}

/* => its class, or RAMSLAB_NONE: no word of ours is like that */
static uint32_t word_class(uint64_t w)
{
	uint32_t len = word_len(w);

	return len <= RAMSTORE_LEN_MAX && w == word_make(word_slot(w), len) ? class_for(len)
									    : RAMSLAB_NONE;
}

static uint64_t get_word(const struct ramstore *s, uint64_t block)
{
	return __atomic_load_n(&s->word[block], __ATOMIC_RELAXED);
}

/* After all that was stored before it. */
static void set_word(struct ramstore *s, uint64_t block, uint64_t w)
{
	__atomic_store_n(&s->word[block], w, __ATOMIC_RELEASE);
}

static uint32_t get_stamp(const struct ramstore *s, uint64_t block)
{
	return __atomic_load_n(&s->stamp[block], __ATOMIC_RELAXED);
}

static char *slot_memory(const struct ramstore *s, struct ramslot at, uint32_t class)
{
	return s->data + (uint64_t)at.slab * RAMSLAB_BYTES +
	       (uint64_t)at.slot * ramslabs_slot_bytes(class);
}

static uint32_t check_of(uint64_t block, const void *data, uint32_t len)
{
	return (uint32_t)XXH3_64bits_withSeed(data, len, block);
}

/* Does this word of a block name a slot, and is it the block's? With the lock. */
static bool names_slot(const struct ramstore *s, uint64_t block, uint64_t w)
{
	uint32_t class = word_class(w);
	struct head h;

	if (class == RAMSLAB_NONE || !ramslabs_used(s->slabs, word_slot(w), class))
		return false;
	memcpy(&h, slot_memory(s, word_slot(w), class), sizeof(h));
	return h.block == block;
}

/* --- how full it is ----------------------------------------------------------- */

static void say(bool *flag, bool value)
{
	if (__atomic_load_n(flag, __ATOMIC_RELAXED) != value)
		__atomic_store_n(flag, value, __ATOMIC_RELAXED);
}

/* After each change, with the lock. */
static void measure(struct ramstore *s)
{
	uint32_t needed = ramslabs_needed(s->slabs);
	bool moving = *s->env.moving, full = *s->env.full;

	moving = needed > s->high || (moving && needed > s->low);
	/* while what is to be moved is, new pages may add to what is needed */
	ramcold_want(&s->cold, moving ? (uint64_t)(needed - s->low) * RAMSLAB_BYTES : 0);
	full = needed >= s->full || (full && needed > s->not_full) || s->starved;
	say(s->env.moving, moving);
	say(s->env.full, full);
}

/* The slot of a word that was stored with this stamp is free. With the lock. */
static void release(struct ramstore *s, uint64_t w, uint32_t stamp)
{
	uint32_t class = word_class(w), spare = ramslabs_spare(s->slabs);

	ramslabs_give(s->slabs, word_slot(w));
	ramcold_sub(&s->cold, stamp, ramslabs_slot_bytes(class));
	s->count--;
	s->bytes -= word_len(w);
	if (ramslabs_spare(s->slabs) > spare)
		s->starved = false;
}

/* With the lock. => false: there was nothing */
static bool drop(struct ramstore *s, uint64_t block)
{
	uint64_t w = get_word(s, block);

	if (w == 0)
		return false;
	set_word(s, block, 0);
	point_crash("ram-drop");
	if (point_hit("ram-after-drop"))
		return false;
	if (names_slot(s, block, w))
		release(s, w, get_stamp(s, block));
	return true;
}

/* --- memory ------------------------------------------------------------------- */

static off_t slab_offset(const struct ramstore *s, uint32_t slab)
{
	return s->data - (char *)s->map + (off_t)slab * RAMSLAB_BYTES;
}

/* Have a slab's memory. => 0 or -errno; a part may have come */
static int back(struct ramstore *s, uint32_t slab)
{
	int err = point_hit("ram-memory");

	if (err)
		return err;
	do
		err = -posix_fallocate(s->fd, slab_offset(s, slab), RAMSLAB_BYTES);
	while (err == -EINTR);
#ifdef MADV_POPULATE_WRITE
	/* one call rather than 16 page faults; it is no harm if it fails */
	if (err == 0)
		(void)madvise(s->data + (uint64_t)slab * RAMSLAB_BYTES, RAMSLAB_BYTES,
			      MADV_POPULATE_WRITE);
#endif
	return err;
}

static int punch(struct ramstore *s, off_t at, off_t len)
{
	return fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len) < 0
		       ? -errno
		       : 0;
}

/* Give memory to a slab that has none. With both locks. */
static bool back_one(struct ramstore *s)
{
	uint32_t slab;
	int err;

	if (!ramslabs_take_bare(s->slabs, &slab))
		return false;
	pthread_mutex_unlock(&s->lock);
	err = back(s, slab);
	if (err)
		(void)punch(s, slab_offset(s, slab), RAMSLAB_BYTES);
	pthread_mutex_lock(&s->lock);
	s->starved = err != 0;
	if (err) {
		ramslabs_put_bare(s->slabs, slab);
	} else {
		ramslabs_put_spare(s->slabs, slab);
		s->backed++;
	}
	measure(s);
	return err == 0;
}

enum move { MOVED, DAMAGED, NO_ROOM };

/* Move a slot out of a slab that is being emptied. With both locks. */
static enum move move_slot(struct ramstore *s, struct ramslot from, uint32_t class)
{
	char *memory = slot_memory(s, from, class);
	struct ramslot to;
	struct head h;
	uint64_t w;

	memcpy(&h, memory, sizeof(h));
	w = h.block < s->blocks ? get_word(s, h.block) : 0;
	/* whose it is cannot be told */
	if (word_class(w) != class || word_slot(w).slab != from.slab ||
	    word_slot(w).slot != from.slot)
		return DAMAGED;
	if (!ramslabs_take(s->slabs, class, &to))
		return NO_ROOM;
	memcpy(slot_memory(s, to, class), memory, sizeof(h) + word_len(w));
	if (point_hit("ram-after-move"))
		return NO_ROOM;
	set_word(s, h.block, word_make(to, word_len(w)));
	if (point_hit("ram-after-move-word"))
		return NO_ROOM;
	ramslabs_give(s->slabs, from);
	return MOVED;
}

/* Empty a slab into others of its class; a slab that cannot be is not tried
 * again.  With both locks. => false: there is nothing to try */
static bool pack_one(struct ramstore *s)
{
	uint32_t slab, class, n = 0;
	enum move moved = MOVED;
	struct ramslot at;

	if (!ramslabs_drain(s->slabs, &slab))
		return false;
	class = ramslabs_class_of(s->slabs, slab);
	at = (struct ramslot){ .slab = slab };
	/* slots of it may be freed in the meantime, and none is taken */
	while (moved == MOVED &&
	       (at.slot = ramslabs_next(s->slabs, slab, at.slot)) != RAMSLAB_NONE) {
		moved = move_slot(s, at, class);
		if (++n % PACK_BATCH == 0) {
			pthread_mutex_unlock(&s->lock);
			pthread_mutex_lock(&s->lock);
		}
	}
	ramslabs_drained(s->slabs, slab, moved == DAMAGED);
	s->packings += moved == MOVED;
	return moved != NO_ROOM;
}

static bool assign_spare(struct ramstore *s, uint32_t class)
{
	uint32_t slab;

	if (!ramslabs_take_spare(s->slabs, &slab))
		return false;
	ramslabs_assign(s->slabs, slab, class);
	return true;
}

/* A slab more for this class. => false: there is none */
static bool make_room(struct ramstore *s, uint32_t class)
{
	bool room;

	pthread_mutex_lock(&s->slow);
	pthread_mutex_lock(&s->lock);
	/* ends: each slab is bare once, or packed and then spare, or stuck */
	do
		room = assign_spare(s, class);
	while (!room && (back_one(s) || pack_one(s)));
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->slow);
	return room;
}

/* --- what is called ------------------------------------------------------------- */

static void set_claimed(struct ramstore *s, uint64_t block)
{
	__atomic_fetch_or(&s->claimed[block / 8], (uint8_t)(1u << block % 8), __ATOMIC_RELAXED);
}

static bool is_claimed(const struct ramstore *s, uint64_t block)
{
	return __atomic_load_n(&s->claimed[block / 8], __ATOMIC_RELAXED) >> block % 8 & 1;
}

/* Into a slot that is free. => -ENOSPC: none is. With the lock. */
static int put(struct ramstore *s, uint64_t block, const void *data, uint32_t len,
	       uint32_t check)
{
	uint32_t class = class_for(len), old_stamp = get_stamp(s, block);
	struct head h = { .check = check, .block = (uint32_t)block };
	uint64_t old = get_word(s, block);
	bool had = names_slot(s, block, old);
	struct ramslot at;
	char *memory;
	int err;

	if (!ramslabs_take(s->slabs, class, &at))
		return -ENOSPC;
	memory = slot_memory(s, at, class);
	memcpy(memory, &h, sizeof(h));
	memcpy(memory + sizeof(h), data, len);
	point_crash("ram-slot");
	err = point_hit("ram-after-slot");
	if (err)
		return err;
	__atomic_store_n(&s->stamp[block], ramcold_add(&s->cold, ramslabs_slot_bytes(class)),
			 __ATOMIC_RELAXED);
	set_word(s, block, word_make(at, len));
	point_crash("ram-word");
	err = point_hit("ram-after-word");
	if (err)
		return err;
	s->count++;
	s->bytes += len;
	if (had)
		release(s, old, old_stamp);
	return 0;
}

int ramstore_put(struct ramstore *s, uint64_t block, const void *data, uint32_t len)
{
	uint32_t check = check_of(block, data, len);
	int ret = -ENOSPC;

	set_claimed(s, block);
	for (unsigned int i = 0; i < PUT_RETRIES && ret == -ENOSPC; i++) {
		if (i > 0 && !make_room(s, class_for(len)))
			break;
		pthread_mutex_lock(&s->lock);
		ret = put(s, block, data, len, check);
		measure(s);
		pthread_mutex_unlock(&s->lock);
	}
	if (ret == -ENOSPC)
		__atomic_fetch_add(&s->refused, 1, __ATOMIC_RELAXED);
	return ret;
}

int ramstore_get(struct ramstore *s, uint64_t block, void *data)
{
	struct head h = { 0 };
	uint32_t len = 0;
	uint64_t w;
	bool found;

	pthread_mutex_lock(&s->lock);
	w = get_word(s, block);
	found = names_slot(s, block, w);
	if (found) {
		const char *memory = slot_memory(s, word_slot(w), word_class(w));

		len = word_len(w);
		memcpy(&h, memory, sizeof(h));
		memcpy(data, memory + sizeof(h), len);
	}
	pthread_mutex_unlock(&s->lock);
	if (found && h.check == check_of(block, data, len))
		return (int)len;
	__atomic_fetch_add(&s->damaged, 1, __ATOMIC_RELAXED);
	return -EILSEQ;
}

void ramstore_drop(struct ramstore *s, uint64_t block, uint64_t n)
{
	/* a range may be huge, and readers wait */
	while (n > 0) {
		uint64_t end = n < DROP_BATCH ? block + n : block + DROP_BATCH;

		pthread_mutex_lock(&s->lock);
		n -= end - block;
		while (block < end)
			drop(s, block++);
		measure(s);
		pthread_mutex_unlock(&s->lock);
	}
}

void ramstore_claim(struct ramstore *s, uint64_t block)
{
	set_claimed(s, block);
}

void ramstore_claims_done(struct ramstore *s)
{
	for (uint64_t block = 0; block < s->blocks; block++)
		if (get_word(s, block) != 0 && !is_claimed(s, block))
			ramstore_drop(s, block, 1);
}

bool ramstore_cold(const struct ramstore *s, uint64_t block)
{
	return get_word(s, block) != 0 && ramcold_is(&s->cold, get_stamp(s, block));
}

/* Give a spare slab's memory back. With both locks. */
static bool unback_one(struct ramstore *s)
{
	uint32_t slab;
	int err;

	if (ramslabs_spare(s->slabs) <= SPARE_KEPT || !ramslabs_take_spare(s->slabs, &slab))
		return false;
	pthread_mutex_unlock(&s->lock);
	err = punch(s, slab_offset(s, slab), RAMSLAB_BYTES);
	pthread_mutex_lock(&s->lock);
	if (err) {
		ramslabs_put_spare(s->slabs, slab);
		return false;
	}
	ramslabs_put_bare(s->slabs, slab);
	s->backed--;
	return true;
}

static bool is_loose(const struct ramstore *s)
{
	uint32_t needed = ramslabs_needed(s->slabs);

	return ramslabs_classed(s->slabs) > needed + needed / 4 + LOOSE_KEPT;
}

void ramstore_tend(struct ramstore *s, uint32_t slabs)
{
	/* somebody is at it */
	if (pthread_mutex_trylock(&s->slow) != 0)
		return;
	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < slabs && is_loose(s) && pack_one(s); i++)
		;
	for (uint32_t i = 0; i < slabs && unback_one(s); i++)
		;
	if (s->starved)
		(void)back_one(s);
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->slow);
}

void ramstore_get_stats(struct ramstore *s, struct ramstore_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = (struct ramstore_stats){
		.limit = s->limit,
		.memory = s->tables + (uint64_t)s->backed * RAMSLAB_BYTES,
		.packed = s->tables + (uint64_t)ramslabs_needed(s->slabs) * RAMSLAB_BYTES,
		.blocks = s->count,
		.bytes = s->bytes,
		.refused = __atomic_load_n(&s->refused, __ATOMIC_RELAXED),
		.damaged = __atomic_load_n(&s->damaged, __ATOMIC_RELAXED),
		.packings = s->packings,
		.cold = s->cold.cold,
	};
	pthread_mutex_unlock(&s->lock);
}

uint64_t ramstore_blocks(const struct ramstore *s)
{
	return s->blocks;
}

/* --- opening ---------------------------------------------------------------------- */

/* A word that was found. => 0, also for a damaged one; or -errno: its slab's
 * memory, which was there when the word was stored, cannot be had */
static int adopt(struct ramstore *s, uint64_t block, uint64_t w)
{
	struct ramslot at = word_slot(w);
	uint32_t class = word_class(w), len = word_len(w);
	bool first = !ramslabs_occupied(s->slabs, at.slab);
	const char *memory;
	struct head h;

	s->damaged++;
	if (class == RAMSLAB_NONE || at.slab >= s->nslabs || at.slot >= ramslabs_slots(class))
		return 0;
	if (first) {
		int err = back(s, at.slab);

		if (err)
			return err;
	}
	memory = slot_memory(s, at, class);
	memcpy(&h, memory, sizeof(h));
	/* the first one tells the slab's class, so it must be right in all */
	if (h.block != block ||
	    (first && h.check != check_of(block, memory + sizeof(h), len)) ||
	    !ramslabs_claim(s->slabs, at, class))
		return 0;
	s->damaged--;
	s->backed += first;
	s->count++;
	s->bytes += len;
	ramcold_add_old(&s->cold, get_stamp(s, block), ramslabs_slot_bytes(class));
	return 0;
}

/* Slabs without a word are free, and what memory they have is given back. */
static int punch_free(struct ramstore *s)
{
	int ret = 0;

	for (uint32_t from = 0, to; ret == 0 && from < s->nslabs; from = to + 1) {
		for (to = from; to < s->nslabs && !ramslabs_occupied(s->slabs, to); to++)
			;
		if (to > from)
			ret = punch(s, slab_offset(s, from),
				    (off_t)(to - from) * RAMSLAB_BYTES);
	}
	return ret;
}

/* Rebuild everything private from the words that the file holds. */
static int scan(struct ramstore *s, struct err *e)
{
	uint32_t newest = 0;
	int ret = 0;

	for (uint64_t b = 0; b < s->blocks; b++)
		if (get_word(s, b) != 0 && get_stamp(s, b) > newest)
			newest = get_stamp(s, b);
	if (newest < UINT32_MAX)
		newest++;
	ramcold_init(&s->cold, (uint64_t)s->nslabs * RAMSLAB_BYTES / SPANS, newest);
	for (uint64_t b = 0; b < s->blocks && ret == 0; b++)
		if (get_word(s, b) != 0)
			ret = adopt(s, b, get_word(s, b));
	if (ret == 0)
		ret = punch_free(s);
	if (ret < 0)
		return err_set(e, ret, "its memory cannot be had: %s", strerror(-ret));
	ramslabs_claimed(s->slabs);
	measure(s);
	return 0;
}

/* How many blocks, how many slabs, and where they begin. */
static void plan(struct ramstore *s, uint64_t bytes)
{
	uint64_t tables, private;

	s->limit = bytes;
	s->blocks = bytes / PAGE * RAMSTORE_RATIO;
	tables = HEADER_SIZE + s->blocks * (sizeof(*s->word) + sizeof(*s->stamp));
	tables = (tables + RAMSLAB_BYTES - 1) / RAMSLAB_BYTES * RAMSLAB_BYTES;
	private = sizeof(*s) + s->blocks / 8;
	s->nslabs = (uint32_t)((bytes - tables - private) / (RAMSLAB_BYTES + ramslabs_cost()));
	s->tables = tables + private + (uint64_t)s->nslabs * ramslabs_cost();
	s->map_size = tables + (uint64_t)s->nslabs * RAMSLAB_BYTES;
	s->high = (uint32_t)((bytes / 10 * 9 - s->tables) / RAMSLAB_BYTES);
	s->low = (uint32_t)((bytes / 10 * 8 - s->tables) / RAMSLAB_BYTES);
	s->full = s->nslabs - (s->nslabs / 32 > 1 ? s->nslabs / 32 : 1);
	s->not_full = s->full - s->nslabs / 32 - 1;
}

static int lay_out(struct ramstore *s, struct err *e)
{
	struct header h = {
		.version = VERSION,
		.bytes = s->limit,
		.blocks = s->blocks,
		.slabs = s->nslabs,
	};
	int ret;

	if (ftruncate(s->fd, 0) < 0 || ftruncate(s->fd, (off_t)s->map_size) < 0)
		return err_set(e, -errno, "%s", strerror(errno));
	do
		ret = -posix_fallocate(s->fd, 0, slab_offset(s, 0));
	while (ret == -EINTR);
	if (ret < 0)
		return err_set(e, ret, "there is no memory for its tables: %s", strerror(-ret));
	memcpy(s->map, &h, sizeof(h));
	/* last: a file without it is not one */
	__atomic_store_n(&((struct header *)s->map)->magic, MAGIC, __ATOMIC_RELEASE);
	return 0;
}

static int check(const struct ramstore *s, const struct header *h, uint64_t size, struct err *e)
{
	if (h->magic != MAGIC)
		return err_set(e, -EINVAL, "it is not a file of a ram: device");
	if (h->version != VERSION)
		return err_set(e, -EINVAL, "its format is %llu, this drumd reads %u",
			       (unsigned long long)h->version, VERSION);
	if (h->bytes != s->limit)
		return err_set(e, -EINVAL, "it is for %llu bytes, not %llu",
			       (unsigned long long)h->bytes, (unsigned long long)s->limit);
	if (h->blocks != s->blocks || h->slabs != s->nslabs || size != s->map_size)
		return err_set(e, -EINVAL, "its size is not that of %llu slabs",
			       (unsigned long long)s->nslabs);
	return 0;
}

static int set_up(struct ramstore *s, uint64_t bytes, struct err *e)
{
	struct header h = { 0 };
	struct stat st;
	int ret;

	if (bytes < RAMSTORE_BYTES_MIN || bytes > RAMSTORE_BYTES_MAX)
		return err_set(e, -EINVAL, "its size must be 4 MiB at least and 1 TiB at most");
	plan(s, bytes);
	if (fstat(s->fd, &st) < 0 || pread(s->fd, &h, sizeof(h), 0) < 0)
		return err_set(e, -errno, "%s", strerror(errno));
	s->claimed = calloc(s->blocks / 8 + 1, 1);
	s->slabs = ramslabs_create(s->nslabs);
	s->map = mmap(NULL, s->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->map == MAP_FAILED || !s->claimed || !s->slabs)
		return err_set(e, -ENOMEM, "there are no %zu bytes of addresses for it",
			       s->map_size);
	/* it is guests' memory: not for a dump, nor for a child */
	(void)madvise(s->map, s->map_size, MADV_DONTDUMP);
	(void)madvise(s->map, s->map_size, MADV_DONTFORK);
	s->word = (uint64_t *)((char *)s->map + HEADER_SIZE);
	s->stamp = (uint32_t *)(s->word + s->blocks);
	s->data = (char *)s->map + s->map_size - (uint64_t)s->nslabs * RAMSLAB_BYTES;
	/* an empty header is a daemon's that died before it laid the file out */
	ret = h.magic == 0 ? lay_out(s, e) : check(s, &h, (uint64_t)st.st_size, e);
	return ret < 0 ? ret : scan(s, e);
}

struct ramstore *ramstore_open(int fd, uint64_t bytes, const struct ramstore_env *env,
			       struct err *e)
{
	struct ramstore *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	s->fd = fd;
	s->map = MAP_FAILED;
	s->env = *env;
	pthread_mutex_init(&s->slow, NULL);
	pthread_mutex_init(&s->lock, NULL);
	if (set_up(s, bytes, e) < 0) {
		ramstore_close(s);
		return NULL;
	}
	return s;
}

void ramstore_close(struct ramstore *s)
{
	if (!s)
		return;
	if (s->map != MAP_FAILED)
		munmap(s->map, s->map_size);
	close(s->fd);
	ramslabs_destroy(s->slabs);
	free(s->claimed);
	pthread_mutex_destroy(&s->slow);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
