/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A device is known by what it is, never by its path: a file by file system
 * and inode, a block device by its number and inode 0.  One that is on already
 * is refused under any other path; so is a loop device that is made of one,
 * and a file or device that a loop device is made of, on or not, since both
 * would write to the same blocks.  Requests come one after the other, so of
 * two for one device the first one wins.
 *
 * A device stays open here until the pager says MSG_SWAP_CLOSE, so that the
 * next pager gets the same open file (`again`), whatever has become of its
 * path.  So does the next keeper, if the store has it.  That spares guests the
 * wait for a device that is slow to open, or for a look at where a large file is
 * allocated; and while the store has a device it is locked, and cannot be opened
 * anew.  Without that the next keeper has only the path, and must find the
 * same thing there.
 *
 * The size that the next pager is given is the one that the last one knew:
 * what a file has grown by without MSG_SWAP_LOOK may be sparse.
 */

#include "keeper/swap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "keeper/block.h"
#include "keeper/open.h"
#include "keeper/store.h"

#define STORE_NAME 64

#define BUSY_PAUSE_US 10000
#define BUSY_TRIES    1000

static struct held_swap *find(struct swaps *s, uint64_t dev, uint64_t ino)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->held[i].opened.u.swap.dev == dev && s->held[i].opened.u.swap.ino == ino)
			return &s->held[i];
	return NULL;
}

static const char *use_of(const struct held_swap *held)
{
	return held->opened.u.swap.dump ? "the dump device" : "a swap device";
}

static int is_on(const struct held_swap *held, const char *path, struct err *e)
{
	const char *as = held->opened.u.swap.path;

	if (strcmp(as, path) == 0)
		return err_set(e, -EBUSY, "%s is %s already", path, use_of(held));
	return err_set(e, -EBUSY, "%s is %s already, as %s", path, use_of(held), as);
}

