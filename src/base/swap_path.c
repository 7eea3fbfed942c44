/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/swap_path.h"

#include <string.h>

#include "base/size.h"

enum swap_path swap_path_kind(const char *path)
{
	const char *scheme;
	uint64_t size;

	if (strlen(path) > SWAP_PATH_BYTES_MAX)
		return SWAP_PATH_WRONG;
	if (path[0] == '/')
		return SWAP_PATH_FILE;
	if (!strncmp(path, "ram:", 4))
		return size_parse(path + 4, &size) == 0 && size > 0 ? SWAP_PATH_RAM
								    : SWAP_PATH_WRONG;
	if (strncmp(path, "nbd:", 4) != 0)
		return SWAP_PATH_WRONG;
	/* "nbd://HOST" is a URI and not nbd: with one behind it */
	scheme = strstr(path + 4, "://");
	return scheme && scheme > path + 4 ? SWAP_PATH_NBD : SWAP_PATH_WRONG;
}
