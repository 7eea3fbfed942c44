/* SPDX-License-Identifier: BSD-2-Clause */
/* Swap devices as people name them, and as drumd does. */
#ifndef DRUM_DRUMCTL_DEVICE_H
#define DRUM_DRUMCTL_DEVICE_H

#include <stdbool.h>

#include <json-c/json.h>

#include "drumctl/client.h"

/*
 * What drumd is to be told: ram: and nbd: as they are, a path absolute, and
 * without symbolic links where there is such a file.
 * => malloc'ed, or NULL and e
 */
char *device_path(const char *text, struct err *e);

/* Is this the device's path, or that of a half of it? */
bool device_has_path(struct json_object *device, const char *path);

/*
 * Of the devices that are on, the one that people mean by text: by its name
 * in drumd, or by any other path to the same device or file.
 * => 0, *path malloc'ed, as drumd has it (or as device_path, where no device
 *    is meant), and *device (give it back; NULL for none; may itself be NULL);
 *    or -errno
 */
int must_check device_find(struct client *c, const char *text, char **path,
			   struct json_object **device, struct err *e);

#endif
