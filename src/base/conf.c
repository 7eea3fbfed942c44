/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * libinih splits the file into section, key and value; the table of keys
 * below says what each may be.  The file is read into a second struct conf,
 * which replaces the caller's when not one line was refused.
 *
 * libinih as Debian builds it does not tell a handler its line, folds
 * indented lines into the value above, cuts long lines in two, and says
 * nothing of sections that it has no key for.  All of this is settled in the
 * function that hands it its lines: it counts them, strips their indentation,
 * refuses those that are too long, and looks at section headers itself.
 * Handler calls for a line come before the next one is asked for, so the
 * count is right for them as well.
 *
 * After an error the reading goes on, so that people get all errors at once, up to
 * CONF_ERRORS_MAX; of a line the first one.  inih tells of one line only that is neither
 * key nor section, so these are found before it, and it gets an empty line instead.  Keys
 * of a section that is not known are passed over: the section was told.
 */
#include <errno.h>
#include <grp.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/conf.h"
#include "base/conf_swapcache.h"
#include "base/size.h"
#include "base/swap_path.h"
#include "config.h"

#define LINE_ROOM 1024 /* more than inih has, so that what is too long is seen there */

struct reading {
	const char *path;
	FILE *file;
	char line[LINE_ROOM];
	unsigned lineno; /* of the line that was handed out last */
	uint64_t given;	 /* bit i: keys[i] has been given */
	uint32_t knobs;	 /* likewise, keys of [swapcache] */
	unsigned told;	 /* the line of the last error */
	struct conf conf;
	struct conf_errors *errors;
};

struct key {
	const char *section;
	const char *name;
	const char *allowed; /* to come after "must be" */
	bool again;	     /* may be given more than once */
	/* => 0; -EINVAL: not what is allowed; another -errno, or told already */
	int (*set)(struct reading *r, const char *value);
};

/* => the place of one more error, or NULL: there are too many */
static struct err *next_error(struct conf_errors *errors)
{
	if (errors->n < CONF_ERRORS_MAX)
		return &errors->err[errors->n++];
	errors->more = true;
	return NULL;
}

static bool is_told(const struct reading *r)
{
	return r->told == r->lineno;
}

/* The first error of a line. => 1, for what inih wants to hear */
__attribute__((format(printf, 3, 4))) static int refuse(struct reading *r, int code,
							const char *fmt, ...)
{
	char what[ERR_TEXT_MAX];
	va_list ap;

	if (is_told(r))
		return 1;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	r->told = r->lineno;
	(void)err_set(next_error(r->errors), code, "%s:%u: %s", r->path, r->lineno, what);
	return 1;
}

static int set_dir(char **dir, const char *value)
{
	char *copy;

	if (value[0] != '/')
		return -EINVAL;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*dir);
	*dir = copy;
	return 0;
}

static int set_run_dir(struct reading *r, const char *value)
{
	return set_dir(&r->conf.run_dir, value);
}

static int set_state_dir(struct reading *r, const char *value)
{
	return set_dir(&r->conf.state_dir, value);
}

static int set_log_level(struct reading *r, const char *value)
{
	return log_level_parse(value, &r->conf.log_level);
}

/* The system's groups are asked now: who may use a socket is a number from here on. */
static int set_group_of(struct proto_group *group, const char *value)
{
	static char members[256 * 1024]; /* of a large group; more is -ERANGE */
	static struct proto_group known[2];
	static unsigned int next;
	struct group g, *found = NULL;

	/* a file that is read again while who knows groups does not answer must not hang */
	for (unsigned int i = 0; i < 2; i++)
		if (known[i].name[0] && !strcmp(known[i].name, value)) {
			*group = known[i];
			return 0;
		}
	if (strlen(value) >= sizeof(group->name) ||
	    getgrnam_r(value, &g, members, sizeof(members), &found) != 0 || !found)
		return -EINVAL;
	strcpy(group->name, value);
	group->gid = g.gr_gid;
	known[next++ % 2] = *group;
	return 0;
}

static int set_group(struct reading *r, const char *value)
{
	return set_group_of(&r->conf.group, value);
}

