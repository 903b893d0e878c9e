#!/bin/sh
# SPDX-License-Identifier: MIT
# Unmodified programs, natively and under `ondol run`: standard output, standard error,
# exit status and the files they leave must be equal.
#
#   tests/programs/run.sh [-b] [-n] [-k] [-m] [substring...]     (cases whose id contains one)
#     -b   build the programs, and no more
#     -n   natively only, twice: are the cases themselves deterministic?
#     -k   stop at the first failure and keep its folders
#     -m   no test: find the least --mem that each case can do with
#     -o OPTION   each case once, with this option of ondol run
#     -p i386     the cases that are marked so, as 32-bit programs with --profile i386
#   ONDOL=build/ondol  OUT=build/programs  SLOW=1 (by which time limits are multiplied)
cd "$(dirname "$0")/../.." || exit 2
top=$PWD
build_only= native_only= stop_early= measure= option= profile=
while getopts bnkmo:p: o; do
	case $o in
	b) build_only=1 ;;
	n) native_only=1 ;;
	k) stop_early=1 ;;
	m) measure=1 ;;
	o)
		option=$OPTARG
		[ "$option" != --trap=ptrace ] || export FAULTS_ARE_SIGNALS=1
		;;
	p) profile=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
out=${OUT:-build/programs${profile:+-$profile}}
case $out in /*) ;; *) out=$top/$out ;; esac
ONDOL=${ONDOL:-build/ondol}
case $ONDOL in /*) ;; *) ONDOL=$top/$ONDOL ;; esac
P=$out/bin
S=$top/tests/programs/scripts
export P S LC_ALL=C
cc=${CC:-cc}
if [ -n "$profile" ]; then
	cc="$cc -m32 -D_FILE_OFFSET_BITS=64"
	if ! echo 'int main(void) { return 0; }' | $cc -x c -o /dev/null - 2>/dev/null; then
		echo "ok - programs for $profile # SKIP no gcc -m32 (gcc-multilib)"
		exit 0
	fi
fi
ulimit -c 0
ulimit -s 8192 2>/dev/null
mkdir -p "$P" || exit 2

build() { # output source flags...
	o=$P/$1 src=tests/programs/$2
	shift 2
	[ "$o" -nt "$src" ] && [ "$o" -nt tests/programs/check.h ] &&
		[ "$o" -nt tests/programs/try.h ] && return 0
	$cc -O1 -g -w -o "$o" "$src" "$@" -pthread 2>"$out/build.log" && return 0
	sed 's/^/# /' "$out/build.log"
	rm -f "$o"
	return 1
}
for c in tests/programs/*.c; do
	name=$(basename "$c" .c)
	[ "$name" = static_exec ] && continue
	[ "$name" = i386_calls ] && [ "$profile" != i386 ] && continue
	[ -z "$profile" ] || grep -qE "\|.* $profile(-only)? .*\| \\\$P/$name\b" tests/programs/cases || continue
	build "$name" "$name.c" || echo "not ok - $name compiles"
done
build hello_static hello.c -static -no-pie
build hello_static_pie hello.c -static-pie
build hello_no_pie hello.c -no-pie
build static_exec static_exec.c -static -no-pie
[ -z "$profile" ] || build i386_calls_static i386_calls.c -static -no-pie
[ -z "$build_only" ] || exit 0

trap_is_uffd=1
if [ -z "$native_only" ]; then
	if [ ! -x "$ONDOL" ]; then
		echo "not ok - programs: there is no $ONDOL"
		exit 1
	fi
	why=$(timeout -k 5 60 "$ONDOL" run ${profile:+--profile "$profile"} -- \
		${profile:+"$P/hello_static"} ${profile:-/bin/true} 2>&1)
	if [ $? -eq 125 ]; then
		echo "ok - programs # SKIP $(printf '%s' "$why" | head -n 1)"
		exit 0
	fi
	case $("$ONDOL" doctor --json 2>/dev/null) in
	*'"trap":"ptrace"'*) export FAULTS_ARE_SIGNALS=1 trap_is_uffd= ;;
	*'"trap":"user"'*) trap_is_uffd= ;;
	esac
fi

# What a run left behind: names, kinds, rights, contents.  The folder is then emptied.
list_files() {
	(cd "$1" && find . ! -name . | sort | while read -r f; do
		if [ -h "$f" ]; then
			echo "$f -> $(readlink "$f")"
		elif [ -d "$f" ]; then
			echo "$f/"
		else
			echo "$f $(stat -c %a "$f") $(cksum <"$f")"
		fi
	done)
}

# one ID DIRECT COMMAND LIMIT RESULT [ondol run options...]; without options: natively.
one() {
	direct=$1 command=$2 limit=$3 result=$4
	shift 4
	cwd=$out/cwd
	rm -rf "$cwd" "$result"
	mkdir -p "$cwd" "$result"
	(
		cd "$cwd" || exit 2
		unset T SEED MAKEFLAGS MFLAGS MAKELEVEL
		if [ $# -gt 0 ]; then
			shift
			set -- "$ONDOL" run ${profile:+--profile "$profile"} "$@" --
		fi
		if [ -n "$direct" ]; then
			eval "set -- \"\$@\" $command"
		else
			set -- "$@" /bin/sh -c "$command"
		fi
		exec timeout -k 5 $((limit * ${SLOW:-1})) "$@" 2>"$result/stderr"
	) >"$result/stdout" 2>/dev/null </dev/null
	echo $? >"$result/status"
	list_files "$cwd" >"$result/files"
}

failed=0
verdict() { # name expected-dir actual-dir
	for part in status stdout stderr files; do
		cmp -s "$2/$part" "$3/$part" && continue
		echo "not ok - $1: $part differs"
		[ "$(cat "$3/status")" = 124 ] && echo "# did not end in time"
		diff "$2/$part" "$3/$part" | head -n 20 | cut -c 1-200 | sed 's/^/#   /'
		[ $part != stderr ] && head -n 10 "$3/stderr" | cut -c 1-200 | sed 's/^/# stderr: /'
		failed=$((failed + 1))
		[ -n "$stop_early" ] && exit 1
		return 1
	done
	echo "ok - $1"
}

same() { # expected-dir actual-dir
	for part in status stdout stderr files; do
		cmp -s "$1/$part" "$2/$part" || return 1
	done
}

# The least memory with which the case comes out right, to a thirtieth; needs more is what one
# run found, so a mem= wants some on top.
find_need() {
	low=0 high=4096
	while :; do
		try=$high
		[ "$low" -gt 0 ] && try=$(((low + high) / 2))
		one "$direct" "$command" "$limit" "$under" under --mem "${try}K"
		[ "$(cat "$under/status")" = 124 ] && echo "$id: did not end in time with ${try}K"
		if same "$native" "$under"; then
			high=$try
			[ "$high" -eq 4096 ] && break # the least there is
			[ "$low" -eq 0 ] && low=$((high / 2))
		elif [ "$low" -eq 0 ]; then
			high=$((high * 2))
			[ "$high" -gt 4194304 ] && break
		else
			low=$try
		fi
		[ "$low" -gt 0 ] && [ $(((high - low) * 30)) -le "$high" ] && break
	done
	echo "$id: ${high}K"
}

# With swap most need no more than this: two thirds, but 4.5 MiB at least.
less_than() {
	case $1 in
	*K) kib=${1%K} ;;
	*M) kib=$((${1%M} * 1024)) ;;
	*G) kib=$((${1%G} * 1048576)) ;;
	esac
	kib=$((kib * 2 / 3))
	[ $kib -lt 4608 ] && kib=4608
	echo ${kib}K
}

run_case() { # id options command
	id=$1 options=$2 command=$3
	direct= exit=0 mem= limit=60 runmem= short= marked= only=
	for o in $options; do
		case $o in
		direct) direct=1 ;;
		i386) marked=1 ;;
		i386-only) marked=1 only=1 ;;
		exit=*) exit=${o#*=} ;;
		need=*)
			if ! command -v "${o#*=}" >/dev/null 2>&1; then
				echo "ok - $id # SKIP no ${o#*=}"
				return
			fi
			;;
		mem=*) mem=${o#*=} ;;
		swap=*) short=${o#*=} ;;
		time=*) limit=${o#*=} ;;
		runmem=*) runmem="--mem ${o#*=}" ;;
		*) echo "not ok - $id: what is $o?"; return ;;
		esac
	done
	[ -z "$profile" ] || [ -n "$marked" ] || return
	[ -n "$profile" ] || [ -z "$only" ] || return
	if [ -z "$mem" ]; then
		echo "not ok - $id: no mem=; run.sh -m $id finds it"
		failed=$((failed + 1))
		return
	fi
	native=$out/native.$id under=$out/ondol.$id
	one "$direct" "$command" "$limit" "$native"
	if [ "$(cat "$native/status")" != "$exit" ]; then
		echo "not ok - $id: natively it ends with $(cat "$native/status"), expected $exit"
		head -n 10 "$native/stderr" | sed 's/^/# stderr: /'
		failed=$((failed + 1))
		return
	fi
	if [ -n "$measure" ]; then
		find_need
	elif [ -n "$native_only" ]; then
		one "$direct" "$command" "$limit" "$under"
		verdict "$id" "$native" "$under"
	elif [ -n "$option" ]; then
		one "$direct" "$command" "$limit" "$under" under $runmem --validate "$option"
		verdict "$id ($option)" "$native" "$under"
	else
		one "$direct" "$command" "$limit" "$under" under $runmem
		verdict "$id" "$native" "$under"
		one "$direct" "$command" "$limit" "$under.fa1" under $runmem --validate --fault-around 1
		verdict "$id (fault-around 1)" "$native" "$under.fa1"
		if [ -z "$trap_is_uffd" ]; then
			echo "ok - $id (mem $mem) # SKIP mem= is what it takes with --trap=uffd"
			rm -rf "$native" "$under" "$under.fa1"
			return
		fi
		one "$direct" "$command" "$limit" "$under.mem" under --validate --mem "$mem"
		verdict "$id (mem $mem)" "$native" "$under.mem"
		[ -n "$short" ] || short=$(less_than "$mem")
		[ "$short" = none ] || one "$direct" "$command" $((4 * limit)) "$under.swap" under --validate --mem "$short" \
			--zram 8M --swap "$out/swap.img:1G"
		[ "$short" = none ] || verdict "$id (mem $short, and swap)" "$native" "$under.swap"
	fi
	[ -n "$stop_early" ] || rm -rf "$native" "$under" "$under.fa1" "$under.mem" "$under.swap"
}

wanted() { # id substrings...
	wanted_id=$1
	shift
	[ $# -eq 0 ] && return 0
	for s; do
		case $wanted_id in *"$s"*) return 0 ;; esac
	done
	return 1
}

# Descriptor 9: the cases themselves must not eat the list.
exec 9<tests/programs/cases
while IFS= read -r line <&9; do
	case $line in '' | '#'*) continue ;; esac
	id=$(printf '%s' "${line%%|*}" | tr -d ' \t')
	rest=${line#*|}
	options=${rest%%|*}
	command=$(printf '%s' "${rest#*|}" | sed 's/^[ \t]*//')
	wanted "$id" "$@" || continue
	run_case "$id" "$options" "$command" 9<&-
done
[ "$failed" -eq 0 ]
