#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The ladder: real programs natively and under `ondol run`, rung by rung (tests/ladder/rungs).

A rung holds when the native run is right (exit status, expected text) and the run under Ondol
gives the same standard output, standard error and exit status, and the machine had every frame
back.  Each run has a fresh copy of the folder that the setup made, so none finds what another
left.  What is missing is installed where that can be done (root and apt-get); a rung whose
packages cannot be had is skipped by name.  A rung that is known to fail has its cause beside its
verdict; only others make the exit status 1.

  ladder.py [--no-install] [substring...]   the table; rungs whose name contains one of them
  ladder.py --fast                          the fast rungs, TAP, installs nothing (make test)
  ladder.py --options="--trap=ptrace" ...   with options of `ondol run`

Times are wall clock, medians of three runs in turn where a native one takes under two seconds.
ONDOL=build/ondol  OUT=build/ladder  RUNGS=tests/ladder/rungs (a file of your own)"""
import argparse, configparser, difflib, fcntl, glob, json, os, re, resource, shutil, signal
import statistics, subprocess, sys, threading, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ONDOL = os.path.join(TOP, os.environ.get("ONDOL", "build/ondol"))
OUT = os.path.join(TOP, os.environ.get("OUT", "build/ladder"))
STATS = os.path.join(OUT, "stats.json")
# Debian's own programs, whatever else a machine's PATH puts before them.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ROUNDS, SHORT = 3, 2.0
options = []  # of ondol run
KEYS = {"rung", "packages", "files", "setup", "like", "command", "expect", "exit", "normalise",
        "limit", "fast", "known"}
HEAD = "%-4s %-18s %8s %8s %6s %9s %8s %7s %7s  %s"


def read_rungs():
    """All sections; a wrong key or a wrong expression stops here, not in the middle of a run."""
    rungs = configparser.ConfigParser(interpolation=None, empty_lines_in_values=False)
    with open(os.path.join(TOP, os.environ.get("RUNGS", "tests/ladder/rungs"))) as f:
        rungs.read_file(f)
    for name in rungs.sections():
        r = rungs[name]
        if not {"rung", "command"} <= set(r) <= KEYS or (r.get("like") or name) not in rungs:
            sys.exit("rungs: [%s]: %s" % (name, ", ".join(set(r) - KEYS) or "incomplete"))
        re.compile(r.get("expect", ""))
        rules_of(r)
    return rungs


def rules_of(r):
    rules = []
    for line in r.get("normalise", "").split("\n"):
        if line:
            m = re.fullmatch(r"s/((?:[^/\\]|\\.)*)/((?:[^/\\]|\\.)*)/", line)
            if not m:
                sys.exit("rungs: not s/regex/text/: " + line)
            rules.append((re.compile(m[1].replace(r"\/", "/"), re.M), m[2]))
    return rules


# ------------------------------------------------------------------ packages

def absent(packages):
    """Those that dpkg does not have; without dpkg, none: the native run shows it."""
    if not packages or not shutil.which("dpkg-query"):
        return []
    p = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"] + packages,
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    there = {l.split()[0] for l in p.stdout.splitlines() if l.endswith(" installed")}
    return [x for x in packages if x not in there]


def apt_get(*words):
    with open(os.path.join(OUT, "apt.log"), "ab") as log:
        return subprocess.run(("apt-get",) + words, stdin=subprocess.DEVNULL, stdout=log,
                              stderr=log, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive")
                              ).returncode == 0


def install(packages):
    """All at once, or each for itself, so that one that cannot be had costs only its own rung."""
    if os.geteuid() or not shutil.which("apt-get"):
        print("missing: %s\non Debian and Ubuntu: sudo apt-get install %s\n"
              % ((" ".join(packages),) * 2))
        return
    print("installing: " + " ".join(packages), flush=True)
    line = ("install", "-y", "--no-install-recommends")
    if apt_get(*line, *packages) or (apt_get("update") and apt_get(*line, *packages)):
        return
    for p in packages:
        if not apt_get(*line, p):
            print("cannot be had: %s (%s/apt.log)" % (p, OUT), flush=True)


def lacking(r):
    """Why the rung cannot run here, or nothing."""
    gone = absent(r.get("packages", "").split())
    gone += [f for f in r.get("files", "").split() if not glob.glob(f)]
    return "no " + " ".join(gone) if gone else ""


# ------------------------------------------------------------------ one run

class Run:
    def __init__(self, base, command, limit, ondol):
        """Runs it in a copy of base: status, out, err (texts), seconds, faults, kib."""
        cwd = os.path.join(OUT, "cwd")
        shutil.rmtree(cwd, ignore_errors=True)
        shutil.copytree(base, cwd, symlinks=True)
        argv = ["/bin/bash", "-c", command]
        if ondol:
            argv = [ONDOL, "run", "--json", "--stats-file", STATS] + options + ["--"] + argv
            if os.path.exists(STATS):
                os.unlink(STATS)
        env = {"PATH": PATH, "HOME": cwd, "LC_ALL": "C"}
        with open(os.path.join(OUT, "out"), "w+b") as out, \
                open(os.path.join(OUT, "err"), "w+b") as err:
            self.wait(argv, cwd, env, limit, out, err)
            self.out, self.err = (read_text(f) for f in (out, err))
        if ondol:
            self.read_stats()

    def wait(self, argv, cwd, env, limit, out, err):
        start = time.monotonic()
        p = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out,
                             stderr=err, start_new_session=True)
        late = threading.Timer(limit, kill_group, (p.pid,))
        late.start()
        try:
            _, status, usage = os.wait4(p.pid, 0)
        finally:
            # A server that outlived its shell must not meet the next run, nor a Ctrl-C.
            self.late = not late.is_alive()
            late.cancel()
            kill_group(p.pid)
        self.seconds = time.monotonic() - start
        p.returncode = self.status = os.waitstatus_to_exitcode(status)
        self.faults, self.kib = usage.ru_minflt + usage.ru_majflt, usage.ru_maxrss
        self.back = True

    def read_stats(self):
        """Ondol's own account instead of the host's, which is of the monitor."""
        self.faults = self.kib = self.back = None
        # One that was killed has had no time to write it.
        if os.path.exists(STATS) and os.path.getsize(STATS):
            with open(STATS) as f:
                s = json.load(f)
            kinds = ("spurious", "zero_fill", "page_cache", "file_read", "cow_copy", "cow_reuse")
            self.faults = sum(s["faults"][k] for k in kinds)
            # What was handed out; the page array is the machine's, whatever runs on it.
            self.kib = (s["peak_pages"]["used"] - s["peak_pages"]["reserved"]) * 4
            self.back = s["all_frames_back"]


def read_text(f):
    f.seek(0)
    return f.read().decode("utf-8", "surrogateescape")


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


# ------------------------------------------------------------------ one rung

def difference(native, under, rules):
    """What is not equal, and lines to show; nothing for a rung that holds."""
    if under.late:
        return "does not end in time", tail(under.err)
    if native.status != under.status:
        return "exit status %d, not %d" % (under.status, native.status), tail(under.err)
    for part in ("out", "err"):
        texts = [getattr(x, part) for x in (native, under)]
        for regex, text in rules:
            texts = [regex.sub(text, t) for t in texts]
        if texts[0] != texts[1]:
            lines = list(difflib.unified_diff(*(t.splitlines() for t in texts), "native",
                                              "ondol", n=0, lineterm=""))
            return "std%s differs" % part, lines[2:14]
    if not under.back:
        return "not every frame came back", tail(under.err)
    return "", []


def tail(text):
    return text.splitlines()[-8:]


def natively_wrong(r, run):
    if run.late or run.status != r.getint("exit", 0):
        return "FAILED natively: %s" % ("does not end" if run.late else "status %d" % run.status)
    if not re.search(r.get("expect", ""), run.out, re.M):
        return "FAILED natively: no " + r["expect"]
    return ""


class Result:
    def __init__(self, r, rungs, rounds):
        self.native, self.under, self.lines = [], [], []
        self.skip = lacking(r)
        self.verdict = "skipped: " + self.skip if self.skip else self.climb(r, rungs, rounds)

    def climb(self, r, rungs, rounds):
        base = os.path.join(OUT, "base")
        shutil.rmtree(base, ignore_errors=True)
        os.makedirs(base)
        setup = rungs[r.get("like", r.name)].get("setup")
        if setup:
            p = subprocess.run(["/bin/bash", "-e", "-c", setup], cwd=base, text=True,
                               env={"PATH": PATH, "HOME": base, "LC_ALL": "C"},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, errors="replace")
            if p.returncode:
                self.lines = tail(p.stdout)
                return "FAILED: its setup"
        rules, limit = rules_of(r), r.getint("limit", 120)
        while len(self.native) < rounds:
            native = Run(base, r["command"], limit, False)
            wrong = natively_wrong(r, native)
            if wrong:
                self.lines = tail(native.err)
                return wrong
            under = Run(base, r["command"], limit, True)
            self.native.append(native)
            self.under.append(under)
            wrong, self.lines = difference(native, under, rules)
            if wrong:
                return ("known: %s: " % r["known"] if "known" in r else "FAILED: ") + wrong
            if native.seconds >= SHORT:
                rounds = 1
        # A cause that is gone must leave the list.
        return "FAILED: equal now, although known" if "known" in r else "equal"

    def row(self, r):
        def middle(runs, what):
            values = [getattr(x, what) for x in runs]
            return statistics.median(values) if values and None not in values else None

        def show(form, value, by=1):
            return "-" if value is None else form % (value / by)

        def least(kib):
            # A child's figure begins with its parent's, which is this one's, until its exec.
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return show("%.0f" if kib and kib > own + 512 else "<%.0f", kib, 1024)
        n, u = middle(self.native, "seconds"), middle(self.under, "seconds")
        return HEAD % (r["rung"], r.name, show("%.2f", n), show("%.2f", u),
                       show("%.2f", u / n if n else None),
                       show("%d", middle(self.native, "faults")),
                       show("%d", middle(self.under, "faults")),
                       least(middle(self.native, "kib")),
                       show("%.0f", middle(self.under, "kib"), 1024), self.verdict)


def print_table(rungs, wanted):
    print(HEAD % ("rung", "program", "native s", "ondol s", "ratio", "faults n.", "ondol",
                  "MiB n.", "ondol", "verdict"))
    count = {"equal": 0, "FAILED": 0, "known": 0, "skipped": 0}
    for name in wanted:
        result = Result(rungs[name], rungs, ROUNDS)
        count[result.verdict.split(":")[0].split()[0]] += 1
        print(result.row(rungs[name]))
        for line in result.lines:
            print("       " + line[:160])
        sys.stdout.flush()
    print("%(equal)d equal, %(FAILED)d failed, %(known)d known to fail, %(skipped)d skipped" % count)
    return count["FAILED"] == 0


def print_tap(rungs, wanted):
    good = True
    for name in wanted:
        result = Result(rungs[name], rungs, 1)
        if result.skip:
            print("ok - %s # SKIP %s" % (name, result.skip))
        elif result.verdict == "equal":
            print("ok - " + name)
        else:
            good = False
            print("not ok - %s: %s" % (name, result.verdict))
            print("".join("#   %s\n" % line[:160] for line in result.lines), end="")
    return good


def stop(*_):
    """As Ctrl-C, once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--no-install", action="store_true")
    parser.add_argument("--options", default="")
    parser.add_argument("substring", nargs="*")
    args = parser.parse_args()
    options[:] = args.options.split()
    sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, stop)
    rungs = read_rungs()
    wanted = [n for n in rungs.sections() if not args.substring or
              any(s in n for s in args.substring)]
    if args.fast:
        wanted = [n for n in wanted if rungs[n].getboolean("fast", False)]
    if not wanted:
        sys.exit("ladder: no such rung")
    os.makedirs(OUT, exist_ok=True)
    lock = open(os.path.join(OUT, "lock"), "w")  # one at a time: folders and ports are fixed
    fcntl.flock(lock, fcntl.LOCK_EX)
    probe = subprocess.run([ONDOL, "run"] + options + ["--", "/bin/true"], stdin=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True, timeout=60)
    if probe.returncode == 125:
        print("ok - ladder # SKIP " + probe.stderr.split("\n")[0])
        return 0
    if args.fast:
        return not print_tap(rungs, wanted)
    missing = absent(sorted({p for n in wanted for p in rungs[n].get("packages", "").split()}))
    if missing and not args.no_install:
        install(missing)
    return not print_table(rungs, wanted)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
