/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plugin of nbdkit: a disk in memory with faults that a test switches on and
 * off while it runs.
 *
 * Theory of operation
 *
 * The disk is one anonymous mapping; requests run in parallel, as on a real one.
 * Each request reads the control file anew: once a test has renamed a new one
 * into place, every request that starts sees it.  No file, or an empty one, is
 * a disk without faults.  It holds words
 *
 *	read=WHAT[/N | %N]   write=WHAT[/N | %N]
 *
 * and WHAT is
 *
 *	EIO ENOSPC ENOMEM EPERM EINVAL	the request fails and does nothing
 *	flip	one bit of what is returned (read) or stored (write) is wrong
 *	lost	nothing is stored and the write succeeds
 *	hang	the request waits until no word of its direction says so any more
 *	NUMBERms	the request is late
 *
 * Without a suffix every request is hit; with /N every N-th request of its
 * direction; with %N those that touch a block of 4 KiB whose number N divides,
 * so that the same blocks are bad each time.  Words are applied in their order.
 *
 * Each fault is told in the log, one line of "read|write WHAT OFFSET BYTES": of
 * the request, or of the block, one line for each, where blocks are meant (%N,
 * flip).  A test thus knows what the daemon must have seen.  A discard fills
 * what it frees with rubbish: what is read there afterwards is not used by
 * accident.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define BLOCK	  4096u
#define RULES_MAX 8u
#define RUBBISH	  0xa5

enum what { FAIL, FLIP, LOST, HANG, LATE };

struct rule {
	bool write;
	enum what what;
	char name[16];	 /* WHAT as it was given, for the log */
	int error;	 /* of FAIL */
	unsigned int ms; /* of LATE */
	uint64_t nth;	 /* every so many requests; 0: by block, or all */
	uint64_t block;	 /* blocks that this divides; 0: not by block */
};

static struct {
	uint8_t *mem;
	int64_t size;
	char *control;
	char *log_path;
	int log;
	atomic_uint_fast64_t requests[2]; /* of reads, of writes */
} disk = { .log = -1 };

/* ---- the control file ---- */

static const struct {
	const char *name;
	int error;
} errors[] = {
	/* those that the protocol has a number for */
	{ "EIO", EIO },	    { "ENOSPC", ENOSPC }, { "ENOMEM", ENOMEM },
	{ "EPERM", EPERM }, { "EINVAL", EINVAL },
};

static bool parse_what(struct rule *r)
{
	char rest;

	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		if (strcmp(r->name, errors[i].name) == 0) {
			r->what = FAIL;
			r->error = errors[i].error;
			return true;
		}
	}
	if (strcmp(r->name, "flip") == 0)
		r->what = FLIP;
	else if (strcmp(r->name, "hang") == 0)
		r->what = HANG;
	else if (strcmp(r->name, "lost") == 0 && r->write)
		r->what = LOST;
	else if (sscanf(r->name, "%ums%c", &r->ms, &rest) == 1)
		r->what = LATE;
	else
		return false;
	return true;
}

static bool parse_rule(struct rule *r, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t length;
	char *end;

	memset(r, 0, sizeof(*r));
	if (!equals)
		return false;
	r->write = strncmp(word, "write=", 6) == 0;
	if (!r->write && strncmp(word, "read=", 5) != 0)
		return false;
	word = equals + 1;
	length = strcspn(word, "/%");
	if (length >= sizeof(r->name))
		return false;
	memcpy(r->name, word, length);
	if (word[length]) {
		uint64_t n = strtoull(word + length + 1, &end, 10);

		if (n == 0 || *end)
			return false;
		*(word[length] == '/' ? &r->nth : &r->block) = n;
	}
	return parse_what(r);
}

/* => how many; a file that is not understood makes every request fail */
static unsigned int read_rules(struct rule rules[RULES_MAX])
{
	static const struct rule broken[] = {
		{ .what = FAIL, .error = EPERM, .name = "not-understood" },
		{ .what = FAIL, .error = EPERM, .name = "not-understood", .write = true },
	};
	char text[256] = "", *save = NULL;
	int fd = open(disk.control, O_RDONLY | O_CLOEXEC);
	unsigned int n = 0;
	ssize_t got;

	if (fd < 0 && errno == ENOENT)
		return 0;
	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	for (char *word = strtok_r(text, " \n", &save); word && got >= 0;
	     word = strtok_r(NULL, " \n", &save))
		if (n == RULES_MAX || !parse_rule(&rules[n++], word))
			got = -1;
	if (got < 0) {
		nbdkit_error("%s is not understood", disk.control);
		memcpy(rules, broken, sizeof(broken));
		return sizeof(broken) / sizeof(*broken);
	}
	return n;
}

/* ---- faults ---- */

static void tell(const struct rule *r, uint64_t offset, uint32_t count)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "%s %s %" PRIu64 " %" PRIu32 "\n",
			 r->write ? "write" : "read", r->name, offset, count);

	/* one write to a file that is open for appending: lines stay whole */
	if (write(disk.log, line, (size_t)n) != n)
		nbdkit_error("cannot write the log: %s", strerror(errno));
}

/* The first block from offset on that the rule is about; 0 divides no block. */
static uint64_t next_block(const struct rule *r, uint64_t offset)
{
	uint64_t number = (offset + BLOCK - 1) / BLOCK;

	return (number + r->block - 1) / r->block * r->block * BLOCK;
}

/* Does the rule hit this request, the nth of its direction?  If so, it is told. */
static bool hits(const struct rule *r, uint64_t nth, uint64_t offset, uint32_t count)
{
	bool hit = false;

	if (r->block == 0) {
		hit = r->nth == 0 || nth % r->nth == 0;
		if (hit && r->what != FLIP)
			tell(r, offset, count);
		return hit;
	}
	for (uint64_t at = next_block(r, offset / BLOCK * BLOCK); at < offset + count;
	     at = next_block(r, at + 1)) {
		hit = true;
		if (r->what != FLIP)
			tell(r, at, BLOCK);
	}
	return hit;
}

