/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "unit/command_run.h"

TestSuite(disk_commands, .init = setup, .fini = teardown);

#define NAME   " expects 1 to 63 characters of A-Z a-z 0-9 _ . -"
#define X20    "xxxxxxxxxxxxxxxxxxxx"
#define X100   X20 X20 X20 X20 X20
#define SOCKET "Parameter 'socket' expects an absolute path of at most 107 bytes"
#define SERIAL "Parameter 'serial' expects 1 to 20 characters of ASCII that can be seen"
#define CACHE  "Parameter 'cache' expects none, directsync, writethrough, writeback or unsafe"
#define IMAGE                                                                                  \
	"Parameter 'image' expects an absolute path of at most 1023 bytes or nbd:URI, as "     \
	"nbd:nbd://HOST/EXPORT"
#define ADD "{'name':'a','image':'/a',"

static const struct {
	const char *command, *args, *message;
} refusals[] = {
	{ "disk-add", NULL, "Parameter 'name' is missing" },
	{ "disk-add", "{'name':'a'}", "Parameter 'image' is missing" },
	{ "disk-add", "{'name':'a/b','image':'/a'}", "Parameter 'name'" NAME },
	{ "disk-add", "{'name':'','image':'/a'}", "Parameter 'name'" NAME },
	{ "disk-add", "{'name':7,'image':'/a'}",
	  "Invalid parameter type for 'name', expected: string" },
	{ "disk-add", "{'name':'a','image':'a'}", IMAGE },
	{ "disk-add", "{'name':'a','image':'ram:1M'}", IMAGE },
	{ "disk-add", "{'name':'a','image':'nbd:x'}", IMAGE },
	{ "disk-add", ADD "'socket':'a'}", SOCKET },
	{ "disk-add", ADD "'socket':'/" X100 "xxxxxxx'}", SOCKET },
	{ "disk-add", ADD "'socket':'/a\\u0000'}", SOCKET },
	{ "disk-add", ADD "'socket':true}",
	  "Invalid parameter type for 'socket', expected: string" },
	{ "disk-add", ADD "'serial':''}", SERIAL },
	{ "disk-add", ADD "'serial':'a b'}", SERIAL },
	{ "disk-add", ADD "'serial':'\\u00e4'}", SERIAL },
	{ "disk-add", ADD "'serial':'" X20 "x'}", SERIAL },
	{ "disk-add", ADD "'guest':'a b'}", "Parameter 'guest'" NAME },
	{ "disk-add", ADD "'cache':'fast'}", CACHE },
	{ "disk-add", ADD "'cache':'none\\u0000'}", CACHE },
	{ "disk-add", ADD "'cache':0}",
	  "Invalid parameter type for 'cache', expected: string" },
	{ "disk-add", ADD "'read-only':1}",
	  "Invalid parameter type for 'read-only', expected: boolean" },
	{ "disk-add", ADD "'map':'no'}",
	  "Invalid parameter type for 'map', expected: boolean" },
	{ "disk-add", ADD "'queues':0}", "Parameter 'queues' expects a number from 1 to 64" },
	{ "disk-add", ADD "'queues':65}", "Parameter 'queues' expects a number from 1 to 64" },
	{ "disk-add", ADD "'queues':-1}",
	  "Parameter 'queues' expects a number from 0 to 4294967295" },
	{ "disk-add", ADD "'no-map':true}", "Parameter 'no-map' is unexpected" },
	{ "disk-add", ADD "'swapcache':'yes'}",
	  "Parameter 'swapcache' expects auto, on, meta or off" },
	{ "disk-add", ADD "'swapcache':true}",
	  "Invalid parameter type for 'swapcache', expected: string" },
	{ "disk-set", "{'swapcache':'on'}", "Parameter 'name' is missing" },
	{ "disk-set", "{'name':'a','swapcache':'on\\u0000'}",
	  "Parameter 'swapcache' expects auto, on, meta or off" },
	{ "disk-set", "{'name':'a'}", "nothing to set, give swapcache" },
	{ "disk-set", "{'name':'a','cache':'none'}", "Parameter 'cache' is unexpected" },
	{ "disk-remove", "{}", "Parameter 'name' is missing" },
	{ "disk-remove", "{'name':'a','force':true}", "Parameter 'force' is unexpected" },
	{ "disk-resize", "{'name':' '}", "Parameter 'name'" NAME },
	{ "query-disks", "{'name':null}",
	  "Invalid parameter type for 'name', expected: string" },
};

Test(disk_commands, arguments)
{
	size_t i;

	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		run(refusals[i].command, refusals[i].args);
		cr_expect(got.code == -EINVAL, "%s", refusals[i].args);
		cr_expect_str_eq(got.text, refusals[i].message, "%s: %s", refusals[i].args,
				 got.text);
	}
	cr_expect_str_empty(fake_host_log(host));
}

