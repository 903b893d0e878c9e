# SPDX-License-Identifier: MIT
import queue
import threading

q, lock, total = queue.Queue(), threading.Lock(), 0


def work():
    global total
    while (n := q.get()) is not None:
        s = sum(len(str(i)) for i in range(n))
        with lock:
            total += s


threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads:
    t.start()
for n in range(200):
    q.put(n * 10)
for _ in threads:
    q.put(None)
for t in threads:
    t.join()
print(total)
