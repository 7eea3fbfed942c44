#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 30
# A guest is out, and rests.  When it is used again its working set comes in behind its back, also
# with another pager than the one that has recorded it; `guest in` reads it first.
. "$(dirname "$0")/lib.sh"
it_init

drum_start
swap_on 1G
guest_start one 256M
guest_up one
# What it does not use goes; then there is room for all of it.
guest_attach one --limit 128M
wait_shrunk one $((128 * MIB))
guest_ask one "pattern hotcold" "PATROL PATTERN hotcold" >/dev/null
guest_walks one 5000
ctl guest set one --limit 256M
guest_ask one pause 'PATROL PAUSED' >/dev/null

# Stopped: nothing can touch it.
guest_qmp one stop >/dev/null
ctl guest out one
rests_since=$(now_ms)
recorded=$(guest_field one recorded)
[ "$recorded" -gt $((8 * MIB)) ] || fail "only $recorded bytes are recorded"
[ "$recorded" -le $((128 * MIB)) ] || fail "$recorded bytes are recorded, and at most 128 MiB were in use"

old=$(pager)
kill -KILL "$old"
wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
wait_until 20 guest_is one state = running || fail "the guest was not taken over"
guest_is one recorded -eq "$recorded" || fail "$(guest_field one recorded) of $recorded bytes are recorded now"
guest_is one pages-replayed -eq 0 || fail "pages come in and nobody has touched any"

# It counts as idle after 10 s.
has_rested() {
	[ "$(now_ms)" -ge $((rests_since + 10500)) ]
}
wait_until 20 has_rested
guest_qmp one cont >/dev/null
guest_ask one resume 'PATROL RESUMED' >/dev/null
# What it has touched by then came in by itself.
wait_until 20 guest_is one pages-replayed -gt $((recorded / 4096 / 2)) ||
	fail "$(guest_field one pages-replayed) pages came back of $((recorded / 4096))"
wait_for 'of its working set were read' "$T/drumd.log" 20 >/dev/null
guest_is one pages-replayed -le $((recorded / 4096)) || fail "more came back than was recorded"
guest_walks one 2000

# All of it out, and all of it in.
guest_ask one pause 'PATROL PAUSED' >/dev/null
ctl guest out one
recorded=$(guest_field one recorded)
before=$(guest_field one pages-replayed)
ctl guest in one
guest_is one swapped -eq 0 || fail "$(guest_field one swapped) bytes are still on swap"
guest_is one pages-replayed -gt $((before + recorded / 4096 / 2)) ||
	fail "the working set of $recorded bytes was not read first"
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed "$((recorded / MIB)) MiB recorded"
