/* SPDX-License-Identifier: MIT */
/* prctl(PR_SET_MM), PR_SET_THP_DISABLE and /proc/self/clear_refs: what is refused, and what maps and stat show after. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAGE 4096ul

static void said(const char *what, long answer)
{
	if (answer < 0)
		printf("%s: %s\n", what, strerror(errno));
	else
		printf("%s: %ld\n", what, answer);
}

static void set(const char *what, int field, unsigned long value)
{
	said(what, prctl(PR_SET_MM, field, value, 0, 0));
}

static void heap_line(const char *what)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	printf("%s:", what);
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "[heap]"))
			printf(" %.25s", line);
	printf("\n");
	fclose(f);
}

static unsigned long stat_field(int n)
{
	char text[2048], *p;
	int fd = open("/proc/self/stat", O_RDONLY);
	ssize_t got = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[got > 0 ? got : 0] = '\0';
	p = strrchr(text, ')') + 2;
	for (int i = 3; i < n; i++)
		p = strchr(p, ' ') + 1;
	return strtoul(p, NULL, 10);
}

static void clear_refs(const char *text)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	ssize_t n = write(fd, text, strlen(text));

	printf("clear_refs '%s': %s\n", text, n < 0 ? strerror(errno) : "done");
	close(fd);
}

int main(void)
{
	char *area = mmap((void *)0x10000000, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	unsigned long start_brk = stat_field(47);

	setvbuf(stdout, NULL, _IONBF, 0);
	set("no such field", 99, (unsigned long)area);
	set("beyond user space", PR_SET_MM_START_CODE, 1ul << 63);
	set("too low", PR_SET_MM_START_CODE, 0);
	set("unmapped", PR_SET_MM_START_CODE, 0x20000000);
	said("a fourth argument", prctl(PR_SET_MM, PR_SET_MM_START_CODE, area, 1, 0));
	set("start_code", PR_SET_MM_START_CODE, (unsigned long)area);
	set("end_code", PR_SET_MM_END_CODE, (unsigned long)area + PAGE);
	printf("stat: %lx %lx\n", stat_field(26), stat_field(27));
	set("end_code below start_code", PR_SET_MM_END_CODE, (unsigned long)area - PAGE);
	set("start_data", PR_SET_MM_START_DATA, (unsigned long)area + 2 * PAGE);
	set("end_data", PR_SET_MM_END_DATA, (unsigned long)area + 3 * PAGE);
	printf("stat: %lx %lx\n", stat_field(45), stat_field(46));
	set("arg_start", PR_SET_MM_ARG_START, (unsigned long)area + 4 * PAGE);
	set("arg_end", PR_SET_MM_ARG_END, (unsigned long)area + 5 * PAGE);
	set("env_start", PR_SET_MM_ENV_START, (unsigned long)area + 5 * PAGE);
	set("env_end", PR_SET_MM_ENV_END, (unsigned long)area + 6 * PAGE);
	strcpy(area + 4 * PAGE, "a new name");
	int fd = open("/proc/self/cmdline", O_RDONLY);
	char text[64] = "";

	printf("cmdline %ld %s\n", (long)(read(fd, text, 40) > 0), text);
	close(fd);
	heap_line("heap");
	set("start_brk below the area", PR_SET_MM_START_BRK, (unsigned long)area - 64 * PAGE);
	set("start_brk", PR_SET_MM_START_BRK, (unsigned long)area + 32 * PAGE);
	set("brk", PR_SET_MM_BRK, (unsigned long)area + 40 * PAGE);
	printf("start_brk moved: %d\n", start_brk != stat_field(47));
	heap_line("heap");
	set("start_stack", PR_SET_MM_START_STACK, (unsigned long)area + 50 * PAGE);
	said("size of the map", prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, text, 0, 0));
	said("thp_disable", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	said("thp_disable on", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	said("thp_disable", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	said("thp_disable with more", prctl(PR_SET_THP_DISABLE, 1, 1, 1, 1));
	said("thp_disable asked with more", prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0));
	for (const char *const *s = (const char *const[]){ "0", "1", "2", "3", "4", "5", "6", "x", "1x", " 1", "1\n", "", NULL }; *s; s++)
		clear_refs(*s);
	fflush(stdout);
	_exit(0);
}
