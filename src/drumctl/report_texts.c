/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * An open hash table of indices into r->text, doubled when it is half full.
 * A record repeats the same few texts in each sample: names, paths, states.
 */
#include "drumctl/report_texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct text_slot {
	size_t used; /* index + 1; 0: empty */
};

static size_t hash(const char *text)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static struct text_slot *slot_of(const struct report *r, const char *text)
{
	size_t i = hash(text) & (r->slots - 1);

	while (r->slot[i].used && strcmp(r->text[r->slot[i].used - 1], text) != 0)
		i = (i + 1) & (r->slots - 1);
	return &r->slot[i];
}

static int make_room(struct report *r)
{
	struct text_slot *slot = calloc(r->slots ? 2 * r->slots : 256, sizeof(*slot));
	char **text;

	if (!slot)
		return -ENOMEM;
	free(r->slot);
	r->slot = slot;
	r->slots = r->slots ? 2 * r->slots : 256;
	for (size_t i = 0; i < r->texts; i++)
		slot_of(r, r->text[i])->used = i + 1;
	text = reallocarray(r->text, r->slots / 2, sizeof(*text));
	if (!text)
		return -ENOMEM;
	r->text = text;
	return 0;
}

ssize_t report_intern(struct report *r, const char *text)
{
	struct text_slot *slot;

	if (r->texts == r->slots / 2 && make_room(r) < 0)
		return -ENOMEM;
	slot = slot_of(r, text);
	if (!slot->used) {
		char *copy = strdup(text);

		if (!copy)
			return -ENOMEM;
		r->text[r->texts++] = copy;
		slot->used = r->texts;
	}
	return (ssize_t)slot->used - 1;
}

const char *report_intern_text(struct report *r, const char *text)
{
	ssize_t i = report_intern(r, text);

	return i < 0 ? NULL : r->text[i];
}

int report_event_text(struct report *r, struct json_object *data, const char **out)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	if (json_object_is_type(data, json_type_object)) {
		const char *blank = "";

		json_object_object_foreach(data, key, value)
		{
			fprintf(f, "%s%s=%s", blank, key,
				json_object_is_type(value, json_type_string)
					? json_object_get_string(value)
					: json_object_to_json_string_ext(
						  value,
						  JSON_C_TO_STRING_PLAIN |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
			blank = " ";
		}
	}
	if (fclose(f) != 0) {
		free(text);
		return -ENOMEM;
	}
	*out = report_intern_text(r, text);
	free(text);
	return *out ? 0 : -ENOMEM;
}
