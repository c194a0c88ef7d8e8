# needs: python3
python3 - <<'X'
import threading, subprocess, mmap, ctypes, signal, time, os, sys, multiprocessing as m
print(sum(i * i for i in range(100000)), 2.0 ** 0.5, 10 ** 50)
done = []
def work(n):
    for i in range(200): done.append(n)
ts = [threading.Thread(target=work, args=(i,)) for i in range(16)]
[t.start() for t in ts]; [t.join() for t in ts]; print(len(done))
print(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True))
b = mmap.mmap(-1, 1 << 16); b[100:105] = b"hello"; print(b[98:107])
CMP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
a = (ctypes.c_int * 6)(5, 1, 4, 2, 3, 0)
ctypes.CDLL(None).qsort(a, 6, 4, CMP(lambda x, y: x[0] - y[0])); print(list(a))
signal.signal(signal.SIGALRM, lambda s, f: print("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.03)
time.sleep(0.1)
with m.Pool(3) as p: print(p.map(abs, range(-5, 5)))
sys.stdout.flush()
X
cat >spawned.py <<'X'
import multiprocessing as m
def child(q, n): q.put(n * n)
if __name__ == "__main__":
    m.set_start_method("spawn")
    q = m.Queue(); ps = [m.Process(target=child, args=(q, i)) for i in range(3)]
    [p.start() for p in ps]; print(sorted(q.get() for _ in ps)); [p.join() for p in ps]
    print([p.exitcode for p in ps])
X
python3 spawned.py
python3 -c 'import os; os.abort()'; echo $?
python3 -c 'raise SystemExit(7)'; echo $?
