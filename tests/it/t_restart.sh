#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 85
# The pager is killed under load: guests wait until the next one has started, and go on.
. "$(dirname "$0")/lib.sh"
it_init

drum_start
swap_on 1G
guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
for pattern in sequential random zipf hotcold; do
	guest_ask one "pattern $pattern" "PATROL PATTERN $pattern" >/dev/null
	guest_walks one 5000
	old=$(pager)
	kill -KILL "$old"
	wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
	wait_until 20 guest_listed one || fail "the guest was not taken over"
	told=$(restart_is_told pager-died 1)
	[[ $told =~ \ paused-us=[1-9] ]] || fail "not told how long the guest has waited: $told"
	guest_walks one 5000
	assert_resident one
done
guest_is one state = running || fail "state is $(guest_field one state)"
guest_is one limit -eq $((64 * MIB)) || fail "the limit is $(guest_field one limit)"
wait_shrunk one $((64 * MIB))

# In the middle of a page-out, and with all of it out.
for moment in during after; do
	guest_ask one pause 'PATROL PAUSED' >/dev/null
	old=$(pager)
	if [ $moment = during ]; then
		ctl guest out one >/dev/null 2>&1 &
		IT_PIDS[out]=$!
	else
		ctl guest out one
	fi
	kill -KILL "$old"
	wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
	wait_until 20 guest_listed one || fail "the guest was not taken over"
	guest_check one
	guest_ask one resume 'PATROL RESUMED' >/dev/null
done

# At moments that nobody chose, most of them within a zap: that is what a page-out
# spends its time with.  The daemon waits longer for a pager that never lives long, so
# these are few.
zapping() {
	local zaps
	zaps=$(guest_field one zaps) && [ "$zaps" -gt 0 ]
}
for after in 0.01 0.03 0.05 0.02; do
	ctl guest in one >/dev/null 2>&1 || true
	old=$(pager)
	ctl guest out one >/dev/null 2>&1 &
	IT_PIDS[out]=$!
	sleep $after
	kill -KILL "$old"
	wait_until 30 another_pager "$old" || fail "no pager after $old was killed"
	wait_until 30 guest_is one state = running || fail "the guest was not taken over"
	guest_walks one 3000
done
wait_until 30 zapping || fail "the new pager does not page out"
wait_shrunk one $((64 * MIB))
guest_check one

# The keeper is killed, and the pager with it notices.  Nothing is being unmapped then: the
# guest rests.
resident_rests() {
	local before
	before=$(guest_field one zaps)
	[ "$(guest_field one zaps)" = "$before" ] && guest_is one resident -le $((64 * MIB))
}
for round in 1 2 3; do
	guest_ask one pause 'PATROL PAUSED' >/dev/null
	wait_until 20 resident_rests || fail "the guest does not come to rest"
	old=$(pager)
	kill -KILL "$DRUMD_PID"
	wait "$DRUMD_PID" 2>/dev/null || true
	drum_start
	[ "$(pager)" != "$old" ] || fail "the old pager serves on"
	restart_is_told drumd-started 1 >/dev/null
	wait_until 20 guest_is one state = running || fail "round $round: not taken over"
	guest_ask one resume 'PATROL RESUMED' >/dev/null
	guest_walks one 3000
	guest_check one
done

# A word that was being written holds its block for a while; the guest's end frees it.
guest_end one
assert_swap_free
drum_stop
it_passed
