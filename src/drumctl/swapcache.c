/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of the swapcache daemon. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/swapcache_knobs.h"
#include "drumctl/ask.h"
#include "drumctl/verbs.h"

/* --- set ----------------------------------------------------------------------- */

static int unknown_knob(const char *name, struct err *e)
{
	char list[320] = "";
	size_t used = 0;

	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS && used < sizeof(list); k++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
					 used ? ", " : "", swapcache_knob[k].name);
	return err_set(e, -EINVAL, "unknown knob '%s'; there are %s", name, list);
}

/* "accrate=200K". => 0, value[k] and bit k of *what; or -EINVAL */
static int parse_knob(const char *text, uint32_t *what, uint64_t value[SWAPCACHE_KNOBS],
		      struct err *e)
{
	size_t len = strcspn(text, "=");
	char name[32];
	enum swapcache_knob k;

	if (!text[len])
		return err_set(e, -EINVAL, "not KNOB=VALUE: '%s'", text);
	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	k = swapcache_knob_find(name);
	if (k == SWAPCACHE_KNOBS)
		return unknown_knob(name, e);
	if (*what & UINT32_C(1) << k)
		return err_set(e, -EINVAL, "%s is given twice", swapcache_knob[k].name);
	*what |= UINT32_C(1) << k;
	return swapcache_knob_parse(k, text + len + 1, &value[k], e);
}

static int parse_knobs(const struct verb_args *args, uint32_t *what,
		       uint64_t value[SWAPCACHE_KNOBS], struct err *e)
{
	int rc = 0;

	*what = 0;
	for (char *const *operand = args->operands; *operand && rc == 0; operand++)
		rc = parse_knob(*operand, what, value, e);
	return rc;
}

int swapcache_check(const struct verb_args *args, struct err *e)
{
	uint64_t value[SWAPCACHE_KNOBS];
	uint32_t what;

	return parse_knobs(args, &what, value, e);
}

int swapcache_set(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o;
	uint64_t value[SWAPCACHE_KNOBS];
	uint32_t what;
	int rc = parse_knobs(args, &what, value, e);

	if (rc < 0)
		return rc;
	o = json_object_new_object();
	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS; k++)
		if (what & UINT32_C(1) << k)
			json_object_object_add(o, swapcache_knob[k].name,
					       swapcache_knob[k].unit == SWAPCACHE_UNIT_SWITCH
						       ? json_object_new_boolean(value[k] != 0)
						       : json_object_new_uint64(value[k]));
	return tell(c, "swapcache-set", o, e);
}

/* --- show ------------------------------------------------------------------------ */

static const struct {
	const char *word, *means;
} meanings[] = {
	{ "writing", "blocks are put on swap" },
	{ "cleaning", "it has more than maxswappct of swap, and gives back" },
	{ "off", "nothing is put on swap: data_enable and meta_enable are off" },
	{ "stopped", "the daemon is ending" },
	{ "bursting", "it writes until curburst is used up" },
	{ "recovering", "it waits until curburst is above minburst" },
};

static uint64_t number(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "-";
}

/* A line of the page. */
__attribute__((format(printf, 3, 4))) static void
add_line(struct json_object *page, const char *title, const char *fmt, ...)
{
	char line[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	add_text(page, title, line);
}

struct size_text {
	char text[24];
};

static struct size_text size_of(bool bytes, uint64_t n)
{
	struct size_text s;
	char buf[SIZE_TEXT_MAX];

	if (bytes)
		snprintf(s.text, sizeof(s.text), "%" PRIu64, n);
	else
		snprintf(s.text, sizeof(s.text), "%s", size_format(buf, n));
	return s;
}

#define SIZE(n) size_of(bytes, n).text

static void add_word(struct json_object *page, const char *title, const char *word)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (!strcmp(meanings[i].word, word)) {
			add_line(page, title, "%s (%s)", word, meanings[i].means);
			return;
		}
	}
	add_text(page, title, word);
}

/* " (87.5%)", or "" of nothing */
static struct size_text share(uint64_t part, uint64_t whole)
{
	struct size_text s = { "" };

	if (whole)
		snprintf(s.text, sizeof(s.text), " (%.1f%%)",
			 100 * (double)part / (double)whole);
	return s;
}

