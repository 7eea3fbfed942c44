/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon/admission.h"

#include <errno.h>

#include "base/size.h"

static int check_terms(const char *name, const struct guest_terms *t, struct err *e)
{
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX];

	if (t->memory == 0)
		return err_set(e, -EINVAL, "guest %s: how much memory it has is not said",
			       name);
	if (t->memory > UINT64_MAX / 4)
		return err_set(e, -EINVAL, "guest %s: nobody has %s of memory", name,
			       size_format(a, t->memory));
	if (t->reservation > t->memory)
		return err_set(e, -EINVAL,
			       "guest %s: a reservation of %s is more than its memory, %s",
			       name, size_format(a, t->reservation), size_format(b, t->memory));
	if (t->limit && t->limit < t->reservation)
		return err_set(e, -EINVAL,
			       "guest %s: a limit of %s is less than its reservation, %s", name,
			       size_format(a, t->limit), size_format(b, t->reservation));
	if (t->shares > SHARES_MAX)
		return err_set(e, -EINVAL, "guest %s: shares are 1 to %u", name, SHARES_MAX);
	return 0;
}

int admission_check(const char *name, const struct guest_terms *t,
		    const struct admission_host *host, uint64_t *swap, struct err *e)
{
	uint64_t most = host->budget ? host->budget : host->total, left;
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX], d[SIZE_TEXT_MAX];
	int ret = check_terms(name, t, e);

	if (ret < 0)
		return ret;
	*swap = t->memory - t->reservation;
	if (host->low)
		return err_set(
			e, -EAGAIN,
			"guest %s: the host's memory is low, nobody is admitted: try again "
			"when drumctl host show says soft or high",
			name);
	left = most > host->reserved ? most - host->reserved : 0;
	if (t->reservation > left)
		return err_set(
			e, -ENOSPC,
			"guest %s: a reservation of %s does not fit: of %s of %s other "
			"guests have reserved %s, which leaves %s; reserve less, or raise "
			"the budget (drumctl host set --budget)",
			name, size_format(a, t->reservation),
			host->budget ? "the budget" : "the host's RAM", size_format(b, most),
			size_format(c, host->reserved), size_format(d, left));
	if (*swap > host->swap)
		return err_set(
			e, -ENOSPC,
			"guest %s: %s of memory less a reservation of %s must be backed by "
			"%s of swap, and %s can be promised: add swap (drumctl swap on), or "
			"reserve more",
			name, size_format(a, t->memory), size_format(b, t->reservation),
			size_format(c, *swap), size_format(d, host->swap));
	return 0;
}
