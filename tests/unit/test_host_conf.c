/* SPDX-License-Identifier: BSD-2-Clause */
/* [host] of drum.conf on its way: from the file, and from the keeper to who wants it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_host.h"
#include "vmm/host_priv.h"

static const struct {
	const char *text;
	int64_t is; /* millionths; -1: refused */
} percents[] = {
	{ "0", 0 },	    { "0.1", 1000 },	  { "0.1%", 1000 },
	{ "75", 750000 },   { "100", 1000000 },	  { "100.0%", 1000000 },
	{ "0.0001", 1 },    { "0.00010", 1 },	  { "0.00015", -1 },
	{ "100.0001", -1 }, { "101", -1 },	  { "", -1 },
	{ "-1", -1 },	    { "1.", -1 },	  { ".1", -1 },
	{ "%", -1 },	    { "1 %", -1 },	  { "1e1", -1 },
	{ "0.1%%", -1 },    { "4294967296", -1 }, { "99.9999", 999999 },
	{ "007", 70000 },
};

Test(host_conf, percent)
{
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		uint32_t n = 7;
		int ret = percent_parse(percents[i].text, &n);

		cr_expect_eq(ret, percents[i].is < 0 ? -EINVAL : 0, "%s", percents[i].text);
		cr_expect_eq(n, percents[i].is < 0 ? 7 : percents[i].is, "%s: %u",
			     percents[i].text, n);
	}
}

static struct host_conf heard;
static int times;

static void hear(void *arg, const struct host_conf *conf, struct err *e)
{
	(void)e;
	cr_assert(arg == &heard);
	heard = *conf;
	times++;
}

Test(host_conf, it_is_told_when_it_comes_and_at_once_if_it_has)
{
	struct host *h = calloc(1, sizeof(*h));
	struct proto_msg m = { .type = MSG_HOST };
	struct err e = { 0 };

	host_on_conf(h, hear, &heard);
	cr_expect_eq(times, 0, "the keeper has not said anything");
	m.u.host.conf = 5;
	m.u.host.given = HOST_CONF_BUDGET | HOST_CONF_LIBVIRT_URI;
	m.u.host.budget = 1 << 30;
	m.u.host.tax = 3;
	m.u.host.stall_target = 4;
	strcpy(m.u.host.libvirt_uri, "test:///default");
	host_conf_from(h, &m, &e);
	cr_expect(times == 1 && heard.reading == 5 && heard.budget == 1 << 30 &&
		  heard.tax == 3 && heard.stall_target == 4 && heard.given == m.u.host.given);
	cr_expect_str_eq(heard.libvirt_uri, "test:///default");
	host_on_conf(h, NULL, NULL);
	m.u.host.conf = 6;
	host_conf_from(h, &m, &e);
	cr_expect_eq(times, 1, "nobody listens");
	host_on_conf(h, hear, &heard);
	cr_expect(times == 2 && heard.reading == 6);
	free(h);
}
