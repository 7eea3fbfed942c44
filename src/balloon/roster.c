/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file is JSON: { "version", "host": { .. }, "guests": [ { "name", .. }, .. ] }.  Members
 * that are missing are 0 or "", and unknown ones are passed over, so that builds before and
 * after can read it; a file of another version, or one that is no such thing, is refused.
 */
#include "balloon/roster.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/json.h"
#include "base/point.h"

#define VERSION	   1
#define ROSTER_MAX (4u << 20) /* bytes; a guest takes some 400 */

enum kind { TEXT, BOOL, U32, U64 };

struct key {
	const char *name;
	enum kind kind;
	size_t at, size;
};

#define KEY(type, name, kind, field)                                                           \
	{                                                                                      \
		name, kind, offsetof(type, field), sizeof(((type *)NULL)->field)               \
	}
#define HOST(name, kind, field)	 KEY(struct arbiter_conf, name, kind, field)
#define GUEST(name, kind, field) KEY(struct roster_entry, name, kind, field)

static const struct key host_keys[] = {
	HOST("budget", U64, budget),
	HOST("tax", U32, tax),
	HOST("stall-target", U32, stall_target),
	HOST("reading", U64, reading),
	{ 0 },
};

static const struct key guest_keys[] = {
	GUEST("name", TEXT, name),
	GUEST("memory", U64, terms.memory),
	GUEST("reservation", U64, terms.reservation),
	GUEST("limit", U64, terms.limit),
	GUEST("shares", U64, terms.shares),
	GUEST("admitted", BOOL, admitted),
	GUEST("attached", BOOL, attached),
	GUEST("promised", U64, promised),
	GUEST("qmp", TEXT, qmp),
	GUEST("balloon", TEXT, balloon),
	GUEST("domain", TEXT, domain),
	GUEST("ballooned", BOOL, ballooned),
	{ 0 },
};

static struct json_object *to_json(const struct key *keys, const void *from)
{
	struct json_object *o = json_object_new_object();

	for (const struct key *k = keys; k->name; k++) {
		const void *at = (const char *)from + k->at;
		struct json_object *value = NULL;

		switch (k->kind) {
		case TEXT:
			value = json_object_new_string(at);
			break;
		case BOOL:
			value = json_object_new_boolean(*(const bool *)at);
			break;
		case U32:
			value = json_object_new_uint64(*(const uint32_t *)at);
			break;
		case U64:
			value = json_object_new_uint64(*(const uint64_t *)at);
			break;
		}
		json_object_object_add(o, k->name, value);
	}
	return o;
}

static bool is_number(struct json_object *value, uint64_t *number)
{
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return false;
	*number = json_object_get_uint64(value);
	return true;
}

static int from_json(const struct key *keys, struct json_object *o, void *to)
{
	if (!json_object_is_type(o, json_type_object))
		return -EINVAL;
	for (const struct key *k = keys; k->name; k++) {
		void *at = (char *)to + k->at;
		struct json_object *value;
		const char *text;
		uint64_t number;

		if (!json_object_object_get_ex(o, k->name, &value))
			continue;
		switch (k->kind) {
		case TEXT:
			text = json_plain_string(value);
			if (!text || strlen(text) >= k->size)
				return -EINVAL;
			memcpy(at, text, strlen(text) + 1);
			break;
		case BOOL:
			if (!json_object_is_type(value, json_type_boolean))
				return -EINVAL;
			*(bool *)at = json_object_get_boolean(value);
			break;
		case U32:
			if (!is_number(value, &number) || number > UINT32_MAX)
				return -EINVAL;
			*(uint32_t *)at = (uint32_t)number;
			break;
		case U64:
			if (!is_number(value, &number))
				return -EINVAL;
			*(uint64_t *)at = number;
			break;
		}
	}
	return 0;
}

static int write_whole(int fd, const char *text, size_t left)
{
	while (left > 0) {
		ssize_t n = write(fd, text, left);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

int roster_save(int dir_fd, const struct arbiter_conf *conf, const struct roster_entry *entry,
		size_t n)
{
	struct json_object *o = json_object_new_object(), *guests = json_object_new_array();
	int fd = openat(dir_fd, ROSTER_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);
	int ret = fd < 0 ? -errno : 0;
	const char *text;
	size_t size;

	json_object_object_add(o, "version", json_object_new_int(VERSION));
	json_object_object_add(o, "host", to_json(host_keys, conf));
	json_object_object_add(o, "guests", guests);
	for (size_t i = 0; i < n; i++)
		json_object_array_add(guests, to_json(guest_keys, &entry[i]));
	text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PRETTY, &size);
	if (ret == 0)
		ret = text ? write_whole(fd, text, size) : -ENOMEM;
	json_object_put(o);
	if (fd >= 0)
		close(fd);
	point_crash("roster-new");
	if (ret == 0 && renameat(dir_fd, ROSTER_FILE ".new", dir_fd, ROSTER_FILE) < 0)
		ret = -errno;
	return ret;
}

/* => malloc'ed text, or NULL and errno */
static char *read_whole(int fd, size_t *size)
{
	char *text = malloc(ROSTER_MAX);
	ssize_t n = 1;

	*size = 0;
	while (text && n > 0 && *size < ROSTER_MAX) {
		n = read(fd, text + *size, ROSTER_MAX - *size);
		*size += n > 0 ? (size_t)n : 0;
		if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (text && (n < 0 || *size == ROSTER_MAX)) {
		errno = n < 0 ? errno : EINVAL;
		free(text);
		return NULL;
	}
	return text;
}

static int parse(const char *text, size_t size, struct json_object **out)
{
	struct json_stream *s = json_stream_create(ROSTER_MAX);
	struct err e;
	int ret;

	if (!s)
		return -ENOMEM;
	ret = json_stream_next(s, &text, &size, out, &e);
	json_stream_destroy(s);
	return ret == 1 ? 0 : ret == -ENOMEM ? ret : -EINVAL;
}

static int fill(struct json_object *o, struct arbiter_conf *conf, struct roster_entry **entry)
{
	struct json_object *version, *host, *guests;
	struct arbiter_conf new = { 0 };
	struct roster_entry *all;
	size_t n;
	int ret;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, "version", &version) ||
	    !json_object_is_type(version, json_type_int) ||
	    json_object_get_int(version) != VERSION ||
	    !json_object_object_get_ex(o, "host", &host) ||
	    !json_object_object_get_ex(o, "guests", &guests) ||
	    !json_object_is_type(guests, json_type_array))
		return -EINVAL;
	n = json_object_array_length(guests);
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	ret = from_json(host_keys, host, &new);
	for (size_t i = 0; i < n && ret == 0; i++) {
		ret = from_json(guest_keys, json_object_array_get_idx(guests, i), &all[i]);
		if (ret == 0 && !all[i].name[0])
			ret = -EINVAL;
	}
	if (ret < 0) {
		free(all);
		return ret;
	}
	*conf = new;
	*entry = all;
	return (int)n;
}

int roster_read(int dir_fd, struct arbiter_conf *conf, struct roster_entry **entry)
{
	int fd = openat(dir_fd, ROSTER_FILE, O_RDONLY | O_CLOEXEC), ret;
	struct json_object *o = NULL;
	char *text;
	size_t size;

	*entry = NULL;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	text = read_whole(fd, &size);
	ret = text ? parse(text, size, &o) : -errno;
	close(fd);
	free(text);
	if (ret == 0)
		ret = fill(o, conf, entry);
	json_object_put(o);
	return ret;
}
