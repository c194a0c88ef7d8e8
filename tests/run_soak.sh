#!/usr/bin/env bash
# Time slices as short as a few thousand blocks, and random placement, change no output.
#
# SOAK_SEEDS (default 2): how many of each.
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
make -s -C "$top" O="${O#"$top"/}" guests || exit 1
seeds=${SOAK_SEEDS:-2}
soak() { # NAME COMMAND: with every slice and every seed
	local slice seed
	for slice in 50 300; do same "$1, slices of $slice us" "$2" --preempt $slice; done
	for ((seed = 1; seed <= seeds; seed++)); do
		same "$1, seed $seed" "$2" --seed $seed --preempt $((seed * 70))
	done
}
for program in threads64 cow3 smc segv_pager signals shared polls; do
	soak "$program" "$guest/$program-dynamic"
done
soak 'shells' 'f() { echo $(($1 * 2)); }; for i in 1 2 3 4 5 6 7 8; do (f $i; exit $i) | cat; done; seq 3000 | sort -rn | tail -n 2; for i in 1 2 3; do (sleep 0.0$i; echo $i > f$i) & done; wait; cat f1 f2 f3'
soak 'python threads' '/usr/bin/python3 -S -c "
import threading, queue
q = queue.Queue(2); n = 0; lock = threading.Lock()
def work(i):
    global n
    for k in range(300):
        with lock: n += k
    q.put(i)
ts = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for t in ts: t.start()
print(sorted(q.get() for _ in ts), n)
for t in ts: t.join()"'
soak 'xz -T4' 'seq 30000 > f; xz -T4 --block-size=30000 -0c f | xz -dc | cmp - f; echo $?'
# The same seed, the same run: addresses and random bytes repeat; another seed, others.
layout() { "$aspace" run --seed "$1" -- sh -c 'grep stack /proc/self/maps; head -c 16 /dev/urandom | od -x' 2>&1 | cut -c1-60; }
check 'a seed repeats its stack' [ "$(layout 5 | head -n 1)" = "$(layout 5 | head -n 1)" ]
check 'another seed moves it' [ "$(layout 5 | head -n 1)" != "$(layout 6 | head -n 1)" ]
check 'without a seed runs repeat' [ "$("$aspace" run -- cat /proc/self/maps)" = "$("$aspace" run -- cat /proc/self/maps)" ]
finish
