/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * libvirt brings some thirty libraries, which a host without it need not have and a pager
 * that needs it not should not lock in memory: it is loaded when the first domain is given,
 * and stays.  Its headers give the types, and each function is looked up under its name.
 *
 * A domain has a connection of its own.  Over a shared one, a call that hangs would keep
 * those of other threads from the socket.
 *
 * The VMM's process is not in the API.  libvirt notes it in a file, where the session's or
 * the system's daemon keeps them; that file and the names of its threads ("CPU 0/KVM") tell
 * which are vCPUs.  Where there is no such file none is known.
 *
 * autodeflate and freePageReporting stand in the domain's XML only, as attributes of
 * <memballoon>, which libvirt writes, with ' and after all that users may have put there.
 */
#include "balloon/virt_api.h"

#include "config.h"

#include <errno.h>

#if DRUM_HAVE_LIBVIRT

#include <dirent.h>
#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY	   "libvirt.so.0"
#define URI_SYSTEM "qemu:///system"
#define KIB	   1024u
#define LOOKS	   32u /* of which one looks for vCPUs */

#define FUNCTIONS(f)                                                                           \
	f(virConnectOpen) f(virConnectClose) f(virConnectGetURI) f(virDomainLookupByName)      \
		f(virDomainFree) f(virDomainGetState) f(virDomainGetXMLDesc)                   \
			f(virDomainMemoryStats) f(virDomainSetMemoryStatsPeriod)               \
				f(virDomainSetMemoryFlags) f(virGetLastError)                  \
					f(virGetLastErrorMessage) f(virSetErrorFunc)

static struct {
#define MEMBER(name) __typeof__(name) *name;
	FUNCTIONS(MEMBER)
#undef MEMBER
} vir;

struct virt_domain {
	virConnectPtr connection;
	virDomainPtr domain;
	uint32_t seconds; /* that the driver tells in; 0: not set yet */
	unsigned int looks;
	bool deflate_on_oom, reports_free;
	pid_t vcpu[VIRT_VCPUS_MAX];
	size_t vcpus;
	char pid_file[512];
};

static int fail(struct err *e, const char *what)
{
	virErrorPtr last = vir.virGetLastError();

	return err_set(e, last && last->code == VIR_ERR_NO_DOMAIN ? -ENOENT : -EIO, "%s: %s",
		       what, vir.virGetLastErrorMessage());
}

/* Where the daemon of this connection keeps the pid of a domain. */
static void find_pid_file(struct virt_domain *d, const char *name)
{
	char *uri = vir.virConnectGetURI(d->connection);
	const char *path = uri ? strstr(uri, ":///") : NULL;
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	/* of another host there is none here */
	if (!path || strchr(name, '/'))
		;
	else if (strncmp(path + 4, "system", 6) == 0)
		snprintf(d->pid_file, sizeof(d->pid_file), "/run/libvirt/qemu/%s.pid", name);
	else if (strncmp(path + 4, "session", 7) == 0 && runtime)
		snprintf(d->pid_file, sizeof(d->pid_file), "%s/libvirt/qemu/run/%s.pid",
			 runtime, name);
	free(uri);
}

static void close_domain(struct virt_domain *d)
{
	if (d->domain)
		vir.virDomainFree(d->domain);
	if (d->connection)
		vir.virConnectClose(d->connection);
	free(d);
}

static int open_domain(const char *uri, const char *name, struct virt_domain **out,
		       struct err *e)
{
	struct virt_domain *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return err_set(e, -ENOMEM, "no memory");
	if (!uri || !uri[0])
		uri = URI_SYSTEM;
	d->connection = vir.virConnectOpen(uri);
	if (!d->connection) {
		ret = fail(e, uri);
		close_domain(d);
		return ret;
	}
	d->domain = vir.virDomainLookupByName(d->connection, name);
	if (!d->domain) {
		ret = fail(e, "libvirt");
		close_domain(d);
		return ret;
	}
	find_pid_file(d, name);
	*out = d;
	return 0;
}

static bool is_vcpu(const char *comm)
{
	unsigned int n;
	char kind[8];

	return sscanf(comm, "CPU %u/%7s", &n, kind) == 2 &&
	       (strcmp(kind, "KVM") == 0 || strcmp(kind, "TCG") == 0);
}

static bool read_line(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, size, f);

	if (f)
		fclose(f);
	return ok;
}

static void find_vcpus(struct virt_domain *d)
{
	char path[64], line[32];
	struct dirent *entry;
	DIR *tasks;
	long pid;

	d->vcpus = 0;
	if (!d->pid_file[0] || !read_line(d->pid_file, line, sizeof(line)))
		return;
	pid = strtol(line, NULL, 10);
	if (pid <= 0 || pid > INT32_MAX)
		return;
	snprintf(path, sizeof(path), "/proc/%ld/task", pid);
	tasks = opendir(path);
	while (tasks && d->vcpus < VIRT_VCPUS_MAX && (entry = readdir(tasks))) {
		long tid = strtol(entry->d_name, NULL, 10);

		snprintf(path, sizeof(path), "/proc/%ld/task/%ld/comm", pid, tid);
		if (tid > 0 && read_line(path, line, sizeof(line)) && is_vcpu(line))
			d->vcpu[d->vcpus++] = (pid_t)tid;
	}
	if (tasks)
		closedir(tasks);
}

