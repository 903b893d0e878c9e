#!/bin/sh
# SPDX-License-Identifier: MIT
# What the tests need beyond a C compiler, make and libc: installs it with apt-get as
# root, names it otherwise.  Quiet when everything is there.  `need.sh proof`, `need.sh vm`: what
# `make proof`, `make vm-test` needs, and only that.
cc=${CC:-cc}
missing=
add() { missing="$missing $1"; }

need_for_proofs() {
	for pair in frama-c:frama-c-base why3:why3 cvc4:cvc4 z3:z3 spin:spin; do
		command -v "${pair%%:*}" >/dev/null 2>&1 || add "${pair##*:}"
	done
	required=$missing
}

need_gcc_m32() { # 32-bit programs: tests/programs/i386.sh
	echo 'int main(void) { return 0; }' | $cc -m32 -x c -o /dev/null - 2>/dev/null ||
		add gcc-multilib
}

need_for_vm() {
	command -v qemu-system-x86_64 >/dev/null 2>&1 || add qemu-system-x86
	# As the guest's first program it has no libraries.
	LC_ALL=C ldd "$(command -v busybox)" 2>&1 | grep -q 'not a dynamic' || add busybox-static
	need_gcc_m32
	required=$missing
}

need_for_tests() {
	echo '#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
int main(void) { return 0; }' >"${TMPDIR:-/tmp}/need.$$.c"
	$cc -o "${TMPDIR:-/tmp}/need.$$" "${TMPDIR:-/tmp}/need.$$.c" -lcmocka 2>/dev/null || add libcmocka-dev
	required=$missing
	# The programs test runs these; without one its cases are skipped.
	for pair in bash:bash python3:python3 perl:perl sqlite3:sqlite3 git:git awk:mawk pgrep:procps \
		numactl:numactl clang:clang xmllint:libxml2-utils xz:xz-utils \
		openssl:openssl redis-server:redis-server; do
		command -v "${pair%%:*}" >/dev/null 2>&1 || add "${pair##*:}"
	done
	need_gcc_m32
	# The malloc's reports find lines with it.
	ldconfig -p 2>/dev/null | grep -q 'libdw\.so\.1' || add libdw1
	# The kernel's prototypes, which tests/programs/calls.py reads.
	if ! ls /usr/src/linux-headers-*/include/linux/syscalls.h >/dev/null 2>&1 &&
		command -v apt-cache >/dev/null 2>&1; then
		headers=$(apt-cache search --names-only '^linux-headers-6[.]1[.]0-[0-9]*-common$' |
			awk '{ print $1 }' | sort -V | tail -n 1)
		[ -z "$headers" ] || add "$headers"
	fi
	# gcc's C++ half checks the public headers as C++17.
	echo 'int main() { return 0; }' | ${CXX:-c++} -x c++ -fsyntax-only - 2>/dev/null || add g++
	rm -f "${TMPDIR:-/tmp}/need.$$" "${TMPDIR:-/tmp}/need.$$.c"
}

case ${1:-tests} in
proof) need_for_proofs ;;
vm) need_for_vm ;;
*) need_for_tests ;;
esac
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	log=${TMPDIR:-/tmp}/ondol-need.$$.log
	if { apt-get install -y --no-install-recommends $missing ||
		{ apt-get update && apt-get install -y --no-install-recommends $missing; }; } \
		>"$log" 2>&1 </dev/null; then
		rm -f "$log"
		exit 0
	fi
	tail -n 5 "$log"
	rm -f "$log"
fi
echo "missing:$missing"
echo "on Debian and Ubuntu: sudo apt-get install$missing"
[ -z "$required" ] # without the others tests are skipped
