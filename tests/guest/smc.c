/* SPDX-License-Identifier: MIT */
/* Code that is written, run, and written again: in place, by W^X, and through a file's second view. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void put(unsigned char *at, int value)
{
	unsigned char code[6] = { 0xb8, 0, 0, 0, 0, 0xc3 };	/* mov $value,%eax; ret */

	memcpy(code + 1, &value, 4);
	memcpy(at, code, sizeof(code));
}

static int call(void *at)
{
	int (*function)(void) = (int (*)(void))at;

	return function();
}

int main(void)
{
	unsigned char *rwx = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *wx = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long sum = 0;

	for (int i = 0; i < 1000; i++) {
		put(rwx, i);
		sum += call(rwx);
		put(rwx + 4096 - 3, i * 2);	/* across two pages */
		sum += call(rwx + 4096 - 3);
	}
	printf("in place %ld\n", sum);
	for (int i = 0; i < 200; i++) {
		mprotect(wx, 4096, PROT_READ | PROT_WRITE);
		put(wx, i);
		mprotect(wx, 4096, PROT_READ | PROT_EXEC);
		sum += call(wx);
	}
	printf("by turns %ld\n", sum);
	for (int i = 0; i < 50; i++) {
		unsigned char *fresh = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		put(fresh, i);
		sum += call(fresh);
		munmap(fresh, 4096);
	}
	printf("fresh frames %ld\n", sum);
	return 0;
}