static void add_figures(struct json_object *page, struct json_object *o, bool bytes)
{
	static const struct {
		const char *title, *key;
		bool size;
	} figures[] = {
		{ "put", "put", true },
		{ "cleaned", "cleaned", true },
		{ "invalidated", "invalidated", true },
		{ "read errors", "read-errors", false },
		{ "  checksum", "checksum-errors", false },
		{ "write errors", "write-errors", false },
		{ "passes", "passes", false },
	};
	struct json_object *knobs = json_object_object_get(o, "knobs");
	uint64_t max = number(o, "swap-max"), pct = number(knobs, "maxswappct");
	uint64_t may = max / 100 * pct + max % 100 * pct / 100;
	uint64_t read = number(o, "read-bytes"), hit = number(o, "hit-bytes");

	add_word(page, "state", text(o, "state"));
	add_word(page, "burst", text(o, "burst"));
	add_line(page, "swap used", "%s of %s (%" PRIu64 "%% of %s)", SIZE(number(o, "used")),
		 SIZE(may), pct, SIZE(max));
	add_line(page, "  cached", "%s", SIZE(number(o, "cached")));
	add_line(page, "read", "%s", SIZE(read));
	add_line(page, "  from swap", "%s%s", SIZE(hit), share(hit, read).text);
	add_line(page, "image reads", "%" PRIu64, number(o, "reads"));
	add_line(page, "  saved", "%" PRIu64 "%s", number(o, "saved-reads"),
		 share(number(o, "saved-reads"), number(o, "reads")).text);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		uint64_t n = number(o, figures[i].key);

		if (figures[i].size)
			add_line(page, figures[i].title, "%s", SIZE(n));
		else
			add_line(page, figures[i].title, "%" PRIu64, n);
	}
}

/*
 * What was written to a device, by whomever, and what its budget says of that.  Its path,
 * which may be long, is not in the column of titles.
 */
static void add_device(struct json_object *page, size_t n, struct json_object *d, bool bytes)
{
	uint64_t budget = number(d, "endurance"), days = number(d, "tightest");
	char spans[128], title[32];

	snprintf(title, sizeof(title), "device %zu", n);
	snprintf(spans, sizeof(spans), "%s in 1 day, %s in 7, %s in 28",
		 SIZE(number(d, "written-1d")), SIZE(number(d, "written-7d")),
		 SIZE(number(d, "written-28d")));
	if (!budget)
		add_line(page, title, "%s: %s; no budget", text(d, "path"), spans);
	else
		add_line(page, title, "%s: %s; %s a day, %s left by %" PRIu64 " day%s",
			 text(d, "path"), spans, SIZE(budget), SIZE(number(d, "left")), days,
			 days == 1 ? "" : "s");
}

static void add_knobs(struct json_object *page, struct json_object *knobs, bool bytes)
{
	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS; k++) {
		const struct swapcache_knob_info *info = &swapcache_knob[k];
		uint64_t value = number(knobs, info->name);
		char line[64];

		if (bytes && info->unit != SWAPCACHE_UNIT_SWITCH)
			snprintf(line, sizeof(line), "%" PRIu64, value);
		else
			swapcache_knob_format(k, value, line, sizeof(line));
		add_text(page, info->name, line);
	}
}

int swapcache_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *result, *devices, *page;
	bool bytes = args->given & OPT_BYTES;
	int rc = client_call(c, "query-swapcache", NULL, &result, e);
	size_t n;

	if (rc < 0)
		return rc;
	if (args->given & OPT_JSON) {
		output_json(result);
		json_object_put(result);
		return 0;
	}
	page = json_object_new_object();
	add_figures(page, result, bytes);
	devices = json_object_object_get(result, "devices");
	n = json_object_is_type(devices, json_type_array) ? json_object_array_length(devices)
							  : 0;
	for (size_t i = 0; i < n; i++)
		add_device(page, i + 1, json_object_array_get_idx(devices, i), bytes);
	add_knobs(page, json_object_object_get(result, "knobs"), bytes);
	rc = output_pairs(page, e);
	json_object_put(page);
	json_object_put(result);
	return rc;
}
