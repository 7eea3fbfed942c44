/* SPDX-License-Identifier: BSD-2-Clause */
#include "keeper/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk_params.h"

void backend_print_capabilities(FILE *f)
{
	fputs("{\"type\": \"block\", \"features\": [\"read-only\", \"blk-file\"]}\n", f);
}

/* "web1" of "/run/web1.sock"; what a name may not have becomes "_". => NULL: no memory */
static char *name_of(const char *socket)
{
	const char *base = strrchr(socket, '/') + 1;
	size_t len = strlen(base);
	char *name;

	if (len > 5 && !strcmp(base + len - 5, ".sock"))
		len -= 5;
	name = strndup(base, len < DISK_NAME_MAX ? len : DISK_NAME_MAX);
	for (char *c = name; c && *c; c++) {
		char one[2] = { *c };

		if (!disk_name_is_valid(one))
			*c = '_';
	}
	return name;
}

int backend_add_disk(struct conf *c, const struct backend_options *o, struct err *e)
{
	struct conf_disk d = { .read_only = o->read_only };

	if (!o->socket_path || !o->blk_file)
		return err_set(e, -EINVAL, "--socket-path and --blk-file belong together");
	if (!disk_socket_is_valid(o->socket_path) || !strrchr(o->socket_path, '/')[1])
		return err_set(e, -EINVAL, "--socket-path: '%s' must be " DISK_SOCKET_ALLOWED,
			       o->socket_path);
	if (!disk_image_is_valid(o->blk_file))
		return err_set(e, -EINVAL, "--blk-file: '%s' must be " DISK_IMAGE_ALLOWED,
			       o->blk_file);
	d.name = name_of(o->socket_path);
	d.image = strdup(o->blk_file);
	d.socket = strdup(o->socket_path);
	if (!d.name || !d.image || !d.socket) {
		conf_disk_free(&d);
		return err_set(e, -ENOMEM, "out of memory");
	}
	return conf_add_disk(c, &d, e);
}
