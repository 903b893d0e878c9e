# SPDX-License-Identifier: MIT
# 500 MB, touched, checked and given back; then again in small pieces.
blocks = []
for i in range(50):
    b = bytearray(10_000_000)
    for at in range(0, len(b), 4096):
        b[at] = i + 1
    blocks.append(b)
for i, b in enumerate(blocks):
    assert all(v == i + 1 for v in b[::4096]) and b[1] == 0
print(sum(len(b) for b in blocks))
del blocks
rows = [[i, str(i), (i,)] for i in range(200_000)]
print(sum(r[0] for r in rows), len(rows[-1][1]))
del rows
print(sum(range(10**6)))