static int set_monitor_group(struct reading *r, const char *value)
{
	return set_group_of(&r->conf.monitor_group, value);
}

static int set_leave(struct reading *r, const char *value)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(value, words[i]) == 0) {
			r->conf.leave = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

/* => 0, or -EINVAL: text is no whole number from min to max */
static int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	uint64_t n = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		n = 10 * n + (uint64_t)(*text - '0');
		if (n > max)
			return -EINVAL;
	}
	if (n < min)
		return -EINVAL;
	*number = n;
	return 0;
}

/* --- swap devices ------------------------------------------------------------ */

/* What may stand behind a device's path. */
enum device_option {
	NO_OPTION,
	MIRROR,
	DISCARD,
	NO_CHECKSUMS,
	MAX_INFLIGHT,
	MAX_BANDWIDTH,
	ENDURANCE
};

static const char *const option_names[] = { NULL,	    "mirror=",	     "discard",
					    "no-checksums", "max-inflight=", "max-bandwidth=",
					    "endurance=" };

_Static_assert(sizeof(option_names) / sizeof(option_names[0]) == ENDURANCE + 1, "a name each");

/* => which option word is, and behind its "=" *value */
static enum device_option find_option(const char *word, const char **value)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) + 1 : strlen(word);

	*value = word + len;
	for (enum device_option o = MIRROR; o <= ENDURANCE; o++)
		if (strlen(option_names[o]) == len && !strncmp(option_names[o], word, len))
			return o;
	return NO_OPTION;
}

/*
 * word is an option of the device d.
 * => 0; -EINVAL, told; -ENOMEM
 */
static int device_option(struct reading *r, struct conf_swap *d, const char *word,
			 unsigned *given)
{
	const char *value;
	enum device_option option = find_option(word, &value);
	enum swap_path kind;
	uint64_t number;

	if (option != NO_OPTION && (*given & 1u << option)) {
		refuse(r, -EINVAL, "device %s: %.*s is given twice", d->path,
		       (int)strcspn(word, "="), word);
		return -EINVAL;
	}
	*given |= 1u << option;
	switch (option) {
	case MIRROR:
		kind = swap_path_kind(value);
		if (kind != SWAP_PATH_FILE && kind != SWAP_PATH_NBD) {
			refuse(r, -EINVAL,
			       "device %s: mirror is '%s', but must be an absolute path or "
			       "nbd:URI",
			       d->path, value);
			return -EINVAL;
		}
		d->mirror = strdup(value);
		return d->mirror ? 0 : -ENOMEM;
	case DISCARD:
		d->discard = true;
		return 0;
	case NO_CHECKSUMS:
		d->no_checksums = true;
		return 0;
	case MAX_INFLIGHT:
		if (parse_number(value, 0, UINT32_MAX, &number) == 0) {
			d->max_inflight = (uint32_t)number;
			return 0;
		}
		refuse(r, -EINVAL,
		       "device %s: max-inflight is '%s', but must be a number from 0 to "
		       "4294967295, 0 for no limit",
		       d->path, value);
		return -EINVAL;
	case MAX_BANDWIDTH:
		if (size_parse(value, &d->max_bandwidth) == 0)
			return 0;
		refuse(r, -EINVAL,
		       "device %s: max-bandwidth is '%s', but must be bytes a second, as "
		       "200M, 0 for no limit",
		       d->path, value);
		return -EINVAL;
	case ENDURANCE:
		d->has_endurance = true;
		if (size_or_none_parse(value, &d->endurance) == 0)
			return 0;
		refuse(r, -EINVAL,
		       "device %s: endurance is '%s', but must be bytes a day, as 80G, or none",
		       d->path, value);
		return -EINVAL;
	case NO_OPTION:
		break;
	}
	refuse(r, -EINVAL,
	       "device %s: '%s' is none of mirror=PATH, discard, no-checksums, max-inflight=N, "
	       "max-bandwidth=SIZE, endurance=SIZE; a priority comes before them",
	       d->path, word);
	return -EINVAL;
}

