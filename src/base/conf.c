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
 * The first error is the one that is told.  After it, the reader feigns the
 * end of the file, so the line count stands at the line of the error.
 */
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/conf.h"
#include "config.h"

struct reading {
	const char *path;
	FILE *file;
	char *line; /* getline's buffer */
	size_t size;
	unsigned lineno; /* of the line that was handed out last */
	unsigned given;	 /* bit i: keys[i] has been given */
	struct conf conf;
	struct err *e;
	int ret; /* 0, or -errno of the first error, which is in e */
};

struct key {
	const char *section;
	const char *name;
	const char *allowed; /* to come after "must be" */
	bool again;	     /* may be given more than once */
	/* => 0; -EINVAL: not what is allowed; another -errno, or told already */
	int (*set)(struct reading *r, const char *value);
};

/* The first error only. => 0, for what inih wants to hear */
__attribute__((format(printf, 3, 4))) static int refuse(struct reading *r, int code,
							const char *fmt, ...)
{
	char what[ERR_TEXT_MAX];
	va_list ap;

	if (r->ret)
		return 0;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	r->ret = err_set(r->e, code, "%s:%u: %s", r->path, r->lineno, what);
	return 0;
}

static int set_run_dir(struct reading *r, const char *value)
{
	char *copy;

	if (value[0] != '/')
		return -EINVAL;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(r->conf.run_dir);
	r->conf.run_dir = copy;
	return 0;
}

static int set_log_level(struct reading *r, const char *value)
{
	return log_level_parse(value, &r->conf.log_level);
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

/* => 0 or -EINVAL: text is no whole number from 0 to CONF_PRIORITY_MAX */
static int parse_priority(const char *text, int *priority)
{
	int n = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		n = 10 * n + (*text - '0');
		if (n > CONF_PRIORITY_MAX)
			return -EINVAL;
	}
	*priority = n;
	return 0;
}

static int set_device(struct reading *r, const char *value)
{
	static const char blanks[] = " \t";
	size_t len = strcspn(value, blanks);
	const char *rest = value + len + strspn(value + len, blanks);
	struct conf *c = &r->conf;
	struct conf_swap *more;
	int priority = 0;
	char *path;

	if (value[0] != '/' || (*rest && parse_priority(rest, &priority) < 0))
		return -EINVAL;

	path = strndup(value, len);
	more = reallocarray(c->swap, c->swaps + 1, sizeof(*more));
	if (more)
		c->swap = more;
	if (!path || !more) {
		free(path);
		return -ENOMEM;
	}
	for (size_t i = 0; i < c->swaps; i++) {
		if (strcmp(c->swap[i].path, path) == 0) {
			refuse(r, -EINVAL, "device %s is given twice", path);
			free(path);
			return -EEXIST;
		}
	}
	c->swap[c->swaps++] = (struct conf_swap){ .path = path, .priority = priority };
	return 0;
}