/* Turn a bit over in each block that is meant, or in one of the request's. */
static void flip(const struct rule *r, uint64_t nth, uint8_t *buf, uint64_t offset,
		 uint32_t count)
{
	uint64_t at = offset + nth * BLOCK % count / BLOCK * BLOCK;

	if (r->block > 0)
		at = next_block(r, offset);
	for (; at < offset + count; at = next_block(r, at + 1)) {
		uint64_t bit = (nth * UINT64_C(0x9e3779b97f4a7c15) + at) >> 7;

		bit %= (offset + count - at < BLOCK ? offset + count - at : BLOCK) * 8;
		buf[at - offset + bit / 8] ^= (uint8_t)(1u << bit % 8);
		tell(r, at, BLOCK);
		if (r->block == 0)
			return;
	}
}

/* => false: nbdkit ends */
static bool wait_released(bool writing)
{
	struct rule rules[RULES_MAX];
	unsigned int n, i;

	do {
		if (nbdkit_nanosleep(0, 10 * 1000 * 1000) < 0)
			return false;
		n = read_rules(rules);
		for (i = 0; i < n; i++)
			if (rules[i].what == HANG && rules[i].write == writing)
				break;
	} while (i < n);
	return true;
}

/*
 * What comes before the data is moved.
 * => 0, or the request's error; hit[i]: the rule is one for the data, and hits
 */
static int before(const struct rule *rules, unsigned int n, bool writing, uint64_t nth,
		  uint64_t offset, uint32_t count, bool hit[RULES_MAX])
{
	for (unsigned int i = 0; i < n; i++) {
		const struct rule *r = &rules[i];

		hit[i] = false;
		if (r->write != writing || !hits(r, nth, offset, count))
			continue;
		switch (r->what) {
		case FAIL:
			return r->error;
		case HANG:
			if (!wait_released(writing))
				return ESHUTDOWN;
			break;
		case LATE:
			if (nbdkit_nanosleep(r->ms / 1000, r->ms % 1000 * 1000000) < 0)
				return ESHUTDOWN;
			break;
		case FLIP:
		case LOST:
			hit[i] = true;
			break;
		}
	}
	return 0;
}

static int move(bool writing, void *buf, const void *data, uint32_t count, uint64_t offset)
{
	struct rule rules[RULES_MAX];
	bool hit[RULES_MAX];
	unsigned int n = read_rules(rules);
	uint64_t nth = ++disk.requests[writing];
	int error = before(rules, n, writing, nth, offset, count, hit);

	if (error) {
		nbdkit_set_error(error);
		return -1;
	}
	for (unsigned int i = 0; i < n; i++)
		if (hit[i] && rules[i].what == LOST)
			return 0;
	if (writing) {
		memcpy(disk.mem + offset, data, count);
		buf = disk.mem + offset;
	} else {
		memcpy(buf, disk.mem + offset, count);
	}
	for (unsigned int i = 0; i < n; i++)
		if (hit[i] && rules[i].what == FLIP)
			flip(&rules[i], nth, buf, offset, count);
	return 0;
}

/* ---- what nbdkit calls ---- */

static int faulty_pread(void *handle, void *buf, uint32_t count, uint64_t offset,
			uint32_t flags)
{
	(void)handle;
	(void)flags;
	return move(false, buf, NULL, count, offset);
}

static int faulty_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
			 uint32_t flags)
{
	(void)handle;
	(void)flags;
	return move(true, NULL, buf, count, offset);
}

static int faulty_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	(void)flags;
	memset(disk.mem + offset, RUBBISH, count);
	return 0;
}

static int faulty_flush(void *handle, uint32_t flags)
{
	(void)handle;
	(void)flags;
	return 0;
}

static int64_t faulty_get_size(void *handle)
{
	(void)handle;
	return disk.size;
}

static int faulty_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

static void *faulty_open(int readonly)
{
	(void)readonly;
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static int faulty_config(const char *key, const char *value)
{
	if (strcmp(key, "size") == 0) {
		disk.size = nbdkit_parse_size(value);
		return disk.size < 0 ? -1 : 0;
	}
	if (strcmp(key, "control") == 0 || strcmp(key, "log") == 0) {
		char **path = *key == 'c' ? &disk.control : &disk.log_path;

		free(*path);
		*path = nbdkit_absolute_path(value);
		return *path ? 0 : -1;
	}
	nbdkit_error("unknown parameter '%s': there are size, control, log", key);
	return -1;
}

static int faulty_get_ready(void)
{
	void *mem;

	if (disk.size <= 0 || !disk.control || !disk.log_path) {
		nbdkit_error("size=, control= and log= must be given");
		return -1;
	}
	disk.log = open(disk.log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (disk.log < 0) {
		nbdkit_error("cannot open %s: %s", disk.log_path, strerror(errno));
		return -1;
	}
	mem = mmap(NULL, (size_t)disk.size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED) {
		nbdkit_error("no memory for %" PRIi64 " bytes", disk.size);
		return -1;
	}
	disk.mem = mem;
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "faulty",
	.config = faulty_config,
	.get_ready = faulty_get_ready,
	.open = faulty_open,
	.get_size = faulty_get_size,
	.can_multi_conn = faulty_can_multi_conn,
	.pread = faulty_pread,
	.pwrite = faulty_pwrite,
	.trim = faulty_trim,
	.flush = faulty_flush,
	.errno_is_preserved = 0,
};

NBDKIT_REGISTER_PLUGIN(plugin)
