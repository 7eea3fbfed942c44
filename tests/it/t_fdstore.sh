#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Keeper and pager are killed under a service manager that keeps descriptors (a stand-in for systemd),
# and the VMM has closed its own userfaultfd: what is in the store is the only one.
. "$(dirname "$0")/lib.sh"
it_init
it_need_drum

store_start() { # store_start [MAX]
	mkdir -p "$T/store"
	rm -f "$T/store/"*
	"$IT_PYTHON" "$IT_SRC/fdstore" serve "$T/store" "$@" >"$T/store.log" 2>&1 &
	IT_PIDS[store]=$!
	wait_for SERVING "$T/store.log" 10 >/dev/null
}

resident_rests() {
	local before
	before=$(guest_field one zaps)
	[ "$(guest_field one zaps)" = "$before" ] && guest_is one resident -le $((64 * MIB))
}

# both at once, so that nobody starts anybody
drum_kill() {
	local old
	old=$(pager)
	kill -KILL "$DRUMD_PID" "$old"
	wait "$DRUMD_PID" 2>/dev/null || true
	wait_until 20 is_gone "$old" || fail "the pager survives"
}

# What of it is the keeper's: 1 or 0, of a name's beginning
stored() {
	local n
	n=$(($(grep -c "^STORED $1" "$T/store.log" || true) - $(grep -c "^REMOVED $1" "$T/store.log" || true)))
	echo "$n"
}

stored_is() {
	[ "$(stored "$1")" = "$2" ]
}

RUN="$IT_PYTHON $IT_SRC/fdstore run $T/store"
store_start
DRUM_RUNNER=$RUN
drum_start
wait_for "^READY $DRUMD_PID" "$T/store.log" 10 >/dev/null
swap_on 512M
guest_start one 256M
guest_up one
pid=${GUEST_PID[one]}
guest_attach one --limit 64M
for name in "uffd-$pid-" memfd- swap-; do
	wait_until 10 stored_is "$name" 1 || fail "$(stored "$name") of $name are stored"
done
wait_shrunk one $((64 * MIB))
guest_walks one 5000

# The VMM's own is closed: a daemon without the store has nothing to go on with, and says so.
# The swap file has lost its name too.
guest_ask one pause 'PATROL PAUSED' >/dev/null
ctl guest out one
drum_kill
fd=$(basename "$(userfaultfds "$pid")")
"$DRUM_BUILD/tests/it/close_there" "$pid" "$fd"
[ -z "$(userfaultfds "$pid")" ] || fail "process $pid still has its userfaultfd"
mv "$T/swap" "$T/gone"
DRUM_RUNNER="$RUN none"
drum_start
! guest_listed one || fail "the guest was taken over without a userfaultfd"
grep -aq "guest one: descriptor $fd of process $pid: Bad file descriptor" "$T/drumd.log" ||
	fail "the log does not say why"
drum_kill

# The store has it all.  A VMM that closes it is let go of, as always, but with all of its pages.
DRUM_RUNNER=$RUN
from=$(lines_of "$T/drumd.log")
drum_start
wait_for "guest one: process $pid," "$T/drumd.log" 20 "$from" >/dev/null
guest_check one
wait_for "guest one: quarantined.*has closed the userfaultfd" "$T/drumd.log" 20 "$from" >/dev/null
wait_until 60 guest_not_listed one || fail "the guest is not let go of"
assert_no_trace "$pid"
for name in uffd- memfd-; do
	wait_until 10 stored_is $name 0 || fail "$name is still stored"
done
guest_check one
guest_ask one resume 'PATROL RESUMED' >/dev/null
guest_walks one 5000
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))

# Again, with what is in the store and in the VMM, and after drumd has become another one in between.
ctl daemon reexec
guest_walks one 3000
guest_ask one pause 'PATROL PAUSED' >/dev/null
wait_until 20 resident_rests || fail "the guest does not come to rest"
drum_kill
drum_start
wait_until 20 guest_is one state = running || fail "the guest was not taken over"
guest_ask one resume 'PATROL RESUMED' >/dev/null
guest_walks one 5000
guest_check one
for name in "uffd-$pid-" memfd- swap-; do
	stored_is "$name" 1 || fail "$(stored "$name") of $name are stored"
done

# Let go of: no descriptor stays behind.
ctl guest detach one
assert_no_trace "$pid"
wait_until 10 stored_is uffd- 0 || fail "the userfaultfd is still stored"
wait_until 10 stored_is memfd- 0 || fail "the memfd is still stored"
guest_walks one 5000

# It ends while nobody is there: what was stored of it is forgotten at the next start.
guest_attach one --limit 64M
wait_until 10 stored_is "uffd-$pid-" 1 || fail "the userfaultfd is not stored"
drum_kill
guest_kill one
drum_start
wait_until 10 stored_is uffd- 0 || fail "the userfaultfd of a guest that has ended is stored"
wait_until 10 stored_is memfd- 0 || fail "the memfd of a guest that has ended is stored"
ctl swap off "$T/swap"
wait_until 10 stored_is swap- 0 || fail "a device that is off is still stored"
drum_stop
wait_for '^STOPPING' "$T/store.log" 10 >/dev/null
! grep -aE '^(STRANGE|DEAD|FULL)' "$T/store.log" || fail "the store did not take it"

# A store that has no room: then it is the VMM's again.
kill "${IT_PIDS[store]}"
wait "${IT_PIDS[store]}" || true
store_start 0
drum_start
swap_on 512M
guest_start two 256M
guest_up two
guest_attach two --limit 64M
wait_for '^FULL uffd-' "$T/store.log" 10 >/dev/null
guest_walks two 5000
guest_ask two pause 'PATROL PAUSED' >/dev/null
ctl guest out two
drum_kill
drum_start
wait_until 20 guest_is two state = running || fail "the guest was not taken over"
guest_ask two resume 'PATROL RESUMED' >/dev/null
guest_walks two 5000
guest_check two
guest_end two
drum_stop
it_passed
