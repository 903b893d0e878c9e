# SPDX-License-Identifier: MIT
# Sourced in the repository's top folder by tests of `ondol run`: $ONDOL, and what they expect.
ONDOL=${ONDOL:-$PWD/build/ondol}
failed=0

# skip_if_not_here NAME: the whole test, where programs cannot be run at all.
skip_if_not_here() {
	if why=$(timeout -k 5 60 "$ONDOL" run -- /bin/true 2>&1); [ $? -eq 125 ]; then
		echo "ok - $1 # SKIP $(printf '%s' "$why" | head -n 1)"
		exit 0
	fi
}

# begin_with NAME PROGRAM: in $work, an empty folder but for the program of tests/programs
begin_with() {
	skip_if_not_here "$1"
	work=$(mktemp -d) || exit 2
	trap 'rm -rf "$work"' EXIT
	${CC:-cc} -O1 -w -o "$work/$2" "tests/programs/$2.c" -pthread || exit 2
	cd "$work" || exit 2
}

good() { echo "ok - $1"; }
bad() { # name, what is wrong; with what $work/out and $work/err have
	echo "not ok - $1: $2"
	head -q -n 10 "$work/out" "$work/err" 2>/dev/null | cut -c 1-200 | sed 's/^/# /'
	failed=1
}

# answer SECONDS COMMAND...: into $work/out and $work/err; the status is $got.  $SLOW: for a slow
# machine, by which seconds are multiplied
answer() {
	seconds=$(($1 * ${SLOW:-1}))
	shift
	timeout -k 5 "$seconds" "$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
}

# judge NAME STATUS PATTERN [OUTPUT]: of the answer; a pattern on stderr ('' for silence)
judge() {
	if [ $got -ne "$2" ]; then
		bad "$1" "status $got, expected $2"
	elif [ $# -gt 3 ] && [ "$(cat "$work/out")" != "$4" ]; then
		bad "$1" "said '$(head -c 200 "$work/out")', expected '$4'"
	elif [ -z "$3" ] && [ -s "$work/err" ]; then
		bad "$1" 'it should be silent'
	elif [ -n "$3" ] && ! grep -qE -- "$3" "$work/err"; then
		bad "$1" "does not say '$3'"
	else
		good "$1"
	fi
}

# expect NAME STATUS OUTPUT PATTERN COMMAND...: status, output, a pattern on stderr ('': silence)
expect() {
	name=$1 status=$2 output=$3 pattern=$4
	shift 4
	answer 120 "$@"
	judge "$name" "$status" "$pattern" "$output"
}

# valid NAME PATTERN OUTPUT OPTIONS -- COMMAND...: under `ondol run --validate`, successfully
valid() {
	name=$1 pattern=$2 output=$3
	shift 3
	answer 120 "$ONDOL" run --validate "$@"
	judge "$name" 0 "$pattern" "$output"
}
