/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "drumctl explain": sentences of the daemon's, by what they are about.  Those of a topic are
 * one paragraph, in lines that fit a terminal and a mail.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drumctl/ask.h"
#include "drumctl/safe.h"
#include "drumctl/verbs.h"

#define WIDTH  78
#define INDENT 4

static const struct {
	const char *topic, *title;
} titles[] = {
	{ "has", "Memory" },	{ "price", "Price" },	  { "evicted", "Evictions" },
	{ "stalls", "Stalls" }, { "balloon", "Balloon" },
};

static const char *title_of(const char *topic)
{
	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (!strcmp(titles[i].topic, topic))
			return titles[i].title;
	return topic; /* of a later daemon */
}

static void put_word(const char *text, size_t n)
{
	char word[1024];

	for (size_t part; n > 0; text += part, n -= part) {
		part = n < sizeof(word) ? n : sizeof(word) - 1;
		memcpy(word, text, part);
		word[part] = '\0';
		put_safe(stdout, word);
	}
}

/* Words of text, behind what stands in the line up to *column. */
static void print_words(const char *text, size_t *column)
{
	size_t n;

	for (text += strspn(text, " "); *text; text += n + strspn(text + n, " ")) {
		n = strcspn(text, " ");
		/* a figure and its unit stay together: "0.12 %" */
		if (!strncmp(text + n, " %", 2))
			n += 1 + strcspn(text + n + 1, " ");
		if (*column > 0 && *column + 1 + n > WIDTH) {
			putchar('\n');
			*column = 0;
		}
		*column += n + (size_t)printf("%*s", *column ? 1 : INDENT, "");
		put_word(text, n);
	}
}

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}

static void print_all(struct json_object *sentences)
{
	const char *topic = NULL;
	size_t column = 0;

	for (size_t i = 0; i < json_object_array_length(sentences); i++) {
		struct json_object *o = json_object_array_get_idx(sentences, i);

		if (!topic || strcmp(topic, member(o, "topic")) != 0) {
			fputs(topic ? "\n\n" : "", stdout);
			put_safe(stdout, title_of(member(o, "topic")));
			putchar('\n');
			column = 0;
		}
		topic = member(o, "topic");
		print_words(member(o, "text"), &column);
	}
	if (topic)
		putchar('\n');
}

int guest_explain(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object(), *result;
	int rc;

	add_text(o, "name", args->operand);
	rc = client_call(c, "guest-explain", o, &result, e);
	if (rc < 0)
		return rc;
	if (!json_object_is_type(result, json_type_array))
		rc = err_set(e, -EPROTO, "drumd answered guest-explain with something strange");
	else if (args->given & OPT_JSON)
		output_json(result);
	else
		print_all(result);
	json_object_put(result);
	return rc;
}
