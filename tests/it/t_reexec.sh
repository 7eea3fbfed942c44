#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 65
# timeout: 600
# The running daemon is replaced by another one under load: guests wait for a moment, clients are
# never refused, and a daemon that does not start costs nothing but that moment.
. "$(dirname "$0")/lib.sh"
it_init
it_need_drum

# Programs that can be replaced: the same ones under other versions, all of the same length.
VERSION=$("$DRUM_DAEMON/drumd" --version)
VERSION=${VERSION#drumd }
BUILT=$DRUM_DAEMON
version_of() { # version_of LETTER
	printf "%s%$((${#VERSION} - 1))s" "$1" '' | tr ' ' _
}
NEW=$(version_of n)

# install_as VERSION [PROGRAM...]: as a package does, a new file in place of the old one
install_as() {
	local version=$1 program
	shift
	[ $# -gt 0 ] || set -- drumd drum-pager
	for program; do
		LC_ALL=C sed "s/${VERSION//./\\.}/$version/g" "$BUILT/$program" >"$T/bin/$program.new"
		chmod 755 "$T/bin/$program.new"
		mv "$T/bin/$program.new" "$T/bin/$program"
	done
}

# reexec VERSION: and that is what runs then
reexec() {
	local said
	said=$(ctl daemon reexec) || fail "daemon reexec: $said"
	[[ $said == "drumd "*" replaced by $1 in "*" ms; guests waited "*" ms" ]] || fail "it says: $said"
	[ "$("$IT_PYTHON" "$IT_SRC/qmp" "$T/run/qmp.sock" query-daemon | json version)" = "$1" ] ||
		fail "another version runs"
	! is_gone "$DRUMD_PID" || fail "drumd is another process"
	PAUSES+=("${said##*waited }")
}

daemon_field() {
	"$IT_PYTHON" "$IT_SRC/qmp" "$T/run/qmp.sock" query-daemon | json "$1"
}

# reexec_fails PATTERN: the old one goes on
reexec_fails() {
	local status=0 before
	before=$(daemon_field version)
	ctl daemon reexec >"$T/refused" 2>&1 || status=$?
	[ $status = 1 ] || fail "daemon reexec ended with $status: $(cat "$T/refused")"
	grep -qE -- "$1" "$T/refused" || fail "daemon reexec says: $(cat "$T/refused")"
	[ "$(daemon_field version)" = "$before" ] || fail "version $(daemon_field version) runs, not $before"
	! is_gone "$DRUMD_PID" || fail "drumd is gone"
	wait_until 20 guest_is one state = running || fail "the guest is not served"
	guest_walks one 3000
}

mkdir "$T/bin"
install_as "$VERSION"
DRUM_DAEMON=$T/bin

PAUSES=()
LIMIT=$((128 * MIB))
cat >"$T/conf" <<-END
	[drumd]
	leave = no
	state-dir = $T/state
END
drum_start --config "$T/conf"
swap_on 1G
guest_start one 512M
guest_up one
guest_attach one --limit 128M
wait_shrunk one $LIMIT
guest_walks one 20000

# Ten times under load, by another version each time.  A client that connects all the time is
# never refused.
asking() {
	while [ ! -e "$T/enough" ]; do
		"$DRUM_BUILD/drumctl" -s "$T/run/qmp.sock" stat 2>&1 | grep -aE 'cannot reach' || true
		sleep 0.01
	done
}
asking >"$T/asking.log" &
IT_PIDS[asking]=$!
events_start
worst=()
for i in 0 1 2 3 4 5 6 7 8 9; do
	next=$(version_of "$i")
	install_as "$next"
	from=$(lines_of "$T/one.log")
	reexec "$next"
	# in this second or in the next one it is seen, whoever waited longest
	wait_for '^PATROL t=' "$T/one.log" 60 "$from" >/dev/null
	wait_for '^PATROL t=' "$T/one.log" 60 $((from + 1)) >/dev/null
	us=$(tail -n +$((from + 1)) "$T/one.log" | grep -ao 'worst_us=[0-9]*' | sort -t= -k2n | tail -n 1)
	worst+=("${us#*=}")
	guest_walks one 3000
done
restart_is_told drumd-replaced 1 >/dev/null
assert_resident one
guest_is one limit -eq $LIMIT || fail "the limit is $(guest_field one limit)"
[ "$(daemon_field replaced)" = 10 ] || fail "replaced $(daemon_field replaced) times"
touch "$T/enough"
wait "${IT_PIDS[asking]}"
unset "IT_PIDS[asking]"
[ ! -s "$T/asking.log" ] || fail "a client was refused: $(head -n 1 "$T/asking.log")"
wait_until 10 is_gone "${IT_PIDS[events]}" || fail "'drumctl events' is not told that its daemon has gone"
grep -q 'lost drumd' "$T/events.log" || fail "'drumctl events' says: $(tail -n 1 "$T/events.log")"
unset "IT_PIDS[events]"
mapfile -t sorted < <(printf '%s\n' "${PAUSES[@]% ms}" | sort -n)
mapfile -t worst < <(printf '%s\n' "${worst[@]}" | sort -n)
median=$(((sorted[4] + sorted[5]) / 2))
say "guests waited: median $median ms, at most ${sorted[9]} ms;" \
	"a page of the guest at most: median $(((worst[4] + worst[5]) / 2000)) ms, most $((worst[9] / 1000)) ms"
[ $median -lt $((10 * IT_SCALE)) ] || fail "guests wait too long"
guest_check one

# Nothing is held for a write that may be late: the pager has ended in order.
! grep -a 'is killed' "$T/drumd.log" || say "a pager was killed"

# Twice in a row, and while everything is on its way out, or in.
(reexec "$next")
(reexec "$next")
for job in 'guest out one' 'guest in one' 'swap off '"$T/swap"; do
	[ "$job" != 'guest in one' ] || ctl guest set one --limit 512M
	# shellcheck disable=SC2086 # words
	ctl $job >"$T/job.log" 2>&1 &
	IT_PIDS[job]=$!
	(reexec "$next")
	wait "${IT_PIDS[job]}" || true
	unset "IT_PIDS[job]"
	ctl guest set one --limit 128M
	guest_walks one 3000
done
wait_until 20 swap_listed "$T/swap" || ctl swap on "$T/swap"
swap_make "$T/dump" 640M
ctl dump set "$T/dump"
ctl dump guest one >"$T/job.log" 2>&1 &
IT_PIDS[job]=$!
(reexec "$next")
wait "${IT_PIDS[job]}" || true
unset "IT_PIDS[job]"
[ "$(ctl dump show --json | json path)" = "$T/dump" ] || fail "the dump device is forgotten"
ctl dump guest one
ctl dump off
guest_check one

# What does not run, or would not start, is refused before anything is done to the guest.
pager=$(pager)
printf '#!/bin/sh\nexit 1\n' >"$T/bin/drumd.new"
chmod 755 "$T/bin/drumd.new"
mv "$T/bin/drumd.new" "$T/bin/drumd"
reexec_fails 'does not run'
printf 'no program\n' >"$T/bin/drumd"
reexec_fails 'cannot execute'
printf '#!/bin/sh\nsleep 60\n' >"$T/bin/drumd"
reexec_fails 'does not answer'
rm "$T/bin/drumd"
reexec_fails 'cannot execute.*No such file'
install_as "$NEW" drumd
reexec_fails "drumd $NEW and its drum-pager is version $next"
install_as "$NEW"
echo 'nonsense = 1' >>"$T/conf"
reexec_fails 'nonsense'
sed -i '/nonsense/d' "$T/conf"
[ "$(pager)" = "$pager" ] || fail "the pager was replaced"

# The old pager's file is gone, and it is started again all the same.
kill -KILL "$pager"
wait_until 20 another_pager "$pager" || fail "no pager after $pager was killed"
wait_until 20 guest_is one state = running || fail "the guest was not taken over"
[ "$(daemon_field version)" = "$next" ] || fail "another version runs"
guest_walks one 3000

# It runs, and does not start: a stand-in for a pager that says its version and then fails.
# shellcheck disable=SC2016 # expanded by the inner shell
printf '#!/bin/sh\n[ "$1" != --version ] || { echo drum-pager %s; exit 0; }\nexit 5\n' "$NEW" >"$T/bin/drum-pager.new"
chmod 755 "$T/bin/drum-pager.new"
mv "$T/bin/drum-pager.new" "$T/bin/drum-pager"
reexec_fails "drumd $next goes on: the pager did not start"
grep -aq "does not start, the one before it goes on" "$T/drumd.log" || fail "the log does not tell"
pager=$(pager)
kill -KILL "$pager"
wait_until 20 another_pager "$pager" || fail "no pager after $pager was killed"
guest_check one

# And at last one that does, whose swap has lost its name meanwhile.
install_as "$NEW"
rm "$T/swap"
reexec "$NEW"
[ "$(cat "$T/run/drumd.pid")" = "$DRUMD_PID" ] || fail "drumd.pid has another process"
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed "guests waited $median ms (median)"
