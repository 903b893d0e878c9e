#!/bin/sh
# SPDX-License-Identifier: MIT
# The traps that need no privilege (ports/linux/trap.h): the programs test, the fast rungs of the
# ladder and random memory calls under each.
#
#   traps.sh here        as whoever runs this: the trap user, and refusals
#   traps.sh traced      the same with the trap ptrace: each is a long test
#   traps.sh user        as an ordinary user without /dev/userfaultfd
#   traps.sh container   as one under a filter like a container's (deny.c): only ptrace is left
#   traps.sh             all of them
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
parts=${*:-here traced user container}
skip_if_not_here 'traps without privilege'
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$ONDOL" "$work/ondol" && chmod 755 "$work/ondol"
${CC:-cc} -O1 -w -o "$work/deny" tests/programs/deny.c || bad 'deny.c compiles' 'it does not'
some='hello fork pthread untouched vfork exec sig futex vm-readv shm shared-map memfd bash- python-sub
	threads perl gcc affinity mremap growsdown limits views errnos calls const'
export LC_ALL=C

# tell NAME COMMAND...: its own lines, a name in front
tell() {
	name=$1
	shift
	timeout -k 5 850 "$@" >"$work/lines" 2>&1 </dev/null || failed=1
	sed 's/^\(not \)*ok - /&'"$name: /" "$work/lines"
}

works() { # TRAP: does it, here?
	why=$("$ONDOL" run --trap="$1" -- true 2>&1)
	[ $? -ne 125 ] || ! echo "ok - --trap=$1 # SKIP $(printf '%s' "$why" | head -n 1)"
}

under() { # TRAP
	export ONDOL
	OUT=$work/programs tell "$1" tests/programs/run.sh -o "--trap=$1"
	OUT=$work/ladder tell "$1" tests/ladder/ladder.py --fast "--options=--trap=$1"
	# A buffer stays mapped while a thread waits in read(): forks, and a machine that is too small.
	for options in '--mem 26M --zram 64M' '--mem 1G'; do
		answer 120 "$ONDOL" run --trap="$1" $options -- \
			python3 tests/programs/scripts/py_subprocess.py
		judge "$1: buffers of waiting calls ($options)" 0 ''
	done
}

here() {
	python3 tests/programs/calls.py || failed=1
	! works user || under user
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
}

traced() {
	works ptrace || return 0
	under ptrace
	# Memory that nobody has touched would read as zeros there, whatever it is.
	answer 20 "$ONDOL" run --trap=ptrace -- cat /proc/self/mem
	judge 'ptrace: /proc/PID/mem is refused' 1 'Permission denied'
}

# A copy of the sources and of what is built of them, the user's own; as_user.sh begins from nothing.
# $user is then what makes a command the user's.
copy_for_user() {
	user=
	[ "$(id -u)" -ne 0 ] || user='setpriv --inh-caps=-all --bounding-set=-all --reuid=65534
		--regid=65534 --clear-groups --no-new-privs'
	[ -z "$user" ] || command -v setpriv >/dev/null || return 1
	unset MAKEFLAGS MFLAGS MAKELEVEL T B OUT ONDOL ONDOL_STATS
	export HOME="$work/src" PATH=/usr/sbin:/usr/bin:/sbin:/bin # not what only root may read
	[ ! -d "$work/src" ] || return 0
	mkdir -p "$work/src/build"
	cp -rp Makefile LICENSE README.md core arch include ports tools tests lab "$work/src"
	for f in core arch ports tools pic lab_files.c lab_files.o libondol.a ondol \
		libondol-malloc.so libondol-malloc.a; do
		cp -rp "build/$f" "$work/src/build" 2>/dev/null
	done
	[ -z "$user" ] || chown -R 65534:65534 "$work/src"
}

as_user() { # NAME WRAPPER
	if ! copy_for_user; then
		echo "ok - $1 # SKIP needs util-linux"
		return
	fi
	cd "$work/src" || exit 2
	answer 600 $user $2 make -j2 run
	grep -q 'every frame is back' "$work/err" "$work/out" || got=1
	if [ $got -eq 0 ]; then good "$1: make run"; else bad "$1: make run" "status $got"; fi
	tell "$1" $user $2 python3 tests/conform/conform.py --steps 1000 --options=
	tell "$1" $user $2 python3 tests/ladder/ladder.py --fast
	option=--trap=auto
	[ -z "$2" ] || option=--trap=ptrace # all that auto can choose
	tell "$1" $user $2 sh tests/programs/run.sh -o $option $some
	cd - >/dev/null || exit 2
}

for part in $parts; do
	case $part in
	here) here ;;
	traced) traced ;;
	user)
		if [ "$(id -u)" -eq 0 ]; then
			as_user 'a user' ''
		else
			echo 'ok - a user # SKIP runs the parts "here" and "traced" already'
		fi
		;;
	container) as_user 'a user in a container' "$work/deny" ;;
	*) bad "$part" 'here, traced, user or container' ;;
	esac
done
exit $failed
