#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A disk goes from one daemon to the next in the middle of requests: when drumd is replaced, when
# keeper and pager are killed and a service manager has what they held, and, without one, to a
# front end that connects again.  And from one front end to the next, as fast as they come.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
it_init
it_need_drum
FRONT=$DRUM_BUILD/tests/it/vufront

# front OPTION...: one that checks every answer
front() {
	: >"$T/front.log"
	"$FRONT" verify "$(disk_sock d)" --queues 2 --region $((16 * MIB)) "$@" >"$T/front.log" 2>&1 &
	IT_PIDS[front]=$!
	goes_on start
	ctl guest set d --limit 24M
	goes_on limit
}

served() {
	disk_is d state = connected && disk_is d reads -gt "$1" && disk_is d writes -gt "$1"
}

# goes_on WHEN: has more served than what is counted now, or than nothing by a new daemon
goes_on() {
	local n=0
	[ "$1" != limit ] || n=$(disk_field d reads)
	wait_until 30 served "$n" || fail "$1: $(disk_field d state): $(tail -n 1 "$T/front.log")"
	! is_gone "${IT_PIDS[front]}" || fail "$1: $(tail -n 2 "$T/front.log")"
	! grep -a BAD "$T/front.log" || fail "$1: wrong"
}

# front_ends RECONNECTS
front_ends() {
	local status=0
	kill -TERM "${IT_PIDS[front]}"
	wait "${IT_PIDS[front]}" || status=$?
	unset 'IT_PIDS[front]'
	[ $status = 0 ] || fail "the front end ended with $status: $(tail -n 3 "$T/front.log")"
	grep -q "^front done .* reconnects=$1 .*, bad 0\$" "$T/front.log" || fail "$(tail -n 1 "$T/front.log")"
	assert_disks_served d
}

# Both at once, so that nobody starts anybody.
drum_kill() {
	local old
	old=$(pager)
	kill -KILL "$DRUMD_PID" "$old"
	wait "$DRUMD_PID" 2>/dev/null || true
	wait_until 20 is_gone "$old" || fail "the pager survives"
}

disk_begin() {
	drum_start
	swap_on 256M
	truncate -s 64M "$T/image"
	disk_add d "$T/image"
}

disk_end() {
	disk_remove d
	assert_drum_lives
	! grep -aE 'is disconnected: ' "$T/drumd.log" || fail "somebody was disconnected"
	drum_stop
}

disk_begin
for i in 1 2 3 4 5; do
	"$FRONT" show "$(disk_sock d)" >"$T/show.log" 2>&1 || fail "the ${i}th in a row: $(cat "$T/show.log")"
done
front --reset-every 1
for i in 1 2 3 4 5; do
	ctl daemon reexec >"$T/reexec.log"
	goes_on "reexec $i"
done
front_ends 0
say "without a store"
front --reconnect
for i in 1 2 3; do
	drum_kill
	drum_start
	goes_on "kill $i"
done
front_ends 3
disk_end

say "with a store"
rm -rf "$T/drumd.log"
mkdir "$T/store"
"$IT_PYTHON" "$IT_SRC/fdstore" serve "$T/store" >"$T/store.log" 2>&1 &
IT_PIDS[store]=$!
wait_for SERVING "$T/store.log" 10 >/dev/null
DRUM_RUNNER="$IT_PYTHON $IT_SRC/fdstore run $T/store"
disk_begin
front
for i in 1 2 3 4 5; do
	drum_kill
	drum_start
	goes_on "kill $i, store"
	[ $((i % 2)) = 0 ] || ctl daemon reexec >"$T/reexec.log"
	goes_on "reexec $i, store"
done
front_ends 0
disk_end
grep -q '^STORED disk/d/' "$T/store.log" || fail "nothing of the disk was stored"
# shellcheck disable=SC2086 # words
names=$($DRUM_RUNNER /usr/bin/env | grep -E '^LISTEN_FDNAMES.*(disk/|uffd-|memfd-)' || true)
[ -z "$names" ] || fail "there is left in the store: $names"
! grep -aE '^(STRANGE|DEAD|FULL)' "$T/store.log" || fail "the store did not take it"
it_passed
