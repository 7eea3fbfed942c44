/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * One table, of names and of duplicates that belong to it.  What comes back at
 * the start is in it as `stale`, until somebody puts or takes it; store_sweep
 * forgets what stays stale.
 *
 * Handed over to the next program of this process: all descriptors lose their
 * close-on-exec flag, and a memfd that is inherited with them has a line for
 * each.  An environment variable has its number, and our process id, so that
 * a child that inherits the variable by mistake does not believe it.  It is no
 * LISTEN_FDS because that wants descriptors to be 3, 4, 5..., and moving them
 * there would destroy others before it is known whether the exec succeeds; a
 * variable with all names could be longer than one may be (128 KiB).
 *
 *	drum-handover 1
 *	fd NUMBER SERVICE NAME
 *	text KEY TEXT
 *
 * Lines of other kinds are passed over: a later drumd may have more to say.
 *
 * To the service manager a descriptor is sent once, when it is put; it returns
 * all of them to the next process, under the same names, and keeps its own.
 * It would have both of one name, so the old one is removed first.
 * FDPOLL=0, because a userfaultfd polls as an error until it is used.  What it
 * has no room for (FileDescriptorStoreMax=) it drops, and does not say so.
 */

#include "keeper/store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"

#define HANDOVER      "DRUM_HANDOVER" /* PID:NUMBER */
#define HANDOVER_NAME "drum-handover"
#define TEXTS_MAX     8

struct entry {
	char *name;
	int fd;
	bool service; /* the service manager has it too */
	bool stale;   /* nobody has asked for it yet */
};

struct text {
	char key[32];
	char text[STORE_TEXT_MAX];
};

static struct {
	pthread_mutex_t lock; /* leaf */
	struct entry *entry;
	size_t n, room;
	struct text text[TEXTS_MAX]; /* main thread's */
	size_t ntexts;
	int memfd; /* -1: nothing is being handed over */
	bool handed_over;
} store = { .lock = PTHREAD_MUTEX_INITIALIZER, .memfd = -1 };

static bool name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > STORE_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == ':')
			return false;
	return true;
}

/* => with the lock */
static struct entry *find(const char *name)
{
	for (size_t i = 0; i < store.n; i++)
		if (strcmp(store.entry[i].name, name) == 0)
			return &store.entry[i];
	return NULL;
}

/* Has the service manager another of that name? => with the lock */
static bool is_with_service(const char *name)
{
	const struct entry *e = find(name);

	return e && e->service;
}

/* Takes fd over. => with the lock; 0 or -errno */
static int add(const char *name, int fd, bool service, bool stale)
{
	struct entry *e = find(name);

	if (e) {
		close(e->fd);
		e->fd = fd;
		e->service = service;
		e->stale = stale;
		return 0;
	}
	if (store.n == STORE_MAX)
		return -ENFILE;
	if (store.n == store.room) {
		size_t room = store.room ? 2 * store.room : 64;

		e = realloc(store.entry, room * sizeof(*e));
		if (!e)
			return -ENOMEM;
		store.entry = e;
		store.room = room;
	}
	e = &store.entry[store.n];
	*e = (struct entry){ strdup(name), fd, service, stale };
	if (!e->name)
		return -ENOMEM;
	store.n++;
	return 0;
}

/* => with the lock */
static void drop(struct entry *e)
{
	close(e->fd);
	free(e->name);
	*e = store.entry[--store.n];
}

/* The service manager's copies. */

void store_notify(const char *state)
{
	/* without one it is 0 */
	if (sd_notify(0, state) < 0)
		log_warn("the service manager cannot be told %s", state);
}

static void tell_put(const char *name, int fd)
{
	char state[STORE_NAME_MAX + 64];
	int ret;

	snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	ret = sd_pid_notify_with_fds(0, 0, state, &fd, 1);
	if (ret < 0)
		log_warn("the service manager does not take %s: %s", name, strerror(-ret));
}

static void tell_forgotten(const char *name)
{
	char state[STORE_NAME_MAX + 64];

	snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	store_notify(state);
}

/* Start. */

/* fd came with the process. => whether it is in the table, under a number of ours */
static bool receive(const char *name, int fd, bool service)
{
	int copy, ret;

	if (fcntl(fd, F_GETFD) < 0)
		return false;
	copy = name_ok(name) && !find(name) ? fcntl(fd, F_DUPFD_CLOEXEC, STORE_FD_MIN) : -1;
	close(fd);
	if (copy < 0)
		return false;
	ret = add(name, copy, service, true);
	if (ret < 0)
		close(copy);
	return ret == 0;
}

