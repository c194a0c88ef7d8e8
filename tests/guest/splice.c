/* SPDX-License-Identifier: MIT */
/* splice(2), tee(2), vmsplice(2): between pipes, files, sockets and memory. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char buf[1 << 17], gift[10000];

static void said(const char *what, long answer)
{
	int error = errno;

	if (answer < 0)
		printf("%s: %s\n", what, strerror(error));
	else
		printf("%s: %ld\n", what, answer);
	fflush(stdout);
}

static unsigned sum(const char *p, ssize_t n)
{
	unsigned s = 0;

	for (ssize_t i = 0; i < n; i++)
		s = s * 31 + (unsigned char)p[i];
	return s;
}

static int file_of(size_t n)
{
	FILE *f = tmpfile();

	for (size_t i = 0; i < n; i++)
		putc((int)(i * 7 + i / 251), f);
	fflush(f);
	return dup(fileno(f));
}

static void errors(void)
{
	int p[2], q[2], f = file_of(100), ro = open("/dev/null", O_RDONLY), append;
	off_t off = 0;

	append = open("appended", O_RDWR | O_CREAT | O_APPEND, 0600);
	if (pipe(p) || pipe(q))
		exit(1);
	said("no length", splice(p[0], NULL, q[1], NULL, 0, 0));
	said("bad flags", splice(f, NULL, p[1], NULL, 1, 64));
	said("bad descriptor", splice(999, NULL, p[1], NULL, 1, 0));
	said("no pipe", splice(f, NULL, ro, NULL, 1, 0));
	said("no pipe, both files", splice(f, NULL, append, NULL, 1, 0));
	said("wrong way", splice(p[1], NULL, f, NULL, 1, 0));
	said("the same pipe", splice(p[0], NULL, p[1], NULL, 1, 0));
	said("an offset of a pipe", splice(p[0], &off, f, NULL, 1, 0));
	said("an offset of a pipe, out", splice(f, NULL, p[1], &off, 1, 0));
	said("empty", splice(p[0], NULL, f, NULL, 10, SPLICE_F_NONBLOCK));
	said("into an appended file", (write(p[1], "x", 1), splice(p[0], NULL, append, NULL, 1, 0)));
	off = -1;
	said("a negative offset", splice(f, &off, p[1], NULL, 1, 0));
	said("tee: no pipe", tee(f, p[1], 1, 0));
	said("tee: the same pipe", tee(p[0], p[1], 1, 0));
	said("tee: nothing there", (read(p[0], buf, 1), tee(p[0], q[1], 1, SPLICE_F_NONBLOCK)));
	said("vmsplice: no pipe", vmsplice(f, &(struct iovec){ buf, 1 }, 1, 0));
	said("vmsplice: bad memory", vmsplice(p[1], &(struct iovec){ (void *)8, 1 }, 1, 0));
	said("vmsplice: none", vmsplice(p[1], NULL, 0, 0));
	close(p[1]);
	said("at the end", splice(p[0], NULL, f, NULL, 10, 0));
	signal(SIGPIPE, SIG_IGN);
	close(q[0]);
	said("nobody reads", splice(f, NULL, q[1], NULL, 10, 0));
	unlink("appended");
}

static void moves(void)
{
	int p[2], q[2], s[2], in = file_of(50000), out = file_of(0);
	off_t off = 1000, to = 5;
	ssize_t n, total = 0;

	if (pipe(p) || pipe(q) || socketpair(AF_UNIX, SOCK_STREAM, 0, s))
		exit(1);
	said("file at an offset to pipe", n = splice(in, &off, p[1], NULL, 3000, 0));
	printf("offset %ld, position %ld\n", (long)off, (long)lseek(in, 0, SEEK_CUR));
	said("tee", tee(p[0], q[1], 2000, 0));
	said("pipe to pipe", splice(p[0], NULL, q[1], NULL, 500, 0));
	said("pipe to file", splice(p[0], NULL, out, &to, 10000, 0));
	printf("offset %ld, position %ld\n", (long)to, (long)lseek(out, 0, SEEK_CUR));
	n = read(q[0], buf, sizeof(buf));
	printf("teed %zd sum %u\n", n, sum(buf, n));
	n = pread(out, buf, sizeof(buf), 0);
	printf("file %zd sum %u\n", n, sum(buf, n));
	lseek(in, 0, SEEK_SET);
	said("to a socket by a pipe", splice(in, NULL, p[1], NULL, 4000, 0));
	said("on", splice(p[0], NULL, s[0], NULL, 4000, SPLICE_F_MORE));
	n = read(s[1], buf, sizeof(buf));
	printf("socket %zd sum %u\n", n, sum(buf, n));
	said("from a socket", (write(s[1], "hello", 5), splice(s[0], NULL, p[1], NULL, 100, 0)));
	memset(gift, 'm', sizeof(gift));
	said("memory", vmsplice(p[1], (struct iovec[]){ { gift, 10 }, { gift + 100, 5000 } }, 2, 0));
	n = read(p[0], buf, sizeof(buf));
	printf("all %zd sum %u\n", n, sum(buf, n));
	said("memory from a pipe", (write(p[1], "into memory", 11), vmsplice(p[0], &(struct iovec){ buf, 100 }, 1, 0)));
	printf("%.11s\n", buf);
	/* A file that is mapped: what was stored is moved, what is moved shows. */
	char *m = mmap(NULL, 50000, PROT_READ | PROT_WRITE, MAP_SHARED, in, 0);

	strcpy(m + 100, "stored through the mapping");
	off = 100;
	said("what was stored", splice(in, &off, p[1], NULL, 26, 0));
	off = 200;
	said("moved into the mapping", splice(p[0], NULL, in, &off, 26, 0));
	printf("%.26s\n", m + 200);
	/* A pipe that fills up, and a reader that comes. */
	fflush(stdout);
	if (!fork()) {
		ssize_t got;

		close(p[1]);
		usleep(50000);
		while ((got = read(p[0], buf, 4096)) > 0)
			total += got;
		printf("the reader got %zd\n", total);
		fflush(stdout);
		_exit(0);
	}
	close(p[0]);
	lseek(in, 0, SEEK_SET);
	for (int left = 3; left--; lseek(in, 0, SEEK_SET))
		while ((n = splice(in, NULL, p[1], NULL, 1 << 20, 0)) > 0)
			total += n;
	close(p[1]);
	wait(NULL);
	printf("moved %zd\n", total);
}

int main(void)
{
	errors();
	moves();
	return 0;
}
