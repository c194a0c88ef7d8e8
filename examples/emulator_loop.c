/* SPDX-License-Identifier: MIT */
/*
 * What an emulator does with the library: a software TLB in front of aspace_translate, aspace_fault
 * when that says no, and an order to flush that may come from any call.
 *
 *	guest load/store -> TLB hit?  -> host pointer
 *	                     miss     -> aspace_translate -> entry
 *	                                   not possible   -> aspace_fault -> again, or a guest signal
 *	munmap, fork, mprotect ... -> port.flush -> entries dropped
 *
 * The "guest" here is a loop that sums and fills an array.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aspace/aspace.h>

#define PAGE_SHIFT 12
#define PAGE	   (1ull << PAGE_SHIFT)
#define TLB_SIZE   64

struct tlb_entry {
	uint64_t page;			/* page number + 1; 0: empty */
	unsigned access;		/* what it may be used for */
	uint8_t *host;			/* of the page's first byte */
};

struct emulator {
	struct aspace_mm *mm;
	struct tlb_entry tlb[TLB_SIZE];
	unsigned long hits, misses, faults, flushes;
};

/* port.flush: when this returns, nothing of [start, end) is used any more. */
static void flush(void *priv, struct aspace_mm *mm, uint64_t start, uint64_t end)
{
	struct emulator *e = priv;

	if (mm != e->mm)
		return;
	e->flushes++;
	for (int i = 0; i < TLB_SIZE; i++) {
		uint64_t at = (e->tlb[i].page - 1) << PAGE_SHIFT;

		if (e->tlb[i].page && at < end && at + PAGE > start)
			e->tlb[i].page = 0;
	}
}

/* Where the guest's byte is on the host; NULL: the guest gets the signal in *fault. */
static uint8_t *reach(struct emulator *e, uint64_t addr, unsigned access, struct aspace_fault *fault)
{
	uint64_t page = addr >> PAGE_SHIFT;
	struct tlb_entry *entry = &e->tlb[page % TLB_SIZE];
	struct aspace_translation t = { .size = sizeof(t) };

	if (entry->page == page + 1 && (entry->access & access) == access) {
		e->hits++;
		return entry->host + (addr & (PAGE - 1));
	}
	e->misses++;
	while (aspace_translate(e->mm, addr, access, &t)) {
		e->faults++;
		if (aspace_fault(e->mm, addr, access, 0, fault))
			return NULL;
	}
	*entry = (struct tlb_entry){ page + 1, t.access, (uint8_t *)t.host - (addr & (PAGE - 1)) };
	return t.host;
}

static int guest(struct emulator *e, uint64_t array, size_t n, uint64_t *sum)
{
	struct aspace_fault fault = { .size = sizeof(fault) };

	for (int turn = 0; turn < 3; turn++) {
		*sum = 0;
		for (size_t i = 0; i < n; i++) {
			uint8_t *byte = reach(e, array + i * 97, turn ? ASPACE_READ : ASPACE_WRITE, &fault);

			if (!byte) {
				printf("the guest gets signal %d, code %d, at the array's byte %llu\n", fault.signal, fault.code,
				       (unsigned long long)(fault.addr - array));
				return -1;
			}
			if (!turn)
				*byte = (uint8_t)i;
			*sum += *byte;
		}
	}
	return 0;
}

int main(void)
{
	struct emulator e = { 0 };
	struct aspace_port port = { .size = sizeof(port), .priv = &e, .flush = flush };
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 8 << 20, .port = &port };
	const size_t n = 20000, bytes = 20000 * 97;
	struct aspace_machine *machine;
	struct aspace_mm *child;
	uint64_t sum;
	int64_t array;
	char why[200];

	if (aspace_machine_create(&options, &machine) || aspace_mm_create(machine, &e.mm))
		return 1;
	array = aspace_mmap(e.mm, 0, bytes, ASPACE_PROT_READ | ASPACE_PROT_WRITE,
			    ASPACE_MAP_PRIVATE | ASPACE_MAP_ANONYMOUS, NULL, 0);
	if (array < 0 || guest(&e, array, n, &sum))
		return 1;
	printf("sum %llu, %lu faults\n", (unsigned long long)sum, e.faults);

	/* fork write-protects: the order to flush comes, and the next store faults again and copies. */
	e.flushes = e.faults = 0;
	if (aspace_mm_fork(e.mm, &child) || guest(&e, array, n, &sum))
		return 1;
	printf("after fork: sum %llu, %s, %lu faults\n", (unsigned long long)sum, e.flushes ? "flushed" : "not flushed",
	       e.faults);
	aspace_mm_put(child);

	/* A hole: the TLB forgets it, and the guest is told. */
	if (aspace_munmap(e.mm, array + 100 * PAGE, PAGE) || !guest(&e, array, n, &sum))
		return 1;
	if (aspace_machine_check(machine, why, sizeof(why))) {
		puts(why);
		return 1;
	}
	aspace_mm_put(e.mm);
	aspace_machine_destroy(machine);
	return 0;
}
