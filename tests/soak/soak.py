#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many processes and much memory under one monitor: contents right, no growth, all frames back.

  soak.py              a day's worth of forks, 100 processes at once, 4 GiB touched
  soak.py --fast       the same, smaller: for every run of the tests
  soak.py --forks N

While the guest waits, the monitor's own memory (VmRSS without the RAM that it hands out) and its
open files are read: after all forks they are what they were after a tenth of them, but for page
records of frames that were not in use before.  TAP."""
import argparse, json, os, subprocess, sys, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
B = os.path.join(TOP, os.environ.get("B", "build"))
ONDOL = os.environ.get("ONDOL", os.path.join(B, "ondol"))
CROWD = os.path.join(B, "tests/programs/crowd")
FORKS_MIB = 16
SLACK_KIB = 32  # of malloc
GROWTH_KIB = SLACK_KIB + FORKS_MIB * 256 * 32 // 1024  # all page records are touched once
failed = 0


def monitor_of(front):
    """The one child of the process that the user started, which has the guests."""
    with open("/proc/%d/task/%d/children" % (front, front)) as f:
        return int(f.read().split()[0])


def monitor_now(pid):
    """KiB of its own, open files, host mappings"""
    with open("/proc/%d/status" % pid) as f:
        anon = [int(line.split()[1]) for line in f if line.startswith("RssAnon")][0]
    with open("/proc/%d/maps" % pid) as f:
        maps = len(f.readlines())
    return {"KiB": anon, "files": len(os.listdir("/proc/%d/fd" % pid)), "maps": maps}


def crowd(options, args, limit):
    """The monitor at each stop, and what the run's --json says."""
    start, seen = time.time(), []
    report = "soak-report.%d" % os.getpid()
    p = subprocess.Popen([ONDOL, "run", "--json", "--stats-file", report] + options +
                         ["--", CROWD] + args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for line in iter(p.stdout.readline, b""):
            if line == b"done\n":
                break
            seen.append(monitor_now(monitor_of(p.pid)))
            p.stdin.write(b"\n")
            p.stdin.flush()
            if time.time() - start > limit:
                raise AssertionError("%d s are over" % limit)
        assert p.wait(limit) == 0, "exit status %d" % p.returncode
        with open(report) as f:
            said = json.load(f)
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        if os.path.exists(report):
            os.unlink(report)
    assert said["all_frames_back"], said
    return seen, said, time.time() - start


def test(name, function, *args):
    global failed
    try:
        print("ok - %s: %s" % (name, function(*args)), flush=True)
    except Exception as e:
        print("not ok - %s\n#   %s: %s" % (name, type(e).__name__, e), flush=True)
        failed += 1


def forks(n):
    seen, said, seconds = crowd(["--mem", "%dM" % FORKS_MIB], ["in-turn", str(n)], 60 + n // 100)
    first, last = seen
    assert said["guest"]["forks"] == n, said["guest"]
    assert last["KiB"] <= first["KiB"] + GROWTH_KIB, (first, last)
    assert last["files"] == first["files"] and last["maps"] <= first["maps"] + 2, (first, last)
    return "%.0f us each; monitor %d KiB after a tenth, %d after all" % (
        seconds / n * 1e6, first["KiB"], last["KiB"])


def at_once(n, mib):
    seen, said, seconds = crowd(["--mem", "%dM" % (n * mib + n // 2 + 64)],
                                ["at-once", str(n), str(mib)], 300)
    assert said["guest"]["forks"] == n, said["guest"]
    assert said["peak_pages"]["anon"] >= n * mib << 8, said["peak_pages"]
    return "%.1f s; monitor %d KiB, %d files" % (seconds, seen[0]["KiB"], seen[0]["files"])


def touch(mib):
    seen, said, seconds = crowd(["--mem", "%dM" % (mib + mib // 32 + 64)], ["touch", str(mib)], 300)
    assert said["peak_pages"]["anon"] >= mib << 8, said["peak_pages"]
    return "%.1f s; monitor %d KiB" % (seconds, seen[0]["KiB"])


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--fast", action="store_true", help="a smaller one")
    a.add_argument("--forks", type=int, help="how many in turn (86400: one a second for a day)")
    a = a.parse_args()
    why = subprocess.run([ONDOL, "run", "--", "/bin/true"], stderr=subprocess.PIPE)
    if why.returncode == 125:
        print("ok - soak # SKIP", why.stderr.decode().split("\n")[0])
        return 0
    n = a.forks or (3000 if a.fast else 86400)
    mib = 512 if a.fast else 4096
    test("%d forks in turn" % n, forks, n)
    test("100 processes at once, %d MiB each" % (2 if a.fast else 8), at_once, 100, 2 if a.fast else 8)
    test("%d MiB touched" % mib, touch, mib)
    return failed != 0


sys.exit(main())
