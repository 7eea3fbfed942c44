# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Swap devices that fail on demand.  A test sources this after lib.sh.
#
#	nbdkit with a disk in memory > a Unix socket > nbdfuse > a file > a loop device
#
# The disk is nbdkit/faulty.c, or a plugin and filters of nbdkit's own.  The file that
# nbdfuse shows says that it takes 0 blocks, as a sparse one does; the loop device on it,
# with direct I/O, is one like any other.  Its requests are not merged: what fails on the
# disk is what fails for the daemon, no more and no less.  nbdfuse works on 10 requests at
# a time: where so many hang or are late, all others wait behind them.
#
# clean_up kills nbdkit and nbdfuse first, so nothing can stay stuck on them.

declare -A FAULTY_DEV=()	# loop devices

faulty_need() {
	local tool
	for tool in nbdkit nbdfuse losetup; do
		command -v $tool >/dev/null || skip "no $tool"
	done
	[ -c /dev/fuse ] || skip "no /dev/fuse"
	[ -e /dev/loop-control ] || skip "no /dev/loop-control"
}

# faulty_start NAME SIZE [ARGUMENT...]: arguments of nbdkit, options and filters' parameters
faulty_start() {
	local name=$1 size=$2 plugin=$DRUM_BUILD/tests/it/faulty.so
	shift 2
	[ -e "$plugin" ] || skip "no $plugin (it needs nbdkit-plugin-dev and another configure)"
	: >"$T/$name.faults"
	nbdkit_start "$name" "$@" "$plugin" size="$size" control="$T/$name.control" \
		log="$T/$name.faults"
}

# nbdkit_start NAME ARGUMENT...: any disk that nbdkit can make
nbdkit_start() {
	local name=$1 word options=() rest=()
	shift
	faulty_need
	# nbdkit wants its options before the plugin, and parameters behind it
	for word in "$@"; do
		case $word in
		-*) options+=("$word") ;;
		*=*) rest+=("$word") ;;
		*) rest=("$word" "${rest[@]}") ;;
		esac
	done
	nbdkit --foreground --threads 1 --pidfile "$T/$name.nbdkit.pid" \
		--unix "$T/$name.sock" "${options[@]}" "${rest[@]}" >"$T/$name.nbdkit.log" 2>&1 &
	IT_PIDS[$name.nbdkit]=$!
	wait_until 10 faulty_is_there "$T/$name.nbdkit.pid" "${IT_PIDS[$name.nbdkit]}" ||
		fail "nbdkit does not start"
	mkdir "$T/$name.mnt"
	at_exit "umount -l $T/$name.mnt"
	# It has one request at a time on each connection, whichever it happens to take.
	nbdfuse --connections 64 --pidfile "$T/$name.nbdfuse.pid" "$T/$name.mnt/nbd" \
		--unix "$T/$name.sock" >"$T/$name.nbdfuse.log" 2>&1 &
	IT_PIDS[$name.nbdfuse]=$!
	wait_until 10 faulty_is_there "$T/$name.nbdfuse.pid" "${IT_PIDS[$name.nbdfuse]}" ||
		fail "nbdfuse does not start"
	[ -f "$(faulty_path "$name")" ] || fail "nbdfuse shows nothing"
}

# faulty_is_there FILE PID: fails the test if that process is gone
faulty_is_there() {
	! is_gone "$2" || fail "ended at once: $(cat "${1%.pid}.log")"
	[ -s "$1" ]
}

# faulty_path NAME: the file that nbdfuse shows
faulty_path() {
	echo "$T/$1.mnt/nbd"
}

# faulty_uri NAME: the same disk for a client of NBD
faulty_uri() {
	echo "nbd+unix:///?socket=$T/$1.sock"
}

# faulty_dev NAME: the loop device on it
faulty_dev() {
	echo "${FAULTY_DEV[$1]}"
}

# faulty_loop NAME: makes that
faulty_loop() {
	local dev
	dev=$(losetup --find --show --direct-io=on "$(faulty_path "$1")" 2>/dev/null) ||
		skip "no loop device"
	at_exit "losetup -d $dev"
	FAULTY_DEV[$1]=$dev
	[ "$(losetup --noheadings --output DIO "$dev" | tr -d ' ')" = 1 ] ||
		skip "no direct I/O of a loop device on FUSE"
	echo 2 >"/sys/block/${dev#/dev/}/queue/nomerges"
}

# faulty_set NAME WORD...: from now on these faults (nbdkit/faulty.c), or none; they are
# counted from here on
faulty_set() {
	local name=$1 word
	shift
	[ "$*" != none ] || set --
	for word in "$@"; do
		[[ $word =~ ^(read|write)=(EIO|ENOSPC|ENOMEM|EPERM|EINVAL|flip|lost|hang|[0-9]+ms)([/%][1-9][0-9]*)?$ ]] ||
			fail "no such fault: $word"
	done
	echo "$*" >"$T/$name.control.new"
	: >"$T/$name.faults"
	mv "$T/$name.control.new" "$T/$name.control"
}

# faulty_count NAME PATTERN: how many faults there were, as "read EIO", "write .*"
faulty_count() {
	grep -cE "^$2 " "$T/$1.faults" || true
}

faulty_has() { # faulty_has NAME PATTERN MANY
	[ "$(faulty_count "$1" "$2")" -ge "$3" ]
}

# faulty_wait NAME PATTERN MANY [SECONDS]
faulty_wait() {
	wait_until "${4:-60}" faulty_has "$1" "$2" "$3" ||
		fail "$1 had $(faulty_count "$1" "$2") of $3 faults '$2'"
}

# faulty_blocks NAME PATTERN: at how many offsets
faulty_blocks() {
	grep -E "^$2 " "$T/$1.faults" | cut -d' ' -f3 | sort -u | wc -l
}

# swap_field PATH FIELD: of `swap list`
swap_field() {
	ctl swap list --json | "$IT_PYTHON" -ISc '
import json, sys
for dev in json.load(sys.stdin):
    if dev["path"] == sys.argv[1]:
        print(dev[sys.argv[2]])' "$1" "$2"
}

swap_field_is() { # swap_field_is PATH FIELD OPERATOR VALUE: as in [ ]
	local value
	value=$(swap_field "$1" "$2") || return
	test "$value" "$3" "$4"
}
