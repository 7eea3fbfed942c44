#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 65
# timeout: 600
# The pager or the keeper dies at every labelled point of a disk, in the middle of requests and
# of messages, and while pages of its guest leave for the image and come back.  Each time the
# next one goes on: nothing is lost, nothing answered twice, nothing wrong is read.
# A service manager keeps the connections when it was the keeper.  The front end is one that
# checks every answer; the programs are points/drumd and points/drum-pager.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
DRUM_DAEMON=$DRUM_BUILD/points
it_init

RANDOM=${SEED:-1}
TIMES=${TIMES:-4}
BURST=7		# deaths of the pager; then the keeper would have the next one wait
REST_S=3.2	# and forgets after this
FRONT=$DRUM_BUILD/tests/it/vufront
LIMIT=24M
mapfile -t POINTS < <("$IT_PYTHON" "$IT_SRC/point" names "$IT_SRC/../../src" | grep ^disk-)
[ ${#POINTS[@]} -gt 8 ] || fail "only ${#POINTS[@]} points found"
# what becomes of pages that are copies of blocks
POINTS+=(out-clean out-punched in-read recover-words)

point() {
	"$IT_PYTHON" -IS "$IT_SRC/point" "$T/point" "$@"
}

died() {
	point died >/dev/null
}

quietly() {
	timeout 30 "$DRUM_BUILD/drumctl" -s "$T/run/qmp.sock" "$@" >>"$T/ctl.log" 2>&1 </dev/null || true
}

# front NAME DISK OPTION...: one that checks, in the background, into NAME.log
front() {
	local name=$1 disk=$2
	shift 2
	"$FRONT" verify "$(disk_sock "$disk")" --reconnect --region $((8 * MIB)) "$@" >"$T/$name.log" 2>&1 &
	IT_PIDS[$name]=$!
}

# front_ends NAME: well
front_ends() {
	local status=0
	wait "${IT_PIDS[$1]}" || status=$?
	unset "IT_PIDS[$1]"
	if [ $status != 0 ] || ! grep -q '^front done .*, bad 0$' "$T/$1.log"; then
		fail "$2: front end $1 ended with $status: $(grep -a BAD "$T/$1.log" | head -n 3; tail -n 2 "$T/$1.log")"
	fi
	local n
	n=$(grep -o 'reconnects=[0-9]*' "$T/$1.log")
	reconnects=$((reconnects + ${n#*=}))
}

# What makes some thread come to the point, once more.
work() {
	case $1 in
	disk-answer* | disk-message | disk-committed | disk-consumed | disk-replied)
		# all that is said at a start: the worker of a new guest
		front brief brief --seconds 0.5 --ram 16 --queues 2 --seed "$RANDOM"
		wait_until 90 brief_ended_or_death || fail "$1: front end brief does not end"
		died || front_ends brief "$1"
		;;
	disk-*)
		sleep 0.02
		;;
	recover-*)
		local pid
		pid=$(pager) || return 0
		if ! died && kill -KILL "$pid" 2>/dev/null; then
			burst=$((burst + 1))
		fi
		wait_until 20 another_pager_or_death "$pid" || fail "no pager after $pid was killed"
		;;
	*)
		quietly guest out long
		;;
	esac
}

brief_ended_or_death() {
	is_gone "${IT_PIDS[brief]}" || died
}

another_pager_or_death() {
	another_pager "$1" || died
}

serves() {
	local disk
	for disk in long single; do
		disk_is $disk state = connected && disk_is $disk reads -gt 0 && disk_is $disk writes -gt 0 || return
	done
}

# After a death: whoever is left starts again, and the front end goes on.
go_on() {
	local who name
	who=$(point died)
	if [ "$who" = "$DRUMD_PID" ]; then
		keepers=$((keepers + 1)) burst=0
		wait_until 20 is_gone "$DRUMD_PID" || fail "$1: the keeper does not die"
		wait "$DRUMD_PID" 2>/dev/null || true
		drum_start
	else
		pagers=$((pagers + 1)) burst=$((burst + 1))
	fi
	wait_until 30 drum_ready || fail "$1: no answer"
	for name in long single; do
		! is_gone "${IT_PIDS[$name]}" || fail "$1: front end $name has ended: $(tail -n 2 "$T/$name.log")"
	done
	! grep -aE 'quarantined|guest .* waits|is missing' "$T/drumd.log" >&2 || fail "$1: a death costs more than a pause"
	wait_until 30 serves || fail "$1: a disk is not served: $(ctl disk list)"
	! grep -a BAD "$T/long.log" "$T/single.log" || fail "$1: wrong"
}

truncate -s 4096 "$T/point"
export DRUM_POINTS=$T/point
mkdir "$T/run" "$T/store"
mount -t tmpfs -o size=64M,mode=755 none "$T/run" || skip "no tmpfs"
at_exit "umount -l $T/run"
"$IT_PYTHON" "$IT_SRC/fdstore" serve "$T/store" >"$T/store.log" 2>&1 &
IT_PIDS[store]=$!
wait_for SERVING "$T/store.log" 10 >/dev/null
DRUM_RUNNER="$IT_PYTHON $IT_SRC/fdstore run $T/store"
drum_start
swap_on 256M
for disk in long single brief; do
	truncate -s 64M "$T/$disk.img"
	disk_add "$disk" "$T/$disk.img"
done
front long long --depth 16 --queues 2 --stop-every 3 --reset-every 7
# who has one request at a time hangs when one answer is not told of
front single single --ram 16 --depth 1 --queues 1
wait_until 30 serves || fail "a disk is not served: $(ctl disk list)"
ctl guest set long --limit $LIMIT

keepers=0 pagers=0 reconnects=0 burst=0
for name in "${POINTS[@]}"; do
	times=$TIMES
	case $name in
	disk-*) ;;
	*) times=2 ;;
	esac
	for ((i = 0; i < times; i++)); do
		case $name in
		# of the messages of a start the first, or any
		disk-message | disk-committed | disk-consumed) skips=$((RANDOM % 30)) ;;
		disk-answer* | disk-replied) skips=$((RANDOM % 6)) ;;
		disk-*) skips=$((RANDOM % 200)) ;;
		recover-*) skips=0 ;;
		*) skips=$((RANDOM % 3)) ;;
		esac
		point set "$name" $skips
		end=$(($(now_ms) + 300 * IT_SCALE))
		until died; do
			[ "$(now_ms)" -lt $end ] || fail "nobody comes to the point $name"
			work "$name"
		done
		go_on "$name"
		[ -z "${IT_PIDS[brief]:-}" ] || front_ends brief "$name"
		if [ $burst -ge $BURST ]; then
			sleep $REST_S
			burst=0
		fi
	done
done
for name in long single; do
	kill -TERM "${IT_PIDS[$name]}"
	front_ends $name 'at the end'
done
# A connection is lost only where nobody can know whether an answer was sent.
unknown=$(grep -ac 'whether its front end was answered' "$T/drumd.log" || true)
lost=$(grep -aE 'is disconnected: ' "$T/drumd.log" || true)
[ -z "$lost" ] || fail "disconnected: $lost"
[ "$reconnects" -le "$unknown" ] || fail "$reconnects times a connection was lost, $unknown times it had to be"
for disk in long single brief; do
	assert_disks_served "$disk"
	disk_remove "$disk"
done
assert_swap_free
assert_drum_lives
drum_stop
it_passed "${#POINTS[@]} points, $keepers deaths of the keeper, $pagers of the pager, $reconnects connections made anew"
