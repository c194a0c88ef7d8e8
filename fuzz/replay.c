/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without a fuzzer: over the files given, and with -r N over N random inputs of a
 * fixed seed, so that `make test` exercises the targets on a machine that has only a compiler.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		return 1;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = 88172645463325252ull;
	static uint8_t data[4096];
	int inputs = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-r") && i + 1 < argc) {
			for (int n = atoi(argv[++i]); n > 0; n--, inputs++) {
				size_t size = 16 + n * 37 % 1500;

				for (size_t b = 0; b < size; b++) {
					seed ^= seed << 13;
					seed ^= seed >> 7;
					seed ^= seed << 17;
					data[b] = seed;
				}
				LLVMFuzzerTestOneInput(data, size);
			}
		} else if (file(argv[i])) {
			return 2;
		} else {
			inputs++;
		}
	}
	printf("%d inputs\n", inputs);
	return inputs ? 0 : 2;
}