/* Does d have this path, itself or as a half? */
static bool device_has(const struct conf_swap *d, const char *path)
{
	return !strcmp(d->path, path) || (d->mirror && !strcmp(d->mirror, path));
}

static int add_device(struct reading *r, const struct conf_swap *d)
{
	struct conf *c = &r->conf;
	struct conf_swap *more;

	if (d->mirror && !strcmp(d->mirror, d->path)) {
		refuse(r, -EINVAL, "device %s is its own mirror", d->path);
		return -EEXIST;
	}
	for (size_t i = 0; i < c->swaps; i++) {
		if (device_has(&c->swap[i], d->path) ||
		    (d->mirror && device_has(&c->swap[i], d->mirror))) {
			refuse(r, -EINVAL, "device %s is given twice",
			       device_has(&c->swap[i], d->path) ? d->path : d->mirror);
			return -EEXIST;
		}
	}
	more = reallocarray(c->swap, c->swaps + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->swap = more;
	c->swap[c->swaps++] = *d;
	return 0;
}

static int set_device(struct reading *r, const char *value)
{
	static const char blanks[] = " \t";
	struct conf_swap d = { 0 };
	char *copy = strdup(value), *word, *save;
	unsigned given = 0;
	uint64_t number;
	int ret = copy ? 0 : -ENOMEM;

	word = copy ? strtok_r(copy, blanks, &save) : NULL;
	if (ret == 0 && (!word || swap_path_kind(word) == SWAP_PATH_WRONG))
		ret = -EINVAL;
	if (ret == 0) {
		d.path = strdup(word);
		ret = d.path ? 0 : -ENOMEM;
	}
	word = ret == 0 ? strtok_r(NULL, blanks, &save) : NULL;
	/* a number, or what was meant for one */
	if (word && strchr("+-0123456789", word[0])) {
		if (parse_number(word, 0, CONF_PRIORITY_MAX, &number) == 0)
			d.priority = (int)number;
		else
			ret = -EINVAL;
		word = strtok_r(NULL, blanks, &save);
	}
	for (; ret == 0 && word; word = strtok_r(NULL, blanks, &save))
		ret = device_option(r, &d, word, &given);
	if (ret == 0)
		ret = add_device(r, &d);
	if (ret < 0) {
		free(d.path);
		free(d.mirror);
	}
	free(copy);
	return ret;
}

/* --- disks ------------------------------------------------------------------- */

int conf_add_disk(struct conf *c, struct conf_disk *d, struct err *e)
{
	struct conf_disk *more;
	int ret = 0;

	for (size_t i = 0; i < c->disks && ret == 0; i++) {
		const struct conf_disk *other = &c->disk[i];

		if (!strcmp(other->name, d->name))
			ret = err_set(e, -EEXIST, "disk %s is given twice", d->name);
		else if (d->socket && other->socket && !strcmp(other->socket, d->socket))
			ret = err_set(e, -EEXIST, "disk %s: its socket is that of disk %s",
				      d->name, other->name);
	}
	more = ret == 0 ? reallocarray(c->disk, c->disks + 1, sizeof(*more)) : NULL;
	if (more) {
		c->disk = more;
		c->disk[c->disks++] = *d;
		return 0;
	}
	if (ret == 0)
		ret = err_set(e, -ENOMEM, "out of memory");
	conf_disk_free(d);
	return ret;
}

static int set_disk(struct reading *r, const char *value)
{
	struct conf_disk d;
	struct err e;
	int ret = conf_disk_parse(&d, value, &e);

	if (ret == 0)
		ret = conf_add_disk(&r->conf, &d, &e);
	else if (ret == -ENOMEM || !e.code)
		return ret;
	if (ret < 0)
		refuse(r, -EINVAL, "%s", e.text);
	return ret;
}

static int set_dump(struct reading *r, const char *value)
{
	if (value[0] != '/' || strlen(value) > CONF_DUMP_MAX)
		return -EINVAL;
	free(r->conf.dump);
	r->conf.dump = strdup(value);
	return r->conf.dump ? 0 : -ENOMEM;
}

/* --- limits of paging ---------------------------------------------------------- */

static int set_cluster(struct reading *r, const char *value)
{
	uint64_t bytes;

	if (size_parse(value, &bytes) < 0 || bytes < CONF_CLUSTER_MIN ||
	    bytes > CONF_CLUSTER_MAX || bytes % CONF_CLUSTER_MIN)
		return -EINVAL;
	r->conf.paging.cluster = (uint32_t)bytes;
	return 0;
}

static int set_count(const char *value, uint64_t max, uint32_t *count)
{
	uint64_t number;

	if (parse_number(value, 1, max, &number) < 0)
		return -EINVAL;
	*count = (uint32_t)number;
	return 0;
}

static int set_depth(struct reading *r, const char *value)
{
	return set_count(value, CONF_DEPTH_MAX, &r->conf.paging.depth);
}

static int set_total_writes(struct reading *r, const char *value)
{
	return set_count(value, CONF_TOTAL_WRITES_MAX, &r->conf.paging.total_writes);
}

static int set_reads(struct reading *r, const char *value)
{
	return set_count(value, CONF_READS_MAX, &r->conf.paging.reads);
}

static int set_swblocks(struct reading *r, const char *value)
{
	int ret = set_count(value, UINT32_MAX, &r->conf.paging.swblocks);

	return ret == 0 && r->conf.paging.swblocks < CONF_SWBLOCKS_MIN ? -EINVAL : ret;
}

static int set_give_up(struct reading *r, const char *value)
{
	return set_count(value, CONF_GIVE_UP_MAX, &r->conf.paging.give_up);
}

static int set_stall_after(struct reading *r, const char *value)
{
	return set_count(value, CONF_GIVE_UP_MAX, &r->conf.paging.stall_after);
}

static int set_sample(struct reading *r, const char *value)
{
	if (strcmp(value, "off") != 0)
		return set_count(value, CONF_SAMPLE_MAX, &r->conf.paging.sample);
	r->conf.paging.sample = CONF_SAMPLE_OFF;
	return 0;
}

/* --- the host ------------------------------------------------------------------ */

static int set_budget(struct reading *r, const char *value)
{
	return conf_host_set(&r->conf.host, CONF_HOST_BUDGET, value);
}

static int set_tax(struct reading *r, const char *value)
{
	return conf_host_set(&r->conf.host, CONF_HOST_TAX, value);
}

static int set_stall_target(struct reading *r, const char *value)
{
	return conf_host_set(&r->conf.host, CONF_HOST_STALL_TARGET, value);
}

static int set_libvirt_uri(struct reading *r, const char *value)
{
	return conf_host_set(&r->conf.host, CONF_HOST_LIBVIRT_URI, value);
}

/* --- metrics ------------------------------------------------------------------- */

static int set_metrics(struct reading *r, const char *value)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (metrics_addr_parse(value, &addr, &len) < 0)
		return -EINVAL;
	strcpy(r->conf.metrics, value);
	return 0;
}

