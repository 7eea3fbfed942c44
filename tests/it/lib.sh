# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests with real guests share.  A test sources this and calls it_init.
#
#   DRUM_BUILD   where drumd, drum-pager and drumctl were built (default: here)
#   DRUM_GUEST   vmlinuz and initramfs.gz (default: $DRUM_BUILD/tests/guest; built if absent)
#   DRUM_DAEMON  where drumd and drum-pager are taken from (default: $DRUM_BUILD)
#   IT_DRUMD     more options for drumd, as --log-level debug
#   IT_KEEP=1    keep the test's directory
#   IT_SCALE=N   percentage of every time limit, for slow machines (default 100)
#
# All that a test makes lies in its own directory $T, and every process that it starts is
# noted before anything can fail, so that the trap ends these and no others.  A test waits
# for what it wants to see, never for a time; a wait that runs out is a failure.

set -eEu -o pipefail

IT_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRUM_BUILD=$(cd "${DRUM_BUILD:-.}" && pwd)
DRUM_DAEMON=${DRUM_DAEMON:-$DRUM_BUILD}
DRUM_GUEST=${DRUM_GUEST:-$DRUM_BUILD/tests/guest}
IT_SCALE=${IT_SCALE:-100}
MIB=1048576
IT_POLL=0.05			# seconds between two looks
T=
IT_DONE=
DRUMD_PID=
declare -A GUEST_PID=()		# those that were started and not yet waited for
declare -A IT_PIDS=()		# other processes
AT_EXIT=()			# commands for clean_up, last one first
# A wrapper may stand in front of the interpreter; it costs more than the scripts do.  So does
# what it looks for at its start: where it is run many times it gets -IS.
IT_PYTHON=$(python3 -c 'import sys; print(sys.executable)') || IT_PYTHON=

say() {
	echo "${0##*/}: $*"
}

fail() {
	say "FAILED: $*" >&2
	exit 1
}

skip() {
	say "skipped: $*"
	IT_DONE=1
	exit 77
}

on_error() {
	say "FAILED: line $1: $2" >&2
}

# at_exit COMMAND: before what it undoes is done
at_exit() {
	AT_EXIT=("$*" "${AT_EXIT[@]}")
}

# Ends what was started, daemon last: a guest that waits for memory dies of SIGKILL all the same.
clean_up() {
	local status=$? pid name
	trap - EXIT ERR
	trap '' INT TERM
	set +e
	if [ "$status" = 0 ] && [ -z "$IT_DONE" ]; then
		say "FAILED: ended before its end" >&2
		status=1
	fi
	if [ "$status" != 0 ] && [ "$status" != 77 ] && [ -n "$T" ]; then
		for name in "$T"/*.log; do
			[ -s "$name" ] || continue
			echo "--- ${name##*/}" >&2
			tail -n "${IT_TAIL:-15}" "$name" | cut -c1-300 >&2
		done
	fi
	for pid in "${GUEST_PID[@]}" "${IT_PIDS[@]}" ${DRUMD_PID:+"$DRUMD_PID"}; do
		kill -CONT "$pid"
		kill -KILL "$pid"
	done 2>/dev/null
	wait 2>/dev/null
	for name in "${AT_EXIT[@]}"; do
		eval "$name" >/dev/null 2>&1
	done
	# The pager notices the end of its keeper and ends by itself.
	if [ -n "$T" ]; then
		if [ "${IT_KEEP:-}" = 1 ]; then
			say "kept: $T"
		else
			rm -rf "$T"
		fi
	fi
	exit "$status"
}

it_init() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64"
	[ -n "$IT_PYTHON" ] || skip "no python3"
	trap clean_up EXIT
	trap 'on_error "$LINENO" "$BASH_COMMAND"' ERR
	trap 'exit 130' INT
	trap 'exit 143' TERM
	local dir=${TMPDIR:-/tmp}
	# A swap file needs a disk under it.
	case $(stat -fc %T "$dir") in
	tmpfs | ramfs) dir=/var/tmp ;;
	esac
	T=$(mktemp -d "$dir/drum-it.XXXXXX")
	chmod 755 "$T"
	# what a drumd notes for good is not for the host's own directory
	printf '[drumd]\nstate-dir = %s\n' "$T/state" >"$T/state.conf"
	"$IT_SRC/guest/build-guest" "$DRUM_GUEST"
}

