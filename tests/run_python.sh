#!/usr/bin/env bash
# Python inside as natively: numbers, threads, processes, mmap, ctypes (H2).
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
python=/usr/bin/python3
[ -x $python ] || { echo "no $python"; exit 77; }
script() { # NAME, the script on standard input
	cat >"$work/script.py"
	same "$1" "$python $work/script.py"
}
script 'numbers and text' <<'END'
import math, hashlib, json, re, random, decimal
print(sum(i * i for i in range(100000)), 2 ** 500 % 10 ** 9, math.factorial(60))
print(hashlib.sha256(b"x" * 100000).hexdigest(), json.dumps({"a": [1, 2.5, None]}, sort_keys=True))
random.seed(7); print([random.randrange(100) for _ in range(8)], decimal.Decimal(1) / 7)
print(re.findall(r"(\w)(\d)", "a1 b2 c33"), sorted({"b": 1, "a": 2}))
END
script 'threads' <<'END'
import threading, queue
lock, n, q = threading.Lock(), 0, queue.Queue(4)
def add():
    global n
    for _ in range(1000):
        with lock:
            n += 1
    q.put(threading.current_thread().name)
ts = [threading.Thread(target=add, name=f"t{i}") for i in range(16)]
for t in ts: t.start()
names = sorted(q.get() for _ in ts)
for t in ts: t.join()
print(n, names)
e = threading.Event(); print(e.wait(0.02))
END
script 'multiprocessing by fork' <<'END'
import multiprocessing as mp
def f(x): return x * x
with mp.get_context("fork").Pool(3) as p: print(p.map(f, range(20)))
c = mp.get_context("fork"); v = c.Value("i", 0)
def add(v):
    for _ in range(200):
        with v.get_lock(): v.value += 1
ps = [c.Process(target=add, args=(v,)) for _ in range(3)]
for p in ps: p.start()
for p in ps: p.join()
print(v.value, [p.exitcode for p in ps])
END
script 'multiprocessing by spawn' <<'END'
import multiprocessing as mp
def f(x): return x + 1
if __name__ == "__main__":
    with mp.get_context("spawn").Pool(2) as p: print(p.map(f, range(5)))
END
script 'mmap' <<'END'
import mmap, os
with open("f", "w+b") as f:
    f.truncate(20000)
    m = mmap.mmap(f.fileno(), 0)
    m[5000:5005] = b"hello"; m.flush(); f.seek(5000); print(f.read(5))
    f.seek(5002); f.write(b"XY"); f.flush(); print(m[5000:5005], m.find(b"XY"), m.size())
    m.resize(40000); m[39999] = 65; print(len(m), os.path.getsize("f")); m.close()
a = mmap.mmap(-1, 8192); pid = os.fork()
if not pid: a[0:5] = b"child"; os._exit(0)
os.waitpid(pid, 0); print(a[0:5])
END
script 'ctypes callbacks' <<'END'
import ctypes
C = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
libc = ctypes.CDLL(None); a = (ctypes.c_int * 50)(*[(i * 37) % 50 for i in range(50)])
libc.qsort(a, 50, ctypes.sizeof(ctypes.c_int), C(lambda x, y: x[0] - y[0])); print(list(a)[:10])
END
script 'subprocesses, sockets, select' <<'END'
import subprocess, socket, select, threading, os, signal
print(subprocess.run(["sh", "-c", "cat; exit 3"], input=b"in", capture_output=True))
a, b = socket.socketpair(); a.send(b"ping"); print(select.select([b], [], [], 1)[0] == [b], b.recv(10))
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
def serve():
    c, _ = s.accept(); c.sendall(c.recv(100).upper()); c.close()
t = threading.Thread(target=serve); t.start()
c = socket.create_connection(s.getsockname()); c.sendall(b"hello"); print(c.recv(100)); t.join()
signal.signal(signal.SIGALRM, lambda *_: print("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.02); signal.pause()
p = select.epoll(); r, w = os.pipe(); p.register(r, select.EPOLLIN); os.write(w, b"x"); print(len(p.poll(1)))
END
finish
