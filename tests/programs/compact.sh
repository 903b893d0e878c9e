#!/bin/sh
# SPDX-License-Identifier: MIT
# /proc/sys/vm/compact_memory under `ondol run`: pages of running programs move together.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
skip_if_not_here compact
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
${CC:-cc} -O1 -w -o "$work/compact" tests/programs/compact.c -pthread || exit 2
cd "$work" || exit 2

# check NAME PATTERN OUTPUT OPTIONS -- COMMAND...
check() {
	name=$1 pattern=$2 output=$3
	shift 3
	answer 120 "$ONDOL" run --validate "$@"
	judge "$name" 0 "$pattern" "$output"
}

check 'pages move together' '^blocks' moved \
	--mem 64M --fault-around 1 --compact -- ./compact moves 44
check 'with windows' '^blocks' moved --mem 64M --compact -- ./compact moves 44
check 'with swap' '^blocks' moved --mem 64M --swap s.img:64M -- ./compact moves 44
check 'on two nodes' '^blocks' moved --mem 96M --nodes 2 --compact -- ./compact moves 64
if [ "$(id -u)" -eq 0 ]; then # who sees the numbers of frames
	check 'not where nobody looks who has frames' '' 'all stayed' --mem 64M -- ./compact stays 44
	check 'and else they do' '' 'some moved' --mem 64M --compact -- ./compact stays 44
	check 'refused to who is not root' '' 'Permission denied' --compact -- ./compact refused
fi
exit $failed
