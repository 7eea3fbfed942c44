/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP server of metrics: server and clients run on one loop in one thread, so that a
 * server that waited for a client would wait for ever.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/http.h"

#define GUARD_MS 20000

static struct loop *loop;
static struct http_server *server;
static int listen_fd;
static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static char dir[] = "/tmp/drum-test-http-XXXXXX";
static size_t made, text_size = 20;
static int make_error;

/* http_text_fn: "prometheus 1 ......" */
static int make(void *arg, enum metrics_format format, char **text, size_t *len)
{
	char number[32];

	(void)arg;
	if (make_error)
		return make_error;
	snprintf(number, sizeof(number), "%s %zu ",
		 format == METRICS_OPENMETRICS ? "open" : "prometheus", ++made);
	*text = malloc(text_size + 1);
	memset(*text, '.', text_size);
	(*text)[text_size] = 0;
	memcpy(*text, number, strlen(number));
	*len = text_size;
	return 0;
}

static void start(struct http_limits limits)
{
	struct err e = { 0 };

	cr_assert(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", dir);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(listen_fd, 64), 0);
	loop = loop_create();
	cr_assert_eq(http_start(loop, listen_fd, &limits, make, NULL, &server, &e), 0, "%s",
		     e.text);
}

static void teardown(void)
{
	http_stop(server);
	loop_destroy(loop);
	close(listen_fd);
	unlink(addr.sun_path);
	rmdir(dir);
}

TestSuite(http, .fini = teardown);

struct peer {
	int fd;
	size_t len;
	bool closed;
	char *text;
};

static struct peer *peer_connect(const char *says)
{
	struct peer *p = calloc(1, sizeof(*p));

	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_eq(connect(p->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(send(p->fd, says, strlen(says), 0), (ssize_t)strlen(says));
	return p;
}

static void peer_free(struct peer *p)
{
	close(p->fd);
	free(p->text);
	free(p);
}

static void peer_reads(void *arg, uint32_t events)
{
	struct peer *p = arg;
	char buf[65536];
	ssize_t n = recv(p->fd, buf, sizeof(buf), 0);

	(void)events;
	if (n > 0) {
		p->text = realloc(p->text, p->len + (size_t)n + 1);
		memcpy(p->text + p->len, buf, (size_t)n);
		p->len += (size_t)n;
		p->text[p->len] = 0;
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	p->closed = true;
	loop_stop(loop);
}

static void guard(void *arg)
{
	(void)arg;
	cr_assert_fail("nothing happened for %d ms", GUARD_MS);
}

/* Until the server has closed the connection. */
static void peer_finish(struct peer *p)
{
	struct loop_watch *w = loop_add(loop, p->fd, EPOLLIN, peer_reads, p);
	struct loop_watch *g = loop_every(loop, GUARD_MS, guard, NULL);

	while (!p->closed)
		cr_assert(w && g && loop_run(loop) == 0);
	loop_remove(w);
	loop_remove(g);
}

/* => its answer, to be freed */
static char *ask(const char *request)
{
	struct peer *p = peer_connect(request);
	char *text;

	peer_finish(p);
	text = p->text ? p->text : strdup("");
	p->text = NULL;
	peer_free(p);
	return text;
}

static void expect(const char *request, const char *const *parts)
{
	char *text = ask(request);

	for (; *parts; parts++)
		cr_expect(strstr(text, *parts), "%s: no %s in %s", request, *parts, text);
	free(text);
}

#define GET(path, more)	     "GET " path " HTTP/1.1\r\nHost: x\r\n" more "\r\n"
#define EXPECT(request, ...) expect(request, (const char *const[]){ __VA_ARGS__, NULL })

static struct http_limits limits(void)
{
	struct http_limits l = http_default_limits;

	l.cache_ms = 0;
	l.tick_ms = 1;
	return l;
}

Test(http, answers)
{
	start(limits());
	EXPECT(GET("/metrics", ""), "HTTP/1.1 200 OK\r\n",
	       "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
	       "Content-Length: 20\r\n", "Connection: close\r\n",
	       "\r\n\r\nprometheus 1 .......");
	EXPECT("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "Content-Length: 20\r\n");
	EXPECT(GET("/", ""), "200 OK", "Drum's metrics are at /metrics.\n");
	EXPECT(GET("/metrics/", ""), "404 Not Found", "There is only /metrics.\n");
	EXPECT(GET("/../etc/passwd", ""), "404 Not Found");
	EXPECT("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=b", "405 ",
	       "Allow: GET, HEAD\r\n", "Only GET and HEAD are known.\n");
	EXPECT("this is no HTTP\r\n\r\n", "HTTP/1.");
	cr_expect_eq(made, 2);
	make_error = -ENOMEM;
	EXPECT(GET("/metrics", ""), "503 ", "There is no memory for it.\n");
}

Test(http, accept)
{
#define OPEN "application/openmetrics-text"
	static const struct {
		const char *accept;
		bool open;
	} cases[] = {
		{ OPEN, true },
		{ OPEN ";version=1.0.0," OPEN ";version=0.0.1;q=0.75,text/plain;version=0.0.4;"
		       "q=0.5,*/*;q=0.1",
		  true },
		{ "text/html, " OPEN " ;q=0.3", true },
		{ "APPLICATION/OpenMetrics-Text", true },
		{ OPEN ";q=0", false },
		{ OPEN ";version=1.0.0; q=0.0, text/plain", false },
		{ OPEN "2", false },
		{ "text/plain", false },
		{ "*/*", false },
		{ "", false },
		{ ",,;", false },
	};

	start(limits());
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char request[512];

		snprintf(request, sizeof(request), GET("/metrics", "Accept: %s\r\n"),
			 cases[i].accept);
		if (cases[i].open)
			EXPECT(request, "\r\n\r\nopen ",
			       "Content-Type: application/openmetrics-text; version=1.0.0; "
			       "charset=utf-8\r\n");
		else
			EXPECT(request, "\r\n\r\nprometheus ");
	}
}

Test(http, a_text_is_good_for_a_while)
{
	struct http_limits l = limits();

	l.cache_ms = 3600 * 1000;
	start(l);
	EXPECT(GET("/metrics", ""), "prometheus 1 ");
	EXPECT(GET("/metrics", ""), "prometheus 1 ");
	EXPECT(GET("/metrics", "Accept: " OPEN "\r\n"), "open 2 ");
	EXPECT(GET("/metrics", ""), "prometheus 1 ");
	EXPECT(GET("/metrics", "Accept: " OPEN "\r\n"), "open 2 ");
}

Test(http, a_long_text_to_one_who_reads_later)
{
	struct peer *slow;

	text_size = 8 << 20;
	start(limits());
	slow = peer_connect(GET("/metrics", ""));
	/* its answer is being sent, and stops at a full socket */
	for (int i = 0; i < 3; i++)
		EXPECT(GET("/", ""), "200 OK");
	cr_expect_eq(http_clients(server), 1);
	peer_finish(slow);
	cr_expect(strstr(slow->text, "Content-Length: 8388608\r\n"));
	cr_expect_gt(slow->len, text_size);
	cr_expect_eq(slow->text[slow->len - 1], '.');
	peer_free(slow);
}

Test(http, at_the_limit_others_wait_their_turn)
{
	struct http_limits l = limits();
	struct peer *idle[4], *next[8];

	l.clients = 4;
	l.crowd_ms = l.life_ms;
	start(l);
	for (int i = 0; i < 4; i++)
		idle[i] = peer_connect("");
	for (int i = 0; i < 8; i++)
		next[i] = peer_connect(GET("/metrics", ""));
	/* one of those who say nothing says something */
	cr_assert_eq(send(idle[0]->fd, "x\r\n\r\n", 5, 0), 5);
	peer_finish(idle[0]);
	for (int i = 0; i < 8; i++) {
		peer_finish(next[i]);
		cr_expect(strstr(next[i]->text, "200 OK"));
		peer_free(next[i]);
	}
	cr_expect_eq(http_clients(server), 3);
	for (int i = 0; i < 4; i++)
		peer_free(idle[i]);
}

Test(http, who_only_holds_a_place_gives_it_up)
{
	struct http_limits l = limits();
	struct peer *idle[4];

	l.clients = 4;
	l.idle_s = 3600;
	l.crowd_ms = 20;
	start(l);
	for (int i = 0; i < 4; i++)
		idle[i] = peer_connect("GET");
	for (int i = 0; i < 4; i++)
		EXPECT(GET("/metrics", ""), "200 OK");
	peer_finish(idle[0]);
	for (int i = 0; i < 4; i++)
		peer_free(idle[i]);
}

Test(http, nobody_stays_for_ever)
{
	struct http_limits l = limits();
	struct peer *says_little, *reads_nothing;

	text_size = 8 << 20;
	l.life_ms = 20;
	start(l);
	says_little = peer_connect("GET /metr");
	reads_nothing = peer_connect(GET("/metrics", ""));
	peer_finish(says_little);
	peer_finish(reads_nothing);
	cr_expect_lt(reads_nothing->len, text_size);
	cr_expect_eq(http_clients(server), 0);
	peer_free(says_little);
	peer_free(reads_nothing);
}

Test(http, a_request_that_does_not_end)
{
	char *request = malloc(100001);

	start(limits());
	memset(request, 'a', 100000);
	memcpy(request, "GET /", 5);
	request[100000] = 0;
	EXPECT(request, "HTTP/1.1 4");
	free(request);
}