/* What we have given it, and nothing else of ours: not the lock, not the socket. */
static bool is_stored_by_service(const char *name)
{
	return strncmp(name, "uffd-", 5) == 0 || strncmp(name, "memfd-", 6) == 0 ||
	       strncmp(name, "swap-", 5) == 0 || strncmp(name, "disk/", 5) == 0;
}

static void from_service_manager(void)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	if (n < 0)
		log_err("descriptors of the service manager cannot be taken: %s", strerror(-n));
	for (int i = 0; i < n; i++) {
		if (!is_stored_by_service(names[i]) ||
		    !receive(names[i], SD_LISTEN_FDS_START + i, true))
			log_warn("descriptor %d of the service manager, '%.64s', is not used",
				 SD_LISTEN_FDS_START + i, names[i]);
		free(names[i]);
	}
	free(names);
}

static void take_line(char *line)
{
	char name[STORE_NAME_MAX + 2];
	int fd, service, from = 0;

	if (sscanf(line, "fd %d %d %256s%n", &fd, &service, name, &from) == 3) {
		if (line[from] != '\0' || fd < STORE_FD_MIN || fd == store.memfd ||
		    !receive(name, fd, service != 0))
			log_warn("a descriptor that was handed over is not used: %.80s", line);
	} else if (sscanf(line, "text %31s %n", name, &from) == 1 && from > 0) {
		store_set(name, line + from);
	}
}

/* => whether fd is what store_hand_over has made */
static bool is_handover(int fd)
{
	char self[64], target[64];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strncmp(target, "/memfd:" HANDOVER_NAME, strlen("/memfd:" HANDOVER_NAME)) == 0;
}

static void from_before_exec(void)
{
	const char *value = getenv(HANDOVER);
	char line[STORE_NAME_MAX + STORE_TEXT_MAX + 64], end;
	int pid, fd, version = 0;
	FILE *f;

	if (!value)
		return;
	if (sscanf(value, "%d:%d%c", &pid, &fd, &end) != 2 || pid != (int)getpid() ||
	    fd < STORE_FD_MIN || !is_handover(fd)) {
		log_warn(HANDOVER "=%.40s is not for this process", value);
		unsetenv(HANDOVER);
		return;
	}
	unsetenv(HANDOVER);
	store.memfd = fd;
	f = fdopen(fd, "re");
	if (f)
		rewind(f);
	if (!f || !fgets(line, sizeof(line), f) ||
	    sscanf(line, "drum-handover %d", &version) != 1 || version != 1)
		log_err("what an earlier drumd has handed over cannot be read");
	while (version == 1 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		take_line(line);
	}
	store.handed_over = version == 1;
	store.memfd = -1;
	if (f)
		fclose(f);
	else
		close(fd);
}

size_t store_init(void)
{
	from_before_exec();
	from_service_manager();
	return store.n;
}

void store_fini(void)
{
	store_keep();
	while (store.n > 0)
		drop(&store.entry[store.n - 1]);
	free(store.entry);
	store.entry = NULL;
	store.room = 0;
	store.ntexts = 0;
	store.handed_over = false;
}

bool store_was_handed_over(void)
{
	return store.handed_over;
}

/* The table. */

/* Is it there already, as it should be? */
static bool has(const char *name, int fd, bool service)
{
	pid_t me = getpid();
	struct entry *e;
	bool same;

	pthread_mutex_lock(&store.lock);
	e = find(name);
	same = e && e->service == service &&
	       syscall(SYS_kcmp, me, me, KCMP_FILE, e->fd, fd) == 0;
	if (same)
		e->stale = false;
	pthread_mutex_unlock(&store.lock);
	return same;
}

int store_put(const char *name, int fd, bool service)
{
	int copy, ret = -EINVAL;
	bool instead = false;

	if (has(name, fd, service))
		return 0;
	copy = name_ok(name) ? fcntl(fd, F_DUPFD_CLOEXEC, STORE_FD_MIN) : -1;
	if (copy >= 0) {
		pthread_mutex_lock(&store.lock);
		instead = is_with_service(name);
		ret = add(name, copy, service, false);
		pthread_mutex_unlock(&store.lock);
		if (ret < 0)
			close(copy);
	} else if (name_ok(name)) {
		ret = -errno;
	}
	if (ret == 0 && instead)
		tell_forgotten(name);
	if (ret < 0)
		log_warn("descriptor %.255s cannot be stored: %s", name, strerror(-ret));
	else if (service)
		tell_put(name, fd);
	return ret;
}

