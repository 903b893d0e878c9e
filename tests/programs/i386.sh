#!/bin/sh
# SPDX-License-Identifier: MIT
# ondol run --profile i386: what is so for 32-bit programs alone (requirements F7, F9).  That they
# do what they do natively is run.sh's -p i386, which runs here, too.
cd "$(dirname "$0")/../.." || exit 2
. tests/tidy/tap.sh
. tests/programs/expect.sh
skip_if_not_here i386
work=${OUT:-$PWD/build/programs-i386}
P=$work/bin
mkdir -p "$P" || exit 2
if ! echo 'int main(void) { return 0; }' | ${CC:-cc} -m32 -x c -o /dev/null - 2>/dev/null; then
	skip 'i386' 'no gcc -m32 (gcc-multilib)'
	tap_end
fi
if ! echo 'int main(void) { return 0; }' | ${CC:-cc} -m32 -static -x c -o "$P/least" - ||
	! "$P/least" 2>/dev/null; then
	skip 'i386' 'the kernel does not run 32-bit programs'
	expect 'where the kernel does not run them' 125 '' 'does not run 32-bit programs' \
		$ONDOL run --profile i386 -- "$P/least"
	[ $failed -eq 0 ]
	exit
fi
if ! timeout -k 5 60 "$ONDOL" run --trap uffd -- true 2>/dev/null; then
	skip 'i386' 'no /dev/userfaultfd'
	tap_end
fi
tests/programs/run.sh -p i386 "$@" || failed=1
if [ $# -gt 0 ]; then
	[ $failed -eq 0 ]
	exit
fi

run="$ONDOL run --validate --profile"
space='everything lies below 3 GiB, the stack just below
what lies above is no program'"'"'s
calls of x86-64 are none'
calls=$(timeout 60 "$P/i386_calls")
for profile in i386 i386-2.6 i386-2.4; do
	expect "$profile: 3 GiB and no more" 0 "$space" '' $run $profile -- "$P/i386_calls" space
	expect "$profile: calls" 0 "$calls" '' $run $profile -- "$P/i386_calls"
	for case in threads_fork nested_fork_cow mremap; do
		expect "$profile: $case" 0 "$(timeout 60 "$P/$case")" '' $run $profile -- "$P/$case"
	done
done
expect 'two-level tables, little memory and swap' 0 "$(timeout 60 "$P/nested_fork_cow")" '' \
	$run i386-2.4 --mem 15M --swap "$work/swap.img:64M" -- "$P/nested_fork_cow"
expect 'HIGHMEM: more than 896 MiB' 0 "$calls" '' $run i386 --mem 2G -- "$P/i386_calls"
expect 'two nodes' 0 "$calls" '' $run i386 --nodes 2 --mem 64M -- "$P/i386_calls"

# F7: three personalities; the second column of maps is the end.
maps() { # program, options...
	program=$1
	shift
	timeout -k 5 60 "$ONDOL" run --profile i386 "$@" -- "$P/$program" maps
}
first() { sed -n '1s/-.*//p'; }
last() { sed -n 's/^[0-9a-f]*-\([0-9a-f]*\) .*\[stack\]$/\1/p'; }
same() { [ "$2" = "$3" ] && good "$1" || bad "$1" "$2, expected $3"; }
maps i386_calls_static --no-aslr >"$work/out"
same 'a program at its own address' "$(first <"$work/out")" 08048000
same 'the stack ends at 3 GiB' "$(last <"$work/out")" c0000000
maps i386_calls --no-aslr >"$work/out"
same 'a position-independent one at two thirds' "$(first <"$work/out")" 80000000
same 'the same at every run' "$(maps i386_calls --no-aslr | cksum)" "$(cksum <"$work/out")"
same 'by a seed' "$(maps i386_calls --seed 3 | cksum)" "$(maps i386_calls --seed 3 | cksum)"
[ "$(maps i386_calls | cksum)" != "$(maps i386_calls | cksum)" ] && good 'by chance' ||
	bad 'by chance' 'the same twice'
expect 'a vdso where the host has it below 3 GiB' 0 "$calls" '' \
	sh -c 'ulimit -s unlimited && exec "$@"' sh $run i386 -- "$P/i386_calls"

expect 'the vdso where the stub goes' 137 '' 'vdso is where' \
	sh -c 'ulimit -s 900000 && exec "$@"' sh $run i386 -- "$P/i386_calls"

# Programs of the other kind.
expect 'a 64-bit program' 126 '' 'it is a 64-bit program' $run i386 -- /bin/true
expect 'a 32-bit program without the profile' 126 '' 'needs --profile i386' \
	"$ONDOL" run -- "$P/i386_calls"
expect 'a 64-bit one started by a 32-bit one: ENOEXEC' 8 '' '' $run i386 -- "$P/i386_calls" exec /bin/true
expect 'a 32-bit one by a 32-bit one' 0 "$calls" '' $run i386 -- "$P/i386_calls" exec "$P/i386_calls"
printf '#!/bin/true\n' >"$work/script" && chmod +x "$work/script"
expect 'a script for a 64-bit one' 137 '' 'a 64-bit program, and the machine a 32-bit one' \
	$run i386 -- "$P/i386_calls" exec "$work/script"
expect 'too much memory' 125 '' '4G at most' $run i386 --mem 5G -- "$P/i386_calls"
expect 'no such profile' 125 '' 'want x86_64, i386 or i386-2.4' $run z80 -- "$P/i386_calls"
expect 'a trap that does not tell of the kernel' 125 '' 'need --trap uffd' \
	$run i386 --trap ptrace -- "$P/i386_calls"
[ $failed -eq 0 ]
