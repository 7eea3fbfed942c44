/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mode hostile: what no front end and no driver may do, one thing after the other.
 *
 * Theory of operation
 *
 * Each case is a process of its own, with RAM of its own, so that it may do anything to it, and
 * is ended if it takes too long.  It says what the back end did: closed the connection,
 * refused (an answer that is an error), answered, failed the request, told of an error of the
 * ring (its error eventfd), or nothing within a while.  Another process then connects as a
 * front end should and reads a sector: the back end must serve it.  What is worst is counted: a
 * back end that serves nobody any more.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"

/* The process that listens where we connect, as the last one that was served has seen it. */
static pid_t *served_by;

#define CASE_SECONDS  40
#define WAIT_MS	      1000
#define ALIVE_SECONDS 30

static void give_up(struct hostile *h, const char *what)
{
	printf("no chance, %s: %s\n", what, h->f.why);
	fflush(stdout);
	_exit(3);
}

void hostile_dial(struct hostile *h)
{
	if (front_dial(&h->f) < 0)
		give_up(h, "connect");
}

void hostile_connect(struct hostile *h)
{
	if (front_connect(&h->f) < 0)
		give_up(h, "features");
}

void hostile_up(struct hostile *h)
{
	uint64_t index = 0;

	hostile_connect(h);
	if (front_start(&h->f) < 0)
		give_up(h, "start");
	h->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (front_tell(&h->f, VHOST_SET_VRING_ERR, &index, sizeof(index), &h->err, 1) < 0)
		give_up(h, "SET_VRING_ERR");
}

void hostile_say(struct hostile *h, uint32_t request, uint32_t flags, const void *payload,
		 uint32_t size, const int *fds, unsigned int nfds)
{
	struct vhost_header m = { .request = request, .flags = flags, .size = size };

	if (front_send(&h->f, &m, payload, fds, nfds) < 0)
		return; /* it is closed already: that is seen */
}

void hostile_with_fds(struct hostile *h, uint32_t request, const void *payload, uint32_t size,
		      int fd, unsigned int n)
{
	int fds[64];

	for (unsigned int i = 0; i < n; i++)
		fds[i] = fd;
	hostile_connect(h);
	hostile_say(h, request, VHOST_VERSION | VHOST_NEED_REPLY, payload, size, fds, n);
}

/* An answer has come. => false: it is the end of the connection */
static bool heard(struct hostile *h, char *said, size_t size)
{
	struct {
		struct vhost_header h;
		uint8_t payload[VHOST_PAYLOAD_MAX];
	} m;
	ssize_t n = recv(h->f.sock, &m, sizeof(m), 0);
	uint64_t code = 0;

	if (n <= 0)
		return false;
	if (n >= (ssize_t)(sizeof(m.h) + 8))
		memcpy(&code, m.payload, 8);
	if (m.h.size == 8 && !vhost_msg_is_answered(m.h.request))
		snprintf(said, size, code ? "refused" : "accepted");
	else
		snprintf(said, size, "answered, %u bytes", m.h.size);
	return true;
}

/* What the request came to, if it was answered. */
static bool request_done(struct hostile *h, char *said, size_t size)
{
	struct fqueue *q = &h->f.queue[0];
	uint8_t status;

	if (!h->status_at || __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == h->used)
		return false;
	status = *(uint8_t *)front_at(&h->f, h->status_at, 1, NULL);
	snprintf(said, size, "request %s",
		 status == VIRTIO_BLK_S_OK	 ? "done"
		 : status == VIRTIO_BLK_S_IOERR	 ? "failed"
		 : status == VIRTIO_BLK_S_UNSUPP ? "unsupported"
						 : "answered without a status");
	return true;
}

static void observe(struct hostile *h)
{
	uint64_t end = front_now_ns() + WAIT_MS * UINT64_C(1000000), count;
	char said[64] = "nothing";

	while (front_now_ns() < end) {
		struct pollfd fds[2] = { { .fd = h->f.sock, .events = POLLIN },
					 { .fd = h->err, .events = POLLIN } };

		if (h->f.sock < 0 ||
		    (poll(fds, 2, 20) > 0 && fds[0].revents && !heard(h, said, sizeof(said)))) {
			snprintf(said, sizeof(said), "closed");
			break;
		}
		if (fds[1].revents && read(h->err, &count, sizeof(count)) > 0) {
			snprintf(said, sizeof(said), "ring given up");
			break;
		}
		if (request_done(h, said, sizeof(said)))
			break;
	}
	printf("%s\n", said);
}

/* ---- processes ---- */

