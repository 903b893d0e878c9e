# A dictionary, a list and strings of some 60 MB, looked at in and out of order.
import hashlib

rows, known = [], {}
for i in range(300000):
    row = "row %d %s" % (i, hashlib.md5(str(i % 1000).encode()).hexdigest())
    rows.append(row)
    if i % 3 == 0:
        known[row] = i
digest = hashlib.sha256()
for row in rows[::7]:
    digest.update(row.encode())
print(digest.hexdigest(), sum(known.get(rows[i], 1) for i in range(0, 300000, 1001)), len(known))
