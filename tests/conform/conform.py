#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random memory calls, natively and under Ondol, compared step by step (steps.c).

    conform.py [--steps N] [--seed S] [--each N] [--options "--nodes 2"] [--press MIB] [--large]

N steps in programs of EACH steps; the seeds are S, S+1, ...  A difference is shrunk to the
steps that are needed for it, and printed with what each side saw and how to repeat it.
"""
import argparse
import difflib
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def build(program):
    subprocess.run(["cc", "-O1", "-g", "-Wall", "-Wextra", "-o", program,
                    os.path.join(HERE, os.path.basename(program) + ".c")], check=True)
    return program


class Pair:
    """One program of steps, run twice."""

    def __init__(self, program, runner, folder, flags):
        self.program, self.runner, self.folder = program, runner, folder
        self.flags = flags

    def run(self, under, seed, count, steps=None, verbose=False):
        command = (self.runner if under else []) + [self.program, str(seed), "0", str(count)]
        command += self.flags
        if verbose:
            command.append("-v")
        if steps is not None:
            command += ["-s", ",".join(map(str, steps))]
        try:
            done = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=40)
        except subprocess.TimeoutExpired as late:
            return (late.stdout or b"").decode(errors="replace") + "no end within 40 s\n"
        text = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
        return text + f"exit status {done.returncode}\n"

    def differ(self, seed, count, steps=None):
        return self.run(False, seed, count, steps) != self.run(True, seed, count, steps)

    def first_difference(self, seed, count):
        """The number of the first step that differs, or None."""
        ours, native = (self.run(under, seed, count).split("\n") for under in (True, False))
        step = 0
        for a, b in zip(native, ours):
            words = a.split()
            if words and words[0].isdigit() and int(words[0]) < 1000000:
                step = int(words[0])
            if a != b:
                return min(step, count - 1)
        return None if ours == native else count - 1

    def shrink(self, seed, count):
        """The steps without which there is no difference (ddmin)."""
        last = self.first_difference(seed, count)
        steps = list(range((last or 0) + 1))
        if not self.differ(seed, count, steps):
            steps = list(range(count))
        size, until = max(1, len(steps) // 2), time.time() + 90
        while time.time() < until:
            at, before = 0, len(steps)
            while at < len(steps) and time.time() < until:
                fewer = steps[:at] + steps[at + size:]
                if fewer and self.differ(seed, count, fewer):
                    steps = fewer
                else:
                    at += size
            if size == 1 and before == len(steps):
                break
            size = max(1, size // 2)
        return steps

    def tell(self, seed, count):
        steps = self.shrink(seed, count)
        native, ours = (self.run(under, seed, count, steps, True).split("\n")
                        for under in (False, True))
        listed = ",".join(map(str, steps))
        print(f"# seed {seed}: these steps do it: {listed}")
        for line in difflib.unified_diff(native, ours, "native", "ondol", lineterm="", n=4):
            print("#   " + line)
        print(f"# again: tests/conform/conform.py --seed {seed} --steps {count} "
              f"--options='{' '.join(self.runner[2:-1])}'"
              f"{' --large' if '-h' in self.flags else ''}")
        print(f"#        {self.program} {seed} 0 {count} {' '.join(self.flags)} -v -s {listed}",
              flush=True)


def trap_of(options):
    """Who tells of faults in such a run."""
    words = [word[7:] for word in options.split() if word.startswith("--trap=")]
    if words and words[-1] != "auto":
        return words[-1]
    p = subprocess.run([f"{ROOT}/build/ondol", "doctor", "--json"], capture_output=True, text=True)
    return json.loads(p.stdout)["trap"]


def compare(program, options, args, beside=()):
    """Random programs with these options of ondol run; 0 or 1, as an exit status."""
    runner = [f"{ROOT}/build/ondol", "run"] + options.split() + ["--"] + list(beside)
    strict = "--fault-around 1" in options and not args.large and trap_of(options) == "uffd"
    flags = [] if strict else ["-w"]
    flags += ["-h"] if args.large else []
    failed = done = 0
    with tempfile.TemporaryDirectory(prefix="ondol-conform.") as folder:
        pair = Pair(program, runner, folder, flags)
        seed = args.seed
        while done < args.steps and failed < 3:
            count = min(args.each, args.steps - done)
            if pair.differ(seed, count):
                failed += 1
                print(f"not ok - seed {seed}, {count} steps")
                pair.tell(seed, count)
            elif sys.stderr.isatty():
                print(f"\r{done + count} steps equal", end="", file=sys.stderr, flush=True)
            done += count
            seed += 1
    if not failed:
        print(f"ok - {done} random memory calls as natively, with '{options}'"
              f"{' and ' + ' '.join(map(os.path.basename, beside)) if beside else ''} "
              f"(seeds {args.seed} to {seed - 1})")
    return 1 if failed else 0


def unavailable(options):
    """Why such a run is not possible here, or ""."""
    p = subprocess.run([f"{ROOT}/build/ondol", "run"] + options.split() + ["true"],
                       capture_output=True, text=True)
    return p.stderr.split("\n")[0] or "unknown" if p.returncode == 125 else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--each", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    parser.add_argument("--options",
                        help="of ondol run; without --fault-around 1, or with another trap than "
                             "userfaultfd, residency is not compared (default: with it, a quarter "
                             "of the steps each as ondol run comes and with swap under pressure, "
                             "and an eighth with huge pages, with equal pages merged and with "
                             "each trap that needs no privilege)")
    parser.add_argument("--large", action="store_true",
                        help="in an arena with room for huge pages; residency is not compared")
    parser.add_argument("--press", metavar="MIB",
                        help="beside a program that goes on touching so much memory")
    args = parser.parse_args()
    program = os.path.join(ROOT, "build", "tests", "conform", "steps")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    build(program)
    press = build(os.path.join(ROOT, "build", "tests", "conform", "press"))
    beside = [press, args.press] if args.press else []
    why = unavailable(args.options or "")
    if why:
        print(f"ok - random memory calls # SKIP {why}")
        return 0
    if args.options is not None:
        return compare(program, args.options, args, beside)
    strict = compare(program, "--fault-around 1", args)
    args.steps = max(args.steps // 4, 1)
    plain = compare(program, "", args)
    # And with pages that come and go: a neighbour wants more than there is.
    swap = compare(program, "--mem 10M --zram 64M --validate", args, [press, "24"])
    # And where it is not the host's kernel that tells of faults in calls: buffers are fetched
    # before the call says that it fails or is short, and a signal does not tell a write, so what is
    # resident is not compared (with --fault-around 1 neither, where only such a trap is allowed).
    args.steps = max(args.steps // 2, 1)
    traps = 0
    for options in ("--trap=user", "--trap=ptrace"):
        if not unavailable(options):
            traps |= compare(program, options, args)
    # And with equal pages in one frame: longer programs, so that the scanner comes by.
    each, args.each = args.each, 10 * args.each
    merged = compare(program, "--ksm=1000000 --validate", args)
    args.each = each
    # And in blocks of 2 MiB, which are split and brought together all the time.
    args.large = True
    huge = compare(program, "--thp always --compact --mem 64M --validate", args)
    return strict | plain | swap | traps | merged | huge


if __name__ == "__main__":
    sys.exit(main())
