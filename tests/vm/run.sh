#!/bin/sh
# SPDX-License-Identifier: MIT
# A command on a stock kernel, in QEMU without hardware's help: what the kernel at hand cannot run
# (32-bit programs), or does otherwise than the oldest that is supported.  The guest sees the
# host's files, read-only, so that compiler and programs are the same; see init.
#
#   tests/vm/run.sh COMMAND...        in the repository's top folder, as the root of the guest
#   VM_KERNEL=/boot/vmlinuz-VERSION   that one, its modules in ../lib/modules (default: Debian's)
#   VM_SECONDS=3000  VM_CPUS=2  VM_MEM=4G  VM_CPU=max,la57=off,smap=off
#   SLOW=10          time limits of the tests are so many times as long
#
# Its output is ours, and so is its exit status; 125: it did not come to that.
cd "$(dirname "$0")/../.." || exit 125
top=$PWD
work=$top/build/vm
modules='virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci
	netfs fscache 9pnet 9pnet_virtio 9p'

cannot() { # what is wrong
	echo "vm: $1" >&2
	exit 125
}

# Debian's kernel, unpacked into $work and not installed.
kernel_get() {
	VM_KERNEL=$(ls "$work"/kernel/boot/vmlinuz-* 2>/dev/null | sort -V | tail -n 1)
	[ -z "$VM_KERNEL" ] || return
	rm -rf "$work/kernel"
	mkdir -p "$work/kernel" || exit 125
	name=$(apt-cache depends linux-image-amd64 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9]\)/\1/p' | head -n 1)
	[ -n "$name" ] || cannot 'no linux-image-amd64 in the package lists; VM_KERNEL=/boot/vmlinuz-...'
	echo "fetching $name" >&2
	(cd "$work" && apt-get download "$name" >fetch.log 2>&1) ||
		cannot "apt-get download $name: $(tail -n 1 "$work/fetch.log")"
	set --
	for m in $modules; do set -- "$@" "*/$m.ko*"; done
	dpkg --fsys-tarfile "$work/$name"_*.deb |
		tar -x -C "$work/kernel" --wildcards './boot/vmlinuz-*' "$@" 2>/dev/null
	rm -f "$work/$name"_*.deb
	VM_KERNEL=$(ls "$work"/kernel/boot/vmlinuz-*) || cannot "no kernel in $name"
}

# init, busybox to run it, the modules that a mount of the host's files takes, and the command.
initramfs() {
	rm -rf "$work/root"
	version=${VM_KERNEL##*/vmlinuz-}
	folder=${VM_KERNEL%/*}/../lib/modules/$version to=$work/root/lib/modules/$version
	mkdir -p "$to" "$work/root/host" "$work/root/top" "$work/root/dev" || exit 125
	cp tests/vm/init "$(command -v busybox)" "$work/root" || exit 125
	for m in $modules; do # one that is not there may be part of the kernel
		ko=$(find "$folder" -name "$m.ko*" 2>/dev/null | head -n 1)
		case $ko in
		*.ko) cp "$ko" "$to" ;;
		*.xz) xz -dc "$ko" >"$to/$m.ko" ;;
		*.zst) zstd -qdc "$ko" >"$to/$m.ko" ;;
		esac
	done
	busybox depmod -b "$work/root" "$version"
	echo "$top" >"$work/root/where"
	echo "PATH='$PATH' SLOW=${SLOW:-10}; export PATH SLOW; $*" >"$work/root/command"
	(cd "$work/root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initramfs" ||
		cannot 'cannot pack the initramfs'
}

[ $# -gt 0 ] || cannot 'which command?'
[ -x build/ondol ] || cannot 'there is no build/ondol'
for tool in qemu-system-x86_64 busybox; do
	command -v $tool >/dev/null || cannot "no $tool (tools/dev/need.sh vm)"
done
mkdir -p "$work" || exit 125
exec 9>"$work/lock"
flock -n 9 || cannot 'another one runs here'
[ -n "$VM_KERNEL" ] || kernel_get
[ -r "$VM_KERNEL" ] || cannot "no kernel $VM_KERNEL"
initramfs "$@"

# smap=off: QEMU pushes a far call's return address as the kernel would (i386_calls makes one).
# Three lines: the kernel's log, the command's output, and its status.  no_timer_check: on a busy
# host the timer may be too late for the kernel's look whether it works.
rm -f "$work/log" "$work/status"
timeout -k 10 "${VM_SECONDS:-3000}" qemu-system-x86_64 -nodefaults -no-user-config -display none \
	-accel tcg,thread=multi -cpu "${VM_CPU:-max,la57=off,smap=off}" -smp "${VM_CPUS:-2}" \
	-m "${VM_MEM:-4G}" -no-reboot -kernel "$VM_KERNEL" -initrd "$work/initramfs" \
	-append 'console=ttyS0 panic=-1 mitigations=off no_timer_check' \
	-serial "file:$work/log" -serial stdio -serial "file:$work/status" \
	-fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
	-device virtio-9p-pci,fsdev=host,mount_tag=host </dev/null
got=$?
[ $got -ne 124 ] || cannot "not done in ${VM_SECONDS:-3000} s"
status=$(cat "$work/status" 2>/dev/null)
[ -n "$status" ] && exit "$status"
tail -n 20 "$work/log" >&2
cannot "QEMU ended with $got before the command did; the kernel's log: $work/log"
