/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/disk_params.h"

#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "base/swap_path.h"

_Static_assert(DISK_NAME_MAX == 63 && DISK_SOCKET_MAX == 107 && DISK_SERIAL_MAX == 20 &&
		       DISK_QUEUES_MAX == 64,
	       "as the messages say");
_Static_assert(sizeof((struct sockaddr_un){ 0 }.sun_path) == DISK_SOCKET_MAX + 1,
	       "with a zero");

bool disk_name_is_valid(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				"0123456789_.-");

	return n >= 1 && n <= DISK_NAME_MAX && name[n] == '\0';
}

bool disk_image_is_valid(const char *image)
{
	enum swap_path kind = swap_path_kind(image);

	return kind == SWAP_PATH_FILE || kind == SWAP_PATH_NBD;
}

bool disk_socket_is_valid(const char *path)
{
	return path[0] == '/' && strlen(path) <= DISK_SOCKET_MAX;
}

bool disk_serial_is_valid(const char *serial)
{
	size_t n = 0;

	while (serial[n] > ' ' && serial[n] < 0x7f)
		n++;
	return n >= 1 && n <= DISK_SERIAL_MAX && serial[n] == '\0';
}
