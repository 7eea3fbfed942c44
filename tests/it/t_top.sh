#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# drumctl top on a terminal that is played: canned answers first, whose screens are known; then a
# guest, and a daemon that goes away and comes back.
. "$(dirname "$0")/lib.sh"
# a Python in front of Debian's does not have Debian's modules
for python in "$IT_PYTHON" /usr/bin/python3; do
	! "$python" -c 'import pyte' 2>/dev/null || break
done
"$python" -c 'import pyte' 2>/dev/null || skip 'no pyte (package python3-pyte)'
it_init
it_need_drum
export TERM=linux LC_ALL=C.UTF-8
unset NO_COLOR COLORTERM

# screen SIZE SOCKET OPTION...: orders on standard input
screen() {
	local size=$1 socket=$2
	shift 2
	"$python" "$IT_SRC/screen" "$size" "$DRUM_BUILD/drumctl" -s "$socket" top --delay 0.2 "$@"
}

# canned_write RATE: 30 guests, of which gN has N MiB in memory and N * RATE faults a second
canned_write() {
	local i guests=
	for i in {10..39}; do
		guests+="{\"name\": \"g$i\", \"pid\": $i, \"state\": \"running\", \"size\": $((64 * MIB)),
			\"resident\": $((i * MIB)), \"swapped\": 0, \"faults\": {\"from\": 5, \"rate\": $((i * $1))}},"
	done
	cat >"$T/canned.new" <<-END
	{"query-host": {"budget": 2048, "used": 1024, "free": 1024, "level": "high"},
	 "query-guests": [${guests%,}],
	 "query-swap-devices": [{"path": "/swap\\u001b[2Jx", "type": "file", "state": "enabled", "used": 5, "size": 100},
		{"path": "/a/path/that/is/longer/than/any/screen/is/wide/aaaaaaaaaaaaaaaaaaaaaaaaaaaaa/and/its/end", "used": 9}]}
	END
	mv "$T/canned.new" "$T/canned.json"
}

canned_write 0
"$python" "$IT_SRC/canned" "$T/canned" "$T/canned.json" >"$T/canned.log" 2>&1 &
IT_PIDS[canned]=$!
wait_until 10 test -S "$T/canned" || fail 'no canned answers'

# Nothing moves, so that a screen is the same whichever way one has come there.
declare -A last=([60x15]=31 [80x24]=22 [120x40]=10) # the guest in the last line
for size in "${!last[@]}"; do
	screen "$size" "$T/canned" --sort resident >/dev/null <<-END
	wait ^g${last[$size]} .* - +0 +-
	save $T/$size
	key q
	end 0
	END
done
screen 80x24 "$T/canned" --sort resident <<-END
wait ^g22 .* - +0 +-
wait ^drumctl top  30 guests, free memory is high +..:..:..\$
wait ^Memory  1.0K of 2.0K \[#+\.+\]  free 1.0K
wait ^NAME +STATE +SIZE +RES +SWAP +WSET +FLT/s +IN/s +OUT/s +P99 +SOME%\$
wait ^g39 +running +64M +39M
wait ^g22 .*\n.*1-18 of 30\$
attribute high green
attribute RES reverse
resize 120x40
same $T/120x40
wait BALLN\$
resize 60x15
same $T/60x15
lacks STATE
resize 80x24
same $T/80x24
key r
wait ^NAME.*\ng10
key \x1b[B
wait ^NAME.*\ng11
key \x1b[6~\x1b[6~
wait ^g39.*\n.*13-30 of 30
key r/2
wait ^NAME.*\ng32.*\ng29
wait Filter: 2_ .*18 hidden
key \x1b
wait ^g39
key h
wait guests, devices
key h
same $T/80x24
key d
wait ^~[a-z/]*/and/its/end .*\n/swap\?\[2Jx
lacks g39
key g
same $T/80x24
signal SIGTERM
end 143
END

# Rates go by the time between; a terminal without colours has none.
canned_write 100
NO_COLOR=1 screen 80x24 "$T/canned" --filter G1 <<END
wait ^g19 .* (1\.[789]k|2\.[01]k)
wait ^g18
lacks ^g2
plain
key \x03
end 130
END
"$DRUM_BUILD/drumctl" -s "$T/canned" top --count 2 --delay 0.1 --filter g3 >"$T/batch" </dev/null
[ "$(grep -c '^g39 .* [34]\.[0-9]k ' "$T/batch")" = 2 ] || fail "batch: $(cat "$T/batch")"
! grep -q $'\033' "$T/batch" || fail 'batch output steers a terminal'
status=0
"$DRUM_BUILD/drumctl" -s "$T/canned" top >"$T/batch" 2>&1 </dev/null || status=$?
{ [ $status = 2 ] && grep -q 'no terminal .*--count' "$T/batch"; } || fail "no terminal: $status, $(cat "$T/batch")"
status=0
TERM=dumb screen 80x24 "$T/canned" >"$T/dumb" <<<'end 2' || fail "dumb: $(cat "$T/dumb")"
kill "${IT_PIDS[canned]}"
unset 'IT_PIDS[canned]'

# A real one.
drum_start
swap_on 256M
guest_start one 128M
guest_up one
guest_attach one --limit 64M
screen 80x24 "$T/run/qmp.sock" <<END
wait ^drumctl top  1 guest +[0-9]
wait ^one +running +128M +[5-6][0-9]M +[0-9.]+M +[0-9.]+M +[1-9]
wait ^Faults +[1-9]
key d
wait ^(/|~).*/swap +file .* 256M
key g
run kill -STOP $DRUMD_PID
run kill -KILL $(pager)
wait reconnecting:
wait ^one +running .* -
run kill -CONT $DRUMD_PID
wait ^one +running +128M +[5-6][0-9]M +[0-9.]+M +[0-9.]+M +[1-9]
lacks reconnecting
key q
end 0
END
# Its pictures, of what it really has.
ctl map one >"$T/map"
grep -qE '^A active +[0-9.]+M' "$T/map" || fail "map: $(cat "$T/map")"
ctl hist one >"$T/hist"
grep -qE ' p50 [0-9.]+[num]s' "$T/hist" || fail "hist: $(cat "$T/hist")"
for picture in map hist; do
	ctl $picture one --svg "$T/$picture.svg"
	"$IT_PYTHON" -ISc 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$T/$picture.svg"
done
[ "$(ctl map one --json --cells 4 | json cells)" = 4 ] || fail 'not 4 cells'
guest_end one
drum_stop
it_passed
