/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/safe.h"

/* Bytes that go on the character that begins with c; -1: none begins so. */
static int more_bytes(unsigned char c)
{
	if (c < 0x80)
		return 0;
	if (c >= 0xc2 && c < 0xe0)
		return 1;
	if (c >= 0xe0 && c < 0xf0)
		return 2;
	return c >= 0xf0 && c < 0xf5 ? 3 : -1;
}

size_t safe_length(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	int more = more_bytes(at[0]);

	if (more < 0 || at[0] < ' ' || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0))
		return 0;
	for (int i = 1; i <= more; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return (size_t)more + 1;
}

void put_safe(FILE *to, const char *text)
{
	for (size_t n; text && *text; text += n ? n : 1) {
		n = safe_length(text);
		if (n)
			fwrite(text, 1, n, to);
		else
			fprintf(to, "\\x%02x", (unsigned char)*text);
	}
}