it_need_drum() {
	local program
	for program in "$DRUM_DAEMON/drumd" "$DRUM_DAEMON/drum-pager" "$DRUM_BUILD/drumctl"; do
		[ -x "$program" ] || fail "no $program; build it first"
	done
}

it_passed() {
	IT_DONE=1
	say "passed${1:+: $1}"
}

# ---- waiting ----

# now_ms: a clock that nobody sets
now_ms() {
	local up
	read -r up _ </proc/uptime
	echo $((${up/./} * 10))
}

# wait_until SECONDS COMMAND...: until it succeeds; false if it never did
wait_until() {
	local end=$(($(now_ms) + $1 * 10 * IT_SCALE))
	shift
	until "$@"; do
		[ "$(now_ms)" -lt $end ] || return 1
		sleep $IT_POLL
	done
}

# rests COMMAND...: while it runs, this test takes next to no CPU; tests/run may start another one
rests() {
	local status=0 IT_POLL=0.5
	[ -z "${DRUM_RESTS:-}" ] || : >"$DRUM_RESTS"
	"$@" || status=$?
	[ -z "${DRUM_RESTS:-}" ] || rm -f "$DRUM_RESTS"
	return $status
}

lines_of() {
	wc -l <"$1"
}

# wait_for PATTERN FILE SECONDS [LINES]: prints the first line after LINES that matches
wait_for() {
	local pattern=$1 file=$2 seconds=$3 from=$((${4:-0} + 1)) found
	wait_until "$seconds" line_is_there "$pattern" "$file" "$from" ||
		fail "no '$pattern' in ${file##*/} within $seconds s"
	found=$(tail -n +$from "$file" | grep -aE -- "$pattern")
	echo "${found%%$'\n'*}"
}

line_is_there() {
	# Not -q: the one who writes to a closed pipe fails, and the pipe with it.
	tail -n +"$3" "$2" | grep -aE -- "$1" >/dev/null
}

is_gone() {
	local stat=''
	# no process for it, this is asked all the time; and one line, since what is read line by line
	# may be another text at the second read
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
	[[ $stat =~ \)\ Z[^\)]*$ ]]
}

# ---- the daemon ----

# DRUM_RUNNER: words in front of the command, which must become it
drum_start() {
	it_need_drum
	local from=0
	[ ! -e "$T/drumd.log" ] || from=$(lines_of "$T/drumd.log")
	if [[ " ${IT_DRUMD:-} $* " != *' --config '* ]]; then
		set -- --config "$T/state.conf" "$@"
	fi
	# shellcheck disable=SC2086 # words
	${DRUM_RUNNER:-} "$DRUM_DAEMON/drumd" --foreground --run-dir "$T/run" ${IT_DRUMD:-} "$@" </dev/null >>"$T/drumd.log" 2>&1 &
	DRUMD_PID=$!
	wait_until 10 drum_ready || fail "drumd does not answer: $(tail -n +$((from + 1)) "$T/drumd.log" | tail -n 3)"
}

drum_ready() {
	if is_gone "$DRUMD_PID"; then
		fail "drumd ended: $(tail -n 3 "$T/drumd.log")"
	fi
	[ -S "$T/run/qmp.sock" ] && ctl stat >/dev/null 2>&1
}

# say_available MIB: a drumd that is started from now on is told that the host has so much
# memory, and at each call anew; a /proc/meminfo of ours.
say_available() {
	# in place: the mount is of this file
	printf 'MemTotal: 1000000 kB\nMemAvailable: %d kB\n' $(($1 * 1024)) >"$T/meminfo"
	[ -x "$T/runner" ] || {
		printf '#!/bin/sh\nmount --bind "%s" /proc/meminfo && exec "$@"\n' "$T/meminfo" >"$T/runner"
		chmod 755 "$T/runner"
		DRUM_RUNNER="unshare --mount --propagation private $T/runner"
	}
}

