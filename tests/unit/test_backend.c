/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "keeper/backend.h"

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static struct conf c;

static void teardown(void)
{
	conf_free(&c);
}

TestSuite(backend, .fini = teardown);

static int add(const char *socket, const char *image, bool read_only, struct err *e)
{
	struct backend_options o = { socket, image, read_only };

	cr_assert(backend_wanted(&o));
	return backend_add_disk(&c, &o, e);
}

Test(backend, a_disk_is_named_as_its_socket)
{
	static const char *const sockets[][2] = {
		{ "/run/web1.sock", "web1" },
		{ "/run/a b/c d.sock.x", "c_d.sock.x" },
		{ "/.sock", ".sock" },
		{ "/" X50 "xxxxxxxxxxxxxyyyy.sock", X50 "xxxxxxxxxxxxx" },
	};
	struct err e;

	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		cr_assert_eq(add(sockets[i][0], "/srv/web1.img", i % 2, &e), 0, "%s", e.text);
		cr_assert_eq(c.disks, i + 1);
		cr_expect_str_eq(c.disk[i].name, sockets[i][1]);
		cr_expect_str_eq(c.disk[i].socket, sockets[i][0]);
		cr_expect_str_eq(c.disk[i].image, "/srv/web1.img");
		cr_expect_eq(c.disk[i].read_only, i % 2);
	}
}

Test(backend, refused)
{
	struct err e;

	cr_expect_not(backend_wanted(&(struct backend_options){ 0 }));
	cr_expect_eq(add("/s", NULL, false, &e), -EINVAL);
	cr_expect_str_eq(e.text, "--socket-path and --blk-file belong together");
	cr_expect_eq(add(NULL, "/a", false, &e), -EINVAL);
	cr_expect_eq(add(NULL, NULL, true, &e), -EINVAL);
	cr_expect_eq(add("s", "/a", false, &e), -EINVAL);
	cr_expect_str_eq(e.text,
			 "--socket-path: 's' must be an absolute path of at most 107 bytes");
	cr_expect_eq(add("/run/", "/a", false, &e), -EINVAL);
	cr_expect_eq(add("/" X50 X50 "xxxxxxx", "/a", false, &e), -EINVAL);
	cr_expect_eq(add("/s", "a", false, &e), -EINVAL);
	cr_expect_str_eq(e.text, "--blk-file: 'a' must be an absolute path or nbd:URI");
	cr_expect_eq(add("/s", "ram:1M", false, &e), -EINVAL);
	cr_expect_eq(c.disks, 0);
	cr_expect_eq(add("/s", "/a", false, &e), 0);
	cr_expect_eq(add("/s.sock", "/b", false, &e), -EEXIST);
	cr_expect_str_eq(e.text, "disk s is given twice");
}

/* Whatever else is given, and nothing else is printed. */
Test(backend, capabilities)
{
	const char *build = getenv("DRUM_BUILD");
	char line[4096], out[512];
	struct json_object *o, *v;
	size_t n;
	FILE *f;

	snprintf(line, sizeof(line), "'%s/drumd' --fd=3 --print-capabilities x 2>&1",
		 build ? build : ".");
	f = popen(line, "re");
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	cr_assert_eq(pclose(f), 0, "%s", out);
	o = json_tokener_parse(out);
	cr_assert(json_object_is_type(o, json_type_object), "%s", out);
	cr_assert(json_object_object_get_ex(o, "type", &v));
	cr_expect_str_eq(json_object_get_string(v), "block");
	cr_assert(json_object_object_get_ex(o, "features", &v));
	cr_expect_eq(json_object_array_length(v), 2);
	cr_expect_eq(json_object_object_length(o), 2);
	json_object_put(o);
}