/* --- the file ------------------------------------------------------------------ */

#define GROUP_ALLOWED "the name of a group that there is, of at most 32 characters"
_Static_assert(PROTO_GROUP_MAX == 33, "as it says");

static const struct key keys[] = {
	{ "drumd", "run-dir", "an absolute path", false, set_run_dir },
	{ "drumd", "state-dir", "an absolute path", false, set_state_dir },
	{ "drumd", "log-level", LOG_LEVEL_ALLOWED, false, set_log_level },
	{ "drumd", "leave", "yes or no", false, set_leave },
	{ "drumd", "group", GROUP_ALLOWED, false, set_group },
	{ "drumd", "monitor-group", GROUP_ALLOWED, false, set_monitor_group },
	{ "swap", "device",
	  "an absolute path without blanks, ram:SIZE or nbd:URI, and after it, if you like, a "
	  "priority from 0 to 32767",
	  true, set_device },
	{ "disk", "device",
	  "NAME IMAGE, of 1 to 63 characters of A-Z a-z 0-9 _ . - and an absolute path without "
	  "blanks or nbd:URI, and after them options, if you like",
	  true, set_disk },
	{ "dump", "device", "an absolute path", false, set_dump },
	{ "paging", "cluster", "a multiple of 4K up to 1M", false, set_cluster },
	{ "paging", "depth", "a number from 1 to 32", false, set_depth },
	{ "paging", "total-writes", "a number from 1 to 1024", false, set_total_writes },
	{ "paging", "reads", "a number from 1 to 24", false, set_reads },
	{ "paging", "swblocks", "a number from 1024 on", false, set_swblocks },
	{ "paging", "give-up", "seconds, 1 to 86400", false, set_give_up },
	{ "paging", "stall-after", "seconds, 1 to 86400", false, set_stall_after },
	{ "paging", "sample", "off, or a number from 1 to 512", false, set_sample },
	{ "host", "budget", HOST_BUDGET_ALLOWED, false, set_budget },
	{ "host", "idle-tax", HOST_TAX_ALLOWED, false, set_tax },
	{ "host", "stall-target", HOST_STALL_TARGET_ALLOWED, false, set_stall_target },
	{ "host", "libvirt-uri", HOST_URI_ALLOWED, false, set_libvirt_uri },
	/* its keys are the knobs: base/swapcache_knobs.h */
	{ "swapcache", NULL, NULL, false, NULL },
	{ "metrics", "listen", METRICS_ADDR_ALLOWED, false, set_metrics },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))
