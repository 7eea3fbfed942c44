#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 65
# timeout: 600
# The pager dies at every labelled point of the swapcache: as it puts, drops, cleans and leaves
# devices, as it takes a cache over and gives one up.  Each time the next one goes on, nothing wrong
# is read, and there is a cache as before.  The front end checks every answer; the programs
# are points/drumd and points/drum-pager.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
. "$(dirname "$0")/cache.sh"
disk_needs_drum
DRUM_DAEMON=$DRUM_BUILD/points
it_init

RANDOM=${SEED:-1}
TIMES=${TIMES:-3}
BURST=7		# deaths of the pager; then the keeper would have the next one wait
REST_S=3.2	# and forgets after this
FRONT=$DRUM_BUILD/tests/it/vufront
mapfile -t POINTS < <("$IT_PYTHON" "$IT_SRC/point" names "$IT_SRC/../../src" | grep ^cache-)
[ ${#POINTS[@]} -gt 3 ] || fail "only ${#POINTS[@]} points found"

point() {
	"$IT_PYTHON" -IS "$IT_SRC/point" "$T/point" "$@"
}

died() {
	point died >/dev/null
}

# Whoever is asked may die of it.
quietly() {
	timeout 30 "$DRUM_BUILD/drumctl" -s "$T/run/qmp.sock" "$@" >>"$T/ctl.log" 2>&1 </dev/null || true
}

front_start() {
	"$FRONT" verify "$(disk_sock long)" --reconnect --region $((16 * MIB)) --reads 85 --ram 16 --depth 16 --queues 2 \
		--stop-every 3 >"$T/long.log" 2>&1 &
	IT_PIDS[long]=$!
}

another_pager_or_death() {
	another_pager "$1" || died
}

puts() {
	died || cache_is put -gt 0
}

# What makes some thread come to the point, once more; each time another of these.
work() {
	local pid
	case $((works++ % 6)) in
	0 | 3)	# blocks are put, read and dropped all the time
		sleep 0.1
		;;
	1)	# all of it is too much, and then it is not
		quietly swapcache set maxswappct=11
		sleep 0.3
		quietly swapcache set maxswappct=75
		;;
	2)	# its device goes
		quietly swap off "$T/swap-a"
		quietly swap on "$T/swap-a" --priority 10
		;;
	4)	# a disk that has a cache goes, and another comes
		quietly disk remove brief
		quietly disk add brief --image "$T/brief.img"
		read_brief
		;;
	5)	# a new pager takes over
		pid=$(pager) || return 0
		if ! died && kill -KILL "$pid" 2>/dev/null; then
			burst=$((burst + 1))
		fi
		wait_until 20 another_pager_or_death "$pid" || fail "no pager after $pid was killed"
		died || wait_until 30 ready_or_death || fail "no answer"
		;;
	esac
}

ready_or_death() {
	drum_ready || died
}

# read_brief: so that there is something of it in the cache
read_brief() {
	timeout 20 "$FRONT" bench "$(disk_sock brief)" --ram 16 --seconds 0.3 --only read-1m-4 --wait 5 >>"$T/brief.log" 2>&1 || true
}

serves() {
	disk_is long state = connected && disk_is long reads -gt 0 && disk_is long writes -gt 0
}

# After a death: the next one goes on, and there is a cache.
go_on() {
	[ "$(point died)" != "$DRUMD_PID" ] || fail "$1: it is the keeper's?"
	deaths=$((deaths + 1)) burst=$((burst + 1))
	wait_until 30 drum_ready || fail "$1: no answer"
	! is_gone "${IT_PIDS[long]}" || fail "$1: the front end has ended: $(tail -n 2 "$T/long.log")"
	! grep -aE 'quarantined|guest .* waits|is missing' "$T/drumd.log" >&2 || fail "$1: a death costs more than a pause"
	wait_until 30 serves || fail "$1: the disk is not served: $(ctl disk list)"
	swap_listed "$T/swap-a" || ctl swap on "$T/swap-a" --priority 10
	ctl disk list --json | json name | grep -qx brief || ctl disk add brief --image "$T/brief.img"
	cache_set maxswappct=75
	wait_until 30 cache_is put -gt 0 || fail "$1: nothing is cached any more: $(cache_says)"
	wait_until 30 cache_is hit-bytes -gt 0 || fail "$1: nothing comes from swap any more: $(cache_says)"
	! grep -a BAD "$T/long.log" || fail "$1: wrong"
}

truncate -s 4096 "$T/point"
export DRUM_POINTS=$T/point
drum_start
for name in a b; do
	swap_make "$T/swap-$name" 24M
done
ctl swap on "$T/swap-a" --priority 10
ctl swap on "$T/swap-b"
cache_all_on
truncate -s 32M "$T/long.img"
disk_add long "$T/long.img"
random_file "$T/brief.img" $((4 * MIB)) brief
disk_add brief "$T/brief.img"
front_start
wait_until 30 cache_is hit-bytes -gt 0 || fail "nothing comes from swap: $(cache_says)"
# pages of its own on the same devices, so that taking over and leaving are seldom about the cache alone
ctl guest set long --limit 12M
read_brief

deaths=0 burst=0 works=0
for name in "${POINTS[@]}"; do
	for ((i = 0; i < TIMES; i++)); do
		case $name in
		# once for each disk, when a pager starts, or a disk goes
		cache-claim* | cache-open* | cache-retire* | cache-over*) skips=$((i % 2)) ;;
		*) skips=$((i == 0 ? 0 : RANDOM % 40)) ;;
		esac
		assert_sums_right "before $name"
		point set "$name" $skips
		end=$(($(now_ms) + 300 * IT_SCALE))
		until died; do
			[ "$(now_ms)" -lt $end ] || fail "nobody comes to the point $name: $(cache_says)"
			work
			if [ $burst -ge $BURST ]; then
				sleep $REST_S
				burst=0
			fi
		done
		go_on "$name"
	done
done
status=0
kill -TERM "${IT_PIDS[long]}"
wait "${IT_PIDS[long]}" || status=$?
unset "IT_PIDS[long]"
if [ $status != 0 ] || ! grep -q '^front done .*, bad 0$' "$T/long.log"; then
	fail "the front end ended with $status: $(grep -a BAD "$T/long.log" | head -n 3; tail -n 2 "$T/long.log")"
fi
assert_sums_right 'at the end'
for disk in long brief; do
	assert_disks_served "$disk"
	disk_remove "$disk"
done
assert_swap_free
assert_drum_lives
drum_stop
it_passed "${#POINTS[@]} points, $deaths deaths"
