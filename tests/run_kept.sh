#!/usr/bin/env bash
# What a guest stored through MAP_SHARED is in the file: after exit, after exec, and when aspace itself is killed
# by a signal that can be caught while pages are dirty.
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
cd "$work" || exit 2
cat >kept.c <<'END2'
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv)	/* HOW FILE: 400 pages are dirty; then HOW */
{
	int fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0644);
	char *p;

	if (fd < 0 || ftruncate(fd, 400 * 4096L))
		return 1;
	p = mmap(NULL, 400 * 4096L, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	for (int i = 0; i < 400; i++)
		sprintf(p + i * 4096, "page %d", i);
	switch (argv[1][0]) {
	case 'u': return munmap(p, 400 * 4096L);
	case 's': return msync(p, 400 * 4096L, MS_SYNC) || raise(SIGKILL);
	case 'e': return execl("/bin/true", "true", (char *)NULL);
	case 'a': abort();
	case 'k': raise(SIGKILL);
	case 'f': if (fork()) _exit(0); usleep(100000); strcpy(p + 4000, "the child's"); return 0;
	case 'w':
		write(1, "dirty\n", 6);
		for (;;)
			pause();
	case 'b':
		write(1, "dirty\n", 6);
		for (volatile long i = 0;; i++)
			p[8 + i % 4000] = p[8 + i % 4000];
	}
	return 0;
}
END2
${CC:-cc} -O1 -w -static -o kept kept.c || exit 1
./kept x native
whole() { cmp "$1" native; }
"$aspace" run -- ./kept x exit; check 'exit' whole exit
"$aspace" run -- ./kept u unmapped; check 'munmap' whole unmapped
{ "$aspace" run -- ./kept s synced; } 2>/dev/null; check 'msync' whole synced
"$aspace" run -- ./kept e exec; check 'execve' whole exec
{ "$aspace" run -- ./kept a aborted; } 2>/dev/null; check 'abort' whole aborted
{ "$aspace" run -- ./kept k killed; } 2>/dev/null; check 'SIGKILL of the guest' whole killed
"$aspace" run -- sh -c './kept f forked; sleep 0.3'; check 'a child after its parent' [ "$(tail -c +4001 forked | head -c 11)" = "the child's" ]
# A shell would start them with SIGINT and SIGQUIT ignored; this does not.
background() { # COMMAND...: its output goes to ./said
	perl -e '$SIG{INT} = $SIG{QUIT} = "DEFAULT"; exec @ARGV' "$@" >said 2>/dev/null &
	pid=$!
}
for sig in TERM INT HUP QUIT USR1; do
	for how in w b; do
		mkfifo said
		background timeout 20 "$aspace" run -- ./kept $how by-$sig-$how
		read -r line <said
		rm said
		kill -$sig $(pgrep -P $pid) 2>/dev/null
		{ wait $pid; } 2>/dev/null
		got=$?
		check "aspace killed by SIG$sig, guest $([ $how = w ] && echo waits || echo runs)" whole by-$sig-$how
		check "its status says so" [ $got = $((128 + $(kill -l $sig))) ]
	done
done
# A signal for the process group is for every guest in it; one for the first process is its own.
cat >group.sh <<'END2'
for i in 1 2; do
	(trap "echo child >>$1; exit" TERM; echo ready >>$1.ready; for n in $(seq 60); do sleep 0.05; done) &
done
set -m; (trap "echo elsewhere >>$1; exit" TERM; echo ready >>$1.ready; for n in $(seq 30); do sleep 0.05; done) & set +m
trap "echo first >>$1; exit 3" TERM
echo ready >>$1.ready
wait; wait
END2
told() { # NAME WHOM EXPECTED COMMAND...: WHOM is '' or '-' (the group)
	local name=$1 whom=$2 expected=$3 out
	shift 3
	rm -f "$name" "$name.ready"
	setsid "$@" bash group.sh "$name" 2>/dev/null &
	pid=$!
	until [ "$(cat "$name.ready" 2>/dev/null | wc -l)" = 4 ]; do sleep 0.05; done
	sleep 0.2
	kill -TERM -- $whom$pid
	wait $pid
	got=$?
	sleep 0.3
	check "$name: $expected, status 3" [ "$(sort "$name" | tr '\n' ' ')$got" = "$expected 3" ]
}
told native-group - 'child child first'
told inside-group - 'child child first' "$aspace" run --
told native-one '' 'first'
told inside-one '' 'first' "$aspace" run --
mkdir tmp
TMPDIR=$work/tmp "$aspace" run -- ./kept x exit
check 'no temporary file is left behind' [ -z "$(ls tmp)" ]
finish