# drum_stop [SECONDS]: by SIGTERM; it must end well
drum_stop() {
	local status=0 pid=$DRUMD_PID
	kill -TERM "$pid"
	wait_until "${1:-60}" is_gone "$pid" || fail "drumd does not end on SIGTERM"
	DRUMD_PID=
	wait "$pid" || status=$?
	[ $status = 0 ] || fail "drumd ended with $status"
}

assert_drum_lives() {
	! is_gone "$DRUMD_PID" || fail "drumd is gone"
	! grep -aqE 'ASSERT|assertion|AddressSanitizer|runtime error|error: bug: ' "$T/drumd.log" ||
		fail "drumd complains: $(grep -aE -m 1 'ASSERT|assertion|Sanitizer|runtime error|error: bug: ' "$T/drumd.log")"
}

ctl() {
	"$DRUM_BUILD/drumctl" -s "$T/run/qmp.sock" "$@"
}

json() {
	"$IT_PYTHON" -IS "$IT_SRC/json" "$@"
}

# swap_make FILE SIZE: all of it on disk
swap_make() {
	fallocate -l "$2" "$1" 2>/dev/null ||
		dd if=/dev/zero of="$1" bs=1M count=$(($(numfmt --from=iec "$2") / MIB)) status=none
	chmod 600 "$1"
	[ $(($(stat -c '%b * 512' "$1"))) -ge "$(stat -c %s "$1")" ] || fail "$1 is sparse"
}

# swap_on SIZE: a new swap file
swap_on() {
	swap_make "$T/swap" "$1"
	ctl swap on "$T/swap"
}

swap_used() {
	ctl swap list --json | json sum used
}

swap_used_is() {
	[ "$(swap_used)" = "$1" ]
}

