#!/bin/sh
# SPDX-License-Identifier: MIT
# Bad input and bad days under `ondol run`: each ends with the right status and words, and
# nothing of it stays behind.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
skip_if_not_here 'bad days'
cc=${CC:-cc}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
for c in scribble many_files brk_bss; do
	$cc -O1 -w -o "$work/$c" "tests/programs/$c.c" || exit 2
done
cd "$work" || exit 2

# expect NAME STATUS PATTERN COMMAND...: exit status, and a pattern on stderr ('' for silence)
expect() {
	name=$1 status=$2 pattern=$3
	shift 3
	answer 60 "$@"
	judge "$name" "$status" "$pattern"
}
run="$ONDOL run"

# A folder of PATH that may not be searched makes it EACCES, as with every execvp.
expect 'no such command' 127 'command not found' env PATH=/usr/bin:/bin $run -- no-such-command-here
# Each CPU has page lists of its own: the cause is named, not only the size.
expect 'more CPUs than memory' 125 'frames, 8 nodes and 256 CPUs need [0-9]+ KiB' \
	$run --mem 8M --cpus 256 --nodes 8 -- true
expect 'more CPUs than memory: what to do' 125 'fewer --cpus and --nodes' \
	$run --mem 4M --cpus 256 -- true
expect 'no such file' 127 'No such file' $run -- ./no-such-file
expect 'a folder' 126 'directory' $run -- /
: >plain
expect 'not executable' 126 'Permission denied' $run -- ./plain
printf '\177ELF\002\001\001garbage' >broken
chmod +x broken
expect 'a truncated ELF file' 126 'broken: cannot be executed: ' $run -- ./broken
head -c 300 /bin/sh >cut && chmod +x cut
expect 'a cut ELF file' 126 'cut: cannot be executed: ' $run -- ./cut
cp /bin/true arm && printf '\267' | dd of=arm bs=1 seek=18 conv=notrunc 2>/dev/null
expect 'a program for another machine' 126 'another processor' $run -- ./arm
# The shell sees ENOEXEC, tries it as a script, and says what it thinks of it.
expect 'a malformed program inside a run' 126 '.' $run -- sh -c 'exec ./arm'
cp /bin/true narrow && printf '\003' | dd of=narrow bs=1 seek=18 conv=notrunc 2>/dev/null
expect 'a program for i386' 126 'narrow: cannot be executed' $run -- ./narrow
expect 'a program for i386 inside a run: ENOEXEC' 126 '[Ee]xec format error|not found|syntax' \
	$run -- sh -c './narrow; exit 126'
grep -q ondol: err && bad 'and Ondol says nothing of it' 'it does'
for closed in '<&-' '>&-' '<&- >&-' '<&- >&- 2>&-'; do
	expect "standard descriptors closed: $closed" 3 '' \
		sh -c "exec \"\$0\" run -- sh -c 'exit 3' $closed" "$ONDOL"
done
printf '#!/no/such/interpreter\n' >script && chmod +x script
expect 'a script without its interpreter' 127 'script' $run -- ./script
expect 'no program' 125 'which program' $run
expect 'an absurd size' 125 'want a size' $run --mem 12X -- true
expect 'too little memory' 125 '4M or more' $run --mem 1M -- true
expect 'too many nodes' 125 '1 to 8' $run --nodes 99 -- true
expect 'two sizes, three nodes' 125 'one for each node' $run --mem 64M,64M --nodes 3 -- true
expect 'a size of a list that is none' 125 'want a size' $run --mem 64M,x -- true
expect 'too many sizes' 125 'want a size' $run --mem 8M,8M,8M,8M,8M,8M,8M,8M,8M -- true
expect 'a letter that is no check' 125 'FZPUQW' $run --slab-debug FY -- true
expect 'a window that is no power of two' 125 'power of two' $run --fault-around 3 -- true
expect 'an unknown way to merge' 125 'eager, delay2 or pcp' $run --lazy never -- true
for lazy in eager delay2 pcp; do
	expect "$lazy: a tree of processes" 0 "merges \($lazy\)" \
		$run --lazy $lazy --validate --stats -- sh -c 'for i in 1 2 3; do ls / | sort >out; done'
done
expect 'an unknown option' 125 'help' $run --nonsense -- true
expect 'a report that cannot be written' 125 'No such file' $run --stats-file /no/such/dir/f -- true
expect 'a report on a full disk' 125 '/dev/full: No space left' $run --stats-file /dev/full -- true
expect 'a report on a full disk: a failure stays' 3 '/dev/full: No space left' \
	$run --json --stats-file /dev/full -- sh -c 'exit 3'
for words in --help --version help 'help run' 'run --help' 'doctor --json' doctor; do
	expect "ondol $words >/dev/full" 125 'write error: No space left' \
		sh -c "exec \"\$0\" $words >/dev/full" "$ONDOL"
done
expect 'nothing to say' 0 '' $run -- true

