/* SPDX-License-Identifier: MIT */
/* Code patched after stores beside it in its page, as compilers that run in the program do. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void put(unsigned char *at, int value)
{
	unsigned char code[6] = { 0xb8, 0, 0, 0, 0, 0xc3 };	/* mov $value,%eax; ret */

	memcpy(code + 1, &value, 4);
	memcpy(at, code, 6);
}

static int call(void *at)
{
	return ((int (*)(void))at)();
}

int main(void)
{
	unsigned char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int wrong = 0, k;

	put(p, 1);
	put(p + 2048, 2);
	printf("%d %d\n", call(p), call(p + 2048));
	p[3000] = 7;			/* no code there */
	put(p, 3);
	printf("%d\n", call(p));
	p[3000] = 8;
	*(volatile int *)(p + 1) = 4;
	printf("%d\n", call(p));
	*(volatile int *)(p + 2049) = 5;
	printf("%d\n", call(p + 2048));
	for (int i = 0; i < 200; i++) {
		p[3000 + i] = i;
		*(volatile int *)(p + 1 + (i % 2) * 2048) = i;
		wrong += call(p + (i % 2) * 2048) != i;
	}
	/* many functions, patched in other orders */
	for (int i = 0; i < 100; i++)
		put(p + 4096 - 50 + i * 16, i);
	for (int i = 0; i < 100; i++)
		wrong += call(p + 4096 - 50 + i * 16) != i;
	for (int r = 0; r < 50; r++) {
		p[4096 + 3000 + r] = r;
		k = (r * 37) % 100;
		put(p + 4096 - 50 + k * 16, 1000 + r);
		wrong += call(p + 4096 - 50 + k * 16) != 1000 + r;
		k = (r * 11) % 100;
		*(volatile unsigned short *)(p + 4096 - 50 + k * 16 + 1) = r;
		wrong += (call(p + 4096 - 50 + k * 16) & 0xffff) != r;
	}
	printf("wrong %d\n", wrong);
	return wrong != 0;
}
