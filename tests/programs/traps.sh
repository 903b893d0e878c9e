#!/bin/sh
# SPDX-License-Identifier: MIT
# The traps that need no privilege (ports/linux/trap.h): the programs test under each, as whoever
# runs this; as an ordinary user without /dev/userfaultfd; and under a filter like a
# container's (deny.c), where only ptrace is left.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
top=$PWD
skip_if_not_here 'traps without privilege'
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$ONDOL" "$work/ondol" && chmod 755 "$work/ondol"
${CC:-cc} -O1 -w -o "$work/deny" tests/programs/deny.c || bad 'deny.c compiles' 'it does not'

python3 tests/programs/calls.py || failed=1

# cases NAME SUBSTRINGS COMMAND...: run.sh's own lines, a name in front
cases() {
	name=$1 which=$2
	shift 2
	OUT=$work/out.$$ timeout -k 5 1500 "$@" $which >"$work/cases" 2>&1 </dev/null || failed=1
	sed 's/^\(not \)*ok - /&'"$name: /" "$work/cases"
}
some='hello fork pthread untouched vfork exec sig futex vm-readv shm shared-map memfd bash- python-sub
	threads perl gcc affinity mremap growsdown limits views errnos'
for way in user ptrace; do
	why=$("$ONDOL" run --trap=$way -- true 2>&1)
	if [ $? -eq 125 ]; then
		echo "ok - --trap=$way # SKIP $(printf '%s' "$why" | head -n 1)"
		continue
	fi
	ONDOL=$work/ondol cases $way '' tests/programs/run.sh -o --trap=$way
	OUT=$work/ladder cases $way '' tests/ladder/ladder.py --fast --options=--trap=$way
done

# Stays mapped while a thread waits in read(): forks, and a machine that is too small.
for way in user ptrace; do
	for options in '--mem 26M --zram 64M' '--mem 1G'; do
		answer 120 "$ONDOL" run --trap=$way $options -- python3 tests/programs/scripts/py_subprocess.py
		cp "$work/out" "$work/expected.$way" 2>/dev/null
		judge "$way: buffers of waiting calls ($options)" 0 ''
	done
done

# There memory that nobody has touched would read as zeros, whatever it is.
answer 20 "$ONDOL" run --trap=ptrace -- sh -c 'cat /proc/self/mem'
if grep -q 'Permission denied' "$work/err"; then
	good 'ptrace: /proc/PID/mem is refused'
elif [ $got -eq 125 ]; then
	echo 'ok - ptrace: /proc/PID/mem is refused # SKIP ptrace does not work here'
else
	bad 'ptrace: /proc/PID/mem is refused' "status $got"
fi
answer 20 "$ONDOL" run --trap=other -- true
judge 'an unknown trap' 125 'want uffd, user, ptrace or auto'
answer 20 "$work/deny" "$ONDOL" run --trap=user -- true
judge 'user under a container filter: says why' 125 'blocked by a system-call filter'
answer 60 "$work/deny" "$ONDOL" doctor --json
if grep -q '"trap":"ptrace","can_run":true' "$work/out"; then
	good 'doctor: which trap, in a container'
else
	bad 'doctor: which trap, in a container' 'it does not say ptrace'
fi

# An ordinary user, without the device.
user=
[ "$(id -u)" -ne 0 ] || user='setpriv --inh-caps=-all --bounding-set=-all --reuid=65534 --regid=65534
	--clear-groups --no-new-privs'
if [ -n "$user" ] && ! command -v setpriv >/dev/null; then
	echo 'ok - traps: as an ordinary user # SKIP needs util-linux'
	exit $failed
fi
mkdir "$work/src" && cp -rp Makefile LICENSE README.md core arch include ports tools tests lab \
	"$work/src"
# What is built already is as good in a copy: as_user.sh begins from nothing.
mkdir "$work/src/build" && (cd build && cp -rp core arch ports tools pic lab_files.* libondol* ondol \
	"$work/src/build") 2>/dev/null
[ -z "$user" ] || chown -R 65534:65534 "$work/src"
cd "$work/src" || exit 2
export HOME="$work/src" LC_ALL=C
unset MAKEFLAGS MFLAGS MAKELEVEL T B OUT ONDOL_STATS
answer 600 $user make -j2 run
grep -q 'every frame is back' "$work/err" "$work/out" || got=1
if [ $got -eq 0 ]; then good 'a user: make run'; else bad 'a user: make run' "status $got"; fi
answer 300 $user "$work/deny" make run
grep -q 'every frame is back' "$work/err" "$work/out" || got=1
if [ $got -eq 0 ]; then
	good 'a user in a container: make run'
else
	bad 'a user in a container: make run' "status $got"
fi

cases_as() { # NAME WRAPPER SUBSTRINGS TRAP
	OUT=$work/src/build/programs ONDOL=$work/ondol timeout -k 5 900 $user $2 sh tests/programs/run.sh \
		-o --trap=$4 $3 >"$work/cases" 2>&1 </dev/null || failed=1
	sed 's/^\(not \)*ok - /&'"$1: /" "$work/cases"
}

# tests/NAME as the user, in the folder that make run built
python_as() { # NAME WRAPPER SCRIPT ARGUMENT...
	name=$1 wrapper=$2
	shift 2
	timeout -k 5 900 $user $wrapper python3 "$@" >"$work/cases" 2>&1 </dev/null || failed=1
	sed 's/^\(not \)*ok - /&'"$name: /" "$work/cases"
}
python_as 'a user' '' tests/conform/conform.py --steps 1000 --options=
python_as 'a user' '' tests/ladder/ladder.py --fast
python_as 'a user in a container' "$work/deny" tests/conform/conform.py --steps 1000 --options=
python_as 'a user in a container' "$work/deny" tests/ladder/ladder.py --fast
cases_as 'a user' '' "$some" auto
cases_as 'a user in a container' "$work/deny" "$some" ptrace # all that auto can choose
exit $failed
