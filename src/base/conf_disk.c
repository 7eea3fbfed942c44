/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/conf_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk_params.h"

enum disk_option {
	READ_ONLY,
	NO_MAP,
	SOCKET,
	CACHE,
	SERIAL,
	GUEST,
	QUEUES,
	SWAPCACHE,
	DISK_OPTIONS
};

static const struct {
	const char *name; /* ends with "=" if it has a value */
	const char *allowed;
} options[] = {
	[READ_ONLY] = { "read-only", NULL },
	[NO_MAP] = { "no-map", NULL },
	[SOCKET] = { "socket=", DISK_SOCKET_ALLOWED },
	[CACHE] = { "cache=", DISK_CACHE_ALLOWED },
	[SERIAL] = { "serial=", DISK_SERIAL_ALLOWED },
	[GUEST] = { "guest=", DISK_NAME_ALLOWED },
	[QUEUES] = { "queues=", DISK_QUEUES_ALLOWED },
	[SWAPCACHE] = { "swapcache=", SWAPCACHE_MODE_ALLOWED },
};
_Static_assert(sizeof(options) / sizeof(options[0]) == DISK_OPTIONS, "a line each");

/* => DISK_OPTIONS: none; else *value is behind its "=" */
static enum disk_option find_option(const char *word, const char **value)
{
	size_t len = strcspn(word, "=");
	enum disk_option o = 0;

	len += word[len] == '=';
	*value = word + len;
	while (o < DISK_OPTIONS &&
	       (strlen(options[o].name) != len || strncmp(options[o].name, word, len) != 0))
		o++;
	return o;
}

/* => 0, -EINVAL or -ENOMEM */
static int keep(char **to, const char *value, bool valid)
{
	if (!valid)
		return -EINVAL;
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

static int parse_queues(const char *value, uint32_t *queues)
{
	size_t digits = strspn(value, "0123456789");

	if (digits < 1 || digits > 2 || value[digits] != '\0')
		return -EINVAL;
	*queues = (uint32_t)atoi(value);
	return *queues >= 1 && *queues <= DISK_QUEUES_MAX ? 0 : -EINVAL;
}

static int set_option(struct conf_disk *d, enum disk_option option, const char *value)
{
	switch (option) {
	case READ_ONLY:
		d->read_only = true;
		return 0;
	case NO_MAP:
		d->no_map = true;
		return 0;
	case SOCKET:
		return keep(&d->socket, value, disk_socket_is_valid(value));
	case CACHE:
		return image_cache_parse(value, &d->cache);
	case SERIAL:
		return keep(&d->serial, value, disk_serial_is_valid(value));
	case GUEST:
		return keep(&d->guest, value, disk_name_is_valid(value));
	case QUEUES:
		return parse_queues(value, &d->queues);
	case SWAPCACHE:
		return swapcache_mode_parse(value, &d->swapcache);
	case DISK_OPTIONS:
		break;
	}
	return -EINVAL;
}

static int unknown_option(const struct conf_disk *d, const char *word, struct err *e)
{
	char list[160] = "";
	size_t used = 0;

	for (size_t i = 0; i < DISK_OPTIONS; i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s%s",
					 used ? ", " : "", options[i].name,
					 options[i].allowed ? ".." : "");
	return err_set(e, -EINVAL, "disk %s: '%s' is none of %s", d->name, word, list);
}

static int take_option(struct conf_disk *d, const char *word, unsigned int *given,
		       struct err *e)
{
	const char *value;
	enum disk_option option = find_option(word, &value);
	int name_len = (int)strcspn(word, "="), ret;

	if (option == DISK_OPTIONS)
		return unknown_option(d, word, e);
	if (*given & 1u << option)
		return err_set(e, -EINVAL, "disk %s: %.*s is given twice", d->name, name_len,
			       word);
	*given |= 1u << option;
	ret = set_option(d, option, value);
	if (ret == -EINVAL)
		return err_set(e, ret, "disk %s: %.*s is '%s', but must be %s", d->name,
			       name_len, word, value, options[option].allowed);
	return ret;
}

int conf_disk_parse(struct conf_disk *d, const char *value, struct err *e)
{
	static const char blanks[] = " \t";
	char *copy = strdup(value), *name, *image, *word, *save;
	unsigned int given = 0;
	int ret = -ENOMEM;

	*d = (struct conf_disk){ 0 };
	*e = (struct err){ 0 };
	if (!copy)
		return -ENOMEM;
	name = strtok_r(copy, blanks, &save);
	image = name ? strtok_r(NULL, blanks, &save) : NULL;
	if (!image || !disk_name_is_valid(name) || !disk_image_is_valid(image)) {
		ret = -EINVAL;
	} else {
		d->name = strdup(name);
		d->image = strdup(image);
		ret = d->name && d->image ? 0 : -ENOMEM;
	}
	while (ret == 0 && (word = strtok_r(NULL, blanks, &save)))
		ret = take_option(d, word, &given, e);
	if (ret < 0)
		conf_disk_free(d);
	free(copy);
	return ret;
}

static bool copy_text(char **to, const char *text)
{
	*to = text ? strdup(text) : NULL;
	return !text || *to;
}

int conf_disk_copy(struct conf_disk *to, const struct conf_disk *d)
{
	*to = *d;
	to->image = to->socket = to->serial = to->guest = NULL;
	if (copy_text(&to->name, d->name) && copy_text(&to->image, d->image) &&
	    copy_text(&to->socket, d->socket) && copy_text(&to->serial, d->serial) &&
	    copy_text(&to->guest, d->guest))
		return 0;
	conf_disk_free(to);
	return -ENOMEM;
}

void conf_disk_free(struct conf_disk *d)
{
	free(d->name);
	free(d->image);
	free(d->socket);
	free(d->serial);
	free(d->guest);
	*d = (struct conf_disk){ 0 };
}
