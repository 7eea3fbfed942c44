#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 35
# The limit of a working guest is moved up and down.  IT_SECONDS: for how long (default 30)
. "$(dirname "$0")/lib.sh"
it_init
end=$(($(now_ms) + ${IT_SECONDS:-30} * 1000))

drum_start
swap_on 1G
guest_start one 512M
guest_up one
pid=${GUEST_PID[one]}
# What is out is noted in swblocks: without any page-out pauses, with more it goes on.
events_start
ctl paging set --swblocks 1024
guest_attach one --limit 128M
wait_for 'SWAPBLOCKS_FULL used=[0-9]+ max=1024$' "$T/events.log" 60 >/dev/null
ram_is one -gt $((256 * MIB)) || fail "without swblocks $(ram_blocks "$pid") bytes are left"
ctl paging set --swblocks 65536
wait_for 'SWAPBLOCKS_OK used=[0-9]+ max=[0-9]+$' "$T/events.log" 20 >/dev/null
wait_shrunk one $((128 * MIB))
ctl guest set one --limit 384M
rounds=0
while [ "$(now_ms)" -lt $end ]; do
	for mib in 384 128 256 64 320; do
		before=$(ram_blocks "$pid")
		ctl guest set one --limit ${mib}M
		guest_is one limit -eq $((mib * MIB)) || fail "the limit is not what was set"
		if [ "$before" -gt $((mib * MIB)) ]; then
			wait_shrunk one $((mib * MIB))
			assert_limited one $((mib * MIB)) 10000
		else
			# What it may have, it takes.
			wait_until 60 ram_is one -gt "$before" || fail "does not grow to $mib MiB"
		fi
		assert_resident one
	done
	rounds=$((rounds + 1))
done
# Without a limit all of it fits.
ctl guest set one --limit 512M
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed "$rounds rounds"
