#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A keeper that does not read what a worker tells it: the worker waits for nothing, and what it
# had to tell is told later.
. "$(dirname "$0")/lib.sh"
it_init

tracer() { # the thread of drumd that is not its first
	local task
	for task in /proc/"$DRUMD_PID"/task/*; do
		[ "${task##*/}" = "$DRUMD_PID" ] || echo "${task##*/}"
	done
}

limit_is_saved() {
	grep -aq "$1" "$T/run/guest-one.state"
}

drum_start --log-level debug
swap_on 512M
guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))

# While it waits, not within a zap: it would have the VMM stopped, and hold both.
hold_idle() {
	local syscall
	thread_hold "$1"
	read -r syscall _ <"/proc/$DRUMD_PID/task/$1/syscall"
	case $syscall in
	7 | 219) ;; # poll, restart_syscall
	*)
		thread_release
		return 1
		;;
	esac
}

wait_until 20 hold_idle "$(tracer)" || fail "the tracer is never idle"
# Some eighty messages fill the channel.
for i in {1..60}; do
	ctl guest set one --limit 65M
	ctl guest set one --limit 66M
	! grep -aq 'channel to the keeper is full' "$T/drumd.log" || break
done
grep -aq 'channel to the keeper is full' "$T/drumd.log" || fail "the channel took $((2 * i)) messages"
limit=$((67 * MIB))
ctl guest set one --limit 67M
# Pages go on to come in; out they cannot go, that takes the tracer.
guest_walks one 2000
! limit_is_saved $limit || fail "the tracer does not stand still"
thread_release
wait_until 20 limit_is_saved $limit || fail "the last limit is lost: $(cat "$T/run/guest-one.state")"

# It is what the next pager goes by.
old=$(pager)
kill -KILL "$old"
wait_until 30 another_pager "$old" || fail "no other pager"
wait_until 20 guest_listed one || fail "guest one is not taken over"
wait_until 20 guest_is one limit -eq $limit || fail "the limit is $(guest_field one limit)"
guest_check one
guest_end one
drum_stop
it_passed
