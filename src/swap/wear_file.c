/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The file is a header, and the slots.  It comes to be whole, under another name, and is
 * renamed; then only what has changed is written, the header before slots.  Header
 * and slots have a checksum each and do not cross a sector, so a death of the process, or of
 * the host, leaves old ones or new ones, in any mixture, and that is no damage: a slot may be
 * of a later hour than the header's clock, and moves it.  When slots change places
 * (wear.c) the file is made anew, or a death could lose some of them.
 *
 * What is damaged otherwise (checksum, length, magic, version, no regular file) is told, and
 * the file put aside under the name of ~damaged.  What can still be believed of it goes into
 * the new one: the budget, and hours, for else damage would be a way around the budget.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/log.h"
#include "swap/wear_priv.h"

#define MAGIC	UINT64_C(0x31524145574d5244) /* "DRMWEAR1" */
#define VERSION 1u

#define KEY_MAX	 200u /* bytes; with all that comes before and after less than NAME_MAX */
#define KEY_HEAD 100u /* of a longer one, before its hash */

static_assert(WEAR_NAME_SIZE >= sizeof("wear-") + KEY_MAX &&
		      WEAR_NAME_SIZE >= sizeof("wear-") + KEY_HEAD + 33,
	      "a name fits");

/* --- names ----------------------------------------------------------------------------- */

/* "/dev/sdb_1" => "_dev_sdb%5F1": "/" is "_", and what is neither letter nor digit is in hex.
 */
static void name_of(const char *path, char name[WEAR_NAME_SIZE])
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789.-";
	size_t len = (size_t)snprintf(name, WEAR_NAME_SIZE, "wear-");
	const size_t key = len;
	XXH128_hash_t h;

	for (const char *p = path; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (len + 3 > key + KEY_MAX) {
			/* "~" is in no other name, but for the new and damaged files */
			h = XXH3_128bits(path, strlen(path));
			snprintf(name + key + KEY_HEAD, WEAR_NAME_SIZE - key - KEY_HEAD,
				 "~%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
				 (uint64_t)h.low64);
			return;
		}
		if (c == '/')
			name[len++] = '_';
		else if (strchr(plain, c))
			name[len++] = (char)c;
		else
			len += (size_t)sprintf(name + len, "%%%02X", c);
	}
	name[len] = '\0';
}

/* --- the file -------------------------------------------------------------------------- */

static uint64_t header_sum(const struct wear_header *h)
{
	return XXH3_64bits(h, offsetof(struct wear_header, sum));
}

static bool slot_is_unused(const struct wear_slot *s)
{
	return !s->hour && !s->sum && !s->bytes;
}

static uint32_t slot_sum(const struct wear_slot *s)
{
	struct wear_slot copy = { .hour = s->hour, .bytes = s->bytes };
	uint32_t sum = (uint32_t)XXH3_64bits(&copy, sizeof(copy));

	if (slot_is_unused(&copy))
		return 0;
	return sum ? sum : 1;
}

static bool slot_is_sane(const struct wear_slot *s, uint32_t index)
{
	return slot_is_unused(s) || (s->hour % WEAR_SLOTS == index && s->hour < WEAR_HOUR_MAX &&
				     s->sum == slot_sum(s));
}

static bool header_is_sane(const struct wear_header *h)
{
	return h->magic == MAGIC && h->version == VERSION && h->slots == WEAR_SLOTS &&
	       h->clock >= 0 && h->clock < WEAR_HOUR * WEAR_HOUR_MAX && h->wall >= 0 &&
	       h->wall <= WEAR_NOW_MAX && h->behind <= wear_hour(h->clock) &&
	       h->sum == header_sum(h);
}

