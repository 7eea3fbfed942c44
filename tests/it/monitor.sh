# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What t_monitor and t_libvirt share: the same is asserted of both ways to a balloon.

# monitor_start ARGUMENT...: its lines go to monitor.log
monitor_start() {
	local monitor=$DRUM_BUILD/tests/it/monitor
	[ -x "$monitor" ] || fail "no $monitor; build it first"
	[ -p "$T/monitor.in" ] || mkfifo "$T/monitor.in"
	: >"$T/monitor.log"
	"$monitor" "$@" <>"$T/monitor.in" >"$T/monitor.log" 2>&1 &
	IT_PIDS[monitor]=$!
}

monitor_say() {
	echo "$*" >"$T/monitor.in"
}

# monitor_end: and its loop has come round all the time; a call that hangs does so for seconds
monitor_end() {
	local gap
	monitor_say quit
	wait_until 5 is_gone "${IT_PIDS[monitor]}" || fail "the monitor does not end"
	unset 'IT_PIDS[monitor]'
	gap=$(wait_for '^GAP' "$T/monitor.log" 1)
	[ "${gap#GAP }" -lt 2000 ] || fail "the loop stood for ${gap#GAP } ms"
}

# monitor_shows PATTERN SECONDS FROM_LINE
monitor_shows() {
	wait_for "$1" "$T/monitor.log" "$2" "$3" >/dev/null
}

last_field() { # last_field FIELD: of the last line
	tail -n 1 "$T/monitor.log" | grep -oE "(^| )$1=[^ ]*" | cut -d= -f2
}

last_is() { # last_is FIELD OPERATOR VALUE
	local value
	value=$(last_field "$1") || return
	test "$value" "$2" "$3"
}

# monitor_works PID SIZE_MIB LESS_MIB: of a guest that has come to rest: figures come and are the guest's; down and up; stopped
# and going on; killed
monitor_works() {
	local pid=$1 size=$2 less=$3 from start tids total free

	monitor_shows "^UP actual=$((size * MIB)) running=1 .* told=1 free=[1-9]" 30 0
	total=$(last_field total)
	if [ "$total" -le $(((size - 64) * MIB)) ] || [ "$total" -gt $((size * MIB)) ]; then
		fail "a guest of $size MiB has $((total / MIB)) MiB"
	fi
	free=$(last_field free)
	if [ "$free" -le $((size * MIB / 4)) ] || [ "$free" -ge "$total" ]; then
		fail "free: $(tail -n 1 "$T/monitor.log")"
	fi
	# threads of QEMU that run vCPUs, as it names them
	tids=$(last_field vcpus)
	[ "$(tr , '\n' <<<"$tids" | sort)" = "$(grep -lE '^CPU [0-9]+/' "/proc/$pid/task/"*/comm |
		cut -d/ -f5 | sort)" ] || fail "vCPUs are said to be '$tids'"

	monitor_say "ram $((less * MIB))"
	wait_until 20 last_is actual -eq $((less * MIB)) || fail "the balloon does not grow"
	# The driver tells: what is free is less.  With deflate-on-oom the total is not, for Linux.
	wait_until 20 last_is free -le $((free - (size - less) * MIB / 2)) ||
		fail "$(tail -n 1 "$T/monitor.log")"
	monitor_say "ram $((size * MIB))"
	wait_until 20 last_is actual -eq $((size * MIB)) || fail "the balloon does not shrink"

	from=$(lines_of "$T/monitor.log")
	start=$(now_ms)
	kill -STOP "$pid"
	monitor_shows '^LOST .*does not answer' 12 "$from"
	say "lost after $(($(now_ms) - start)) ms"
	from=$(lines_of "$T/monitor.log")
	start=$(now_ms)
	kill -CONT "$pid"
	monitor_shows '^UP actual=[1-9].* told=1' 15 "$from"
	say "up again after $(($(now_ms) - start)) ms"
}

# monitor_flags: that the balloon has both of what may be told of it
monitor_flags() {
	if ! last_is deflate -eq 1 || ! last_is reports -eq 1; then
		fail "$(tail -n 1 "$T/monitor.log")"
	fi
}