# What a pager that was killed may still write to is held for a minute.
assert_swap_free() {
	local rests=
	[ ${#GUEST_PID[@]} != 0 ] || rests=rests
	$rests wait_until "${1:-90}" swap_used_is 0 || fail "$(swap_used) bytes of swap still used"
}

# swap_field PATH FIELD...: of `swap show`
swap_field() {
	local path=$1
	shift
	ctl swap show "$path" --json | json "$@"
}

# swap_is PATH FIELD OPERATOR VALUE: as in [ ], of `swap show`
swap_is() {
	local value
	value=$(swap_field "$1" "$2") || return
	test "$value" "$3" "$4"
}

swap_listed() {
	ctl swap list --json | json path | grep -xF -- "$1" >/dev/null
}

# loop_make VARIABLE FILE [OPTION...]: a loop device of the file
loop_make() {
	local device
	device=$(losetup --find --show "${@:3}" "$2" 2>/dev/null) || skip "no loop device"
	at_exit "losetup -d $device"
	printf -v "$1" %s "$device"
}

# refused PATTERN COMMAND...: ctl says no, and why
refused() {
	local pattern=$1 status=0
	shift
	ctl "$@" >"$T/refused" 2>&1 || status=$?
	[ $status = 1 ] || fail "'$*' ended with $status: $(cat "$T/refused")"
	grep -qE -- "$pattern" "$T/refused" || fail "'$*' says: $(cat "$T/refused")"
}

# events_start: what happens from now on is in events.log
events_start() {
	ctl events >"$T/events.log" 2>&1 &
	IT_PIDS[events]=$!
	swap_make "$T/probe" 1M
	wait_until 20 events_come || fail "'drumctl events' tells nothing"
	rm "$T/probe"
}

# Whether it listens yet only an event can tell.
events_come() {
	ctl swap on "$T/probe" && ctl swap off "$T/probe" &&
		grep -aq "SWAP_DEVICE_REMOVED path=$T/probe" "$T/events.log"
}

# restart_is_told REASON GUESTS: to who comes when it has happened
restart_is_told() {
	# not by ctl: a function's process is not the program's
	"$DRUM_BUILD/drumctl" -s "$T/run/qmp.sock" events >"$T/restarted.log" 2>&1 &
	IT_PIDS[restarted]=$!
	wait_for "PAGER_RESTARTED reason=$1 guests=$2 waiting=0" "$T/restarted.log" 20
	{
		kill "${IT_PIDS[restarted]}"
		wait "${IT_PIDS[restarted]}" || true
	} 2>/dev/null
	unset 'IT_PIDS[restarted]'
}

pager() {
	pgrep -P "$DRUMD_PID"
}

# threads_of PID NAME
threads_of() {
	grep -lx -- "$2" /proc/"$1"/task/*/comm | cut -d/ -f5
}

# thread_hold TID: it stands still, and no other of its process, until thread_release
thread_hold() {
	local hold=$DRUM_BUILD/tests/it/hold_thread
	[ -x "$hold" ] || fail "no $hold; build it first"
	[ -p "$T/hold" ] || mkfifo "$T/hold"
	: >"$T/held.log"
	"$hold" "$1" <>"$T/hold" >"$T/held.log" 2>&1 &
	IT_PIDS[hold]=$!
	wait_for '^held' "$T/held.log" 10 >/dev/null
}

# A tracee goes on when its tracer ends.
thread_release() {
	{
		kill "${IT_PIDS[hold]}"
		wait "${IT_PIDS[hold]}" || true
	} 2>/dev/null
	unset 'IT_PIDS[hold]'
}

another_pager() {
	local now
	now=$(pager) && [ "$now" != "$1" ]
}

# guest_field NAME FIELD...: of `guest show`
guest_field() {
	local name=$1
	shift
	ctl guest show "$name" --json | json "$@"
}

# guest_is NAME FIELD OPERATOR VALUE: as in [ ], of `guest show`
guest_is() {
	local value
	value=$(guest_field "$1" "$2") || return
	test "$value" "$3" "$4"
}

guest_listed() {
	ctl guest list --json | json name | grep -x -- "$1" >/dev/null
}

guest_not_listed() {
	! guest_listed "$1"
}

# ---- guests ----

# qemu_start NAME ARGUMENT...: a stock QEMU with console, monitor and the test kernel.
# PATROL: patrol's options. GUEST_SMP: CPUs. GUEST_APPEND: more for the kernel's command line.
# GUEST_RUNNER: words in front of the command. GUEST_QMP_DIR: where its monitor's socket is.
qemu_start() {
	local name=$1
	shift
	: >"$T/$name.log"
	rm -f "$T/$name.in" "$T/$name.qmp"
	mkfifo "$T/$name.in"
	chmod 666 "$T/$name.in" "$T/$name.log"
	# shellcheck disable=SC2086 # a command's words
	${GUEST_RUNNER:-} qemu-system-x86_64 -name "$name" -M q35 -accel tcg,thread=multi \
		-smp "${GUEST_SMP:-2}" -display none -nodefaults -no-user-config \
		-chardev stdio,id=console,signal=off -serial chardev:console \
		-qmp "unix:${GUEST_QMP_DIR:-$T}/$name.qmp,server=on,wait=off" \
		-kernel "$DRUM_GUEST/vmlinuz" -initrd "$DRUM_GUEST/initramfs.gz" \
		-append "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off no_timer_check ${GUEST_APPEND:-} patrol=${PATROL:---share=80}" \
		"$@" <>"$T/$name.in" >>"$T/$name.log" 2>&1 &
	GUEST_PID[$name]=$!
}

# initrd_with INIT PROGRAM...: the guest's initramfs with these behind it, as $T/initrd; programs
# are in /bin, with their libraries. For `-initrd $T/initrd` and GUEST_APPEND=rdinit=/INIT.
initrd_with() {
	local root=$T/initrd-root init=$1 program lib
	shift
	mkdir -p "$root/bin"
	cp "$init" "$root/"
	chmod 755 "$root/${init##*/}"
	for program; do
		cp "$program" "$root/bin/"
		ldd "$program" | grep -oE '/[^ ]+' | sort -u | while read -r lib; do
			mkdir -p "$root$(dirname "$lib")"
			cp -L "$lib" "$root$lib"
		done
	done
	# Of both parts each begins at a multiple of 4 bytes.
	cp "$DRUM_GUEST/initramfs.gz" "$T/initrd"
	truncate -s %4 "$T/initrd"
	(cd "$root" && find . | busybox cpio -o -H newc -R 0:0 2>/dev/null) >>"$T/initrd"
	rm -rf "$root"
}

# guest_start NAME SIZE [ARGUMENT...]: one whose RAM can be paged
guest_start() {
	local name=$1 size=$2
	shift 2
	qemu_start "$name" -m "$size" -object "memory-backend-memfd,id=mem,size=$size,share=on" \
		-machine memory-backend=mem "$@"
}

# => patrol has stamped all its pages and walks
guest_up() {
	wait_for 'PATROL READY' "$T/$1.log" "${2:-60}" >/dev/null
}

# The fifo is kept open by QEMU: without one this would wait for ever.
guest_say() {
	! is_gone "${GUEST_PID[$1]}" || fail "guest $1 is gone"
	# shellcheck disable=SC2016 # expanded by the inner shell
	timeout 10 "$BASH" -c 'printf "%s\n" "$2" >"$1"' - "$T/$1.in" "$2" || fail "guest $1 does not listen"
}

# guest_ask NAME COMMAND PATTERN [SECONDS]: prints the line that answers
guest_ask() {
	local from
	from=$(lines_of "$T/$1.log")
	guest_say "$1" "$2"
	wait_for "$3" "$T/$1.log" "${4:-60}" "$from"
}

# patrol_field NAME FIELD: of the last report, or of what was told since then
patrol_field() {
	local line what='^PATROL t=.* mail='
	# How far it is patrol tells more often than the rest.  A line of which only a part has come
	# would have another number.
	[ "$2" != checked ] || what='^PATROL (t=.* mail=|at .* visits)'
	line=$(grep -aE "$what" "$T/$1.log" | tail -n 1) || true
	if [[ $line =~ \ $2=([^[:space:]]+) ]]; then
		echo "${BASH_REMATCH[1]}"
	else
		echo 0
	fi
}

patrol_is() {
	test "$(patrol_field "$1" "$2")" "$3" "$4"
}

# guest_walks NAME VISITS [SECONDS]: patrol goes on for so many visits
guest_walks() {
	local from
	from=$(patrol_field "$1" checked)
	wait_until "${3:-90}" patrol_is "$1" checked -ge $((from + $2)) ||
		fail "guest $1 made $(($(patrol_field "$1" checked) - from)) of $2 visits in ${3:-90} s"
	assert_no_bad "$1"
}

# guest_patterns NAME [VISITS]: so many visits in each of the patterns
guest_patterns() {
	local pattern
	for pattern in sequential random zipf hotcold; do
		guest_ask "$1" "pattern $pattern" "PATROL PATTERN $pattern" >/dev/null
		guest_walks "$1" "${2:-20000}"
	done
	guest_ask "$1" "pattern rotate" "PATROL PATTERN rotate" >/dev/null
}

# guest_check NAME [SECONDS]: every page, once
guest_check() {
	local line
	line=$(guest_ask "$1" check 'PATROL CHECKED.* bad=[0-9]+' "${2:-180}")
	case $line in
	*' bad=0'*) ;;
	*) fail "guest $1: $line" ;;
	esac
	assert_no_bad "$1"
}