/* => 0, or -errno; a file that ends early is -EIO */
static int read_all(int fd, void *buf, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = pread(fd, (char *)buf + at, size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *buf, size_t size, size_t at)
{
	for (size_t done = 0; done < size;) {
		ssize_t n =
			pwrite(fd, (const char *)buf + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static void begin_anew(struct wear *w)
{
	memset(&w->image, 0, sizeof(w->image));
	w->image.header =
		(struct wear_header){ .magic = MAGIC, .version = VERSION, .slots = WEAR_SLOTS };
}

/* Take what can be believed. => what is wrong with the rest, or NULL */
static const char *take(struct wear *w, const struct wear_image *from)
{
	const char *wrong = NULL;
	int64_t latest;

	if (!header_is_sane(&from->header))
		return "its header is none";
	w->image = *from;
	for (uint32_t i = 0; i < WEAR_SLOTS; i++) {
		struct wear_slot *s = &w->image.slot[i];

		if (!slot_is_sane(s, i)) {
			memset(s, 0, sizeof(*s));
			wrong = "an hour's checksum is wrong";
			continue;
		}
		latest = WEAR_HOUR * s->hour;
		if (latest > w->image.header.clock)
			w->image.header.clock = latest;
	}
	return wrong;
}

/* => what is wrong with the file, or NULL; w has what can be believed of it */
static const char *load(struct wear *w)
{
	struct wear_image from;
	struct stat st;
	int rc;

	if (fstat(w->fd, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is not a regular file";
	memset(&from, 0, sizeof(from));
	rc = read_all(w->fd, &from, sizeof(from));
	if (st.st_size != (off_t)sizeof(from)) {
		take(w, &from);
		return "its length is wrong";
	}
	if (rc < 0)
		return strerror(-rc);
	return take(w, &from);
}

/* What is there is not ours, or not whole. */
static void put_aside(struct wear *w, const char *wrong)
{
	char aside[WEAR_NAME_SIZE + 16];

	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	w->changed = true; /* what is left of it is worth a file at once */
	snprintf(aside, sizeof(aside), "%s~damaged", w->name);
	if (renameat(w->dir, w->name, w->dir, aside) == 0) {
		log_warn(
			"%s in the state directory is damaged (%s): it is %s now, and how much "
			"was written is counted anew, but for what can be believed of it",
			w->name, wrong, aside);
		return;
	}
	w->keep = false;
	log_warn("%s in the state directory is damaged (%s) and cannot be put aside: %s; how "
		 "much "
		 "is written is not kept",
		 w->name, wrong, strerror(errno));
}

/* It may be as good as ever: there is no right to open it, or there are no descriptors. */
static void leave_alone(struct wear *w, int error)
{
	w->keep = false;
	log_warn("%s in the state directory cannot be opened: %s; how much is written is "
		 "counted "
		 "anew, and not kept",
		 w->name, strerror(error));
}

void wear_file_open(struct wear *w, const char *path)
{
	const char *wrong = NULL;

	w->fd = -1;
	w->keep = w->dir >= 0;
	name_of(path, w->name);
	begin_anew(w);
	if (!w->keep)
		return;

	/* O_NONBLOCK: whatever it is, it must not make us wait */
	w->fd = openat(w->dir, w->name,
		       O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (w->fd >= 0)
		wrong = load(w);
	else if (errno == ELOOP || errno == EISDIR || errno == ENXIO)
		wrong = "it is not a regular file";
	else if (errno != ENOENT)
		leave_alone(w, errno);
	if (wrong)
		put_aside(w, wrong);
	w->saved_hour = wear_hour(w->image.header.clock);
}

/* All of it, under another name first. */
static int create(struct wear *w)
{
	char new[WEAR_NAME_SIZE + 16];
	int fd, rc;

	snprintf(new, sizeof(new), "%s~new", w->name);
	/* what a dead one has left */
	if (unlinkat(w->dir, new, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(w->dir, new, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, &w->image, sizeof(w->image), 0);
	if (rc == 0 && fdatasync(fd) < 0)
		rc = -errno;
	if (rc == 0 && renameat(w->dir, new, w->dir, w->name) < 0)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		unlinkat(w->dir, new, 0);
		return rc;
	}
	if (w->fd >= 0)
		close(w->fd);
	w->fd = fd;
	memset(w->dirty, 0, sizeof(w->dirty));
	return 0;
}

int wear_save(struct wear *w)
{
	struct wear_header *h = &w->image.header;
	int rc = 0;

	/* that an hour has passed is news too, if there is a file: the clock is to go on */
	if (!w->keep || (!w->changed && (w->fd < 0 || w->saved_hour == wear_hour(h->clock))))
		return 0;
	h->sum = header_sum(h);
	for (uint32_t i = 0; i < WEAR_SLOTS; i++) {
		if (w->dirty[i])
			w->image.slot[i].sum = slot_sum(&w->image.slot[i]);
	}
	if (w->fd < 0 || w->moved) {
		rc = create(w);
	} else {
		rc = write_all(w->fd, h, sizeof(*h), 0);
		for (uint32_t i = 0; rc == 0 && i < WEAR_SLOTS; i++) {
			if (!w->dirty[i])
				continue;
			rc = write_all(w->fd, &w->image.slot[i], sizeof(w->image.slot[i]),
				       offsetof(struct wear_image, slot) +
					       i * sizeof(struct wear_slot));
			if (rc == 0)
				w->dirty[i] = false;
		}
	}
	if (rc == 0) {
		w->changed = w->moved = false;
		w->saved_hour = wear_hour(h->clock);
	}
	return rc;
}