_Static_assert(KEYS <= 64, "bits of reading.given");

_Static_assert(CONF_PRIORITY_MAX == 32767 && CONF_CLUSTER_MIN == 4096 &&
		       CONF_CLUSTER_MAX == 1048576 && CONF_DEPTH_MAX == 32 &&
		       CONF_TOTAL_WRITES_MAX == 1024 && CONF_READS_MAX == 24 &&
		       CONF_GIVE_UP_MAX == 86400,
	       "what the table says is allowed");

/* "run-dir, log-level, leave": the keys of section, or of no section: sections. */
static const char *list(char *buf, size_t size, const char *section)
{
	const char *last = "";
	size_t used = 0;

	buf[0] = 0;
	for (size_t i = 0; i < KEYS && used < size; i++) {
		const char *sep = used ? ", " : "";

		if (!section && strcmp(keys[i].section, last) != 0)
			used += (size_t)snprintf(buf + used, size - used, "%s[%s]", sep,
						 keys[i].section);
		else if (section && strcmp(keys[i].section, section) == 0)
			used += (size_t)snprintf(buf + used, size - used, "%s%s", sep,
						 keys[i].name);
		last = keys[i].section;
	}
	return buf;
}

/* What was taken, for who wants to see it. => 0 or -ENOMEM */
static int note(struct conf *c, const char *section, const char *key, const char *value)
{
	struct conf_entry *more = reallocarray(c->entry, c->entries + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	c->entry = more;
	more[c->entries] = (struct conf_entry){ section, key, strdup(value) };
	return more[c->entries++].value ? 0 : -ENOMEM;
}

/* A key of [swapcache]. => as on_key */
static int on_knob(struct reading *r, const char *name, const char *value)
{
	struct err e;
	int ret = conf_swapcache_set(r->conf.swapcache, &r->knobs, name, value, &e);

	if (ret < 0)
		return refuse(r, ret, "%s", e.text);
	r->conf.swapcache_given |= r->knobs;
	if (note(&r->conf, "swapcache", swapcache_knob[swapcache_knob_find(name)].name, value) <
	    0)
		return refuse(r, -ENOMEM, "out of memory");
	return 1;
}

static bool is_section(const char *name, size_t len)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strlen(keys[i].section) == len && strncmp(keys[i].section, name, len) == 0)
			return true;
	return false;
}

