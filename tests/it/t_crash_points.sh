#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 80
# The keeper or the pager dies at every labelled point there is, under a guest at work.  After
# each death the guest goes on, and in the end nothing is wrong and no block is left.
# Those of disks (disk-*) are t_disk_points.sh's, those of the swapcache (cache-*) t_swapcache_points.sh's.
# The programs are points/drumd and points/drum-pager, which have the points.
# timeout: 600
. "$(dirname "$0")/lib.sh"
DRUM_DAEMON=$DRUM_BUILD/points
it_init

RANDOM=${SEED:-1}
LIMIT=48M
mapfile -t POINTS < <("$IT_PYTHON" "$IT_SRC/point" names "$IT_SRC/../../src" | grep -vE '^(disk|cache)-')
[ ${#POINTS[@]} -gt 40 ] || fail "only ${#POINTS[@]} points found"

point() {
	"$IT_PYTHON" -IS "$IT_SRC/point" "$T/point" "$@"
}

died() {
	point died >/dev/null
}

quietly() {
	timeout 30 "$DRUM_BUILD/drumctl" -s "$T/run/qmp.sock" "$@" >>"$T/ctl.log" 2>&1 </dev/null || true
}

# What makes some thread come to the point, once more.
work() {
	case $1 in
	swap-grown)
		quietly swap on "$T/b" --priority 7
		fallocate -l $(($(stat -c %s "$T/b") + MIB)) "$T/b"
		quietly swap resize "$T/b"
		quietly swap off "$T/b"
		;;
	move-* | swap* | ram-drop)
		quietly swap on "$T/b" --priority 7
		quietly swap off ram:24M
		quietly swap on ram:24M --priority 9
		quietly swap off "$T/b"
		;;
	detach-* | mapper-* | state-* | guest-given)
		quietly guest set one --limit 128M
		quietly guest detach one
		quietly guest attach "${GUEST_PID[one]}" --name one --limit $LIMIT
		;;
	recover-late | late-over)
		quietly guest out one
		# the write of who died is over after 3 s
		wait_until 6 died || true
		;;
	begun | woken | recover-* | late-* | adopted-all | pager-started)
		quietly guest out one &
		local pid
		pid=$(pager) || return 0
		sleep 0.0$((RANDOM % 9))
		died || kill -KILL "$pid" 2>/dev/null || true
		wait_until 20 another_pager_or_death "$pid" || fail "no pager after $pid was killed"
		wait $!
		;;
	roster-new)
		quietly host set --idle-tax $((RANDOM % 100))
		;;
	limit-set)
		quietly guest set one --limit 40M
		quietly guest set one --limit $LIMIT
		;;
	*)
		quietly guest out one
		;;
	esac
}

another_pager_or_death() {
	another_pager "$1" || died
}

serves() {
	guest_is one state = running
}

# After a death: whoever is left starts again, and the guest goes on.
go_on() {
	local who
	who=$(point died)
	if [ "$who" = "$DRUMD_PID" ]; then
		count_keeper=$((count_keeper + 1))
		wait_until 20 is_gone "$DRUMD_PID" || fail "$1: the keeper does not die"
		wait "$DRUMD_PID" 2>/dev/null || true
		drum_start
	else
		count_pager=$((count_pager + 1))
	fi
	wait_until 30 drum_ready || fail "$1: no answer"
	! grep -aE 'quarantined|guest one waits' "$T/drumd.log" >&2 || fail "$1: a death costs more than a pause"
	! is_gone "${GUEST_PID[one]}" || fail "$1: the guest's VMM is gone"
	# it may have been detached, or not yet attached
	if ! wait_until 3 serves; then
		quietly guest attach "${GUEST_PID[one]}" --name one --limit $LIMIT
		wait_until 30 serves || fail "$1: the guest is not served: $(ctl guest list)"
	fi
	quietly guest set one --limit $LIMIT
	guest_walks one 100
}

truncate -s 4096 "$T/point"
export DRUM_POINTS=$T/point
mkdir "$T/run"
mount -t tmpfs -o size=256M,mode=755 none "$T/run" || skip "no tmpfs"
at_exit "umount -l $T/run"
drum_start
swap_make "$T/a" 256M
swap_make "$T/b" 64M
ctl swap on "$T/a"
ctl swap on ram:24M --priority 9
GUEST_SMP=1
GUEST_APPEND='nowatchdog rcupdate.rcu_cpu_stall_suppress=1'
PATROL=--share=70,--rotate=5
guest_start one 128M
guest_up one
guest_attach one --limit $LIMIT
wait_shrunk one $((48 * MIB))

count_keeper=0
count_pager=0
for name in "${POINTS[@]}"; do
	skips=$((RANDOM % 3))
	case $name in
	# those that are come to once in a start, or an end
	begun | woken | adopted-all | recover-words | late-* | pager-started | guest-given | detach-* | limit-set | swap* | move-* | recover-late)
		skips=0
		;;
	esac
	case $name in
	# only after a death in the middle of a write
	recover-late | late-over) point set out-begun 0 "$name" ;;
	*) point set "$name" $skips ;;
	esac
	end=$(($(now_ms) + 400 * IT_SCALE))
	until died; do
		[ "$(now_ms)" -lt $end ] || fail "nobody comes to the point $name"
		work "$name"
	done
	go_on "$name"
done
guest_check one
guest_end one
assert_swap_free 30
assert_drum_lives
drum_stop
it_passed "${#POINTS[@]} points, $count_keeper deaths of the keeper, $count_pager of the pager"