assert_no_bad() {
	local line
	line=$(grep -aE -m 1 'PATROL (BAD|FAILED)|(CHECKED|QUIT|REBOOT|t=.*) bad=[1-9]|GUEST FAILED|Kernel panic|Oops|BUG:|segfault|general protection' "$T/$1.log") || return 0
	fail "guest $1: $line"
}

# guest_end NAME: patrol says good-bye, the guest powers off, QEMU ends well
guest_end() {
	local pid=${GUEST_PID[$1]} status=0
	guest_ask "$1" quit 'PATROL QUIT bad=0' >/dev/null
	wait_until 60 is_gone "$pid" || fail "guest $1 does not power off"
	unset "GUEST_PID[$1]"
	wait "$pid" || status=$?
	[ $status = 0 ] || fail "QEMU of $1 ended with $status"
	assert_no_bad "$1"
}

# guest_kill NAME: as if its machine had been pulled out
guest_kill() {
	local pid=${GUEST_PID[$1]} gone=
	# Not of interest is that the shell tells who was killed.
	{
		kill -KILL "$pid"
		! wait_until 20 is_gone "$pid" || gone=1
		[ -z "$gone" ] || wait "$pid" || true
	} 2>/dev/null
	[ -n "$gone" ] || fail "QEMU of $1 survives SIGKILL"
	unset "GUEST_PID[$1]"
}

