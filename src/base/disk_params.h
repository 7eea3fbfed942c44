/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What may be said of a disk, wherever it is said: in QMP, in drum.conf and on command
 * lines.  Its cache mode is in base/image_open.h.
 */
#ifndef DRUM_BASE_DISK_PARAMS_H
#define DRUM_BASE_DISK_PARAMS_H

#include <stdbool.h>

#define DISK_NAME_MAX	63
#define DISK_SOCKET_MAX 107 /* bytes that a path in a struct sockaddr_un may have */
#define DISK_SERIAL_MAX 20  /* bytes that VIRTIO_BLK_T_GET_ID has */
#define DISK_QUEUES_MAX 64

/* To come after "must be". */
#define DISK_NAME_ALLOWED   "1 to 63 characters of A-Z a-z 0-9 _ . -"
#define DISK_IMAGE_ALLOWED  "an absolute path or nbd:URI"
#define DISK_SOCKET_ALLOWED "an absolute path of at most 107 bytes"
#define DISK_SERIAL_ALLOWED "1 to 20 characters of ASCII that can be seen"
#define DISK_CACHE_ALLOWED  "none, directsync, writethrough, writeback or unsafe"
#define DISK_QUEUES_ALLOWED "a number from 1 to 64"

/* The same for the name of a guest. */
bool disk_name_is_valid(const char *name);
bool disk_image_is_valid(const char *image); /* as base/swap_path.h has it, without ram: */
bool disk_socket_is_valid(const char *path);
bool disk_serial_is_valid(const char *serial);

#endif
