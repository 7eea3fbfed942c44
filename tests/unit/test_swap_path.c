/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "base/swap_path.h"

static const struct {
	const char *path;
	enum swap_path kind;
} cases[] = {
	{ "/", SWAP_PATH_FILE },
	{ "/dev/sdb1", SWAP_PATH_FILE },
	{ "/ram:1M", SWAP_PATH_FILE },
	{ "ram:1", SWAP_PATH_RAM },
	{ "ram:1.5G", SWAP_PATH_RAM },
	{ "ram:18446744073709551615", SWAP_PATH_RAM },
	{ "nbd:nbd://h", SWAP_PATH_NBD },
	{ "nbd:nbds+unix:///x?socket=/a b", SWAP_PATH_NBD },
	{ "", SWAP_PATH_WRONG },
	{ "x", SWAP_PATH_WRONG },
	{ "./x", SWAP_PATH_WRONG },
	{ "ram", SWAP_PATH_WRONG },
	{ "ram:", SWAP_PATH_WRONG },
	{ "ram:0", SWAP_PATH_WRONG },
	{ "ram:0K", SWAP_PATH_WRONG },
	{ "ram:-1", SWAP_PATH_WRONG },
	{ "ram:1Q", SWAP_PATH_WRONG },
	{ "ram:18446744073709551616", SWAP_PATH_WRONG },
	{ "RAM:1M", SWAP_PATH_WRONG },
	{ "nbd:", SWAP_PATH_WRONG },
	{ "nbd:host", SWAP_PATH_WRONG },
	{ "nbd://host", SWAP_PATH_WRONG },
	{ "nbd:://host", SWAP_PATH_WRONG },
	{ "http://host", SWAP_PATH_WRONG },
};

Test(swap_path, kinds)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect(swap_path_kind(cases[i].path) == cases[i].kind, "'%s' is %d",
			  cases[i].path, (int)swap_path_kind(cases[i].path));
}

Test(swap_path, longest)
{
	char path[SWAP_PATH_BYTES_MAX + 2] = "";

	memset(path, '/', SWAP_PATH_BYTES_MAX);
	cr_expect(swap_path_kind(path) == SWAP_PATH_FILE);
	path[SWAP_PATH_BYTES_MAX] = '/';
	cr_expect(swap_path_kind(path) == SWAP_PATH_WRONG);
	memcpy(path, "nbd:nbd:", 8);
	cr_expect(swap_path_kind(path) == SWAP_PATH_WRONG);
}
