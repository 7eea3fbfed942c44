/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * drumd knows a device by the path that it was switched on by, which may
 * have been a symbolic link of drum.conf's or of another client's, and need
 * no longer be there.  So what people type is compared with all devices that
 * are on: first as text, then made absolute, then by what it leads to.
 */
#include "drumctl/device.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_path(const char *text)
{
	return strncmp(text, "ram:", 4) != 0 && strncmp(text, "nbd:", 4) != 0;
}

char *device_path(const char *text, struct err *e)
{
	char *path = is_path(text) ? realpath(text, NULL) : strdup(text);
	char *dir;

	if (path)
		return path;
	/* not there, or not for our eyes: drumd will say what it thinks of it */
	if (!is_path(text)) {
		(void)err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	if (text[0] == '/') {
		path = strdup(text);
	} else {
		dir = getcwd(NULL, 0);
		if (!dir) {
			(void)err_set(e, -errno, "cannot tell where '%s' is: %s", text,
				      strerror(errno));
			return NULL;
		}
		if (asprintf(&path, "%s/%s", strcmp(dir, "/") != 0 ? dir : "", text) < 0)
			path = NULL;
		free(dir);
	}
	if (!path)
		(void)err_set(e, -ENOMEM, "out of memory");
	return path;
}

/* --- devices that are on ------------------------------------------------------ */

static const char *path_of(struct json_object *device_or_half)
{
	struct json_object *path;

	if (!json_object_object_get_ex(device_or_half, "path", &path) ||
	    !json_object_is_type(path, json_type_string))
		return "";
	return json_object_get_string(path);
}

/* Half number i, or NULL. */
static struct json_object *half_of(struct json_object *device, size_t i)
{
	struct json_object *halves;

	if (!json_object_object_get_ex(device, "halves", &halves) ||
	    !json_object_is_type(halves, json_type_array))
		return NULL;
	return json_object_array_get_idx(halves, i);
}

static bool same_text(const char *a, const char *b)
{
	return !strcmp(a, b);
}

static bool same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	if (a[0] != '/' || b[0] != '/' || stat(a, &sa) < 0 || stat(b, &sb) < 0)
		return false;
	if (S_ISBLK(sa.st_mode) && S_ISBLK(sb.st_mode))
		return sa.st_rdev == sb.st_rdev;
	return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* The device's path, or a half's, that is the same. */
static const char *match(struct json_object *device, const char *path,
			 bool (*same)(const char *, const char *))
{
	struct json_object *half;
	size_t i;

	if (same(path_of(device), path))
		return path_of(device);
	for (i = 0; (half = half_of(device, i)); i++)
		if (same(path_of(half), path))
			return path_of(half);
	return NULL;
}

bool device_has_path(struct json_object *device, const char *path)
{
	return match(device, path, same_text) != NULL;
}

/* => its path, or NULL */
static const char *find(struct json_object *devices, const char *path,
			bool (*same)(const char *, const char *), struct json_object **device)
{
	const char *found;
	size_t i;

	for (i = 0; i < json_object_array_length(devices); i++) {
		*device = json_object_array_get_idx(devices, i);
		found = match(*device, path, same);
		if (found)
			return found;
	}
	*device = NULL;
	return NULL;
}

int device_find(struct client *c, const char *text, char **path, struct json_object **device,
		struct err *e)
{
	struct json_object *devices, *found = NULL;
	char *absolute = device_path(text, e);
	const char *name;
	int rc;

	if (!absolute)
		return e->code;
	rc = client_call(c, "query-swap-devices", NULL, &devices, e);
	if (rc < 0) {
		free(absolute);
		return rc;
	}
	if (!json_object_is_type(devices, json_type_array)) {
		json_object_put(devices);
		free(absolute);
		return err_set(e, -EPROTO,
			       "drumd answered query-swap-devices with something strange");
	}
	name = find(devices, text, same_text, &found);
	if (!name)
		name = find(devices, absolute, same_text, &found);
	if (!name)
		name = find(devices, absolute, same_file, &found);
	*path = name ? strdup(name) : absolute;
	if (name)
		free(absolute);
	if (!*path)
		rc = err_set(e, -ENOMEM, "out of memory");
	else if (device)
		*device = json_object_get(found);
	json_object_put(devices);
	return rc;
}
