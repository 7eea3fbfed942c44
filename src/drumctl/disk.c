/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of disks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk_params.h"
#include "base/image_open.h"
#include "base/swapcache_knobs.h"
#include "drumctl/ask.h"
#include "drumctl/device.h"
#include "drumctl/verbs.h"

const struct column disk_columns[] = {
	{ "NAME", "name", CELL_TEXT, 0 },
	{ "STATE", "state", CELL_TEXT, 0 },
	{ "GUEST", "guest", CELL_TEXT, 0 },
	{ "SIZE", "size", CELL_SIZE, 0 },
	{ "READ", "read-bytes", CELL_SIZE, 0 },
	{ "WRITTEN", "write-bytes", CELL_SIZE, 0 },
	{ "ERRORS", "errors", CELL_COUNT, 0 },
	{ "IMAGE", "image", CELL_TEXT, 0 },
	{ "SOCKET", "socket", CELL_TEXT, COLUMN_EXTRA },
	{ "SERIAL", "serial", CELL_TEXT, COLUMN_EXTRA },
	{ "PID", "pid", CELL_COUNT, COLUMN_EXTRA },
	{ "CACHE", "cache", CELL_TEXT, COLUMN_EXTRA },
	{ "READ-ONLY", "read-only", CELL_BOOL, COLUMN_EXTRA },
	{ "MAP", "map", CELL_BOOL, COLUMN_EXTRA },
	{ "QUEUES", "queues", CELL_COUNT, COLUMN_EXTRA },
	{ "INFLIGHT", "inflight", CELL_COUNT, COLUMN_EXTRA },
	{ "READS", "reads", CELL_COUNT, COLUMN_EXTRA },
	{ "WRITES", "writes", CELL_COUNT, COLUMN_EXTRA },
	{ "FLUSHES", "flushes", CELL_COUNT, COLUMN_EXTRA },
	{ "MAPPED", "mapped", CELL_COUNT, COLUMN_EXTRA },
	{ "IMAGE-PAGES", "image-pages", CELL_COUNT, COLUMN_EXTRA },
	{ "WRITES-AVOIDED", "writes-avoided", CELL_COUNT, COLUMN_EXTRA },
	{ "READS-AVOIDED", "reads-avoided", CELL_COUNT, COLUMN_EXTRA },
	{ "SWAPCACHE", "swapcache", CELL_TEXT, COLUMN_EXTRA },
	{ "CACHED", "cached", CELL_SIZE, COLUMN_EXTRA },
	{ "CACHE-READ", "cache-read-bytes", CELL_SIZE, COLUMN_EXTRA },
	{ "CACHE-HIT", "cache-hit-bytes", CELL_SIZE, COLUMN_EXTRA },
	{ 0 },
};