static const struct key keys[] = {
	{ "drumd", "run-dir", "an absolute path", false, set_run_dir },
	{ "drumd", "log-level", "error, warn, info, debug or trace", false, set_log_level },
	{ "drumd", "leave", "yes or no", false, set_leave },
	{ "swap", "device",
	  "an absolute path without blanks, and after it, if you like, a priority from 0 to "
	  "32767",
	  true, set_device },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

_Static_assert(CONF_PRIORITY_MAX == 32767, "what the table says is allowed");

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

/* inih's, once for each key. => 0 when it was refused, as inih has it */
static int on_key(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;
	char known[160];

	if (r->ret)
		return 0;
	if (!*section)
		return refuse(r, -EINVAL, "'%s' stands before any section; there are %s", name,
			      list(known, sizeof(known), NULL));

	for (size_t i = 0; i < KEYS; i++) {
		const struct key *k = &keys[i];
		int ret;

		if (strcmp(k->section, section) != 0 || strcmp(k->name, name) != 0)
			continue;
		if (!k->again && (r->given & 1u << i))
			return refuse(r, -EINVAL, "%s is given twice", name);
		r->given |= 1u << i;
		ret = k->set(r, value);
		if (ret == -EINVAL)
			return refuse(r, ret, "%s is '%s', but must be %s", name, value,
				      k->allowed);
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

	if (!end || strchr(";#\r\n", end[1 + strspn(end + 1, " \t")]) == NULL) {
		refuse(r, -EINVAL, "not a section: it must be [NAME] and nothing else");
		return;
	}
	for (size_t i = 0; i < KEYS; i++) {
		if (strlen(keys[i].section) == (size_t)(end - line - 1) &&
		    strncmp(keys[i].section, line + 1, (size_t)(end - line - 1)) == 0)
			return;
	}
	refuse(r, -EINVAL, "no section %.*s is known; there are %s", (int)(end - line + 1),
	       line, list(known, sizeof(known), NULL));
}

/* inih's, as fgets: the next line. => NULL at the end and after an error */
static char *next_line(char *buf, int room, void *arg)
{
	struct reading *r = arg;
	const char *line;
	ssize_t len;

	if (r->ret)
		return NULL;
	errno = 0;
	len = getline(&r->line, &r->size, r->file);
	if (len < 0) {
		/* A directory opens, and says what it is only now. */
		if (!feof(r->file))
			r->ret = err_set(r->e, errno ? -errno : -EIO, "cannot read %s: %s",
					 r->path, strerror(errno ? errno : EIO));
		return NULL;
	}
	r->lineno++;

	if (strlen(r->line) != (size_t)len) {
		refuse(r, -EINVAL, "a zero byte: this is not a text file");
		return NULL;
	}
	line = r->line + strspn(r->line, " \t");
	/* One more byte than is needed: inih may look at it for a newline. */
	if (strlen(line) + 1 >= (size_t)room) {
		refuse(r, -EINVAL, "longer than the %d characters that a line may have",
		       room - 3);
		return NULL;
	}
	if (*line == '[')
		check_section(r, line);
	if (r->ret)
		return NULL;
	strcpy(buf, line);
	return buf;
}

int conf_defaults(struct conf *c, struct err *e)
{
	*c = (struct conf){ .log_level = LOG_LVL_INFO };
	c->run_dir = strdup(DRUM_RUN_DIR);
	return c->run_dir ? 0 : err_set(e, -ENOMEM, "out of memory");
}

void conf_free(struct conf *c)
{
	for (size_t i = 0; i < c->swaps; i++)
		free(c->swap[i].path);
	free(c->swap);
	free(c->run_dir);
	*c = (struct conf){ 0 };
}

/* => 0 and a copy that shares nothing with c, or -ENOMEM and nothing */
static int copy(struct conf *to, const struct conf *c)
{
	*to = *c;
	to->swaps = 0;
	to->run_dir = strdup(c->run_dir);
	to->swap = calloc(c->swaps + 1, sizeof(*to->swap));
	if (!to->run_dir || !to->swap)
		goto fail;
	for (; to->swaps < c->swaps; to->swaps++) {
		to->swap[to->swaps] = c->swap[to->swaps];
		to->swap[to->swaps].path = strdup(c->swap[to->swaps].path);
		if (!to->swap[to->swaps].path)
			goto fail;
	}
	return 0;

fail:
	conf_free(to);
	return -ENOMEM;
}

int conf_read(struct conf *c, const char *path, struct err *e)
{
	struct reading r = { .path = path, .e = e };
	int bad;

	if (copy(&r.conf, c) < 0)
		return err_set(e, -ENOMEM, "cannot read %s: out of memory", path);
	r.file = fopen(path, "re");
	if (!r.file) {
		r.ret = err_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
		conf_free(&r.conf);
		return r.ret;
	}

	bad = ini_parse_stream(next_line, &r, on_key, &r);
	if (bad > 0 && (!r.ret || (unsigned)bad < r.lineno)) {
		/* inih's own complaint of a line, and it goes on after one */
		r.ret = 0;
		r.lineno = (unsigned)bad;
		refuse(&r, -EINVAL, "neither KEY = VALUE nor [SECTION]");
	}
	if (bad < 0 && !r.ret)
		r.ret = err_set(e, -EIO, "cannot read %s", path);
	free(r.line);
	fclose(r.file);

	if (r.ret) {
		conf_free(&r.conf);
		return r.ret;
	}
	conf_free(c);
	*c = r.conf;
	return 0;
}