guest_qmp() {
	local name=$1
	shift
	"$IT_PYTHON" "$IT_SRC/qmp" "${GUEST_QMP_DIR:-$T}/$name.qmp" "$@"
}

# guest_attach NAME [ARGUMENT...]: under its own name
guest_attach() {
	local name=$1
	shift
	ctl guest attach "${GUEST_PID[$name]}" --name "$name" "$@"
}

# ---- what the kernel says of a VMM, whatever the daemon may say ----

# ram_ranges PID: START-END of the mappings of guest RAM
ram_ranges() {
	awk '$2 ~ /s$/ && $6 ~ /^\/memfd:memory-backend-memfd/ { print $1 }' "/proc/$1/maps"
}

# ram_blocks PID: bytes of guest RAM that are in memory
ram_blocks() {
	local range blocks
	range=$(ram_ranges "$1" | head -n 1)
	blocks=$(stat -Lc %b "/proc/$1/map_files/$range")
	echo $((blocks * 512))
}

ram_is() { # ram_is NAME OPERATOR BYTES
	test "$(ram_blocks "${GUEST_PID[$1]}")" "$2" "$3"
}

# What a moment may add to a limit: pages that come in before others go out.
SLACK=$((16 * MIB))

# wait_shrunk NAME BYTES [SECONDS]
wait_shrunk() {
	wait_until "${3:-60}" ram_is "$1" -le $(($2 + SLACK)) ||
		fail "guest $1 holds $(($(ram_blocks "${GUEST_PID[$1]}") / MIB)) MiB, not $(($2 / MIB))"
}

# assert_limited NAME BYTES VISITS: the limit holds while patrol makes VISITS
assert_limited() {
	local pid=${GUEST_PID[$1]} end most=0 now seconds=$(($(now_ms) + 900 * IT_SCALE))
	end=$(($(patrol_field "$1" checked) + $3))
	while patrol_is "$1" checked -lt "$end"; do
		now=$(ram_blocks "$pid")
		[ "$now" -le "$most" ] || most=$now
		[ "$(now_ms)" -lt $seconds ] || fail "guest $1 makes no $3 visits in 90 s"
		sleep 0.2
	done
	[ "$most" -le $(($2 + SLACK)) ] || fail "guest $1 held $((most / MIB)) MiB, limit $(($2 / MIB))"
	assert_no_bad "$1"
}

resident_agrees() {
	local said seen
	said=$(guest_field "$1" resident)
	seen=$(ram_blocks "${GUEST_PID[$1]}")
	[ $((said > seen ? said - seen : seen - said)) -le "$2" ]
}

# assert_resident NAME [BYTES]: what the daemon says is what the kernel says, but for so many
assert_resident() {
	wait_until 10 resident_agrees "$1" "${2:-$((4 * MIB))}" ||
		fail "guest $1: drum says $(guest_field "$1" resident), the kernel $(ram_blocks "${GUEST_PID[$1]}")"
}

# Only the monitor's listening socket is open: QEMU closes that of a client that has gone
# when it gets to it.
monitor_is_idle() {
	[ "$(find "/proc/$1/fd" -lname 'socket:*' 2>/dev/null | wc -l)" -le 1 ]
}

