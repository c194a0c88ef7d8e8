#!/usr/bin/env bash
# aspace trace: native programs whose every mm call is predicted; no difference from the kernel (H3).
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
if ! "$aspace" trace -- true 2>"$work/err"; then
	grep -q 'no permission to trace' "$work/err" && { echo "ptrace isn't allowed here"; exit 77; }
fi
# predicted NAME OPTIONS -- PROGRAM...: the exit status is the program's, and it was predicted to the end.
predicted() {
	local name=$1 expected=$2 got line
	shift 2
	cases=$((cases + 1))
	(cd "$work" && exec timeout 120 "$aspace" trace "$@") >"$work/out" 2>"$work/err" </dev/null
	got=$?
	line=$(tail -n 1 "$work/err")
	if [ $got = "$expected" ] && [[ $line == *" 0 differences" ]]; then
		echo "ok   $name: ${line#aspace: trace: }"
		return
	fi
	failures=$((failures + 1))
	echo "FAIL $name: exit status $got, $line"
	grep -A3 'differ\|trace: call' "$work/err" | head -n 12
}
cat >"$work/areas.c" <<'END'
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
int main(void)
{
	long n = 0;
	char *p = mmap(NULL, 60000 * 4096L, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (long i = 0; i < 60000; i += 2)
		n += !mprotect(p + i * 4096, 4096, PROT_READ);
	printf("%ld\n", n);
	return n != 30000;
}
END
cat >"$work/all.c" <<'END'
/* Everything that moves areas, with private pages in some of them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define PAGE 4096L
static void *thread(void *arg)
{
	for (int i = 0; i < 200; i++) {
		char *p = mmap(NULL, (1 + i % 7) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p[0] = 1;
		if (i % 3)
			munmap(p, PAGE);
	}
	return arg;
}
int main(void)
{
	pthread_t t[4];
	char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;
	int fd = memfd_create("file", 0), status;
	ftruncate(fd, 32 * PAGE);
	memset(p, 1, 16 * PAGE);
	mprotect(p + 4 * PAGE, 8 * PAGE, PROT_READ);
	mprotect(p + 8 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE);
	madvise(p, 64 * PAGE, MADV_DONTFORK);
	madvise(p + 20 * PAGE, PAGE, MADV_DODUMP | MADV_DOFORK);
	madvise(p, 2 * PAGE, MADV_DONTNEED);
	q = mremap(p + 32 * PAGE, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
	q = mremap(q, 16 * PAGE, 4 * PAGE, 0);
	mremap(p + 40 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 50 * PAGE);
	mlock(p, 3 * PAGE);
	munlock(p + PAGE, PAGE);
	q = mmap(NULL, 32 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	mmap(q + 8 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 8 * PAGE);
	mprotect(q, PAGE, PROT_READ | PROT_WRITE);
	syscall(SYS_remap_file_pages, q, PAGE, 0, 4, 0);
	mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	q = sbrk(20 * PAGE);
	q[10 * PAGE] = 1;
	sbrk(-5 * PAGE);
	status = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
	q = shmat(status, NULL, 0);
	shmctl(status, IPC_RMID, NULL);
	shmdt(q);
	munmap(p + 10 * PAGE, 3 * PAGE);
	munmap(p + 1, PAGE);
	mlockall(MCL_FUTURE);
	mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munlockall();
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, thread, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	if (!fork()) {
		mprotect(p, PAGE, PROT_NONE);
		if (!vfork())
			_exit(0);
		execl("/bin/true", "true", NULL);
	}
	wait(&status);
	q = alloca(300 * PAGE);		/* the stack grows */
	q[0] = 1;
	mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 7;
}
END
gcc -O1 -w -o "$work/areas" "$work/areas.c" && gcc -O1 -w -pthread -o "$work/all" "$work/all.c" || exit 1
predicted 'every operation' 7 --strict -- ./all
predicted '60,000 areas' 0 -- ./areas
predicted 'bash with forks' 0 --strict -- bash -c 'for i in 1 2 3 4 5; do (echo $i); done; ls / | wc -l'
predicted 'perl with fork' 0 --strict -- perl -e 'my @a = map { $_ * 2 } 1..100000; if (!fork) { exit 0 } wait'
[ -x /usr/bin/python3 ] && predicted 'python3 with threads' 0 --strict -- /usr/bin/python3 -c '
import threading
ts = [threading.Thread(target=lambda: [bytearray(200000) for _ in range(50)]) for _ in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]'
predicted 'gcc' 0 --strict -- gcc -O2 -w -c areas.c
predicted 'sqlite3' 0 --strict -- sqlite3 :memory: 'with recursive c(x) as (select 1 union all select x + 1 from c where x < 50000) select sum(x) from c'
seq 200000 >"$work/text"
predicted 'xz -T4' 0 --strict -- xz -T4 -k -f -1 text
(cd "$work" && git init -q r && cd r && git config user.email a@example.com && git config user.name a && seq 1000 >f && git add f && git commit -qm x)
predicted 'git gc' 0 -- git -C r gc -q
for jit in node luajit; do
	command -v $jit >/dev/null || continue
	[ $jit = node ] && predicted 'a JIT: node' 0 -- node -e 'let s = 0; for (let i = 0; i < 1e6; i++) s += i % 7; console.log(s)'
	[ $jit = luajit ] && predicted 'a JIT: luajit' 0 -- luajit -e 'local s = 0 for i = 1, 1e6 do s = s + i % 7 end print(s)'
	break
done

# Attached to a process that runs already, which then goes on unharmed.
cat >"$work/loop.c" <<'END'
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void)
{
	for (int i = 0; i < 60; i++) {
		char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p[0] = 1;
		mprotect(p, 4096, PROT_READ);
		usleep(50000);
	}
	puts("unharmed");
	return 0;
}
END
gcc -O1 -o "$work/loop" "$work/loop.c" || exit 1
"$work/loop" >"$work/loop.out" &
loop=$!
sleep 0.3
timeout -s INT 1.5 "$aspace" trace --strict -p $loop 2>"$work/err"
wait $loop
check 'the traced process went on' grep -qx unharmed "$work/loop.out"
check 'attached without a difference' grep -q ' 0 differences' "$work/err"
refused 'no such process' 2 'no such process' trace -p 999999999
refused 'no such program' 127 'No such file' trace -- ./nothing-here
refused 'not a number' 2 'not a process number' trace -p x
if "$aspace" trace --stack -- true 2>"$work/err"; then
	printf '#include <sys/mman.h>\n__attribute__((noinline)) char *make_buffer(void) { return mmap(0, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }\nint main(void) { return make_buffer() == MAP_FAILED; }\n' >"$work/s.c"
	gcc -O1 -o "$work/s" "$work/s.c" && "$aspace" trace --stack -- "$work/s" 2>"$work/err"
	check 'the function that made an area' grep -q 'by make_buffer in s' "$work/err"
else
	check 'without libdw --stack is refused' grep -q 'without libdw' "$work/err"
fi
"$aspace" trace --json -o "$work/json" -- bash -c true 2>/dev/null
check 'the report is JSON' python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert r["map_count"] == len(r["areas"]) and r["ranking"]' "$work/json"
finish