/* inih's, once for each key. => 1: go on */
static int on_key(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;
	char known[160];

	if (is_told(r))
		return 1;
	if (!*section)
		return refuse(r, -EINVAL, "'%s' stands before any section; there are %s", name,
			      list(known, sizeof(known), NULL));
	if (!is_section(section, strlen(section)))
		return 1;
	if (!strcmp(section, "swapcache"))
		return on_knob(r, name, value);

	for (size_t i = 0; i < KEYS; i++) {
		const struct key *k = &keys[i];
		int ret;

		if (strcmp(k->section, section) != 0 || strcmp(k->name, name) != 0)
			continue;
		if (!k->again && (r->given & UINT64_C(1) << i))
			return refuse(r, -EINVAL, "%s is given twice", name);
		r->given |= UINT64_C(1) << i;
		ret = k->set(r, value);
		if (ret == -EINVAL)
			return refuse(r, ret, "%s is '%s', but must be %s", name, value,
				      k->allowed);
		if (ret == 0)
			ret = note(&r->conf, k->section, k->name, value);
		if (ret < 0)
			return refuse(r, ret, "%s: %s", name, strerror(-ret));
		return 1;
	}
	return refuse(r, -EINVAL, "no key '%s' in [%s]; there are %s", name, section,
		      list(known, sizeof(known), section));
}

/* line begins with "[" */
static void check_section(struct reading *r, const char *line)
{
	const char *end = strchr(line, ']');
	char known[160];

	if (!end || strchr(";#\r\n", end[1 + strspn(end + 1, " \t")]) == NULL)
		refuse(r, -EINVAL, "not a section: it must be [NAME] and nothing else");
	else if (!is_section(line + 1, (size_t)(end - line - 1)))
		refuse(r, -EINVAL, "no section %.*s is known; there are %s",
		       (int)(end - line + 1), line, list(known, sizeof(known), NULL));
}

/* Has it what stands between key and value, and not in a comment? As inih sees it. */
static bool has_separator(const char *line)
{
	bool blank = false;

	for (; *line && !(blank && *line == ';'); line++) {
		if (*line == '=' || *line == ':')
			return true;
		blank = strchr(" \t\r\n", *line) != NULL;
	}
	return false;
}

enum line_is { LINE_NONE, LINE_WHOLE, LINE_LONG, LINE_ZERO };

/*
 * The next line without its indentation, as much of it as has room: what is no text may have
 * one without an end.
 */
static enum line_is read_line(struct reading *r)
{
	bool any = false, is_long = false;
	size_t n = 0;
	int c;

	while ((c = getc(r->file)) != EOF) {
		any = true;
		if (c == '\0')
			return LINE_ZERO;
		if (n == 0 && (c == ' ' || c == '\t'))
			continue;
		if (n < sizeof(r->line) - 1)
			r->line[n++] = (char)c;
		else
			is_long = true;
		if (c == '\n')
			break;
	}
	r->line[n] = '\0';
	return !any ? LINE_NONE : is_long ? LINE_LONG : LINE_WHOLE;
}

/* inih's, as fgets: the next line. => NULL at the end */
static char *next_line(char *buf, int room, void *arg)
{
	struct reading *r = arg;
	const char *line;
	int rc;

	errno = 0;
	rc = read_line(r);
	if (rc == LINE_NONE) {
		/* A directory opens, and says what it is only now. */
		if (!feof(r->file))
			(void)err_set(next_error(r->errors), errno ? -errno : -EIO,
				      "cannot read %s: %s", r->path,
				      strerror(errno ? errno : EIO));
		return NULL;
	}
	r->lineno++;

	if (rc == LINE_ZERO) {
		refuse(r, -EINVAL, "a zero byte: this is not a text file");
		return NULL;
	}
	line = r->line;
	/* One more byte than is needed: inih may look at it for a newline. */
	if (rc == LINE_LONG || strlen(line) + 1 >= (size_t)room) {
		refuse(r, -EINVAL, "longer than the %d characters that a line may have",
		       room - 3);
		line = "\n";
	} else if (*line == '[') {
		check_section(r, line);
		/* what follows is of it, and is passed over */
		line = is_told(r) ? "[?]\n" : line;
	} else if (!strchr(";#\r\n", *line) && !has_separator(line) &&
		   !(r->lineno == 1 && *line == '\xef')) { /* a byte order mark */
		refuse(r, -EINVAL, "neither KEY = VALUE nor [SECTION]");
		line = "\n";
	}
	strcpy(buf, line);
	return buf;
}