int store_take(const char *name)
{
	struct entry *e;
	int fd = -ENOENT;

	pthread_mutex_lock(&store.lock);
	e = find(name);
	if (e) {
		fd = fcntl(e->fd, F_DUPFD_CLOEXEC, STORE_FD_MIN);
		if (fd < 0)
			fd = -errno;
		e->stale = false;
	}
	pthread_mutex_unlock(&store.lock);
	return fd;
}

void store_forget(const char *name)
{
	bool service = false;
	struct entry *e;

	pthread_mutex_lock(&store.lock);
	e = find(name);
	if (e) {
		service = e->service;
		drop(e);
	}
	pthread_mutex_unlock(&store.lock);
	if (service)
		tell_forgotten(name);
}

size_t store_sweep(bool (*needed)(const char *name))
{
	size_t n = 0;

	for (;;) {
		char name[STORE_NAME_MAX + 1] = "";

		pthread_mutex_lock(&store.lock);
		for (size_t i = 0; i < store.n && !name[0]; i++)
			if (store.entry[i].stale && !needed(store.entry[i].name))
				strcpy(name, store.entry[i].name); /* name_ok */
		pthread_mutex_unlock(&store.lock);
		if (!name[0])
			return n;
		log_debug("descriptor %s is not needed any more", name);
		store_forget(name);
		n++;
	}
}

void store_set(const char *key, const char *text)
{
	struct text *t = NULL;

	for (size_t i = 0; i < store.ntexts; i++)
		if (strcmp(store.text[i].key, key) == 0)
			t = &store.text[i];
	if (!t && store.ntexts == TEXTS_MAX)
		return;
	if (!t)
		t = &store.text[store.ntexts++];
	snprintf(t->key, sizeof(t->key), "%s", key);
	snprintf(t->text, sizeof(t->text), "%s", text);
	for (char *c = t->text; *c; c++)
		if (*c == '\n')
			*c = ' ';
}

const char *store_get(const char *key)
{
	for (size_t i = 0; i < store.ntexts; i++)
		if (strcmp(store.text[i].key, key) == 0)
			return store.text[i].text;
	return "";
}

/* Handing over. */

static void set_cloexec(bool on)
{
	for (size_t i = 0; i < store.n; i++)
		fcntl(store.entry[i].fd, F_SETFD, on ? FD_CLOEXEC : 0);
	if (store.memfd >= 0)
		fcntl(store.memfd, F_SETFD, on ? FD_CLOEXEC : 0);
}

/* => 0 or -errno */
static int write_table(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, STORE_FD_MIN);
	FILE *f = copy >= 0 ? fdopen(copy, "we") : NULL;
	bool ok;

	if (!f) {
		int ret = -errno;

		if (copy >= 0)
			close(copy);
		return ret;
	}
	fprintf(f, "drum-handover 1\n");
	for (size_t i = 0; i < store.n; i++)
		fprintf(f, "fd %d %d %s\n", store.entry[i].fd, store.entry[i].service,
			store.entry[i].name);
	for (size_t i = 0; i < store.ntexts; i++)
		fprintf(f, "text %s %s\n", store.text[i].key, store.text[i].text);
	ok = !ferror(f);
	return fclose(f) == 0 && ok ? 0 : -EIO;
}

int store_hand_over(struct err *e)
{
	char value[48];
	int fd, ret;

	store_keep();
	fd = memfd_create(HANDOVER_NAME, MFD_CLOEXEC);
	if (fd >= 0) {
		store.memfd = fcntl(fd, F_DUPFD_CLOEXEC, STORE_FD_MIN);
		close(fd);
	}
	ret = store.memfd < 0 ? -errno : write_table(store.memfd);
	snprintf(value, sizeof(value), "%d:%d", (int)getpid(), store.memfd);
	if (ret == 0 && setenv(HANDOVER, value, 1) < 0)
		ret = -errno;
	if (ret < 0) {
		store_keep();
		return err_set(e, ret, "descriptors cannot be handed over: %s", strerror(-ret));
	}
	set_cloexec(false);
	return 0;
}

void store_keep(void)
{
	if (store.memfd < 0)
		return;
	set_cloexec(true);
	close(store.memfd);
	store.memfd = -1;
	unsetenv(HANDOVER);
}
