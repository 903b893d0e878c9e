#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every pointer that a system call takes is in ports/linux/calls.c.

The kernel's own prototypes (include/linux/syscalls.h, in Debian's linux-headers-*-common) say which
arguments are pointers into a program (`__user`); the table must have a shape for each of them, and
none where there is no pointer.  What is more than a prototype tells (ioctl, fcntl, prctl and
calls without a prototype there) is listed below.

  calls.py [syscalls.h]
"""
import glob
import os
import re
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NUMBERS = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"

# x86-64's name: the prototype's, where they differ.
ALIAS = {
    "stat": "newstat", "lstat": "newlstat", "fstat": "newfstat", "uname": "newuname",
    "umount2": "umount", "sendfile": "sendfile64", "_sysctl": None, "capget": "capget",
}
# Pointers without __user in their prototype, or behind an integer; and their arguments.
MORE = {
    "openat2": {2}, "io_pgetevents": {5}, "futex_waitv": {0}, "landlock_add_rule": {2},
    "capget": {0, 1}, "capset": {0, 1}, "keyctl": {1, 2, 3, 4}, "semctl": {3}, "bpf": {1},
    "ptrace": {2, 3}, "arch_prctl": {1}, "modify_ldt": {1}, "umount2": {0},
    "_sysctl": {0}, "sysfs": {1, 2},
}
# Where the prototype found first is another architecture's.
EXACT = {"fanotify_mark": {4}}
# By the number of the request: a function in buffers.c.
SPECIAL = {"ioctl": "CALL_IOCTL", "fcntl": "CALL_FCNTL", "prctl": "CALL_PRCTL",
           "clone": "CALL_CLONE", "restart_syscall": "CALL_RESTART", "vfork": "CALL_VFORK",
           "exit": "CALL_EXIT", "exit_group": "CALL_EXIT"}


def prototypes(path):
    text = re.sub(r"/\*.*?\*/", "", open(path).read(), flags=re.S)
    found = {}
    for name, args in re.findall(r"asmlinkage long sys_(\w+)\(([^)]*)\);", text):
        pointers = {i for i, arg in enumerate(args.split(",")) if "__user" in arg}
        found.setdefault(name, pointers)
    return found


def table():
    text = open(os.path.join(TOP, "ports/linux/calls.c")).read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    body = text[text.index("call_shapes[CALLS_END] = {"):]
    shapes = {}
    for name, entry in re.findall(r"\[SYS_(\w+)\] = \{(.*?)\},\s*\n", body, flags=re.S):
        shapes[name.rstrip("_") if name.endswith("_") else name] = (
            {int(a) for a in re.findall(r"\bA([0-5])\b", entry)}, entry)
    return shapes


def headers():
    if len(sys.argv) > 1:
        return sys.argv[1]
    found = sorted(glob.glob("/usr/src/linux-headers-*/include/linux/syscalls.h"))
    return found[-1] if found else None


def main():
    path = headers()
    if not path:
        print("ok - pointers of system calls # SKIP no linux-headers-*-common in /usr/src")
        return 0
    known, shapes, wrong = prototypes(path), table(), []
    numbers = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", open(NUMBERS).read()))
    for name in numbers:
        proto = ALIAS.get(name, name)
        want = set(known.get(proto, set()) if proto else set()) | MORE.get(name, set())
        want = EXACT.get(name, want)
        have, entry = shapes.get(name, (set(), ""))
        if name in SPECIAL:
            if SPECIAL[name] not in entry:
                wrong.append(f"{name}: want {SPECIAL[name]}")
        elif want != have:
            wrong.append(f"{name}: the kernel has pointers {sorted(want)}, "
                         f"calls.c {sorted(have)}")
    for name in shapes:
        if name not in numbers and not name.startswith(("futex_wait", "futex_requeue")):
            wrong.append(f"{name}: no such call")
    version = path.split("/")[-4]
    print(f"{'not ok' if wrong else 'ok'} - pointers of {len(numbers)} system calls, as {version} has them")
    for line in wrong:
        print("# " + line)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