/* The last <memballoon ..>: what users may write stands before <devices>. */
static void read_xml(struct virt_domain *d)
{
	char *xml = vir.virDomainGetXMLDesc(d->domain, 0), *at, *next, *end;

	at = xml ? strstr(xml, "<memballoon") : NULL;
	while (at && (next = strstr(at + 1, "<memballoon")))
		at = next;
	end = at ? strchr(at, '>') : NULL;
	if (end) {
		*end = '\0';
		d->deflate_on_oom = strstr(at, "autodeflate='on'") != NULL;
		d->reports_free = strstr(at, "freePageReporting='on'") != NULL;
	}
	free(xml);
}

static void take_stats(const virDomainMemoryStatStruct *stat, int n, struct virt_look *out)
{
	bool has_available = false, has_total = false;
	int i;

	for (i = 0; i < n; i++) {
		uint64_t value = stat[i].val;
		uint64_t bytes = value > UINT64_MAX / KIB ? UINT64_MAX : value * KIB;

		switch (stat[i].tag) {
		case VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON:
			out->balloon = true;
			out->actual = bytes;
			break;
		case VIR_DOMAIN_MEMORY_STAT_UNUSED:
			out->has_free = true;
			out->free = bytes;
			break;
		case VIR_DOMAIN_MEMORY_STAT_AVAILABLE: /* to the guest's kernel at all */
			has_total = true;
			out->total = bytes;
			break;
		case VIR_DOMAIN_MEMORY_STAT_USABLE:
			has_available = true;
			out->available = bytes;
			break;
		case VIR_DOMAIN_MEMORY_STAT_DISK_CACHES:
			out->caches = bytes;
			break;
		case VIR_DOMAIN_MEMORY_STAT_SWAP_IN:
			out->swapped_in = bytes;
			break;
		case VIR_DOMAIN_MEMORY_STAT_SWAP_OUT:
			out->swapped_out = bytes;
			break;
		case VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT:
			out->major_faults = value;
			break;
		case VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE:
			out->told = value;
			break;
		}
	}
	out->has_free = out->has_free && has_total;
	if (!has_available)
		out->available = out->free;
}

static int look(struct virt_domain *d, uint32_t seconds, struct virt_look *out, struct err *e)
{
	virDomainMemoryStatStruct stat[VIR_DOMAIN_MEMORY_STAT_NR];
	int state, reason, n;

	*out = (struct virt_look){ 0 };
	if (vir.virDomainGetState(d->domain, &state, &reason, 0) < 0)
		return fail(e, "libvirt");
	if (state == VIR_DOMAIN_SHUTOFF)
		return err_set(e, -ENOENT, "the domain is shut off");
	out->running = state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED;
	out->panicked = state == VIR_DOMAIN_CRASHED;
	if (d->seconds != seconds) {
		/* without a balloon it is refused, which the statistics show too */
		(void)vir.virDomainSetMemoryStatsPeriod(d->domain, (int)seconds,
							VIR_DOMAIN_AFFECT_LIVE);
		d->seconds = seconds;
	}
	n = vir.virDomainMemoryStats(d->domain, stat, VIR_DOMAIN_MEMORY_STAT_NR, 0);
	if (n < 0)
		return fail(e, "libvirt");
	take_stats(stat, n, out);
	if (d->looks == 0)
		read_xml(d);
	/* they may be plugged */
	if (d->looks++ % LOOKS == 0)
		find_vcpus(d);
	out->deflate_on_oom = out->balloon && d->deflate_on_oom;
	out->reports_free = out->balloon && d->reports_free;
	memcpy(out->vcpu, d->vcpu, d->vcpus * sizeof(d->vcpu[0]));
	out->vcpus = d->vcpus;
	return 0;
}

static int set_ram(struct virt_domain *d, uint64_t bytes, struct err *e)
{
	if (vir.virDomainSetMemoryFlags(d->domain, bytes / KIB, VIR_DOMAIN_AFFECT_LIVE) < 0)
		return fail(e, "balloon");
	return 0;
}

/* It would write to standard error. */
static void ignore(void *arg, virErrorPtr error)
{
	(void)arg;
	(void)error;
}

const struct virt_api *virt_api_load(struct err *e)
{
	static const struct virt_api api = {
		.open = open_domain,
		.look = look,
		.set_ram = set_ram,
		.close = close_domain,
	};
	static void *library; /* for good */

	if (library)
		return &api;
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		err_set(e, -ENOENT, "a domain of libvirt needs its library: %s", dlerror());
		return NULL;
	}
#define LOOK_UP(name)                                                                          \
	vir.name = (__typeof__(vir.name))dlsym(library, #name);                                \
	if (!vir.name) {                                                                       \
		err_set(e, -ENOSYS, "%s has no %s: too old", LIBRARY, #name);                  \
		dlclose(library);                                                              \
		library = NULL;                                                                \
		return NULL;                                                                   \
	}
	FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	vir.virSetErrorFunc(NULL, ignore);
	return &api;
}

#else

const struct virt_api *virt_api_load(struct err *e)
{
	err_set(e, -ENOSYS, "built without libvirt: install libvirt-dev, and build again");
	return NULL;
}

#endif