ulimit -c unlimited 2>/dev/null
expect 'a crash with core dumps on is quick' 139 '.' timeout -k 2 20 $run -- sh -c 'kill -SEGV $$'
ulimit -c 0
rm -f core core.*
(ulimit -v 500000; timeout 20 $run -- true) 2>err
grep -q 'ulimit -v' err && good 'too little address space: said so' ||
	bad 'too little address space: said so' 'not said'
(ulimit -n 24; expect 'too few descriptors: said so' 125 'ulimit -Hn' $run -- true; exit $failed) ||
	failed=1
(ulimit -n 100; expect 'more files than descriptors' 0 '' $run -- ./many_files; exit $failed) ||
	failed=1
# By ptrace a process costs no descriptor of ours.
timeout 60 $ONDOL doctor --json 2>/dev/null | grep -q '"trap":"ptrace"' &&
	echo 'ok - more processes than descriptors: EAGAIN # SKIP not with --trap=ptrace' ||
	(ulimit -n 64; expect 'more processes than descriptors: EAGAIN' 11 '' $run -- ./scribble forks
exit $failed) || failed=1
expect 'a run inside of a run' 125 'another run' $run -- "$ONDOL" run -- true
began=$(date +%s)
x=$(timeout 60 $run -- sh -c 'sleep 20 >/dev/null 2>&1 & echo in the background')
[ $(($(date +%s) - began)) -lt 15 ] && [ "$x" = 'in the background' ] &&
	good 'output is the program'"'"'s alone' || bad 'output is the program'"'"'s alone' 'held open'

expect 'more than --mem at once: ENOMEM' 12 '' $run --mem 32M -- ./scribble greedy
expect 'as much as --mem in pieces: promised' 0 '' $run --mem 256M -- ./scribble greedy
expect 'a program whose data are more than --mem' 137 'segments cannot be mapped' \
	$run --mem 32M -- ./brk_bss
expect 'out of memory' 137 'out of memory: scribble .* is killed' $run --mem 32M -- ./scribble hog
grep -q '\[ *[0-9]*\] .* scribble$' err && grep -q 'killed process .*scribble' err &&
	grep -q -- '--mem' err &&
	good 'out of memory: who held it, what to do' || bad 'out of memory: who held it' 'not told'
expect 'out of memory: the others go on' 3 'is killed' \
	$run --mem 32M -- sh -c './scribble hog; exit 3'

expect 'the mailbox overwritten' 3 'the program is ended' \
	$run -- sh -c './scribble mailbox; exit 3'
expect 'the stub written to' 3 '.' $run -- sh -c './scribble stub; exit 3'
expect 'the worker killed' 3 'worker died; the program is ended' \
	$run -- sh -c './scribble worker; exit 3'
timeout 60 $run -- sh -c './scribble unmap; echo $?' >out 2>err
[ -s out ] && good 'the stub unmapped' || bad 'the stub unmapped' 'the shell did not go on'

# Is process $1 gone within five seconds?
gone() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null)
		case $state in '' | Z) return 0 ;; esac
		sleep 0.5
	done
	return 1
}
# start: a run in the background; its front's pid is $front, the program's $guest
start() {
	rm -f pid
	timeout 120 $run -- sh -c "$1"' echo $$ >pid.new; mv pid.new pid; while :; do sleep 0.1; done' \
		>out 2>err </dev/null &
	wrapper=$!
	for _ in $(seq 100); do
		[ -e pid ] && break
		sleep 0.1
	done
	guest=$(cat pid)
	front=$(pgrep -P $wrapper)
	monitor=$(pgrep -P "$front")
}
start ''
kill -9 "$monitor"
wait $wrapper
status=$?
gone "$guest" && [ $status -eq 125 ] && grep -q 'monitor was killed' err &&
	good 'the monitor killed: nothing survives' ||
	bad 'the monitor killed: nothing survives' "status $status"
start ''
kill -9 "$front"
wait $wrapper
gone "$guest" && gone "$monitor" && good 'the front killed: nothing survives' ||
	bad 'the front killed: nothing survives' 'the guest or the monitor lives'
start "trap 'echo term >told; exit 9' TERM;"
kill -TERM "$front"
wait $wrapper
status=$?
[ $status -eq 9 ] && [ -e told ] && gone "$monitor" && good 'SIGTERM is the program'"'"'s' ||
	bad 'SIGTERM is the program'"'"'s' "status $status"
start ''
kill -TERM "$front"
wait $wrapper
status=$?
[ $status -eq 143 ] && gone "$guest" && good 'killed by SIGTERM: so is ondol' ||
	bad 'killed by SIGTERM: so is ondol' "status $status"

if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && [ -z "$(find /dev/userfaultfd -perm /006)" ]; then
	chmod 755 "$work"
	expect 'userfaultfd not allowed: one sentence' 125 'sudo chmod 666 /dev/userfaultfd' \
		setpriv --reuid=65534 --regid=65534 --clear-groups $run --trap=uffd -- /bin/true
	[ "$(wc -l <err)" -eq 1 ] && good 'and no more' || bad 'and no more' 'several lines'
else
	echo 'ok - userfaultfd not allowed # SKIP needs root and a device that others may not use'
fi
exit $failed
