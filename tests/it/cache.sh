# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034 # what is told to who sources this
#
# Images on storage that is slow, and what the swapcache does of it.  A test sources this after
# lib.sh and disk.sh.

SLOW_MS=5
# more than one of nbdkit do not always survive clients that are killed
SLOW_THREADS=16

# cache_init [TOOL...]: disk_init, for a test of the swapcache
cache_init() {
	disk_needs_drum
	disk_init nbdkit "$@"
}

# slow_serve NAME FILE: an NBD server, nbd_uri NAME, that takes SLOW_MS for a read; it tells of each
slow_serve() {
	: >"$T/slow-$1.reads"
	nbd_serve "$1" nbdkit --foreground --threads "${SLOW_THREADS:-16}" --filter=log --filter=delay --unix "$T/nbd-$1.sock" \
		file "$2" rdelay="${SLOW_MS}ms" logfile="$T/slow-$1.reads"
}

# slow_reads NAME: how often it was asked to read
slow_reads() {
	grep -c ' Read id=' "$T/slow-$1.reads" || true
}

# tree_image FILE MIB SEED: an ext4 with a tree of so much in it, as /tree; TREE_SUM is its sum
tree_image() {
	local root=$T/tree-root
	mkdir "$root"
	"$IT_PYTHON" -IS "$IT_SRC/tree" "$root/tree" "$2" "$3"
	tree_told "$("$DRUM_GUEST/disk-root/bin/rereader" tree "$root/tree")"
	TREE_SUM=$TOLD_SUM
	truncate -s $(($2 * 5 / 4 + 24))M "$1"
	# blocks of a page, as file systems that are not small have them
	mke2fs -q -F -t ext4 -b 4096 -d "$root" "$1" >"$T/mke2fs.log" 2>&1 || fail "mke2fs: $(cat "$T/mke2fs.log")"
	rm -rf "$root"
}

# tree_told LINE: TOLD_SUM: files, bytes and sum; TREE_SECONDS
tree_told() {
	local word files bytes sum
	read -r word files bytes TREE_SECONDS sum <<<"$1"
	[ "$word" = TREE ] || fail "no sum of a tree: $1"
	TOLD_SUM="$files $bytes ${sum%$'\r'}"
}

# tree_read NAME DIR [SECONDS]: the guest reads the tree anew, and finds what is to be there
tree_read() {
	local line
	guest_do "$1" 60 'sync; echo 3 >/proc/sys/vm/drop_caches'
	line=$(guest_says "$1" "${3:-240}" "rereader tree $2" '^TREE [0-9]')
	tree_told "$line"
	[ "$TOLD_SUM" = "$TREE_SUM" ] || fail "guest $1 has read another tree: $line, not $TREE_SUM"
}

# ---- the swapcache ----

# cache_set KNOB=VALUE...
cache_set() {
	ctl swapcache set "$@"
}

# cache_field FIELD...: of `swapcache show`
cache_field() {
	ctl swapcache show --json | json "$@"
}

# cache_is FIELD OPERATOR VALUE: as in [ ]
cache_is() {
	local value
	value=$(cache_field "$1" 2>/dev/null) || return
	test "$value" "$2" "$3"
}

# knob NAME: its value
knob() {
	ctl swapcache show --json | json knobs | "$IT_PYTHON" -ISc 'import ast, sys
print(ast.literal_eval(sys.stdin.read())[sys.argv[1]])' "$1"
}

# cache_all_on: data and metadata, as they are read too
cache_all_on() {
	cache_set data_enable=on meta_enable=on fill_enable=on read_enable=on
}

# assert_sums_right WHEN: what was read from swap was what had been written there.  To the guest a
# wrong sum is no harm, for then the image is read.
assert_sums_right() {
	local wrong
	wrong=$(cache_field checksum-errors) || return 0
	[ "$wrong" = 0 ] || fail "$1: $wrong wrong checksums: $(cache_says)"
}

# cache_says: all of it, for who fails
cache_says() {
	ctl swapcache show --json --bytes 2>&1 || true
	ctl disk list --json 2>&1 || true
	ctl swap list --json 2>&1 || true
}
