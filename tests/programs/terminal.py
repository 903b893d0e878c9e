#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A terminal session: Ctrl-C, Ctrl-Z, fg, bg and the terminal's state afterwards.

A shell (native, with job control) in a pseudo-terminal starts programs, each natively
and under `ondol run`; what the terminal shows must be equal.  TAP."""
import os, pty, select, signal, sys, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ONDOL = os.environ.get("ONDOL", os.path.join(TOP, "build/ondol"))
PROMPT = b"=ready= "
LIMIT = 30


class Session:
    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = {"PATH": os.environ["PATH"], "PS1": PROMPT.decode(), "TERM": "dumb",
                   "HOME": "/tmp", "LC_ALL": "C", "BASH_SILENCE_DEPRECATION_WARNING": "1"}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], env)
        self.seen = b""
        self.until(PROMPT)

    def until(self, what, limit=LIMIT):
        """Read up to `what`; the text before it."""
        end = time.time() + limit
        while what not in self.seen:
            left = end - time.time()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise TimeoutError("waited for %r, saw %r" % (what, self.seen[-300:]))
            self.seen += os.read(self.fd, 4096)
        before, self.seen = self.seen.split(what, 1)
        return before.decode(errors="replace").replace("\r", "")

    def type(self, text):
        os.write(self.fd, text.encode())

    def line(self, text):
        """One command; what it printed (the echo of the command left out)."""
        self.type(text + "\n")
        return self.until(PROMPT).split("\n", 1)[-1]

    def close(self):
        """Leave; a shell that does not want to go (stopped jobs) is a failure."""
        end = time.time() + 5
        self.type("exit\n")
        try:
            while select.select([self.fd], [], [], max(0, end - time.time()))[0]:
                os.read(self.fd, 4096)
            raise TimeoutError("the shell stayed")
        except OSError:
            os.waitpid(self.pid, 0)


def ctrl_c(s, run):
    s.type(run + "sh -c 'echo go; sleep 100'\n")
    s.until(b"go\r\n")
    time.sleep(0.3)  # the shell's own fork of sleep is not what is tested here
    s.type("\x03")
    return s.until(PROMPT) + s.line("echo status $?")


def ctrl_c_trapped(s, run):
    s.type(run + "bash -c 'trap \"echo caught; exit 7\" INT; echo go; while :; do sleep 0.05; done'\n")
    s.until(b"go\r\n")
    s.type("\x03")
    return s.until(PROMPT) + s.line("echo status $?")


def ctrl_backslash(s, run):
    s.line("ulimit -c 0")
    s.type(run + "sh -c 'echo go; exec sleep 100'\n")
    s.until(b"go\r\n")
    s.type("\x1c")
    return s.until(PROMPT) + s.line("echo status $?")


def stop_and_go(s, run):
    s.type(run + "sh -c 'echo go; read x; echo got $x'\n")
    s.until(b"go\r\n")
    time.sleep(0.2)
    s.type("\x1a")
    out = s.until(b"Stopped") and "Stopped\n"
    s.until(PROMPT)
    s.type("fg\n")
    time.sleep(0.3)
    s.type("word\n")
    s.until(b"got ")
    return out + s.until(PROMPT) + s.line("echo status $?")


def background(s, run):
    s.type(run + "sh -c 'sleep 0.3; echo from the background' & wait\n")
    s.until(b"from the background")
    s.until(PROMPT)
    return s.line("echo status $?")


def reads_terminal_in_background(s, run):
    """SIGTTIN stops it; fg lets it read."""
    s.line(run + "sh -c 'read x; echo got $x' &")
    time.sleep(0.5)
    out = "stopped\n" if "Stopped" in s.line("jobs") else "not stopped\n"
    s.type("fg\n")
    time.sleep(0.3)
    s.type("late\n")
    s.until(b"got ")
    return out + s.until(PROMPT)


def inner_shell(s, run):
    """Job control inside the run: an interactive shell of its own."""
    inner = b"=inner= "
    s.type("PS1='=''inner= ' " + run + "bash --norc --noprofile --noediting -i\n")
    s.until(inner)
    s.type("sleep 100\n")
    time.sleep(0.5)
    s.type("\x1a")
    s.until(b"Stopped")
    s.until(inner)
    s.type("kill -KILL %1; sleep 0.3; jobs >/dev/null; echo en''ded\n")
    s.until(b"ended\r\n")
    out = "inner stopped and ended\n"
    s.until(inner)
    s.type("exit 5\n")
    s.until(PROMPT)
    return out + s.line("echo status $?")


def state(s, run):
    """The terminal is as it was, also after a program that dies in raw mode."""
    before = s.line("stty -a")
    s.type(run + "sh -c 'stty raw -echo; echo go; kill -9 $$'\n")
    s.until(PROMPT)
    s.line("stty sane")
    s.line(run + "stty -a")
    return "same\n" if s.line("stty -a") == before else "different\n"


CASES = [ctrl_c, ctrl_c_trapped, ctrl_backslash, stop_and_go, background,
         reads_terminal_in_background, inner_shell, state]


def outcome(case, run):
    session = Session()
    try:
        text = case(session, run)
        session.close()
        return text
    except (TimeoutError, OSError) as error:
        os.killpg(session.pid, signal.SIGKILL)
        os.waitpid(session.pid, 0)
        return "failed: %s" % error


def main():
    bad = 0
    if os.spawnl(os.P_WAIT, ONDOL, ONDOL, "run", "--", "/bin/true") == 125:
        print("ok - terminal # SKIP ondol run does not work here")
        return 0
    for case in CASES:
        if len(sys.argv) > 1 and sys.argv[1] not in case.__name__:
            continue
        native, under = outcome(case, ""), outcome(case, ONDOL + " run -- ")
        strip = lambda text: text.replace(ONDOL + " run -- ", "")
        if native.startswith("failed") or strip(native) != strip(under):
            bad += 1
            print("not ok - terminal: %s" % case.__name__)
            print("# native: %r\n# under:  %r" % (native, under))
        else:
            print("ok - terminal: %s" % case.__name__)
        sys.stdout.flush()
    return bad != 0


sys.exit(main())
