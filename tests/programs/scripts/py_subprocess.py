# SPDX-License-Identifier: MIT
import os
import subprocess
import sys

for i in range(10):
    r = subprocess.run(["sh", "-c", f"read x; echo got $x; exit {i}"], input=f"line {i}\n",
                       capture_output=True, text=True)
    print(r.returncode, r.stdout.strip())
r = subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('err'); print(len('x' * 10**7))"],
                   capture_output=True, text=True)
print(r.stdout, r.stderr, r.returncode)
p = subprocess.Popen(["sleep", "100"])
p.terminate()
print(p.wait())
pid = os.fork()
if pid == 0:
    os._exit(len([i for i in range(7)]))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
try:
    subprocess.run(["./no-such-program"])
except FileNotFoundError as e:
    print(e.strerror)
big = subprocess.run(["cat"], input=b"z" * 3_000_000, stdout=subprocess.PIPE).stdout
print(len(big), set(big))
