#!/bin/sh
# SPDX-License-Identifier: MIT
# Who may run it: an ordinary user who has been given the device, without any capability, from a
# fresh copy of the sources; and root without this or that capability, or in a namespace.
#
# As root: a second node for the device, open to all, lies over /dev/userfaultfd in a mount
# namespace of this script's own.
cd "$(dirname "$0")/../.." || exit 2
top=$PWD ONDOL=${ONDOL:-$PWD/build/ondol}
skip() { echo "ok - as an ordinary user # SKIP $1"; exit 0; }
if [ "$1" != inside ]; then
	[ "$(id -u)" -eq 0 ] || skip 'needs root (an ordinary user runs all the other tests like that)'
	command -v setpriv >/dev/null && command -v unshare >/dev/null || skip 'needs util-linux'
	unshare -m true 2>/dev/null || skip 'needs mount namespaces'
	if why=$(timeout 60 "$ONDOL" run -- /bin/true 2>&1); [ $? -eq 125 ]; then
		skip "$(printf '%s' "$why" | head -n 1)"
	fi
	work=$(mktemp -d) || exit 2
	trap 'rm -rf "$work"' EXIT
	# Not exec: the folder is to go afterwards.
	unshare -m "$0" inside "$work"
	exit
fi
work=$2 failed=0
chmod 755 "$work"
old=$(stat -c '0x%t 0x%T' /dev/userfaultfd) || skip 'there is no /dev/userfaultfd'
mknod -m 666 "$work/node" c $old && mount --bind "$work/node" /dev/userfaultfd ||
	skip 'needs mknod and mount'
bare='setpriv --inh-caps=-all --bounding-set=-all'
user="$bare --reuid=65534 --regid=65534 --clear-groups --no-new-privs"
$user sh -c ': <>/dev/userfaultfd' 2>/dev/null || skip 'device nodes do not work here'

# check NAME STATUS PATTERN COMMAND...: exit status, and a pattern that stdout has (or '')
check() {
	name=$1 status=$2 pattern=$3
	shift 3
	timeout -k 5 300 "$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
	if [ $got -eq "$status" ] && { [ -z "$pattern" ] || grep -qE -- "$pattern" "$work/out"; }
	then
		echo "ok - $name"
		return
	fi
	echo "not ok - $name: status $got, expected $status and '$pattern'"
	tail -n 10 "$work/out" | sed 's/^/# /'
	tail -n 10 "$work/err" | sed 's/^/# stderr: /'
	failed=1
}

# README's steps, from a copy that has only what the repository has.
mkdir "$work/src" && cp -r Makefile LICENSE README.md core arch include ports tools tests bench \
	"$work/src" && chown -R 65534:65534 "$work/src"
cd "$work/src" || exit 2
export HOME="$work/src" LC_ALL=C
unset MAKEFLAGS MFLAGS MAKELEVEL T B OUT ONDOL_STATS
check 'a user: make run' 0 '^-.*' $user make -j2 run
grep -q 'every frame is back' "$work/err" "$work/out" && echo 'ok - a user: and it says what happened' || {
	echo 'not ok - a user: and it says what happened'
	failed=1
}
run=$work/src/build/ondol
printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' >hello.c
check 'a user: doctor' 0 'ondol run works here' $user "$run" doctor
check 'a user: no capability' 0 '^CapEff:.*0000000000000000' \
	$user "$run" run -- cat /proc/self/status
check 'a user: python' 0 '^499999500000$' $user "$run" run -- python3 -c 'print(sum(range(10**6)))'
check 'a user: gcc and what it made' 0 '^hello$' \
	$user "$run" run --mem 64M -- sh -c 'gcc -O1 hello.c -o hello && ./hello'
check 'a user: --proc' 0 'zone' $user sh -c "'$run' run --proc out -- ls >&2 && cat out/buddyinfo"

# The cases of the programs test that start processes, reach into others, or catch signals.
# Its list of results goes out as it is, a name in front.
OUT=$work/src/build/programs ONDOL=$run timeout -k 5 600 $user sh tests/programs/run.sh \
	sh-pipeline bash- python-sub perl git vfork posix-spawn vm-readv vmsplice futex shared-map \
	shm-two self-maps sigsegv >"$work/cases" 2>&1 </dev/null || failed=1
sed 's/^\(not \)*ok - /&a user: /' "$work/cases"
cd "$top" || exit 2

# Root, but less than that.
words='echo $(ls / | wc -l) $(echo $(id -u))'
expected="^$(ls / | wc -l) 0\$"
for cap in sys_admin sys_resource sys_ptrace dac_override all; do
	check "root without $cap" 0 "$expected" \
		setpriv --inh-caps=-$cap --bounding-set=-$cap "$run" run -- sh -c "$words"
done
namespace() { # name, unshare's options
	name=$1
	shift
	if unshare "$@" true 2>/dev/null; then
		check "$name" 0 "$expected" unshare "$@" "$run" run -- sh -c "$words"
	else
		echo "ok - $name # SKIP not allowed here"
	fi
}
namespace 'in a user namespace' -Ur
namespace 'in a PID namespace' -pf --mount-proc
namespace 'in namespaces of every kind' -Urpfmniu --mount-proc
check 'a user in a user namespace' 0 "$expected" $user unshare -Ur "$run" run -- sh -c "$words"
if unshare -pf true 2>/dev/null; then
	check 'a PID namespace with the /proc of another: said so' 125 '' \
		unshare -pf "$run" run -- true
	grep -q 'mount -t proc' "$work/err" && echo 'ok - with what mends it' || {
		echo 'not ok - with what mends it'
		failed=1
	}
fi
exit $failed