static int prepared(struct hostile *h, const struct mode_options *o)
{
	struct front_options front = o->front;

	front.ram = 16 << 20;
	front.scattered = false;
	front.queues = 1;
	front.num = 64;
	front.wait_s = 10;
	h->err = -1;
	h->rng = o->seed;
	return front_init(&h->f, &front);
}

static int act(const struct mode_options *o, const struct hostile_case *c)
{
	struct hostile *h = calloc(1, sizeof(*h));

	if (!h || prepared(h, o) < 0)
		return 3;
	c->run(h);
	if (h->closed_by_us)
		printf("-\n");
	else if (h->impossible)
		printf("not possible\n");
	else
		observe(h);
	fflush(stdout);
	return 0;
}

/* As a front end should. => 0: it was served */
static int behave(const struct mode_options *o)
{
	struct hostile *h = calloc(1, sizeof(*h));
	struct request *r = calloc(1, sizeof(*r));
	struct pollfd call = { .events = POLLIN };
	struct ucred peer;
	socklen_t size = sizeof(peer);
	struct fqueue *q;
	void *token;
	uint32_t len;

	if (!h || !r || prepared(h, o) < 0 || front_connect(&h->f) < 0 ||
	    front_start(&h->f) < 0)
		return 1;
	if (getsockopt(h->f.sock, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return 1;
	*served_by = peer.pid;
	q = &h->f.queue[0];
	*r = (struct request){ .gpa = h->f.ring_end, .type = VIRTIO_BLK_T_IN, .sectors = 8 };
	request_plain(&h->f, r);
	request_submit(&h->f, r, false);
	fqueue_kick(q);
	call.fd = q->call;
	while (!fqueue_arm(q))
		if (poll(&call, 1, 10000) <= 0)
			return 1;
	if (fqueue_get(q, &token, &len, h->f.why, sizeof(h->f.why)) != 1 ||
	    request_status(&h->f, r) != VIRTIO_BLK_S_OK)
		return 1;
	return front_stop(&h->f) < 0;
}

/* => its exit status; -1: it was ended, since it took too long or by a signal */
static int wait_for(pid_t pid, unsigned int seconds)
{
	uint64_t end = front_now_ns() + seconds * UINT64_C(1000000000);
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (front_now_ns() > end) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		usleep(2000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool is_alive(const struct mode_options *o)
{
	uint64_t end = front_now_ns() + ALIVE_SECONDS * UINT64_C(1000000000);

	do {
		pid_t pid = fork();

		if (pid == 0)
			_exit(behave(o));
		if (pid < 0)
			return false;
		if (wait_for(pid, ALIVE_SECONDS) == 0)
			return true;
		usleep(100000);
	} while (front_now_ns() < end);
	return false;
}

/* => 0: all is well */
static int attempt(const struct mode_options *o, const struct hostile_case *c)
{
	pid_t pid, before;
	uint64_t began;
	int rc;

	printf("front hostile %s: ", c->name);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(act(o, c));
	rc = pid < 0 ? -1 : wait_for(pid, CASE_SECONDS);
	if (rc != 0)
		printf("front hostile %s: BAD, the case itself %s\n", c->name,
		       rc < 0 ? "was ended" : "failed");
	began = front_now_ns();
	before = *served_by;
	if (!is_alive(o)) {
		printf("front hostile %s: BAD, the back end serves nobody any more\n", c->name);
		return 1;
	}
	if (*served_by != before) {
		printf("front hostile %s: BAD, the back end died, and there is another one\n",
		       c->name);
		return 1;
	}
	if (front_now_ns() - began > UINT64_C(5000000000))
		printf("front hostile %s: the next one was served after %.1f s\n", c->name,
		       (double)(front_now_ns() - began) / 1e9);
	return rc != 0;
}

int mode_hostile(const struct mode_options *o)
{
	static const struct hostile_case *const lists[] = { hostile_messages, hostile_setup,
							    hostile_rings };
	unsigned int n = 0, bad = 0;

	served_by = mmap(NULL, sizeof(*served_by), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (served_by == MAP_FAILED)
		return 1;
	setvbuf(stdout, NULL, _IOFBF, 4096);
	if (!is_alive(o)) {
		printf("front hostile: nobody serves %s\n", o->front.socket);
		return 1;
	}
	for (unsigned int i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct hostile_case *c = lists[i]; c->name; c++) {
			if (o->only && strcmp(o->only, c->name) != 0)
				continue;
			n++;
			bad += (unsigned int)attempt(o, c);
		}
	printf("front hostile done cases=%u, bad %u\n", n, bad);
	return bad ? 1 : 0;
}
