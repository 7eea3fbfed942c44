/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * No floating point: "0.1G" would come out a fraction of a byte off and be
 * taken all the same.  A decimal fraction F of a unit of 2^s bytes is whole
 * bytes when F doubled s times leaves nothing behind the point.  The doubling
 * is done on the decimal digits; what is carried over the point is, bit by
 * bit, the number of bytes.  A fraction of more than s digits (without zeros
 * at its end) can never come out whole, which bounds the digits to keep.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"

#define SHIFT_MAX 60

static const char units[] = "KMGTPE"; /* 2^10, 2^20, ... 2^60 */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The length of the run of digits at text. */
static size_t span_digits(const char *text)
{
	size_t n = 0;

	while (is_digit(text[n]))
		n++;
	return n;
}

/* "", "B", "K", "KiB", ... => log2 of the unit, or -EINVAL */
static int parse_unit(const char *text)
{
	if (!*text || strcasecmp(text, "B") == 0)
		return 0;
	for (int i = 0; units[i]; i++) {
		if (strncasecmp(text, &units[i], 1) != 0)
			continue;
		/* "KB" is refused: to some it is 1000. */
		if (!text[1] || strcasecmp(text + 1, "iB") == 0)
			return 10 * (i + 1);
		return -EINVAL;
	}
	return -EINVAL;
}

/* 0.DIGITS times 2^shift. => 0 and *bytes, -EINVAL when it is not whole */
static int fraction(const char *digits, size_t n, int shift, uint64_t *bytes)
{
	char d[SHIFT_MAX];
	uint64_t whole = 0;

	while (n && digits[n - 1] == '0')
		n--;
	if (n > (size_t)shift)
		return -EINVAL;
	memcpy(d, digits, n);

	for (int s = 0; s < shift; s++) {
		int carry = 0;

		for (size_t i = n; i-- > 0;) {
			int twice = 2 * (d[i] - '0') + carry;

			carry = twice >= 10;
			d[i] = (char)('0' + twice % 10);
		}
		whole = whole << 1 | (unsigned)carry;
	}
	for (size_t i = 0; i < n; i++) {
		if (d[i] != '0')
			return -EINVAL;
	}
	*bytes = whole;
	return 0;
}

int size_parse(const char *text, uint64_t *bytes)
{
	size_t whole = span_digits(text), frac = 0;
	const char *unit = text + whole;
	uint64_t n = 0, part = 0;
	int shift;

	if (!whole)
		return -EINVAL;
	if (*unit == '.') {
		frac = span_digits(unit + 1);
		if (!frac)
			return -EINVAL;
		unit += 1 + frac;
	}
	shift = parse_unit(unit);
	if (shift < 0)
		return shift;
	if (frac && fraction(text + whole + 1, frac, shift, &part) < 0)
		return -EINVAL;

	/* What it says is clear by now: from here on it can only be too much. */
	for (size_t i = 0; i < whole; i++) {
		if (__builtin_mul_overflow(n, UINT64_C(10), &n) ||
		    __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return -ERANGE;
	}
	if (__builtin_mul_overflow(n, UINT64_C(1) << shift, &n))
		return -ERANGE;
	*bytes = n + part; /* less than a unit, and n is whole units: it fits */
	return 0;
}

int size_or_none_parse(const char *text, uint64_t *bytes)
{
	if (strcmp(text, "none") != 0)
		return size_parse(text, bytes);
	*bytes = 0;
	return 0;
}

const char *size_format(char buf[SIZE_TEXT_MAX], uint64_t bytes)
{
	uint64_t tenths = 0;
	int unit = -1;

	if (bytes < 1024) {
		snprintf(buf, SIZE_TEXT_MAX, "%u", (unsigned)bytes);
		return buf;
	}
	/* The next unit is due when rounding makes 1024 of this one: "1M", not "1024K".
	 */
	do {
		int shift = 10 * (++unit + 1);
		unsigned __int128 tens = (unsigned __int128)bytes * 10;

		tenths = (uint64_t)((tens + (UINT64_C(1) << (shift - 1))) >> shift);
	} while (tenths >= 10240 && units[unit + 1]);

	if (tenths % 10)
		snprintf(buf, SIZE_TEXT_MAX, "%u.%u%c", (unsigned)(tenths / 10),
			 (unsigned)(tenths % 10), units[unit]);
	else
		snprintf(buf, SIZE_TEXT_MAX, "%u%c", (unsigned)(tenths / 10), units[unit]);
	return buf;
}
