#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 30
# QEMU is killed while its guest is paged out: its swap is free, the daemon serves the others.
. "$(dirname "$0")/lib.sh"
it_init

drum_start
swap_on 1G
GUEST_SMP=1
guest_start stays 256M
guest_start dies 256M
guest_up stays
guest_up dies
guest_attach stays --limit 64M
guest_attach dies --limit 64M
wait_shrunk stays $((64 * MIB))
wait_shrunk dies $((64 * MIB))
guest_walks dies 5000

events_start

# While it works; while it is all out; while its page-out runs.
for when in working out leaving; do
	case $when in
	out) ctl guest out dies ;;
	leaving) ctl guest out dies >/dev/null 2>&1 & IT_PIDS[out]=$! ;;
	esac
	guest_kill dies
	wait_until 20 guest_not_listed dies || fail "killed while $when, and still listed"
	wait_for 'GUEST_DETACHED guest=dies reason=ended' "$T/events.log" 20 >/dev/null
	if [ $when = leaving ]; then
		# The one who waits for the page-out gets an answer, whichever.
		wait_until 20 is_gone "${IT_PIDS[out]}" || fail "'guest out' of a dead guest hangs"
		break
	fi
	assert_drum_lives
	guest_walks stays 2000
	guest_start dies 256M
	guest_up dies
	guest_attach dies --limit 64M
	guest_walks dies 2000
done
assert_drum_lives
guest_check stays
used=$(swap_used)
holds=$(guest_field stays swapped)
# Clean pages may keep a block; the dead guest's 256 MiB may not.
[ "$used" -le $((holds + 64 * MIB + SLACK)) ] || fail "$used bytes of swap used, $holds by the living"
guest_end stays
assert_swap_free
drum_stop
it_passed
