#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Metrics over HTTP, at a Unix socket and at a port: what promtool and the dashboard ask for is
# there, clients that are slow or many stop nobody, and the socket outlives pager and drumd.
. "$(dirname "$0")/lib.sh"
it_init
it_need_drum
command -v promtool >/dev/null || skip "no promtool (package prometheus)"

OPEN='application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5'

scrape() {
	timeout 30 "$IT_PYTHON" -I "$IT_SRC/scrape" "$@" 2>"$T/status"
}

# scraped [ARGUMENT...]: into $T/metrics
scraped() {
	scrape "$WHERE" "$@" >"$T/metrics" || fail "no answer: $(tail -n 1 "$T/status")"
}

status_is() {
	[ "$(cat "$T/status")" = "$1" ] || fail "not '$1' but '$(cat "$T/status")'"
}

# value METRIC{LABELS}: of what was scraped
value() {
	local line
	line=$(grep -F -- "$1 " "$T/metrics") || fail "no $1"
	echo "${line##* }"
}

configure() {
	printf '[drumd]\nstate-dir = %s\n[host]\nbudget = 2G\n[metrics]\nlisten = %s\n' "$T/state" "$1" >"$T/conf"
	WHERE=$1
}

pager_dies() {
	local old
	old=$(pager)
	kill -KILL "$old"
	wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
}

PATROL=--mib=48 guest_start one 128M -name one,debug-threads=on -device virtio-balloon-pci,id=balloon

# A Unix socket: whoever connects while there is no pager is answered by the next one.
configure "$T/metrics.sock"
drum_start --config "$T/conf"
scraped
status_is '200 text/plain; version=0.0.4; charset=utf-8'
[ "$(value drum_daemon_pager_restarts_total)" = 0 ] || fail "a pager has died"
[ "$(stat -c %a "$WHERE")" = 660 ] || fail "anybody may read: $(stat -c %A "$WHERE")"
scraped /nothing
status_is '404 text/plain; charset=utf-8'
pager_dies
scraped
[ "$(value drum_daemon_pager_restarts_total)" = 1 ] || fail "it is not told that a pager died"
node=$(stat -c %i "$WHERE")
ctl daemon reexec >"$T/reexec" 2>&1 || fail "daemon reexec: $(cat "$T/reexec")"
scraped
[ "$(value drum_daemon_replaced_total)" = 1 ] || fail "it is not told that drumd was replaced"
[ "$(stat -c %i "$WHERE")" = "$node" ] || fail "another socket after drumd was replaced"
drum_stop
[ ! -e "$WHERE" ] || fail "$WHERE is left"

# A port, for ram: and all else that there are figures of.
mount -t tmpfs -o mode=700,size=256m tmpfs "$T/run" 2>/dev/null || skip "no mount"
at_exit "umount -l $T/run"
port=$("$IT_PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
configure "127.0.0.1:$port"
drum_start --config "$T/conf"
ctl swap on ram:64M -p 10
swap_make "$T/swap" 128M
ctl swap on "$T/swap" --endurance 10G
truncate -s 16M "$T/disk.img"
ctl disk add data --image "$T/disk.img"
guest_up one
guest_attach one --limit 64M --qmp "$T/one.qmp"
wait_until 30 guest_is one faults -gt 0 || fail "no faults"
# what the guest itself tells comes with the first look of its balloon
own_is_told() {
	scraped
	grep -q '^drum_guest_own_free_bytes{guest="one"}' "$T/metrics"
}
wait_until 30 own_is_told || fail "the guest's own figures are missing"

scraped
promtool check metrics <"$T/metrics" >"$T/promtool" 2>&1 || fail "promtool: $(cat "$T/promtool")"
[ ! -s "$T/promtool" ] || fail "promtool: $(cat "$T/promtool")"
[ "$(value 'drum_guest_size_bytes{guest="one"}')" = $((128 * MIB)) ] || fail "the guest's size"
[ "$(value 'drum_guest_fault_latency_seconds_bucket{guest="one",le="+Inf"}')" -gt 0 ] || fail "no latency"
"$IT_SRC/../../tools/lint-dashboard" --rules "$T/rules.yml" "$T/metrics" >"$T/dashboard" || fail "$(cat "$T/dashboard")"
promtool check rules "$T/rules.yml" >"$T/promtool" 2>&1 || fail "the dashboard's queries: $(cat "$T/promtool")"
scraped /metrics "$OPEN"
status_is '200 application/openmetrics-text; version=1.0.0; charset=utf-8'
[ "$(tail -n 1 "$T/metrics")" = '# EOF' ] || fail "it ends with $(tail -n 1 "$T/metrics")"

# Many who hold their connections: QMP answers, and so does this.
mkfifo "$T/hold.in"
"$IT_PYTHON" -I "$IT_SRC/scrape" --hold 200 "$WHERE" <>"$T/hold.in" >"$T/hold.log" 2>&1 &
IT_PIDS[hold]=$!
wait_for HOLDING "$T/hold.log" 20 >/dev/null
for _ in 1 2 3 4 5; do
	timeout 5 "$DRUM_BUILD/drumctl" -s "$T/run/qmp.sock" stat >/dev/null || fail "QMP does not answer"
done
# who holds a place only gives it up
scraped
status_is '200 text/plain; version=0.0.4; charset=utf-8'
kill "${IT_PIDS[hold]}"
wait "${IT_PIDS[hold]}" 2>/dev/null || true
unset 'IT_PIDS[hold]'

pager_dies
scraped
[ "$(value drum_daemon_pager_restarts_total)" = 1 ] || fail "it is not told that a pager died"
wait_until 20 guest_is one state = running || fail "the guest was not taken over"
guest_check one
assert_drum_lives
guest_kill one
drum_stop
it_passed