int conf_defaults(struct conf *c, struct err *e)
{
	*c = (struct conf){ .log_level = LOG_LVL_INFO };
	c->run_dir = strdup(DRUM_RUN_DIR);
	c->state_dir = strdup(DRUM_STATE_DIR);
	return c->run_dir && c->state_dir ? 0 : err_set(e, -ENOMEM, "out of memory");
}

void conf_free(struct conf *c)
{
	for (size_t i = 0; i < c->swaps; i++) {
		free(c->swap[i].path);
		free(c->swap[i].mirror);
	}
	free(c->swap);
	for (size_t i = 0; i < c->disks; i++)
		conf_disk_free(&c->disk[i]);
	free(c->disk);
	for (size_t i = 0; i < c->entries; i++)
		free(c->entry[i].value);
	free(c->entry);
	free(c->run_dir);
	free(c->state_dir);
	free(c->dump);
	*c = (struct conf){ 0 };
}

/* => 0 and a copy that shares nothing with c, or -ENOMEM and nothing */
static int copy(struct conf *to, const struct conf *c)
{
	*to = *c;
	to->swaps = to->disks = to->entries = 0;
	to->entry = NULL; /* these are of one file */
	to->run_dir = strdup(c->run_dir);
	to->state_dir = strdup(c->state_dir);
	to->dump = c->dump ? strdup(c->dump) : NULL;
	to->swap = calloc(c->swaps + 1, sizeof(*to->swap));
	to->disk = calloc(c->disks + 1, sizeof(*to->disk));
	if (!to->run_dir || !to->state_dir || !to->swap || !to->disk || !to->dump != !c->dump)
		goto fail;
	for (; to->swaps < c->swaps; to->swaps++) {
		to->swap[to->swaps] = c->swap[to->swaps];
		to->swap[to->swaps].path = strdup(c->swap[to->swaps].path);
		if (c->swap[to->swaps].mirror)
			to->swap[to->swaps].mirror = strdup(c->swap[to->swaps].mirror);
		if (!to->swap[to->swaps].path ||
		    !to->swap[to->swaps].mirror != !c->swap[to->swaps].mirror) {
			to->swaps++; /* what there is of it is freed too */
			goto fail;
		}
	}
	for (; to->disks < c->disks; to->disks++)
		if (conf_disk_copy(&to->disk[to->disks], &c->disk[to->disks]) < 0)
			goto fail;
	return 0;

fail:
	conf_free(to);
	return -ENOMEM;
}

int conf_read_all(struct conf *c, const char *path, struct conf_errors *errors)
{
	struct reading r = { .path = path, .errors = errors };
	int bad;

	errors->n = 0;
	errors->more = false;
	if (copy(&r.conf, c) < 0)
		return err_set(next_error(errors), -ENOMEM, "cannot read %s: out of memory",
			       path);
	r.file = fopen(path, "re");
	if (!r.file) {
		conf_free(&r.conf);
		return err_set(next_error(errors), -errno, "cannot read %s: %s", path,
			       strerror(errno));
	}

	bad = ini_parse_stream(next_line, &r, on_key, &r);
	if (bad > 0 && errors->n == 0) {
		/* inih's own complaint of a line */
		r.lineno = (unsigned)bad;
		refuse(&r, -EINVAL, "neither KEY = VALUE nor [SECTION]");
	}
	if (bad < 0 && errors->n == 0)
		(void)err_set(next_error(errors), -EIO, "cannot read %s", path);
	fclose(r.file);

	if (errors->n) {
		conf_free(&r.conf);
		return errors->err[0].code;
	}
	conf_free(c);
	*c = r.conf;
	return 0;
}

int conf_read(struct conf *c, const char *path, struct err *e)
{
	struct conf_errors errors;
	int ret = conf_read_all(c, path, &errors);

	return ret < 0 ? err_set(e, ret, "%s", errors.err[0].text) : 0;
}