Test(disk_commands, reach_the_host)
{
	run("disk-add", "{'name':'a','image':'/a.img'}");
	expect_result("{}");
	run("disk-add", "{'name':'b','image':'nbd:nbd+unix:///x?socket=/s','socket':'/" X100
			"xxxxxx','serial':'" X20 "','guest':'web','cache':'writeback',"
			"'read-only':true,'map':false,'queues':64,'swapcache':'meta'}");
	expect_result("{}");
	run("disk-set", "{'name':'b','swapcache':'off'}");
	expect_result("{}");
	run("disk-set", "{'name':'c','swapcache':'on'}");
	expect_refused(-ENOENT, "no disk is named 'c'");
	run("disk-add", ADD "'cache':'unsafe','map':true,'read-only':false,'queues':1}");
	expect_refused(-EEXIST, "a disk is named 'a' already");
	run("disk-resize", "{'name':'a'}");
	expect_result("{}");
	fake_host_refuse(host, "disk-resize", -EINVAL, "/a.img has not grown");
	run("disk-resize", "{'name':'a'}");
	expect_refused(-EINVAL, "/a.img has not grown");
	fake_host_connect(host, "a", "web", 7);
	run("disk-remove", "{'name':'a'}");
	expect_refused(-EBUSY, "guest 'web' is connected to disk 'a'");
	fake_host_connect(host, "a", NULL, 0);
	run("disk-remove", "{'name':'a'}");
	expect_result("{}");
	run("disk-remove", "{'name':'a'}");
	expect_refused(-ENOENT, "no disk is named 'a'");
	fake_host_warn(host, "disk-add", "no O_DIRECT on the file system of /c");
	run("disk-add", "{'name':'c','image':'/c'}");
	expect_result("{\"warning\":\"no O_DIRECT on the file system of /c\"}");
	cr_expect_str_eq(
		fake_host_log(host),
		"disk-add a /a.img socket= serial= guest= none queues=0;"
		"disk-add b nbd:nbd+unix:///x?socket=/s socket=/" X100 "xxxxxx serial=" X20
		" guest=web writeback queues=64 read-only unmapped swapcache=meta;"
		"disk-set b swapcache=off;disk-set c swapcache=on;"
		"disk-add a /a socket= serial= guest= unsafe queues=1;"
		"disk-resize a;disk-resize a;disk-remove a;disk-remove a;disk-remove a;"
		"disk-add c /c socket= serial= guest= none queues=0;",
		"%s", fake_host_log(host));
}

Test(disk_commands, query)
{
	run("query-disks", NULL);
	expect_result("[]");
	run("query-disks", "{'name':'a'}");
	expect_refused(-ENOENT, "no disk is named 'a'");
	run("disk-add", "{'name':'a','image':'/a.img','socket':'/s','serial':'S','queues':4}");
	run("disk-add", "{'name':'b','image':'/b.img','map':false,'read-only':true}");
	run("query-disks", "{'name':'a'}");
	expect_result(
		"[{\"name\":\"a\",\"image\":\"/a.img\",\"socket\":\"/s\",\"serial\":\"S\","
		"\"state\":\"idle\",\"cache\":\"none\",\"read-only\":false,\"map\":true,"
		"\"size\":21474836480,\"block-size\":512,\"queues\":4,\"inflight\":0,"
		"\"reads\":5,\"writes\":0,\"flushes\":0,\"discards\":0,\"zeroes\":0,"
		"\"read-bytes\":3145728,\"write-bytes\":0,\"discard-bytes\":0,"
		"\"zeroes-bytes\":0,\"errors\":0,\"resubmitted\":0,\"resets\":0,"
		"\"mapped\":0,\"image-pages\":0,\"writes-avoided\":0,\"reads-avoided\":0,"
		"\"image-reads\":0,\"brought-in\":0,\"swapcache\":\"auto\","
		"\"cached\":1048576,\"cache-read-bytes\":2097152,"
		"\"cache-hit-bytes\":524288}]");
	fake_host_connect(host, "b", "web", 7);
	run("query-disks", "{'name':'b'}");
	cr_expect(strstr(got.result, "\"state\":\"connected\",\"cache\":\"none\","
				     "\"read-only\":true,\"map\":false,"),
		  "%s", got.result);
	cr_expect(strstr(got.result, "\"swapcache\":\"auto\""), "%s", got.result);
	cr_expect(strstr(got.result, "\"guest\":\"web\",\"pid\":7}]"), "%s", got.result);
	run("disk-set", "{'name':'b','swapcache':'meta'}");
	run("query-disks", "{'name':'b'}");
	cr_expect(strstr(got.result, "\"swapcache\":\"meta\""), "%s", got.result);
	run("query-disks", NULL);
	cr_expect(strstr(got.result, "[{\"name\":\"a\",") &&
			  strstr(got.result, "},{\"name\":\"b\","),
		  "%s", got.result);
}
