# SPDX-License-Identifier: MIT
# The mmap module on a file, shared and private.
import mmap
import os

SIZE = 1 << 20
with open("mapped", "wb") as f:
    f.write(bytes(i % 251 for i in range(SIZE)))
with open("mapped", "r+b") as f:
    with mmap.mmap(f.fileno(), 0) as m:  # shared
        assert m[1000] == 1000 % 251 and m.find(b"\x00\x01\x02", 300) == 502
        m[4096:4106] = b"0123456789"
        m.flush()
        m.move(8192, 4096, 10)
        if m.resize(2 * SIZE) is None:
            m[-1] = 9
    print(os.path.getsize("mapped"))
    with mmap.mmap(f.fileno(), SIZE, access=mmap.ACCESS_COPY) as m:  # private
        m[0:5] = b"mine!"
        print(bytes(m[0:5]), bytes(m[8192:8202]))
    with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
        print(bytes(m[0:5]), bytes(m[4096:4106]), m[-1], sum(m[:SIZE:101]))
a = mmap.mmap(-1, 1 << 16)  # anonymous and shared
if os.fork() == 0:
    a[5] = 42
    os._exit(0)
os.wait()
print(a[5], a[6])
