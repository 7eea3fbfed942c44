#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 45
# timeout: 400
# The front end without a guest, which other tests go by, against a back end that is known: it
# finds nothing wrong where nothing is, and what is wrong when something is.
. "$(dirname "$0")/lib.sh"
command -v qemu-storage-daemon >/dev/null || skip "no qemu-storage-daemon"
it_init

IMAGE=$T/image SOCKET=$T/disk.sock
FRONT=$DRUM_BUILD/tests/it/vufront

peer_start() { # peer_start QUEUES
	rm -f "$SOCKET"
	qemu-storage-daemon \
		--blockdev "driver=file,filename=$IMAGE,discard=unmap,node-name=f" \
		--export "type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path=$SOCKET,writable=on,num-queues=$1" \
		>>"$T/peer.log" 2>&1 &
	IT_PIDS[peer]=$!
	wait_until 20 test -S "$SOCKET" || fail "no peer"
}

peer_dies() {
	kill -KILL "${IT_PIDS[peer]}"
	wait "${IT_PIDS[peer]}" 2>/dev/null || true
}

# front NAME MODE OPTION...: into NAME.log, to its end
front() {
	local name=$1 mode=$2
	shift 2
	"$FRONT" "$mode" "$SOCKET" "$@" >"$T/$name.log" 2>&1
}

# Two lines more: it has had answers since we looked.
goes_on() {
	wait_for '^front at requests=[1-9]' "$T/goes-on.log" 20 \
		$(($(wc -l <"$T/goes-on.log") + 1)) >"$T/line"
}

# Writes where verify is at work, in its back.
spoil() {
	local i
	for ((i = 1; i <= 64; i++)); do
		dd if=/dev/urandom of="$IMAGE" bs=512 seek=$((i * 1777)) count=1 conv=notrunc \
			status=none
	done
}

truncate -s 256M "$IMAGE"
peer_start 2

front show show || fail "show"
grep -q '"sectors":524288' "$T/show.log" || fail "show: $(cat "$T/show.log")"

for options in "" "--no-indirect --num 128" "--no-event-idx --queues 1" "--log" "--flat --reset-every 1"; do
	# shellcheck disable=SC2086 # words
	front verify verify --seconds 1 $options || fail "verify $options: $(tail -n 5 "$T/verify.log")"
	grep -q '^front done requests=[1-9].* flushes=[1-9].* discards=[1-9].* zeroes=[1-9].*, bad 0$' \
		"$T/verify.log" || fail "verify $options: $(tail -n 2 "$T/verify.log")"
done

say "sectors that change by themselves are seen"
"$FRONT" verify "$SOCKET" >"$T/spoilt.log" 2>&1 &
IT_PIDS[front]=$!
wait_for '^front at requests=[1-9]' "$T/spoilt.log" 20 >"$T/line"
spoil
kill -TERM "${IT_PIDS[front]}"
if wait "${IT_PIDS[front]}"; then
	fail "64 sectors were overwritten, and verify says nothing"
fi
unset 'IT_PIDS[front]'
grep -q 'BAD: .* sectors read wrong' "$T/spoilt.log" || fail "$(tail -n 3 "$T/spoilt.log")"

say "a connection that is closed is one, or it goes on"
"$FRONT" verify "$SOCKET" --depth 1 --queues 1 --reconnect >"$T/goes-on.log" 2>&1 &
IT_PIDS[front]=$!
for _ in 1 2 3; do
	goes_on
	peer_dies
	peer_start 1
done
goes_on
kill -TERM "${IT_PIDS[front]}"
wait "${IT_PIDS[front]}" || fail "reconnect: $(tail -n 3 "$T/goes-on.log")"
grep -q 'reconnects=3 .*, bad 0$' "$T/goes-on.log" || fail "$(tail -n 1 "$T/goes-on.log")"

"$FRONT" verify "$SOCKET" --queues 1 >"$T/closed.log" 2>&1 &
IT_PIDS[front]=$!
wait_for '^front at requests=[1-9]' "$T/closed.log" 20 >"$T/line"
peer_dies
if wait "${IT_PIDS[front]}"; then
	fail "the connection was closed, and verify says nothing"
fi
unset 'IT_PIDS[front]'
peer_start 1

front bench bench --seconds 0.2 || fail "bench: $(cat "$T/bench.log")"
[ "$(grep -c '"event":"result"' "$T/bench.log")" = 6 ] || fail "bench: $(cat "$T/bench.log")"

for case in size_huge fds_less region_wraps chain_in_a_circle table_in_itself scribble_used; do
	front hostile hostile --only "$case" || fail "hostile: $(cat "$T/hostile.log")"
	grep -q "front hostile $case: [a-z]" "$T/hostile.log" || fail "$(cat "$T/hostile.log")"
done
# This peer does not survive it, and nobody starts another one.
if front dead hostile --only memory_cut_below_rings; then
	fail "a back end that died counts as one that is alive"
fi
it_passed
