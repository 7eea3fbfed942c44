#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Another process maps the guest's RAM, reads all of it and writes to a part of it.
. "$(dirname "$0")/lib.sh"
it_init

PATROL=--mib=128,--mail=1024,--zeros=0
guest_start one 256M
guest_up one
mapper_start early one
mapper_ask early go 'MAPPER FOUND mails=1024' >/dev/null
mapper_works early 2000

# There before the guest is attached: it is attached with it.
drum_start
swap_on 512M
guest_attach one --limit 96M
guest_is one mappers -eq 2 || fail "$(guest_field one mappers) mappers, not 2"
assert_trace "${GUEST_PID[one]}"
assert_trace "${IT_PIDS[early]}"
for _ in 1 2 3; do
	mapper_works early 2000
	ctl guest out one
done
mapper_works early 2000
mapper_verifies early one
ctl guest out one
mapper_verifies early one
assert_resident one

# One that comes later is found before it has touched anything.
mapper_start late one
wait_until 30 guest_is one mappers -eq 3 || fail "$(guest_field one mappers) mappers, not 3"
assert_trace "${IT_PIDS[late]}"
ctl guest out one
mapper_verifies late one
mapper_works early 2000

# They come and go; the guest stays.
mapper_end early
wait_until 30 guest_is one mappers -eq 2 || fail "$(guest_field one mappers) mappers, not 2"
ctl guest out one
mapper_ask late go 'MAPPER FOUND mails=1024' >/dev/null
mapper_works late 2000
guest_walks one 5000
ctl guest detach one
assert_no_trace "${GUEST_PID[one]}"
assert_no_trace "${IT_PIDS[late]}"
mapper_works late 2000
guest_attach one --limit 64M
guest_is one mappers -eq 2 || fail "$(guest_field one mappers) mappers, not 2"
mapper_works late 2000
kill -KILL "${IT_PIDS[late]}"
wait "${IT_PIDS[late]}" 2>/dev/null || true
unset "IT_PIDS[late]"
wait_until 30 guest_is one mappers -eq 1 || fail "$(guest_field one mappers) mappers, not 1"
ctl guest out one
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed
