/* SPDX-License-Identifier: BSD-2-Clause */
/* Two readings of the configuration file: what is to be done, and what people are told. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/conf_diff.h"
#include "config.h"

static char said[8192];

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t used = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + used, sizeof(said) - used, fmt, ap);
	va_end(ap);
}

static void on_line(void *arg, enum conf_line kind, const char *text)
{
	cr_assert(arg == said);
	say("%c %s\n", "+!-"[kind], text);
}

static void on_log_level(void *arg, enum log_level level)
{
	(void)arg;
	say("> level %d\n", (int)level);
}

static void on_leave(void *arg, bool leave)
{
	(void)arg;
	say("> leave %d\n", leave);
}

static void on_paging(void *arg, const struct conf_paging *p)
{
	(void)arg;
	say("> paging %u %u %u %u %u %u %u %u\n", p->cluster, p->depth, p->total_writes,
	    p->reads, p->swblocks, p->give_up, p->stall_after, p->sample);
}

static void on_host(void *arg, const struct conf_host *h)
{
	(void)arg;
	say("> host %x %llu %u %u %s\n", h->given, (unsigned long long)h->budget, h->tax,
	    h->stall_target, h->libvirt_uri);
}

static void on_knobs(void *arg, uint32_t given, const uint64_t *knob)
{
	(void)arg;
	say("> knobs");
	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS; k++)
		if (given & 1u << k)
			say(" %s=%llu", swapcache_knob[k].name, (unsigned long long)knob[k]);
	say("\n");
}

static void on_swap_add(void *arg, const struct conf_swap *s)
{
	(void)arg;
	say("> swap-add %s %d\n", s->path, s->priority);
}

static void on_swap_set(void *arg, const struct conf_swap *s, unsigned int what)
{
	(void)arg;
	say("> swap-set %s %x\n", s->path, what);
}

static void on_disk_add(void *arg, const struct conf_disk *d)
{
	(void)arg;
	say("> disk-add %s %s\n", d->name, d->image);
}

static void on_disk_set(void *arg, const struct conf_disk *d)
{
	(void)arg;
	say("> disk-set %s %s\n", d->name, swapcache_mode_name(d->swapcache));
}

static void on_dump(void *arg, const char *path)
{
	(void)arg;
	say("> dump %s\n", path ? path : "off");
}

static const struct conf_diff_ops ops = {
	on_line,     on_log_level, on_leave,	on_paging,   on_host, on_knobs,
	on_swap_add, on_swap_set,  on_disk_add, on_disk_set, on_dump,
};

static struct conf read_text(const char *text)
{
	int fd = memfd_create("drum.conf", 0);
	char path[64];
	struct conf c;
	struct err e = { 0 };

	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	cr_assert_eq(conf_defaults(&c, &e), 0);
	cr_assert_eq(conf_read(&c, path, &e), 0, "%s", e.text);
	close(fd);
	return c;
}

static const struct {
	const char *old, *new, *says;
} cases[] = {
	{ "[drumd]\nleave=yes\n[swap]\ndevice=/a 1 discard\n[paging]\ndepth=3\n",
	  "[paging]\ndepth = 3\n[swap]\ndevice = /a 1 discard\n[drumd]\nleave = on\n", "" },
	{ "", "[drumd]\nrun-dir=/a\nstate-dir=/b\n",
	  "! run-dir " DRUM_RUN_DIR " -> /a needs a restart of drumd\n"
	  "! state-dir " DRUM_STATE_DIR " -> /b needs a restart of drumd\n" },
	{ "", "[drumd]\nlog-level=debug\nleave=yes\n",
	  "+ log-level info -> debug\n> level 3\n+ leave no -> yes\n> leave 1\n" },
	/* what is not given has a default here, which is known */
	{ "[drumd]\nlog-level=debug\nleave=yes\n", "",
	  "+ log-level debug -> info\n> level 2\n+ leave yes -> no\n> leave 0\n" },
	{ "[paging]\ndepth=8\nreads=2\n", "[paging]\ndepth=16\ncluster=128K\nsample=off\n",
	  "+ paging cluster (not given) -> 128K\n+ paging depth 8 -> 16\n"
	  "- paging reads is no longer in the file; it stays as it is until drumd is started "
	  "anew\n"
	  "+ paging sample (not given) -> off\n> paging 131072 16 0 0 0 0 0 4294967295\n" },
	{ "[paging]\ntotal-writes=1\nswblocks=1024\ngive-up=1\nstall-after=1\n",
	  "[paging]\ntotal-writes=2\nswblocks=1025\ngive-up=2\nstall-after=3\n",
	  "+ paging total-writes 1 -> 2\n+ paging swblocks 1024 -> 1025\n"
	  "+ paging give-up 1 -> 2\n+ paging stall-after 1 -> 3\n"
	  "> paging 0 0 2 0 1025 2 3 0\n" },
	{ "[host]\nbudget=none\nidle-tax=5\n",
	  "[host]\nbudget=3G\nidle-tax=5\nstall-target=0.25\nlibvirt-uri=test:///default\n",
	  "+ host budget none -> 3G\n+ host stall-target (not given) -> 0.2500%\n"
	  "+ host libvirt-uri (not given) -> test:///default\n"
	  "> host d 3221225472 5 2500 test:///default\n" },
	{ "[host]\nbudget=3G\nidle-tax=5\n", "[host]\nidle-tax=6\n",
	  "- host budget is no longer in the file; it stays as it is until drumd is started "
	  "anew\n"
	  "+ host idle-tax 5% -> 6%\n> host 2 0 6 0 \n" },
	{ "[swapcache]\nread_enable=on\naccrate=100K\nmaxswappct=20\n",
	  "[swapcache]\nread_enable=off\naccrate=200K\n",
	  "+ swapcache read_enable on -> off\n"
	  "- swapcache maxswappct is no longer in the file; it stays as it is until drumd is "
	  "started anew\n"
	  "+ swapcache accrate 100K -> 200K\n> knobs read_enable=0 accrate=204800\n" },
	{ "[swap]\ndevice=/a\ndevice=/b 2\n", "[swap]\ndevice=/c 3\ndevice=/a 4\n",
	  "+ device /c is switched on\n> swap-add /c 3\n+ device /a priority 0 -> 4\n"
	  "> swap-set /a 1\n"
	  "- device /b is no longer in the file; `drumctl swap off /b` takes it out\n" },
	{ "[swap]\ndevice=/a 1 max-inflight=2 max-bandwidth=1M discard endurance=1G\n",
	  "[swap]\ndevice=/a 1 max-inflight=3 endurance=none\n",
	  "+ device /a max-inflight 2 -> 3\n+ device /a max-bandwidth 1M -> none\n"
	  "+ device /a discard yes -> no\n+ device /a endurance 1G -> none\n"
	  "> swap-set /a 1e\n" },
	{ "[swap]\ndevice=/a\ndevice=/b endurance=1G\n",
	  "[swap]\ndevice=/a endurance=2G\ndevice=/b\n",
	  "+ device /a endurance (not given) -> 2G\n> swap-set /a 10\n"
	  "- device /b: endurance is no longer in the file; its budget stays\n" },
	{ "[swap]\ndevice=/a mirror=/b\ndevice=/c\n",
	  "[swap]\ndevice=/a mirror=/d\ndevice=/c no-checksums\n",
	  "- device /a: its mirror has changed in the file, which cannot be done while it is "
	  "on: `drumctl swap off /a`, and then `drumctl swap on`\n"
	  "- device /c: its no-checksums has changed in the file, which cannot be done while "
	  "it is on: `drumctl swap off /c`, and then `drumctl swap on`\n" },
	{ "[disk]\ndevice=a /a\ndevice=b /b\n",
	  "[disk]\ndevice=a /a swapcache=off\ndevice=c /c\n",
	  "+ disk a swapcache auto -> off\n> disk-set a off\n+ disk c is added\n"
	  "> disk-add c /c\n"
	  "- disk b is no longer in the file; `drumctl disk remove b` takes it out\n" },
	{ "[disk]\ndevice=a /a\n",
	  "[disk]\ndevice=a /b socket=/s serial=x guest=g cache=unsafe read-only no-map "
	  "queues=2\n",
	  "- disk a: its image, socket, serial, guest, cache, read-only, no-map, queues "
	  "changed "
	  "in the file, which takes `drumctl disk remove a` and `drumctl disk add`\n" },
	{ "", "[dump]\ndevice=/a\n", "+ dump device (none) -> /a\n> dump /a\n" },
	{ "[dump]\ndevice=/a\n", "[dump]\ndevice=/b\n", "+ dump device /a -> /b\n> dump /b\n" },
	{ "[dump]\ndevice=/a\n", "", "+ dump device /a -> (none)\n> dump off\n" },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

Test(conf_diff, each)
{
	for (size_t i = 0; i < CASES; i++) {
		struct conf old = read_text(cases[i].old), new = read_text(cases[i].new);

		said[0] = '\0';
		conf_diff(&old, &new, &ops, said);
		cr_expect_str_eq(said, cases[i].says, "case %zu: %s", i, said);
		/* and of a file to itself there is nothing */
		said[0] = '\0';
		conf_diff(&new, &new, &ops, said);
		cr_expect_str_eq(said, "", "case %zu: %s", i, said);
		conf_free(&old);
		conf_free(&new);
	}
}
