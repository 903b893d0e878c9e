#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`ondol lab` in a terminal: keys go forward and back, the terminal is as it was afterwards."""
import fcntl, os, pty, re, select, struct, sys, termios, time

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
bad = 0


def check(good, what, seen=''):
    global bad
    print(f"{'ok' if good else 'not ok'} - {what}")
    if not good:
        bad += 1
        print('# ' + repr(seen[-400:]))


class Session:
    def __init__(self, *args, **env):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update({'TERM': 'xterm', 'LC_ALL': 'C.UTF-8', **env})
            os.execv('build/ondol', ['ondol', 'lab', *args])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 100, 0, 0))
        self.before = termios.tcgetattr(self.fd)

    def until(self, pattern):
        """What comes up to the pattern, for at most 20 s."""
        seen, end = '', time.monotonic() + 20
        while time.monotonic() < end:
            if re.search(pattern, seen):
                break
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                seen += os.read(self.fd, 65536).decode('utf-8', 'replace')
            except OSError:
                break
        return seen

    def key(self, keys, pattern, what):
        os.write(self.fd, keys)
        seen = self.until(pattern)
        check(re.search(pattern, seen), what, seen)

    def ends(self, what, status=0):
        seen = self.until('never')
        _, got = os.waitpid(self.pid, 0)
        os.close(self.fd)
        check(os.waitstatus_to_exitcode(got) == status, what, seen)
        return seen


KEYS_LINE = r'q: quit'
s = Session('figures')
seen = s.until(KEYS_LINE)
check('Figure 1' in seen and '\033[?1049h' in seen, 'figure 1 comes up, on a screen of its own', seen)
s.key(b'n', r'(?s)Figure 2.*' + KEYS_LINE, 'n goes on')
s.key(b'\033[C', r'(?s)Figure 3.*' + KEYS_LINE, 'right goes on')
s.key(b' ', r'(?s)Figure 4.*' + KEYS_LINE, 'space goes on')
s.key(b'\033[D', r'(?s)Figure 3.*' + KEYS_LINE, 'left goes back')
s.key(b'p', r'(?s)Figure 2.*' + KEYS_LINE, 'p goes back')
s.key(b'\033[F', r'(?s)Figure 7.*' + KEYS_LINE, 'end goes to the last')
s.key(b'n\033[H', r'(?s)Figure 1.*' + KEYS_LINE, 'nothing behind the last; home goes to the first')
fcntl.ioctl(s.fd, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 60, 0, 0))
seen = s.until(KEYS_LINE)
check('Figure 1' in seen, 'a new size is drawn anew', seen)
os.write(s.fd, b'q')
seen = s.until(re.escape('\033[?1049l'))
check('\033[?1049l' in seen, 'q gives the screen back', seen)
try:
    check(termios.tcgetattr(s.fd) == s.before, 'and the terminal as it was')
except termios.error:
    pass
s.ends('exit status 0')

s = Session('figure4', '--lang', 'ko')
s.key(b'', r'(?s)그림 4.*끝', 'a step by its name, in Korean')
os.write(s.fd, b'\003')
s.ends('Ctrl-C ends it')

s = Session('figures', '--print', NO_COLOR='1')
seen = s.ends('--print prints, in a terminal too')
check('Figure 7' in seen and '\033' not in seen, 'NO_COLOR: no escape sequences', seen)
sys.exit(bad != 0)
