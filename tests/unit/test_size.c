/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>

#include "base/size.h"

#define K UINT64_C(1024)

/* Parameters that hold string pointers crash Criterion: they are indices. */
static const struct {
	const char *text;
	int ret;
	uint64_t bytes;
} parses[] = {
	{ "0", 0, 0 },
	{ "4096", 0, 4096 },
	{ "4096B", 0, 4096 },
	{ "007", 0, 7 },
	{ "64K", 0, 64 * K },
	{ "64k", 0, 64 * K },
	{ "64KiB", 0, 64 * K },
	{ "64kib", 0, 64 * K },
	{ "512M", 0, 512 * K *K },
	{ "512MiB", 0, 512 * K *K },
	{ "2G", 0, 2 * K *K *K },
	{ "1T", 0, K *K *K *K },
	{ "3P", 0, 3 * K *K *K *K *K },
	{ "15E", 0, 15 * K *K *K *K *K *K },
	{ "18446744073709551615", 0, UINT64_MAX },
	{ "1.5G", 0, 3 * K *K *K / 2 },
	{ "0.5K", 0, 512 },
	{ "1.500K", 0, 1536 },
	{ "7.0", 0, 7 },
	{ "7.000B", 0, 7 },
	{ "0.0009765625K", 0, 1 },
	/* all but one byte of 16E */
	{ "15.9999999999999999991326382620115964527"
	  "94037759304046630859375E",
	  0, UINT64_MAX },
	{ "18014398509481983.9990234375K", 0, UINT64_MAX },

	{ "", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 },
	{ "1 ", -EINVAL, 0 },
	{ "1 K", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "+1", -EINVAL, 0 },
	{ "K", -EINVAL, 0 },
	{ "B", -EINVAL, 0 },
	{ "1KB", -EINVAL, 0 },
	{ "1Ki", -EINVAL, 0 },
	{ "1KiBs", -EINVAL, 0 },
	{ "1KK", -EINVAL, 0 },
	{ "1Z", -EINVAL, 0 },
	{ "1iB", -EINVAL, 0 },
	{ "0x10", -EINVAL, 0 },
	{ "1e3", -EINVAL, 0 },
	{ "1.", -EINVAL, 0 },
	{ "1.K", -EINVAL, 0 },
	{ ".5K", -EINVAL, 0 },
	{ "1..5K", -EINVAL, 0 },
	{ "1.5.5K", -EINVAL, 0 },
	{ "1,5K", -EINVAL, 0 },
	{ "0.1G", -EINVAL, 0 }, /* 107374182.4 */
	{ "0.5", -EINVAL, 0 },
	{ "0.3K", -EINVAL, 0 },
	{ "0.00048828125K", -EINVAL, 0 }, /* half a byte */
	{ "1.1111111111111111111111111111111111111111111111111111111111111111111111E", -EINVAL,
	  0 },
	{ "99999999999999999999999x", -EINVAL, 0 },
	{ "inf", -EINVAL, 0 },

	{ "18446744073709551616", -ERANGE, 0 },
	{ "99999999999999999999999", -ERANGE, 0 },
	{ "16E", -ERANGE, 0 },
	{ "18014398509481984K", -ERANGE, 0 },
	{ "100000000000000000000T", -ERANGE, 0 },
};
#define PARSES (sizeof(parses) / sizeof(parses[0]))

ParameterizedTestParameters(size, parse)
{
	static size_t index[PARSES];

	for (size_t i = 0; i < PARSES; i++)
		index[i] = i;
	return cr_make_param_array(size_t, index, PARSES);
}

ParameterizedTest(const size_t *i, size, parse)
{
	const uint64_t untouched = 0xdeadbeef;
	uint64_t bytes = untouched;
	int ret = size_parse(parses[*i].text, &bytes);

	cr_assert_eq(ret, parses[*i].ret, "'%s' gives %d, not %d", parses[*i].text, ret,
		     parses[*i].ret);
	cr_assert_eq(bytes, ret ? untouched : parses[*i].bytes, "'%s' gives %lu bytes",
		     parses[*i].text, bytes);
}

static const struct {
	uint64_t bytes;
	const char *text;
} formats[] = {
	{ 0, "0" },
	{ 1, "1" },
	{ 1023, "1023" },
	{ K, "1K" },
	{ K + 1, "1K" },
	{ K + 51, "1K" },
	{ K + 52, "1.1K" },
	{ 4096, "4K" },
	{ 384 * K * K, "384M" },
	{ 3 * K * K * K / 2, "1.5G" },
	{ K * K - 1, "1M" }, /* not "1024K" */
	{ 1023 * K + 972, "1023.9K" },
	{ 1023 * K + 973, "1M" },
	{ K * K * K * K, "1T" },
	{ K * K * K * K * K, "1P" },
	{ K * K * K * K * K * K, "1E" },
	{ UINT64_MAX, "16E" },
};

Test(size, format)
{
	char buf[SIZE_TEXT_MAX];

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		const char *text = size_format(buf, formats[i].bytes);

		cr_assert_eq(text, (const char *)buf);
		cr_assert_str_eq(text, formats[i].text, "%lu gives '%s', not '%s'",
				 formats[i].bytes, text, formats[i].text);
	}
}

/* What comes out without rounding goes in again as the same size. */
Test(size, format_and_parse)
{
	static const char units[] = "KMGTPE";

	for (int u = 0; units[u]; u++) {
		uint64_t unit = UINT64_C(1) << 10 * (u + 1);

		/* halves of a unit: "1", "1.5", "2" ... */
		for (uint64_t n = 2; n < (units[u] == 'E' ? 32 : 2048); n++) {
			uint64_t bytes = n * (unit / 2), back = 0;
			char want[32], buf[SIZE_TEXT_MAX];

			snprintf(want, sizeof(want), "%lu%s%c", n / 2, n % 2 ? ".5" : "",
				 units[u]);
			cr_assert_str_eq(size_format(buf, bytes), want);
			cr_assert_eq(size_parse(buf, &back), 0, "'%s'", buf);
			cr_assert_eq(back, bytes, "'%s' is %lu, not %lu", buf, back, bytes);
		}
	}
}

Test(size, or_none)
{
	uint64_t bytes = 7;

	cr_assert_eq(size_or_none_parse("none", &bytes), 0);
	cr_assert_eq(bytes, 0);
	cr_assert_eq(size_or_none_parse("80G", &bytes), 0);
	cr_assert_eq(bytes, 80ull << 30);
	cr_assert_eq(size_or_none_parse("None", &bytes), -EINVAL);
	cr_assert_eq(size_or_none_parse("", &bytes), -EINVAL);
	cr_assert_eq(size_or_none_parse("99999999T", &bytes), -ERANGE);
	cr_assert_eq(bytes, 80ull << 30, "what was refused is not taken");
}
