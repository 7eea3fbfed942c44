#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 600
# Compressed swap in memory: what compresses stays there up to the limit, all else passes on.
. "$(dirname "$0")/lib.sh"
it_init

ROOMY=ram:256M
RAM=ram:24M
F=$T/file
LIMIT=$((48 * MIB))

# ram_ok: never beyond the limit, however often one looks
ram_ok() {
	local used
	used=$(swap_field "$RAM" ram-used) || return 0
	[ "$used" -le $((24 * MIB)) ] || fail "$RAM takes $used bytes"
}

# pager_dies: and the next takes all over
pager_dies() {
	local old
	old=$(pager)
	kill -KILL "$old"
	wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
	wait_until 20 guest_is one state = running || fail "the guest was not taken over"
}

# What is on a disk must not be called memory.
drum_start
refused 'needs the run directory on a tmpfs, and it is not: choose another' swap on "$RAM"
[ -z "$(ctl swap list --json | json path)" ] || fail "refused and listed"
drum_stop

rm -rf "$T/run"
mkdir "$T/run"
mount -t tmpfs -o mode=700,size=512m tmpfs "$T/run" 2>/dev/null || skip "no mount"
at_exit "umount -l $T/run"
drum_start
events_start

# Only ram:, and a guest of which much does not compress: it keeps that, and says so.
ctl swap on "$ROOMY"
PATROL=--mib=176,--half guest_start one 256M
guest_up one
guest_attach one --limit 24M
wait_until 60 swap_is "$ROOMY" ram-pages -gt 1000 || fail "hardly anything is compressed"
wait_until 60 swap_is "$ROOMY" ram-refused -gt 1000 || fail "everything is compressed"
guest_walks one 3000
guest_is one over-limit -gt 0 || fail "no word that the limit cannot be kept"
pager_dies
guest_check one

# A file behind it: all goes there, and the limit can be kept.
swap_make "$F" 512M
ctl swap on "$F"
ctl swap off "$ROOMY" 2>"$T/err" || fail "$(cat "$T/err")"
ctl guest set one --limit $LIMIT
wait_shrunk one $LIMIT
ctl swap on "$RAM" -p 10 # with room for a part only
for pattern in random zipf hotcold; do
	guest_ask one "pattern $pattern" "PATROL PATTERN $pattern" >/dev/null
	guest_walks one 3000
	ram_ok
	pager_dies
	ram_ok
	guest_walks one 1000
done
swap_is "$F" used -gt 0 || fail "nothing passed on"
swap_is "$RAM" ram-pages -gt 1000 || fail "only $(swap_field "$RAM" ram-pages) pages in $RAM"
guest_check one
ram_ok

# Nearly full: what was not used for longest moves on.
wait_until 60 guest_is one pages-moved -gt 100 || fail "only $(guest_field one pages-moved) pages moved on"
ram_ok
guest_check one

# Switched off, all of it goes to the file.
guest_ask one "pattern random" "PATROL PATTERN random" >/dev/null
used=$(swap_field "$F" used)
ctl swap off "$RAM" 2>"$T/err" || fail "$(cat "$T/err")"
! swap_listed "$RAM" || fail "$RAM is still listed"
swap_is "$F" used -gt "$used" || fail "nothing went to $F"
for name in "$T"/run/*.ram; do
	[ ! -e "$name" ] || fail "$name is left"
done
guest_walks one 2000
guest_check one
guest_end one
assert_swap_free
ctl swap off "$F"
assert_drum_lives
drum_stop
it_passed
