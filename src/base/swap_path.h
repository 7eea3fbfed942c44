/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a swap device is named, on command lines, in drum.conf and in QMP:
 * the absolute path of a file or block device, "ram:SIZE" or "nbd:URI".
 */
#ifndef DRUM_BASE_SWAP_PATH_H
#define DRUM_BASE_SWAP_PATH_H

#define SWAP_PATH_BYTES_MAX 1023

enum swap_path {
	SWAP_PATH_WRONG, /* none of these, or longer than SWAP_PATH_BYTES_MAX */
	SWAP_PATH_FILE,	 /* a regular file or a block device: begins with "/" */
	SWAP_PATH_RAM,	 /* "ram:" and a size that is not 0, as size_parse has it */
	SWAP_PATH_NBD,	 /* "nbd:" and something with a scheme, as nbd:nbd://HOST */
};

enum swap_path swap_path_kind(const char *path);

#endif