static const struct column disk_details[] = {
	{ "name", "name", CELL_TEXT, 0 },
	{ "image", "image", CELL_TEXT, 0 },
	{ "socket", "socket", CELL_TEXT, 0 },
	{ "serial", "serial", CELL_TEXT, 0 },
	{ "state", "state", CELL_TEXT, 0 },
	{ "  guest", "guest", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  pid", "pid", CELL_COUNT, COLUMN_OPTIONAL },
	{ "cache", "cache", CELL_TEXT, 0 },
	{ "read-only", "read-only", CELL_BOOL, 0 },
	{ "map", "map", CELL_BOOL, 0 },
	{ "size", "size", CELL_SIZE, 0 },
	{ "block size", "block-size", CELL_SIZE, 0 },
	{ "queues", "queues", CELL_COUNT, 0 },
	{ "in flight", "inflight", CELL_COUNT, 0 },
	{ "reads", "reads", CELL_COUNT, 0 },
	{ "writes", "writes", CELL_COUNT, 0 },
	{ "flushes", "flushes", CELL_COUNT, 0 },
	{ "discards", "discards", CELL_COUNT, 0 },
	{ "write zeroes", "zeroes", CELL_COUNT, 0 },
	{ "read", "read-bytes", CELL_SIZE, 0 },
	{ "written", "write-bytes", CELL_SIZE, 0 },
	{ "discarded", "discard-bytes", CELL_SIZE, 0 },
	{ "zeroed", "zeroes-bytes", CELL_SIZE, 0 },
	{ "errors", "errors", CELL_COUNT, 0 },
	{ "resubmitted", "resubmitted", CELL_COUNT, 0 },
	{ "resets", "resets", CELL_COUNT, 0 },
	{ "pages mapped", "mapped", CELL_COUNT, 0 },
	{ "  only there", "image-pages", CELL_COUNT, 0 },
	{ "writes avoided", "writes-avoided", CELL_COUNT, 0 },
	{ "reads avoided", "reads-avoided", CELL_COUNT, 0 },
	{ "image reads", "image-reads", CELL_COUNT, 0 },
	{ "brought in", "brought-in", CELL_COUNT, 0 },
	{ "swapcache", "swapcache", CELL_TEXT, 0 },
	{ "  cached", "cached", CELL_SIZE, 0 },
	{ "  asked", "cache-read-bytes", CELL_SIZE, 0 },
	{ "  from swap", "cache-hit-bytes", CELL_SIZE, 0 },
	{ 0 },
};

/* "ram:x" is a swap device, and "nbd:" without a scheme is nothing; "./nbd:x" is a file. */
static int check_image(const char *image, struct err *e)
{
	bool special = !strncmp(image, "ram:", 4) || !strncmp(image, "nbd:", 4);

	if (image[0] == '\0')
		return err_set(e, -EINVAL, "--image is empty");
	if (special && !disk_image_is_valid(image))
		return err_set(e, -EINVAL,
			       "not an image: '%s'; write it as nbd:nbd://HOST/EXPORT, or as a "
			       "path: ./%s",
			       image, image);
	return 0;
}

int disk_check(const struct verb_args *args, struct err *e)
{
	enum swapcache_mode swapcache;
	enum image_cache mode;
	int rc = 0;

	if (!disk_name_is_valid(args->operand))
		return err_set(e, -EINVAL, "not a name: '%s'; it must be " DISK_NAME_ALLOWED,
			       args->operand);
	if (args->image)
		rc = check_image(args->image, e);
	if (rc < 0)
		return rc;
	if (args->cache && image_cache_parse(args->cache, &mode) < 0)
		return err_set(e, -EINVAL, "--cache: '%s' must be " DISK_CACHE_ALLOWED,
			       args->cache);
	if (args->swapcache && swapcache_mode_parse(args->swapcache, &swapcache) < 0)
		return err_set(e, -EINVAL, "--swapcache: '%s' must be " SWAPCACHE_MODE_ALLOWED,
			       args->swapcache);
	if (args->serial && !disk_serial_is_valid(args->serial))
		return err_set(e, -EINVAL, "--serial: '%s' is not " DISK_SERIAL_ALLOWED,
			       args->serial);
	if (args->guest && !disk_name_is_valid(args->guest))
		return err_set(e, -EINVAL,
			       "--guest: not a name: '%s'; it must be " DISK_NAME_ALLOWED,
			       args->guest);
	return 0;
}

static int add(struct client *c, const struct verb_args *args, const char *image,
	       const char *socket, struct err *e)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", args->operand);
	add_text(o, "image", image);
	if (socket)
		add_text(o, "socket", socket);
	if (args->serial)
		add_text(o, "serial", args->serial);
	if (args->guest)
		add_text(o, "guest", args->guest);
	if (args->cache)
		add_text(o, "cache", args->cache);
	add_true(o, "read-only", args, OPT_READ_ONLY);
	if (args->given & OPT_NO_MAP)
		json_object_object_add(o, "map", json_object_new_boolean(false));
	add_number(o, "queues", args, OPT_QUEUES, args->queues);
	if (args->swapcache)
		add_text(o, "swapcache", args->swapcache);
	return tell(c, "disk-add", o, e);
}

int disk_add(struct client *c, const struct verb_args *args, struct err *e)
{
	char *image = device_path(args->image, e);
	char *socket = image && args->listen ? device_path(args->listen, e) : NULL;
	int rc;

	if (!image || (args->listen && !socket))
		rc = e->code;
	else if (socket && !disk_socket_is_valid(socket))
		rc = err_set(e, -EINVAL, "--socket: '%s' must be " DISK_SOCKET_ALLOWED, socket);
	else
		rc = add(c, args, image, socket, e);
	free(image);
	free(socket);
	return rc;
}

static struct json_object *disk_argument(const struct verb_args *args)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", args->operand);
	return o;
}

int disk_set(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = disk_argument(args);

	add_text(o, "swapcache", args->swapcache);
	return tell(c, "disk-set", o, e);
}

int disk_remove(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell(c, "disk-remove", disk_argument(args), e);
}

int disk_resize(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell(c, "disk-resize", disk_argument(args), e);
}

int disk_list(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_table(c, "query-disks", disk_columns, args, e);
}

int disk_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *result;
	int rc = client_call(c, "query-disks", disk_argument(args), &result, e);

	if (rc < 0)
		return rc;
	if (json_object_is_type(result, json_type_array) && json_object_array_length(result))
		rc = show_object(json_object_array_get_idx(result, 0), disk_details, args, e);
	else
		rc = err_set(e, -EPROTO, "drumd said nothing about '%s'", args->operand);
	json_object_put(result);
	return rc;
}