/* Is it on, or what is under or above it?  What cannot be found is for open_swap. */
static int check_unused(struct swaps *s, const char *path, struct err *e)
{
	struct block_backing under;
	struct held_swap *held;
	struct stat st;
	uint64_t dev, ino;
	char loop[300];

	if (stat(path, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return 0;
	dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	ino = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
	held = find(s, dev, ino);
	if (held)
		return is_on(held, path, e);
	if (S_ISBLK(st.st_mode) && block_is_loop(st.st_rdev, path, &under)) {
		held = find(s, under.dev, under.ino);
		if (held)
			return err_set(e, -EBUSY,
				       "%s is a loop device of %s, which is %s already", path,
				       held->opened.u.swap.path, use_of(held));
	}
	if (block_find_loop(dev, ino, loop, sizeof(loop)))
		return err_set(e, -EBUSY,
			       "%s is in use: the loop device %s is made of it (losetup -d %s)",
			       path, loop, loop);
	return 0;
}

/* The pager has it from an earlier one.  => the held one, or NULL */
static struct held_swap *find_again(struct swaps *s, const struct proto_msg *m)
{
	struct stat st;

	if (m->u.swap.dev || m->u.swap.ino)
		return find(s, m->u.swap.dev, m->u.swap.ino);
	if (stat(m->u.swap.path, &st) < 0)
		return NULL;
	return S_ISBLK(st.st_mode) ? find(s, st.st_rdev, 0) : find(s, st.st_dev, st.st_ino);
}

/*
 * Of a daemon that was killed the kernel may still have I/O in flight, and until that
 * is over the device is in use.
 */
static int open_patiently(struct proto_msg *m)
{
	int fd = open_swap(m, &m->err);

	for (int tries = 0; fd == -EBUSY && m->u.swap.again && tries < BUSY_TRIES; tries++) {
		if (tries == 0)
			log_warn("%s is still in use, perhaps by I/O of an earlier daemon: "
				 "waiting",
				 m->u.swap.path);
		usleep(BUSY_PAUSE_US);
		m->err = (struct err){ 0 };
		fd = open_swap(m, &m->err);
	}
	return fd;
}

static void store_name(char name[STORE_NAME], const struct proto_msg *m)
{
	snprintf(name, STORE_NAME, "swap-%" PRIu64 "-%" PRIu64, m->u.swap.dev, m->u.swap.ino);
}

/* A device that an earlier keeper has opened.  => a descriptor, or -1 */
static int open_stored(struct proto_msg *m)
{
	uint64_t known = m->bytes;
	char name[STORE_NAME];
	struct stat st;
	bool block;
	int fd;

	store_name(name, m);
	fd = m->u.swap.dev || m->u.swap.ino ? store_take(name) : -1;
	if (fd < 0)
		return -1;
	block = fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
	if (block ? st.st_rdev != m->u.swap.dev || m->u.swap.ino != 0
		  : !S_ISREG(st.st_mode) || st.st_dev != m->u.swap.dev ||
			    st.st_ino != m->u.swap.ino) {
		log_err("descriptor %s of the store is another device", name);
		store_forget(name);
		close(fd);
		return -1;
	}
	open_swap_taken(m, block);
	if (open_swap_look(fd, m, UINT64_MAX, &m->err) < 0) {
		/* the store's keeps it in use */
		store_forget(name);
		close(fd);
		return -1;
	}
	if (known > 0 && known < m->bytes)
		m->bytes = known;
	return fd;
}

/* => a descriptor, or -1 with m->err filled */
static int open_new(struct swaps *s, struct proto_msg *m)
{
	uint64_t dev = m->u.swap.dev, ino = m->u.swap.ino;
	const char *path = m->u.swap.path;
	const struct held_swap *other;
	char name[STORE_NAME];
	bool other_thing;
	int fd;

	if (s->n == SWAPS_MAX) {
		err_set(&m->err, -ENOSPC, "%d swap devices are on, that is the most",
			SWAPS_MAX);
		return -1;
	}
	fd = m->u.swap.again ? open_stored(m) : -1;
	if (fd < 0 && check_unused(s, path, &m->err) < 0)
		return -1;
	if (fd < 0)
		fd = open_patiently(m);
	if (fd < 0)
		return -1;
	/* what was opened counts; the path may name something else since */
	other = find(s, m->u.swap.dev, m->u.swap.ino);
	other_thing = m->u.swap.again && (dev || ino) &&
		      (dev != m->u.swap.dev || ino != m->u.swap.ino);
	if (other)
		is_on(other, path, &m->err);
	else if (other_thing)
		err_set(&m->err, -ENXIO,
			"%s is not what it was when it was switched on: device %u:%u inode "
			"%llu now, then %u:%u inode %llu",
			path, major(m->u.swap.dev), minor(m->u.swap.dev),
			(unsigned long long)m->u.swap.ino, major(dev), minor(dev),
			(unsigned long long)ino);
	if (other || other_thing) {
		close(fd);
		return -1;
	}
	s->held[s->n] = (struct held_swap){ *m, fd };
	s->held[s->n++].opened.err = (struct err){ 0 }; /* warned of once */
	store_name(name, m);
	(void)store_put(name, fd, true);
	return fd;
}

int swaps_open(struct swaps *s, struct proto_msg *m)
{
	const struct held_swap *held;

	m->type = MSG_SWAP_OPENED;
	m->err = (struct err){ 0 };
	m->u.swap.path[PROTO_PATH_MAX - 1] = '\0';
	held = m->u.swap.again ? find_again(s, m) : NULL;
	if (held) {
		uint32_t seq = m->seq;
		int32_t priority = m->u.swap.priority;

		*m = held->opened;
		m->seq = seq;
		m->u.swap.priority = priority;
		m->u.swap.again = 1;
		return held->fd;
	}
	return open_new(s, m);
}

void swaps_look(struct swaps *s, struct proto_msg *m)
{
	struct held_swap *held = find(s, m->u.swap.dev, m->u.swap.ino);
	uint32_t seq = m->seq;

	if (!held) {
		m->type = MSG_SWAP_LOOKED;
		m->bytes = 0;
		err_set(&m->err, -ENOENT, "no swap device is device %u:%u inode %llu",
			major(m->u.swap.dev), minor(m->u.swap.dev),
			(unsigned long long)m->u.swap.ino);
		return;
	}
	*m = held->opened;
	m->type = MSG_SWAP_LOOKED;
	m->seq = seq;
	if (open_swap_look(held->fd, m, held->opened.bytes, &m->err) == 0 &&
	    m->bytes > held->opened.bytes)
		held->opened.bytes = m->bytes;
}

void swaps_close(struct swaps *s, const struct proto_msg *m)
{
	struct held_swap *held = find(s, m->u.swap.dev, m->u.swap.ino);
	char name[STORE_NAME];

	if (!held)
		return;
	store_name(name, m);
	store_forget(name);
	close(held->fd);
	*held = s->held[--s->n];
}

int swaps_add(const struct conf_swap *conf, struct proto_msg *m, struct err *e)
{
	const char *mirror = conf->mirror ? conf->mirror : "";

	*m = (struct proto_msg){ .type = MSG_SWAP_ADD };
	/* cut, it would be the path of something else */
	if (strlen(conf->path) >= sizeof(m->u.swap_add.path) ||
	    strlen(mirror) >= sizeof(m->u.swap_add.mirror))
		return err_set(e, -ENAMETOOLONG, "swap: that path is too long: %s",
			       strlen(conf->path) >= sizeof(m->u.swap_add.path) ? conf->path
										: mirror);
	strcpy(m->u.swap_add.path, conf->path);
	strcpy(m->u.swap_add.mirror, mirror);
	m->u.swap_add.priority = conf->priority;
	m->u.swap_add.discard = conf->discard;
	m->u.swap_add.no_checksums = conf->no_checksums;
	m->u.swap_add.max_inflight = conf->max_inflight;
	m->u.swap_add.max_bandwidth = conf->max_bandwidth;
	m->u.swap_add.has_endurance = conf->has_endurance;
	m->u.swap_add.endurance = conf->endurance;
	return 0;
}
