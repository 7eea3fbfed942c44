/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"

Test(err, set)
{
	struct err e = { 0 };

	cr_assert_eq(err_set(&e, -ENOENT, "no guest is named '%s' of %d", "web", 3), -ENOENT);
	cr_assert_eq(e.code, -ENOENT);
	cr_assert_str_eq(e.text, "no guest is named 'web' of 3");

	/* the last one counts */
	cr_assert_eq(err_set(&e, 0, "%s", ""), 0);
	cr_assert_eq(e.code, 0);
	cr_assert_str_eq(e.text, "");
}

Test(err, nobody_listens)
{
	cr_assert_eq(err_set(NULL, -EPERM, "unheard %d", 1), -EPERM);
}

Test(err, long_text_is_cut_and_looks_it)
{
	char text[ERR_TEXT_MAX + 1];
	struct err e;

	/* the longest that fits is whole */
	memset(text, 'x', sizeof(text));
	text[ERR_TEXT_MAX - 1] = 0;
	err_set(&e, -EINVAL, "%s", text);
	cr_assert_str_eq(e.text, text);

	text[ERR_TEXT_MAX - 1] = 'x';
	text[ERR_TEXT_MAX] = 0;
	err_set(&e, -EINVAL, "%s", text);
	cr_assert_eq(strlen(e.text), ERR_TEXT_MAX - 1);
	cr_assert_str_eq(e.text + ERR_TEXT_MAX - 5, "x...");
}