# vmm_state PID: all that attaching could leave behind in a process
vmm_state() {
	wait_until 10 monitor_is_idle "$1" || fail "process $1 keeps its sockets open"
	readlink "/proc/$1/fd/"* | sort
	awk '/^[0-9a-f]+-[0-9a-f]+ / { range = $1 " " $2 " " $6 }
		/^VmFlags:/ { print range, $0 }' "/proc/$1/smaps" | grep -E 'memfd|u[wmi]( |$)|hugetlb|/dev' || true
	grep -E '^(TracerPid|Seccomp|NoNewPrivs|CapEff):' "/proc/$1/status"
}

userfaultfds() {
	find "/proc/$1/fd" -lname '*userfaultfd*' 2>/dev/null
}

# assert_no_trace PID: no userfaultfd, no flag of one, nobody traces it
assert_no_trace() {
	[ -z "$(userfaultfds "$1")" ] || fail "process $1 still has a userfaultfd"
	! grep -qE '^VmFlags:.* u[wmi]( |$)' "/proc/$1/smaps" || fail "process $1 is still registered"
	grep -q '^TracerPid:[^1-9]*0$' "/proc/$1/status" || fail "process $1 is still traced"
}

assert_trace() {
	[ -n "$(userfaultfds "$1")" ] || fail "process $1 has no userfaultfd"
	grep -qE '^VmFlags:.* u[wmi]( |$)' "/proc/$1/smaps" || fail "process $1 is not registered"
}

# ---- a second process that maps guest RAM ----

# mapper_start NAME GUEST: it maps, and touches nothing yet
mapper_start() {
	local mapper=$DRUM_BUILD/tests/it/mapper
	[ -x "$mapper" ] || fail "no $mapper; build it first"
	rm -f "$T/$1.in"
	mkfifo "$T/$1.in"
	"$mapper" "${GUEST_PID[$2]}" <>"$T/$1.in" >"$T/$1.log" 2>&1 &
	IT_PIDS[$1]=$!
	wait_for 'MAPPER MAPPED' "$T/$1.log" 10 >/dev/null
}

# mapper_ask NAME COMMAND PATTERN [SECONDS]: prints the line that answers
mapper_ask() {
	local from
	from=$(lines_of "$T/$1.log")
	echo "$2" >"$T/$1.in"
	wait_for "$3" "$T/$1.log" "${4:-60}" "$from"
}

mapper_ok() { # mails answered
	local v
	v=$(grep -aoE '^MAPPER ok=[0-9]+' "$T/$1.log" | tail -n 1) || true
	v=${v#*=}
	echo "${v:-0}"
}

mapper_has() {
	[ "$(mapper_ok "$1")" -ge "$2" ]
}

# mapper_works NAME MAILS: so many are answered, and all were right
mapper_works() {
	local from
	from=$(mapper_ok "$1")
	wait_until 60 mapper_has "$1" $((from + $2)) ||
		fail "mapper $1 answered $(($(mapper_ok "$1") - from)) of $2 mails"
	! grep -aE -m 1 'MAPPER BAD|MAPPER FAILED|bad=[1-9]' "$T/$1.log" || fail "mapper $1 saw wrong bytes"
}

mapper_end() {
	local status=0
	mapper_ask "$1" quit 'MAPPER QUIT.* bad=0' 30 >/dev/null
	wait "${IT_PIDS[$1]}" || status=$?
	unset "IT_PIDS[$1]"
	[ $status = 0 ] || fail "mapper $1 ended with $status"
}

# mapper_verifies NAME GUEST: all that patrol has stamped is there in the mapper's own mapping
mapper_verifies() {
	local said seen
	guest_ask "$2" pause 'PATROL PAUSED' >/dev/null
	said=$(guest_ask "$2" state 'PATROL STATE' | sed 's/.*\(stamped=[0-9]* sum=[0-9a-f]*\).*/\1 torn=0/')
	seen=$(mapper_ask "$1" verify 'MAPPER VERIFIED' 120)
	[ "MAPPER VERIFIED $said" = "$seen" ] || fail "patrol says $said, mapper $1: $seen"
	guest_check "$2"
	guest_ask "$2" resume 'PATROL RESUMED' >/dev/null
}
